/*
 * Scopes and lines of the audit log (auth/audit.h).
 *
 * The scope is thread-local: a request is served by one thread from its first byte to its last.
 */
#include "auth/audit.h"

#include "auth/account_store.h"
#include "auth/audit_file.h"
#include "auth/ssh_key.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/cmd.h"
#include "core/json.h"
#include "core/log.h"
#include "core/sys.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define TEXT_BYTES_MAX 512
#define TIME_BYTES     64
#define SAY_AGAIN_MS   60000
#define FALLBACK_DIR   "/var/log/loam"
#define FILE_NAME      "audit.log"

static struct {
	pthread_mutex_t lock; /* everything below, but not the file's writes */
	struct loam_audit_file *file;
	enum loam_audit_door door;
	struct loam_account_store *accounts;
	uint64_t dropped; /* since it was opened */
	uint64_t unsaid;  /* of them, not yet told by a line */
	uint64_t said_ms; /* when the log was told last */
} audit = { .lock = PTHREAD_MUTEX_INITIALIZER };

static _Thread_local struct loam_audit_scope scope;

const char *loam_audit_door_name(enum loam_audit_door door)
{
	static const char *const names[] = {
		[LOAM_DOOR_NONE] = "server",	   [LOAM_DOOR_GIT_HTTP] = "git-http",
		[LOAM_DOOR_LFS_HTTP] = "lfs-http", [LOAM_DOOR_HTTP] = "http",
		[LOAM_DOOR_API] = "api",	   [LOAM_DOOR_SSH] = "ssh",
		[LOAM_DOOR_HOOK] = "hook",	   [LOAM_DOOR_CLI] = "cli",
		[LOAM_DOOR_SERVER] = "server",
	};
	return names[door];
}

/* ---- where ----------------------------------------------------------------------------------- */

static bool is_dir(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* DIR/log beside the configuration file, links resolved: `loam up` has it. */
static char *dir_beside(const struct loam_config *config)
{
	loam_auto_free char *real = config->path ? realpath(config->path, NULL) : NULL;
	char *slash = real ? strrchr(real, '/') : NULL;
	if (!slash)
		return NULL;
	*slash = '\0';
	char *dir = loam_xasprintf("%s/log", real);
	if (is_dir(dir))
		return dir;
	free(dir);
	return NULL;
}

char *loam_audit_path(const struct loam_config *config)
{
	if (strcmp(config->audit_path, "off") == 0)
		return NULL;
	if (config->audit_path[0])
		return loam_xstrdup(config->audit_path);
	loam_auto_free char *beside = dir_beside(config);
	if (beside)
		return loam_xasprintf("%s/%s", beside, FILE_NAME);
	return is_dir(FALLBACK_DIR) ? loam_xstrdup(FALLBACK_DIR "/" FILE_NAME) : NULL;
}

int loam_audit_open(const struct loam_config *config, enum loam_audit_door door,
		    struct loam_err *err)
{
	loam_auto_free char *path = loam_audit_path(config);
	struct loam_audit_file *file = NULL;
	if (path && path[0] != '/')
		return loam_fail(err, LOAM_E_INVALID, "audit.path '%s' does not begin with '/'",
				 path);
	if (path) {
		loam_auto_free char *dir = loam_xstrdup(path);
		*(strrchr(dir, '/') + 1) = '\0';
		if (!is_dir(dir))
			return loam_fail(err, LOAM_E_NOT_FOUND,
					 "audit.path: there is no directory %s (make it, or set "
					 "audit.path = off)",
					 dir);
		file = loam_audit_file_new(path, config->audit_max_mib << 20,
					   (unsigned)config->audit_keep);
	}
	loam_guard(&audit.lock);
	loam_audit_file_free(audit.file);
	audit.file = file;
	audit.door = door;
	audit.dropped = audit.unsaid = 0;
	return 0;
}

void loam_audit_close(void)
{
	loam_guard(&audit.lock);
	loam_audit_file_free(audit.file);
	audit.file = NULL;
}

void loam_audit_know(struct loam_account_store *accounts)
{
	loam_guard(&audit.lock);
	audit.accounts = accounts;
}

void loam_audit_reopen(void)
{
	struct loam_audit_file *file = __atomic_load_n(&audit.file, __ATOMIC_ACQUIRE);
	if (file)
		loam_audit_file_reopen(file);
}

uint64_t loam_audit_dropped(void)
{
	loam_guard(&audit.lock);
	return audit.dropped;
}

/* ---- scopes ---------------------------------------------------------------------------------- */

void loam_audit_begin(enum loam_audit_door door, const char *from, const char *request)
{
	scope = (struct loam_audit_scope){ .door = door };
	snprintf(scope.from, sizeof(scope.from), "%s", from ? from : "");
	snprintf(scope.request, sizeof(scope.request), "%s", request ? request : "");
}

void loam_audit_set_door(enum loam_audit_door door)
{
	scope.door = door;
}

void loam_audit_who(const struct loam_principal *who, const char *key_id)
{
	scope.proven = who != NULL;
	scope.user[0] = scope.token_id[0] = scope.key_id[0] = scope.claimed[0] = '\0';
	if (!who)
		return;
	scope.kind = who->kind;
	scope.uid = who->uid;
	memcpy(scope.user, who->user, sizeof(scope.user));
	if (!key_id && loam_ssh_key_is_id(who->token_id))
		key_id = who->token_id;
	snprintf(scope.key_id, sizeof(scope.key_id), "%s", key_id ? key_id : "");
	if (!key_id)
		memcpy(scope.token_id, who->token_id, sizeof(scope.token_id));
}

void loam_audit_claim(const char *account)
{
	snprintf(scope.claimed, sizeof(scope.claimed), "%s", account);
}

void loam_audit_end(void)
{
	scope = (struct loam_audit_scope){ 0 };
}

struct loam_audit_scope loam_audit_scope_copy(void)
{
	return scope;
}

void loam_audit_scope_resume(const struct loam_audit_scope *from)
{
	scope = *from;
	scope.count = 0;
}

unsigned loam_audit_count(void)
{
	return scope.count;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void put_text(json_t *line, const char *name, const char *text)
{
	if (!text || !text[0])
		return;
	char cut[TEXT_BYTES_MAX + 1];
	snprintf(cut, sizeof(cut), "%s", text);
	for (char *c = cut; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	json_t *value = json_string(cut);
	for (char *c = cut; !value && *c; c++) /* no UTF-8, or cut within a character */
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	json_object_set_new(line, name, value ? value : json_string(cut));
}

static void put_now(json_t *line)
{
	struct timespec now = loam_clock_now();
	char seconds[LOAM_CLOCK_TEXT_BYTES], text[TIME_BYTES];
	loam_clock_format(now.tv_sec, seconds);
	seconds[strlen(seconds) - 1] = '\0'; /* the Z */
	snprintf(text, sizeof(text), "%s.%03dZ", seconds, (int)(now.tv_nsec / 1000000));
	put_text(line, "time", text);
}

/* Who sits at the host: the login that su and sudo keep, else the process's own uid. */
static json_int_t host_uid(void)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(32);
	struct loam_err ignored = { 0 };
	uint64_t uid;
	if (loam_path_read_all("/proc/self/loginuid", &text, &ignored) == 0 &&
	    loam_parse_u64(loam_buf_text(&text), 0, UINT32_MAX - 1, &uid, &ignored) == 0)
		return (json_int_t)uid;
	return (json_int_t)getuid();
}

static void put_scope(json_t *line, enum loam_audit_door door)
{
	if (door == LOAM_DOOR_CLI)
		json_object_set_new(line, "host_uid", json_integer(host_uid()));
	if (scope.proven && scope.user[0]) {
		put_text(line, "user", scope.user);
		json_object_set_new(line, "uid", json_integer(scope.uid));
	}
	put_text(line, "claimed", scope.claimed);
	put_text(line, "token", scope.token_id);
	put_text(line, "key", scope.key_id);
	put_text(line, "from", scope.from);
}

static void find_name(const struct loam_accounts *accounts, const struct loam_grantee *who,
		      char out[LOAM_USER_NAME_BYTES_MAX + 1])
{
	const struct loam_account *account = loam_accounts_by_uid(accounts, who->id);
	struct loam_group *group = NULL;
	if (who->is_group)
		HASH_FIND(by_gid, accounts->groups_by_gid, &who->id, sizeof(who->id), group);
	if (who->is_group ? group != NULL : account != NULL)
		snprintf(out, LOAM_USER_NAME_BYTES_MAX + 1, "%s",
			 who->is_group ? group->name : account->name);
}

/* The name, or the number where nobody knows it. */
static void put_grantee(json_t *line, const struct loam_grantee *who)
{
	char name[LOAM_USER_NAME_BYTES_MAX + 1];
	pthread_mutex_lock(&audit.lock);
	struct loam_account_store *store = audit.accounts;
	pthread_mutex_unlock(&audit.lock);
	const struct loam_accounts *accounts = store ? loam_account_store_peek(store) : NULL;
	snprintf(name, sizeof(name), "%u", who->id);
	if (accounts) {
		find_name(accounts, who, name);
		loam_account_store_put(store, accounts);
	}
	put_text(line, who->is_group ? "group" : "account", name);
}

static void put_entry(json_t *line, const struct loam_audit_entry *entry)
{
	char repo[LOAM_REPO_TEXT_BYTES] = "";
	if (entry->repo)
		loam_repo_text(entry->repo, repo);
	put_text(line, "repo", repo);
	put_text(line, "ref", entry->ref);
	put_text(line, "old", entry->old_id);
	put_text(line, "new", entry->new_id);
	put_text(line, "oid", entry->oid);
	put_text(line, "account", entry->account);
	put_text(line, "group", entry->group);
	if (entry->grantee && entry->grantee->id != UINT32_MAX)
		put_grantee(line, entry->grantee);
	put_text(line, "namespace", entry->ns);
	put_text(line, "made_token", entry->token);
	put_text(line, "made_key", entry->key);
	put_text(line, "detail", entry->detail);
	if (entry->count)
		json_object_set_new(line, "count", json_integer((json_int_t)entry->count));
	if (entry->status)
		json_object_set_new(line, "status", json_integer(entry->status));
}

static int print_line(const struct loam_audit_entry *entry, int rc, const char *reason,
		      struct loam_buf *out, struct loam_err *err)
{
	loam_auto_json json_t *line = json_object();
	enum loam_audit_door door =
		scope.door ? scope.door : __atomic_load_n(&audit.door, __ATOMIC_RELAXED);
	put_now(line);
	put_text(line, "door", loam_audit_door_name(door));
	put_text(line, "action", entry->action);
	put_text(line, "result", rc < 0 ? loam_code_name(rc) : "ok");
	put_scope(line, door);
	put_entry(line, entry);
	put_text(line, "reason", rc < 0 ? reason : NULL);
	put_text(line, "request", scope.request);
	int printed = loam_json_print(line, out, err);
	return printed < 0 ? printed : loam_buf_add(out, "\n", 1, err);
}

/* Under the lock: the number of lost lines goes first, once the file takes lines again. */
static int write_line(const struct loam_buf *line, struct loam_err *err)
{
	if (audit.unsaid > 0) {
		const struct loam_audit_entry lost = { .action = "audit.dropped",
						       .count = audit.unsaid };
		loam_auto_buf struct loam_buf text = LOAM_BUF(LOAM_AUDIT_LINE_MAX);
		int rc = print_line(&lost, 0, NULL, &text, err);
		if (rc == 0)
			rc = loam_audit_file_add(audit.file, loam_buf_text(&text), text.bytes, err);
		if (rc < 0)
			return rc;
		audit.unsaid = 0;
	}
	return loam_audit_file_add(audit.file, loam_buf_text(line), line->bytes, err);
}

static void note_drop(const struct loam_err *err)
{
	audit.dropped++;
	audit.unsaid++;
	uint64_t now = loam_clock_ms();
	if (audit.said_ms && now - audit.said_ms < SAY_AGAIN_MS)
		return;
	audit.said_ms = now;
	loam_warn("audit.dropped", "lines=%llu error=%s", (unsigned long long)audit.dropped,
		  err->text);
}

static bool is_open(void)
{
	loam_guard(&audit.lock);
	return audit.file != NULL;
}

int loam_audit(const struct loam_audit_entry *entry, int rc, const struct loam_err *err)
{
	scope.count++;
	if (!is_open())
		return rc;
	struct loam_err failed = { 0 };
	loam_auto_buf struct loam_buf line = LOAM_BUF(LOAM_AUDIT_LINE_MAX);
	int done = print_line(entry, rc, err ? err->text : NULL, &line, &failed);
	loam_guard(&audit.lock);
	if (!audit.file)
		return rc;
	if (done == 0)
		done = write_line(&line, &failed);
	if (done < 0)
		note_drop(&failed);
	return rc;
}
