/*
 * loam status: what a volume is, holds and takes, who uses it, and what a reply of it promises.
 */
#include "auth/repos.h"
#include "auth/tree.h"
#include "core/auto.h"
#include "core/cmd.h"
#include "core/config.h"
#include "core/json.h"
#include "fs/fsck.h"
#include "fs/meta/txn.h"
#include "sync/commands.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

typedef unsigned long long ull;

struct status_opts {
	const char *meta;
	bool json;
};

/* ---- sessions -------------------------------------------------------------------------------- */

struct session_list {
	json_t *sessions;
	struct loam_engine *engine;
	int64_t now;
};

static int seen_session(void *arg, const struct loam_record *record, const void *data, size_t bytes)
{
	struct session_list *list = arg;
	char text[24] = "";
	if (bytes < sizeof(text))
		memcpy(text, data, bytes);
	int64_t left = strtoll(text, NULL, 10) - list->now;
	json_t *session =
		json_pack("{s:I, s:b}", "sid", (json_int_t)record->id, "expired", (int)(left < 0));
	json_array_append_new(list->sessions, session);
	return 0;
}

/* Seconds since MountTime (RFC 3339 in any zone written by us or by Go), -1 when unknown. */
static int64_t age_of(const char *mount_time, int64_t now)
{
	struct tm tm = { 0 };
	const char *rest = strptime(mount_time, "%Y-%m-%dT%H:%M:%S", &tm);
	int hours, minutes;
	if (!rest)
		return -1;
	if (*rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	int64_t when = timegm(&tm);
	if ((*rest == '+' || *rest == '-') && sscanf(rest + 1, "%2d:%2d", &hours, &minutes) == 2)
		when -= (*rest == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
	return now > when ? now - when : 0;
}

static void set_text(json_t *to, const char *name, const json_t *from, const char *member)
{
	const char *text = json_string_value(json_object_get(from, member));
	json_object_set_new(to, name, json_string(text ? text : ""));
}

/* What the session says of itself. */
static int add_info(struct session_list *list, json_t *session, struct loam_err *err)
{
	struct loam_record record =
		loam_rec(LOAM_REC_SESSION_INFO,
			 (uint64_t)json_integer_value(json_object_get(session, "sid")), 0);
	struct loam_value value = { 0 };
	struct loam_err broken = { 0 };
	loam_auto_json json_t *info = NULL;
	int rc = list->engine->ops->read(list->engine, &record, 1, &value, err);
	if (rc < 0)
		return rc;
	if (value.present)
		(void)loam_json_parse(value.data, value.bytes, &info, &broken);
	loam_value_release(&value);
	set_text(session, "host", info, "HostName");
	set_text(session, "mountPoint", info, "MountPoint");
	set_text(session, "version", info, "Version");
	const char *time_text = json_string_value(json_object_get(info, "MountTime"));
	json_object_set_new(session, "ageSeconds",
			    json_integer(time_text ? age_of(time_text, list->now) : -1));
	return 0;
}

static int list_sessions(struct loam_engine *engine, json_t *status, struct loam_err *err)
{
	struct session_list list = { .sessions = json_array(), .engine = engine };
	json_object_set_new(status, "sessions", list.sessions);
	int rc = engine->ops->now(engine, &list.now, err);
	uint64_t cursor = 0;
	while (rc == 0) {
		rc = engine->ops->scan(engine, LOAM_REC_SESSION_LIFE, 0, &cursor, NULL,
				       seen_session, &list, err);
		if (rc < 0 || cursor == 0)
			break;
	}
	for (size_t i = 0; rc == 0 && i < json_array_size(list.sessions); i++)
		rc = add_info(&list, json_array_get(list.sessions, i), err);
	return rc;
}

/* ---- the rest -------------------------------------------------------------------------------- */

static int add_usage(struct loam_volume *volume, json_t *status, struct loam_err *err)
{
	const struct loam_format *format = loam_meta_format(volume->meta);
	struct loam_statfs statfs;
	struct loam_physical physical;
	int rc = loam_meta_statfs(volume->meta, &statfs, err);
	if (rc == 0)
		rc = loam_fsck_physical(volume, &physical, err);
	if (rc < 0)
		return rc;
	loam_auto_json json_t *usage =
		json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "name",
			  format->name, "uuid", format->uuid, "storage", format->storage, "bucket",
			  format->bucket, "blockKiB", (json_int_t)format->block_kib, "usedBytes",
			  (json_int_t)statfs.used_bytes, "capacityBytes",
			  (json_int_t)format->capacity_bytes, "usedInodes",
			  (json_int_t)statfs.used_inodes, "limitInodes", (json_int_t)format->inodes,
			  "physicalBytes", (json_int_t)physical.slice_bytes, "storedBytes",
			  (json_int_t)physical.block_bytes, "storedBlocks",
			  (json_int_t)physical.blocks);
	if (!usage)
		return loam_fail(err, LOAM_E_CORRUPT, "the volume's setting is no text");
	json_object_update(status, usage);
	return 0;
}

static int add_durability(struct loam_volume *volume, json_t *status, struct loam_err *err)
{
	struct loam_engine *engine = loam_meta_engine(volume->meta);
	struct loam_err own = { 0 };
	char text[512] = "";
	int rc = engine->ops->describe(engine, text, sizeof(text), err);
	if (rc < 0)
		return rc;
	rc = loam_meta_barrier(volume->meta, &own);
	if (rc < 0 && own.code != LOAM_E_UNSUPPORTED)
		return loam_fail(err, own.code, "%s", own.text);
	json_object_set_new(status, "metadata", json_string(text));
	json_object_set_new(status, "durable", json_boolean(rc == 0));
	if (rc < 0)
		json_object_set_new(status, "weakness", json_string(own.text));
	return 0;
}

static int count_repo(void *arg, const struct loam_repo *repo, uint64_t gate_ino,
		      struct loam_err *err)
{
	(*(uint64_t *)arg)++;
	return 0;
}

static int add_tree(struct loam_volume *volume, const struct loam_config *config, json_t *status,
		    struct loam_err *err)
{
	struct loam_tree tree;
	struct loam_err own = { 0 };
	uint64_t count = 0;
	int rc = loam_tree_open(volume, config->tree_root, false, &tree, &own);
	json_object_set_new(status, "tree", json_null());
	if (own.code == LOAM_E_UNAVAILABLE)
		return loam_fail(err, own.code, "%s", own.text);
	if (rc < 0) {
		json_object_set_new(status, "noTree", json_string(own.text));
		return 0;
	}
	rc = loam_repos_each(&tree, count_repo, &count, err);
	if (rc < 0)
		return rc;
	json_object_set_new(status, "tree", json_string(tree.root[0] ? tree.root : "/"));
	json_object_set_new(status, "repositories", json_integer((json_int_t)count));
	json_object_set_new(status, "bareRepositories", json_string(config->server_repos));
	json_object_set_new(status, "bareRepositoriesHere",
			    json_boolean(access(config->server_repos, R_OK | X_OK) == 0));
	return 0;
}

static int gather(struct loam_volume *volume, const struct loam_config *config, json_t *status,
		  struct loam_err *err)
{
	int rc = add_usage(volume, status, err);
	if (rc == 0)
		rc = add_durability(volume, status, err);
	if (rc == 0)
		rc = add_tree(volume, config, status, err);
	return rc < 0 ? rc : list_sessions(loam_meta_engine(volume->meta), status, err);
}

/* ---- printing -------------------------------------------------------------------------------- */

static const char *text_of(const json_t *status, const char *name)
{
	const char *text = json_string_value(json_object_get(status, name));
	return text ? text : "";
}

static ull number_of(const json_t *status, const char *name)
{
	return (ull)json_integer_value(json_object_get(status, name));
}

/* "12.3 GiB" */
static const char *size_text(uint64_t bytes, char out[32])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double shown = (double)bytes;
	size_t unit = 0;
	while (shown >= 1024 && unit + 1 < LOAM_ARRAY_COUNT(units)) {
		shown /= 1024;
		unit++;
	}
	snprintf(out, 32, unit ? "%.1f %s" : "%.0f %s", shown, units[unit]);
	return out;
}

static void print_age(json_int_t seconds, char out[32])
{
	if (seconds < 0)
		snprintf(out, 32, "?");
	else if (seconds < 7200)
		snprintf(out, 32, "%lld min", (long long)seconds / 60);
	else if (seconds < 172800)
		snprintf(out, 32, "%lld h", (long long)seconds / 3600);
	else
		snprintf(out, 32, "%lld days", (long long)seconds / 86400);
}

static void print_sessions(const json_t *sessions)
{
	printf("sessions      %zu\n", json_array_size(sessions));
	for (size_t i = 0; i < json_array_size(sessions); i++) {
		const json_t *session = json_array_get(sessions, i);
		char age[32];
		print_age(json_integer_value(json_object_get(session, "ageSeconds")), age);
		printf("  %-6llu %-20s %-30s %-8s %s\n", number_of(session, "sid"),
		       text_of(session, "host"), text_of(session, "mountPoint"), age,
		       json_is_true(json_object_get(session, "expired"))
			       ? "expired"
			       : text_of(session, "version"));
	}
}

static void print_tree(const json_t *status)
{
	if (json_is_null(json_object_get(status, "tree"))) {
		printf("Loam's tree   none: %s\n", text_of(status, "noTree"));
		return;
	}
	printf("Loam's tree   %s, %llu repositories\n", text_of(status, "tree"),
	       number_of(status, "repositories"));
	printf("Git           %s%s, not on the volume: back up this folder too\n",
	       text_of(status, "bareRepositories"),
	       json_is_true(json_object_get(status, "bareRepositoriesHere"))
		       ? ""
		       : " (not on this machine)");
}

static void print_status(const json_t *status)
{
	char used[32], capacity[32], physical[32], stored[32];
	size_text(number_of(status, "usedBytes"), used);
	size_text(number_of(status, "capacityBytes"), capacity);
	size_text(number_of(status, "physicalBytes"), physical);
	size_text(number_of(status, "storedBytes"), stored);
	bool limited = number_of(status, "capacityBytes") > 0;
	printf("volume        %s (%s)\n", text_of(status, "name"), text_of(status, "uuid"));
	printf("blocks        %s %s, %llu KiB each\n", text_of(status, "storage"),
	       text_of(status, "bucket"), number_of(status, "blockKiB"));
	printf("used          %s of %s, %llu inodes\n", used, limited ? capacity : "no limit",
	       number_of(status, "usedInodes"));
	printf("physical      %s, each slice once; the store lists %s in %llu blocks\n", physical,
	       stored, number_of(status, "storedBlocks"));
	printf("metadata      %s\n", text_of(status, "metadata"));
	if (json_is_true(json_object_get(status, "durable")))
		printf("durability    what is answered is on disk\n");
	else
		printf("durability    weak: %s\n", text_of(status, "weakness"));
	print_tree(status);
	print_sessions(json_object_get(status, "sessions"));
}

static int print_json(const json_t *status, struct loam_err *err)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(64u << 20);
	int rc = loam_json_print(status, &text, err);
	if (rc == 0)
		printf("%s\n", loam_buf_text(&text));
	return rc;
}

static int run_status(const void *options, int argc, char **argv)
{
	const struct status_opts *opts = options;
	if (argc == 1 && !strstr(argv[0], "://"))
		return loam_cmd_misused("'%s' is no META, which contains ://", argv[0]);
	if (argc == 1 && opts->meta)
		return loam_cmd_misused("META is given twice");
	struct loam_err err = { 0 };
	struct loam_config *config = NULL;
	struct loam_volume *volume = NULL;
	const char *url;
	struct loam_volume_options volume_options = { .meta = { .read_only = true } };
	loam_auto_json json_t *status = json_object();
	int rc = loam_config_load(NULL, &config, &err);
	if (rc == 0)
		rc = loam_config_meta(config, argc == 1 ? argv[0] : opts->meta, &url, &err);
	if (rc == 0)
		rc = loam_volume_open(url, &volume_options, &volume, &err);
	if (rc == 0)
		rc = gather(volume, config, status, &err);
	if (rc == 0 && opts->json)
		rc = print_json(status, &err);
	else if (rc == 0)
		print_status(status);
	loam_volume_close(volume);
	loam_config_free(config);
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_status = {
	.name = "status",
	.usage = "[options] [META]",
	.summary = "show what a volume is, holds and takes, and who uses it",
	.options =
		(const struct loam_opt[]){
			LOAM_OPT(struct status_opts, meta, "meta", 0, LOAM_OPT_TEXT, "URL",
				 "the volume (default: LOAM_META, then meta.url of the "
				 "configuration)"),
			LOAM_OPT(struct status_opts, json, "json", 0, LOAM_OPT_FLAG, NULL,
				 "print JSON"),
			LOAM_OPT_END },
	.options_bytes = sizeof(struct status_opts),
	.args_max = 1,
	.run = run_status,
};
