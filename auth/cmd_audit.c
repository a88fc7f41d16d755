/*
 * loam audit: reads the audit log of this host, rotated files first, with filters.
 *
 * It reads files, no volume: who may read them may run it. A line that is no JSON (torn by a full
 * disk) is passed over and counted on stderr.
 */
#include "auth/audit.h"
#include "auth/commands.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/sys.h"
#include "core/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#define FOLLOW_MS  200
#define TIME_BYTES 32

struct audit_opts {
	const char *user, *repo, *door, *action, *result, *since, *until;
	bool json, follow;
};

struct reading {
	const struct audit_opts *opts;
	char since[TIME_BYTES], until[TIME_BYTES]; /* as the log writes times; "" no bound */
	char repo[LOAM_REPO_TEXT_BYTES];
	uint64_t torn;
};

/* ---- filters --------------------------------------------------------------------------------- */

static const char *member(const json_t *line, const char *name)
{
	const char *text = json_string_value(json_object_get(line, name));
	return text ? text : "";
}

/* "git" takes git.push and git.fetch; "git.push" itself only. */
static bool is_action(const char *wanted, const char *action)
{
	size_t bytes = strlen(wanted);
	return strncmp(wanted, action, bytes) == 0 &&
	       (action[bytes] == '\0' || action[bytes] == '.');
}

/* Whoever did it, tried to be, or had it done to him. */
static bool names_user(const json_t *line, const char *user)
{
	return strcmp(member(line, "user"), user) == 0 ||
	       strcmp(member(line, "claimed"), user) == 0 ||
	       strcmp(member(line, "account"), user) == 0;
}

/* "refused" takes all but ok. */
static bool is_result(const char *wanted, const char *result)
{
	if (strcasecmp(wanted, "refused") == 0)
		return strcmp(result, "ok") != 0;
	return strcasecmp(wanted, result) == 0;
}

static bool is_wanted(const struct reading *reading, const json_t *line)
{
	const struct audit_opts *opts = reading->opts;
	const char *time = member(line, "time");
	return (!reading->since[0] || strcmp(time, reading->since) >= 0) &&
	       (!reading->until[0] || strcmp(time, reading->until) < 0) &&
	       (!opts->user || names_user(line, opts->user)) &&
	       (!opts->repo || strcmp(member(line, "repo"), reading->repo) == 0) &&
	       (!opts->door || strcmp(member(line, "door"), opts->door) == 0) &&
	       (!opts->action || is_action(opts->action, member(line, "action"))) &&
	       (!opts->result || is_result(opts->result, member(line, "result")));
}

/* ---- printing -------------------------------------------------------------------------------- */

static void print_member(const json_t *line, const char *name, const char *label)
{
	const json_t *value = json_object_get(line, name);
	if (json_is_string(value)) {
		loam_auto_free char *text = loam_xstrdup(json_string_value(value));
		loam_terminal_plain(text);
		printf(" %s%s", label, text);
	} else if (json_is_integer(value))
		printf(" %s%lld", label, (long long)json_integer_value(value));
}

static void print_text(const json_t *line)
{
	static const struct {
		const char *name, *label;
	} members[] = { { "repo", "" },
			{ "ref", "" },
			{ "old", "from " },
			{ "new", "to " },
			{ "oid", "oid=" },
			{ "account", "account=" },
			{ "group", "group=" },
			{ "made_token", "made_token=" },
			{ "made_key", "made_key=" },
			{ "detail", "" },
			{ "count", "count=" },
			{ "status", "status=" },
			{ "reason", "- " } };
	const char *user = member(line, "user"), *claimed = member(line, "claimed");
	printf("%s  %-8s %-12s %-18s %-15s", member(line, "time"), member(line, "door"),
	       user[0] ? user : "-", member(line, "action"), member(line, "result"));
	if (claimed[0])
		printf(" claimed=%s", claimed);
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(members); i++)
		print_member(line, members[i].name, members[i].label);
	if (member(line, "from")[0])
		printf(" (%s)", member(line, "from"));
	printf("\n");
}

static void show_line(struct reading *reading, const char *text, size_t bytes)
{
	struct loam_err err = { 0 };
	loam_auto_json json_t *line = NULL;
	if (bytes == 0)
		return;
	if (loam_json_parse(text, bytes, &line, &err) < 0 || !json_is_object(line)) {
		reading->torn++;
		return;
	}
	if (!is_wanted(reading, line))
		return;
	if (reading->opts->json)
		printf("%.*s\n", (int)bytes, text);
	else
		print_text(line);
}

/* ---- files ----------------------------------------------------------------------------------- */

/* Lines from where the file stands; a last one without its newline is left for the next call. */
static void show_rest(struct reading *reading, FILE *file)
{
	static char line[LOAM_AUDIT_LINE_MAX + 2];
	for (;;) {
		long at = ftell(file);
		if (!fgets(line, sizeof(line), file))
			break;
		size_t bytes = strlen(line);
		bool whole = bytes > 0 && line[bytes - 1] == '\n';
		if (!whole && bytes < sizeof(line) - 1) {
			fseek(file, at, SEEK_SET);
			break;
		}
		show_line(reading, line, whole ? bytes - 1 : bytes);
	}
	clearerr(file);
	fflush(stdout);
}

/* Has another file taken the path? Then this one is read to its end, and the new one begun. */
static bool was_moved(const char *path, FILE *file)
{
	struct stat named, open_one;
	return stat(path, &named) == 0 && fstat(fileno(file), &open_one) == 0 &&
	       (named.st_ino != open_one.st_ino || named.st_dev != open_one.st_dev);
}

static void follow(struct reading *reading, const char *path, FILE **file)
{
	while (!ferror(stdout)) {
		loam_clock_sleep_ms(FOLLOW_MS);
		if (*file)
			show_rest(reading, *file);
		if (*file && !was_moved(path, *file))
			continue;
		FILE *next = fopen(path, "re");
		if (!next)
			continue;
		if (*file) {
			show_rest(reading, *file);
			fclose(*file);
		}
		*file = next;
	}
}

static int show_all(struct reading *reading, const struct loam_config *config, const char *path,
		    struct loam_err *err)
{
	for (uint64_t n = config->audit_keep; n > 0; n--) {
		loam_auto_free char *old = loam_xasprintf("%s.%llu", path, (unsigned long long)n);
		loam_auto_file FILE *file = fopen(old, "re");
		if (file)
			show_rest(reading, file);
		else if (errno != ENOENT)
			return loam_fail_errno(err, "open %s", old);
	}
	loam_auto_file FILE *file = fopen(path, "re");
	if (!file && errno != ENOENT)
		return loam_fail_errno(err, "open %s", path);
	if (file)
		show_rest(reading, file);
	if (reading->opts->follow)
		follow(reading, path, &file);
	return 0;
}

/* ---- the command ----------------------------------------------------------------------------- */

/* "2026-11-26", "2026-11-26T10:00:00Z" as they are; "90s", "30m", "2h", "7d": so long ago. */
static int read_time(const char *text, char out[TIME_BYTES], struct loam_err *err)
{
	static const struct {
		char letter;
		uint64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	size_t bytes = strlen(text);
	uint64_t number;
	for (size_t i = 0; bytes > 1 && bytes < 12 && i < LOAM_ARRAY_COUNT(units); i++) {
		if (text[bytes - 1] != units[i].letter)
			continue;
		loam_auto_free char *digits = loam_xstrndup(text, bytes - 1);
		int rc = loam_parse_u64(digits, 0, 1u << 30, &number, err);
		if (rc < 0)
			return rc;
		time_t when = loam_clock_now().tv_sec - (time_t)(number * units[i].seconds);
		loam_clock_format(when, out);
		out[strlen(out) - 1] = '\0'; /* "…:07" comes before "…:07.123Z" */
		return 0;
	}
	struct tm parsed = { 0 };
	const char *end = strptime(text, "%Y-%m-%d", &parsed);
	if (end && *end == 'T')
		end = strptime(end, "T%H:%M:%S", &parsed);
	if (!end || (*end && strcmp(end, "Z") != 0))
		return loam_fail(
			err, LOAM_E_INVALID,
			"'%.40s' is no time: 2026-11-26, 2026-11-26T10:00:00Z (UTC), or an "
			"age such as 30m, 2h, 7d",
			text);
	snprintf(out, TIME_BYTES, "%.*s", (int)(end - text), text);
	return 0;
}

static int prepare(const struct audit_opts *opts, struct reading *reading, struct loam_err *err)
{
	int rc = opts->since ? read_time(opts->since, reading->since, err) : 0;
	if (rc == 0 && opts->until)
		rc = read_time(opts->until, reading->until, err);
	if (rc < 0 || !opts->repo)
		return rc;
	struct loam_repo repo;
	rc = loam_repo_parse(opts->repo, &repo, err);
	if (rc == 0)
		loam_repo_text(&repo, reading->repo);
	return rc;
}

static int run_audit(const void *options, int argc, char **argv)
{
	struct reading reading = { .opts = options };
	struct loam_err err = { 0 };
	if (prepare(options, &reading, &err) < 0)
		return loam_cmd_misused("%s", err.text);
	struct loam_config *config = NULL;
	if (loam_config_load(NULL, &config, &err) < 0)
		return loam_cmd_failed(&err);
	loam_auto_free char *path = loam_audit_path(config);
	int rc = path ? show_all(&reading, config, path, &err)
		      : loam_fail(&err, LOAM_E_NOT_FOUND,
				  "this host keeps no audit log: set audit.path in the "
				  "configuration, or make /var/log/loam");
	loam_config_free(config);
	if (reading.torn)
		fprintf(stderr, "loam: %llu damaged lines were passed over\n",
			(unsigned long long)reading.torn);
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_audit = {
	.name = "audit",
	.usage = "[options]",
	.summary = "print the audit log of this host: every change and every refusal",
	.details =
		"A user matches who did it, who was claimed at a login that failed, and whom it\n"
		"was done to. An action matches with what stands before its dot, too.\n"
		"Times are 2026-11-26, 2026-11-26T10:00:00Z, or an age: 30m, 2h, 7d.",
	.options =
		(const struct loam_opt[]){
			LOAM_OPT(struct audit_opts, user, "user", 0, LOAM_OPT_TEXT, "NAME",
				 "only what concerns this account"),
			LOAM_OPT(struct audit_opts, repo, "repo", 0, LOAM_OPT_TEXT, "REPO",
				 "only this repository"),
			LOAM_OPT(struct audit_opts, door, "door", 0, LOAM_OPT_TEXT, "DOOR",
				 "git-http, lfs-http, http, api, ssh, hook, cli or server"),
			LOAM_OPT(struct audit_opts, action, "action", 0, LOAM_OPT_TEXT, "ACTION",
				 "git.push, lfs, grant, repo.create …"),
			LOAM_OPT(struct audit_opts, result, "result", 0, LOAM_OPT_TEXT, "RESULT",
				 "ok, refused, or one such as DENIED"),
			LOAM_OPT(struct audit_opts, since, "since", 0, LOAM_OPT_TEXT, "TIME",
				 "from this time on"),
			LOAM_OPT(struct audit_opts, until, "until", 0, LOAM_OPT_TEXT, "TIME",
				 "before this time"),
			LOAM_OPT(struct audit_opts, json, "json", 0, LOAM_OPT_FLAG, NULL,
				 "print the lines as they stand"),
			LOAM_OPT(struct audit_opts, follow, "follow", 'f', LOAM_OPT_FLAG, NULL,
				 "go on with what is written from now on"),
			LOAM_OPT_END },
	.options_bytes = sizeof(struct audit_opts),
	.run = run_audit,
};
