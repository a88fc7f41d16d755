/*
 * Reading and changing the account files of a volume (auth/account_store.h).
 *
 * `user add` writes next, passwd, home, group, shadow: the line in passwd takes the name, the one
 * in shadow lets the account in. `user del` goes the other way round, passwd last. A command that
 * was killed leaves an account that is refused everywhere and that `user del` removes whole.
 */
#include "auth/account_store.h"

#include "auth/fields.h"
#include "auth/password.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/cmd.h"
#include "fs/files.h"

#include <stdio.h>
#include <string.h>

#define CHANGE_TRIES	 20
#define SECONDS_PER_DAY	 86400
#define SNAPSHOT_LIFE_MS 60000

#define RETIRED "etc/retired"

enum account_file { PASSWD, GROUP, SHADOW, TOKENS, FILE_COUNT };
static const char *const file_names[FILE_COUNT] = { "etc/passwd", "etc/group", "etc/shadow",
						    "etc/tokens" };

struct snapshot {
	struct loam_accounts *accounts; /* what callers hold */
	unsigned users;
	struct snapshot *next; /* older ones that are still in use */
};

struct loam_account_store {
	const struct loam_tree *tree;
	pthread_mutex_t lock;	    /* everything below */
	pthread_mutex_t read_lock;  /* one refresh at a time */
	struct snapshot *snapshots; /* newest first */
	uint64_t looked_at_ms; /* when `inos` were last compared with the volume; 0: look now */
	uint64_t read_at_ms;   /* when the newest snapshot was read */
	unsigned changes;      /* by this process */
	uint64_t inos[FILE_COUNT];
	uint64_t failed_at_ms;	 /* the last refresh without an answer; under read_lock, like its */
	struct loam_err failure; /* reason */
};

static int64_t today(void)
{
	return loam_clock_now().tv_sec / SECONDS_PER_DAY;
}

static void file_path(const struct loam_account_store *store, enum account_file file, char *out)
{
	loam_tree_state_path(store->tree, file_names[file], out);
}

int loam_account_store_open(const struct loam_tree *tree, struct loam_account_store **out_store,
			    struct loam_err *err)
{
	struct loam_account_store *store = loam_xnew(struct loam_account_store);
	store->tree = tree;
	pthread_mutex_init(&store->lock, NULL);
	pthread_mutex_init(&store->read_lock, NULL);
	*out_store = store;
	return 0;
}

void loam_account_store_close(struct loam_account_store *store)
{
	if (!store)
		return;
	while (store->snapshots) {
		struct snapshot *next = store->snapshots->next;
		loam_accounts_free(store->snapshots->accounts);
		free(store->snapshots);
		store->snapshots = next;
	}
	pthread_mutex_destroy(&store->lock);
	pthread_mutex_destroy(&store->read_lock);
	free(store);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* A missing file is empty and has inode 0. A symlink, directory or device in its place is an error.
 */
static int read_file(struct loam_account_store *store, const char *path, uint64_t *out_ino,
		     struct loam_buf *out, struct loam_err *err)
{
	struct loam_attr attr;
	int rc = loam_files_lookup(store->tree->volume, path, out_ino, &attr, err);
	if (rc == -LOAM_E_NOT_FOUND) {
		loam_err_clear(err);
		*out_ino = 0;
		return 0;
	}
	if (rc < 0)
		return rc;
	if (attr.type != LOAM_TYPE_FILE)
		return loam_fail(err, LOAM_E_CORRUPT, "%s is not a regular file", path);
	rc = loam_files_read_ino(store->tree->volume, *out_ino, out, err);
	return rc < 0 ? loam_context(err, "read %s", path) : 0;
}

static int read_inos(struct loam_account_store *store, uint64_t inos[FILE_COUNT],
		     struct loam_err *err)
{
	for (int file = 0; file < FILE_COUNT; file++) {
		char path[LOAM_PATH_BYTES_MAX];
		file_path(store, file, path);
		struct loam_attr attr;
		int rc = loam_files_lookup(store->tree->volume, path, &inos[file], &attr, err);
		if (rc == -LOAM_E_NOT_FOUND) {
			loam_err_clear(err);
			inos[file] = 0;
		} else if (rc < 0) {
			return rc;
		}
	}
	return 0;
}

static int read_snapshot(struct loam_account_store *store, struct loam_accounts **out,
			 uint64_t inos[FILE_COUNT], struct loam_err *err)
{
	struct loam_buf texts[FILE_COUNT];
	int rc = 0;
	for (int file = 0; file < FILE_COUNT; file++)
		loam_buf_init(&texts[file], LOAM_ACCOUNT_FILE_BYTES_MAX);
	for (int file = 0; rc == 0 && file < FILE_COUNT; file++) {
		char path[LOAM_PATH_BYTES_MAX];
		file_path(store, file, path);
		rc = read_file(store, path, &inos[file], &texts[file], err);
	}
	if (rc == 0)
		*out = loam_accounts_parse(&texts[PASSWD], &texts[GROUP], &texts[SHADOW],
					   &texts[TOKENS], today());
	for (int file = 0; file < FILE_COUNT; file++)
		loam_buf_release(&texts[file]);
	return rc;
}

/* All four as they stood at one moment. A file that is replaced while it is read loses its bytes
 * behind the reader's back: what was read counts only when the names still mean the same inodes. */
static int read_steady(struct loam_account_store *store, struct loam_accounts **out,
		       uint64_t inos[FILE_COUNT], struct loam_err *err)
{
	for (int tries = 0;; tries++) {
		struct loam_accounts *accounts = NULL;
		uint64_t after[FILE_COUNT];
		int rc = read_snapshot(store, &accounts, inos, err);
		if (rc == 0)
			rc = read_inos(store, after, err);
		if (rc == 0 && memcmp(inos, after, sizeof(after)) == 0) {
			*out = accounts;
			return 0;
		}
		loam_accounts_free(accounts);
		if (rc == 0)
			rc = loam_fail(err, LOAM_E_BUSY, "the accounts change without pause");
		bool again = rc == -LOAM_E_BUSY || rc == -LOAM_E_NOT_FOUND;
		if (!again || tries == CHANGE_TRIES)
			return rc;
		loam_err_clear(err);
		loam_clock_sleep_ms(1 + loam_random_below(5 + (uint64_t)tries * 5));
	}
}

/* With store->lock held: frees snapshots that nobody holds, but the newest. */
static void drop_unused(struct loam_account_store *store)
{
	struct snapshot **at = store->snapshots ? &store->snapshots->next : &store->snapshots;
	while (*at) {
		struct snapshot *old = *at;
		if (old->users > 0) {
			at = &old->next;
			continue;
		}
		*at = old->next;
		loam_accounts_free(old->accounts);
		free(old);
	}
}

/* With store->lock held. A look that one of our own changes overtook does not count. */
static void note_look(struct loam_account_store *store, uint64_t now, unsigned changes)
{
	store->looked_at_ms = store->changes == changes ? now : 0;
}

/* true: the newest snapshot holds what stands in these inodes. An expiry passes without any change
 * of a file, so a snapshot lives SNAPSHOT_LIFE_MS at most. */
static bool is_current(struct loam_account_store *store, const uint64_t inos[FILE_COUNT],
		       uint64_t now, unsigned changes)
{
	loam_guard(&store->lock);
	if (!store->snapshots || memcmp(store->inos, inos, sizeof(store->inos)) != 0 ||
	    now - store->read_at_ms >= SNAPSHOT_LIFE_MS)
		return false;
	note_look(store, now, changes);
	return true;
}

static unsigned change_count(struct loam_account_store *store)
{
	loam_guard(&store->lock);
	return store->changes;
}

/* Reads the files again when one of them is another inode than before: every change makes a new
 * one. read_lock is held. */
static int read_again(struct loam_account_store *store, bool fresh, struct loam_err *err)
{
	uint64_t inos[FILE_COUNT];
	uint64_t now = loam_clock_ms();
	unsigned changes = change_count(store);
	int rc = read_inos(store, inos, err);
	if (rc < 0)
		return rc;
	if (!fresh && is_current(store, inos, now, changes))
		return 0;
	struct loam_accounts *accounts = NULL;
	rc = read_steady(store, &accounts, inos, err);
	if (rc < 0)
		return rc;
	struct snapshot *snapshot = loam_xnew(struct snapshot);
	snapshot->accounts = accounts;
	loam_guard(&store->lock);
	snapshot->next = store->snapshots;
	store->snapshots = snapshot;
	memcpy(store->inos, inos, sizeof(store->inos));
	store->read_at_ms = now;
	note_look(store, now, changes);
	drop_unused(store);
	return 0;
}

/* Whoever has waited for a refresh that got no answer shares its failure: asking in its turn, the
 * last of many would be answered after many deadlines. */
static int refresh(struct loam_account_store *store, bool fresh, struct loam_err *err)
{
	uint64_t asked_ms = loam_clock_ms();
	loam_guard(&store->read_lock);
	if (store->failed_at_ms >= asked_ms)
		return loam_fail(err, store->failure.code, "%s", store->failure.text);
	int rc = read_again(store, fresh, err);
	if (rc == -LOAM_E_UNAVAILABLE) {
		store->failed_at_ms = loam_clock_ms();
		store->failure = *err;
	}
	return rc;
}

static const struct loam_accounts *hold_newest(struct loam_account_store *store)
{
	loam_guard(&store->lock);
	store->snapshots->users++;
	return store->snapshots->accounts;
}

int loam_account_store_get(struct loam_account_store *store, bool fresh,
			   const struct loam_accounts **out_accounts, struct loam_err *err)
{
	pthread_mutex_lock(&store->lock);
	bool usable = !fresh && store->snapshots &&
		      loam_clock_ms() - store->looked_at_ms < LOAM_ACCOUNTS_LIFE_MS;
	pthread_mutex_unlock(&store->lock);
	if (!usable) {
		int rc = refresh(store, fresh, err);
		if (rc < 0)
			return loam_context(err, "read the accounts");
	}
	*out_accounts = hold_newest(store);
	return 0;
}

void loam_account_store_put(struct loam_account_store *store, const struct loam_accounts *accounts)
{
	if (!accounts)
		return;
	loam_guard(&store->lock);
	for (struct snapshot *s = store->snapshots; s; s = s->next)
		if (s->accounts == accounts)
			s->users--;
	drop_unused(store);
}

/* ---- changing -------------------------------------------------------------------------------- */

/* Turns the old text into the new one; may refuse. */
typedef int change_fn(void *arg, const struct loam_buf *old, struct loam_buf *out,
		      struct loam_err *err);

static int change_file(struct loam_account_store *store, const char *name, change_fn *change,
		       void *arg, struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	loam_tree_state_path(store->tree, name, path);
	for (int tries = 0;; tries++) {
		loam_auto_buf struct loam_buf old = LOAM_BUF(LOAM_ACCOUNT_FILE_BYTES_MAX);
		loam_auto_buf struct loam_buf fresh = LOAM_BUF(LOAM_ACCOUNT_FILE_BYTES_MAX);
		uint64_t ino;
		int rc = read_file(store, path, &ino, &old, err);
		if (rc == 0)
			rc = change(arg, &old, &fresh, err);
		if (rc == 0)
			rc = loam_files_replace(store->tree->volume, path, ino, LOAM_SERVICE_ID,
						LOAM_SERVICE_ID, 0600, fresh.data, fresh.bytes,
						err);
		/* a file replaced while it was read is gone by its inode: read the new one */
		bool again = rc == -LOAM_E_CONFLICT || rc == -LOAM_E_NOT_FOUND;
		if (!again || tries == CHANGE_TRIES)
			return rc;
		loam_err_clear(err);
		loam_clock_sleep_ms(1 + loam_random_below(5 + (uint64_t)tries * 5));
	}
}

struct set_line {
	const char *name;
	const char *line; /* NULL: remove */
	bool must_be_there;
};

static int change_set_line(void *arg, const struct loam_buf *old, struct loam_buf *out,
			   struct loam_err *err)
{
	struct set_line *set = arg;
	bool had;
	int rc = loam_lines_set(old, set->name, set->line, out, &had, err);
	if (rc == 0 && set->must_be_there && !had)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no user '%s'", set->name);
	return rc;
}

static int put_line(struct loam_account_store *store, enum account_file file, const char *name,
		    const char *line, bool must_be_there, struct loam_err *err)
{
	struct set_line set = { name, line, must_be_there };
	return change_file(store, file_names[file], change_set_line, &set, err);
}

static int settle(struct loam_account_store *store, int rc, struct loam_err *err)
{
	pthread_mutex_lock(&store->lock);
	store->looked_at_ms = 0; /* our own change is seen at once */
	store->changes++;
	pthread_mutex_unlock(&store->lock);
	return rc < 0 ? rc : loam_meta_barrier(store->tree->volume->meta, err);
}

struct take_number {
	struct loam_account_store *store;
	const struct loam_buf *retired;
	uint32_t taken;
};

/* A number above the counter that was given by --uid and whose account is gone. */
static bool number_is_retired(const struct loam_buf *retired, uint64_t number)
{
	const char *rest = loam_buf_text(retired);
	const char *end = rest + retired->bytes;
	const char *line;
	size_t bytes;
	while (loam_lines_next(&rest, end, &line, &bytes))
		if (strtoull(line, NULL, 10) == number)
			return true;
	return false;
}

static bool number_is_used(const struct loam_accounts *accounts, uint32_t number)
{
	struct loam_group *group;
	HASH_FIND(by_gid, accounts->groups_by_gid, &number, sizeof(number), group);
	return group || loam_accounts_by_uid(accounts, number);
}

static int change_next(void *arg, const struct loam_buf *old, struct loam_buf *out,
		       struct loam_err *err)
{
	struct take_number *take = arg;
	uint64_t number = LOAM_FIRST_UID;
	if (old->bytes > 0) {
		size_t bytes = old->bytes - (old->data[old->bytes - 1] == '\n');
		loam_auto_free char *text = loam_xstrndup(loam_buf_text(old), bytes);
		int rc = loam_parse_u64(text, LOAM_FIRST_UID, INT32_MAX, &number, err);
		if (rc < 0)
			return loam_context(err, "/.loam/etc/next");
	}
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(take->store, true, &accounts, err);
	if (rc < 0)
		return rc;
	while (number_is_used(accounts, (uint32_t)number) ||
	       !loam_account_number_is_valid(number) || number_is_retired(take->retired, number))
		number++;
	loam_account_store_put(take->store, accounts);
	take->taken = (uint32_t)number;
	return loam_buf_printf(out, err, "%llu\n", (unsigned long long)number + 1);
}

static int take_number(struct loam_account_store *store, uint32_t *out_number, struct loam_err *err)
{
	loam_auto_buf struct loam_buf retired = LOAM_BUF(LOAM_ACCOUNT_FILE_BYTES_MAX);
	char path[LOAM_PATH_BYTES_MAX];
	uint64_t ino;
	loam_tree_state_path(store->tree, RETIRED, path);
	int rc = read_file(store, path, &ino, &retired, err);
	if (rc < 0)
		return rc;
	struct take_number take = { .store = store, .retired = &retired };
	rc = change_file(store, "etc/next", change_next, &take, err);
	if (rc == 0)
		*out_number = take.taken;
	return rc;
}

/* The numbers of a new account, by the rules of design.md §2. */
static int choose_numbers(struct loam_account_store *store, const struct loam_new_user *user,
			  uint32_t *uid, uint32_t *gid, struct loam_err *err)
{
	if (user->uid == 0 && user->host_uid < LOAM_HOST_UID_MIN) {
		int rc = take_number(store, uid, err);
		*gid = *uid;
		return rc;
	}
	*uid = user->uid != 0 ? user->uid : user->host_uid;
	*gid = user->uid != 0 ? user->uid : user->host_gid;
	if (!loam_account_number_is_valid(*uid) || !loam_account_number_is_valid(*gid))
		return loam_fail(err, LOAM_E_UNPROCESSABLE,
				 "uid %u, gid %u: accounts have numbers from %u on, but not %u, "
				 "which is Loam's own, nor that of nobody",
				 *uid, *gid, LOAM_HOST_UID_MIN, LOAM_SERVICE_ID);
	return 0;
}

struct add_user {
	const char *name;
	uint32_t uid;
	const char *line;
};

static int change_add_passwd(void *arg, const struct loam_buf *old, struct loam_buf *out,
			     struct loam_err *err)
{
	struct add_user *add = arg;
	const struct loam_buf none = LOAM_BUF(1);
	struct loam_accounts *present = loam_accounts_parse(old, &none, &none, &none, 0);
	const struct loam_account *same = loam_accounts_by_uid(present, add->uid);
	int rc = 0;
	if (loam_accounts_by_name(present, add->name))
		rc = loam_fail(err, LOAM_E_EXISTS, "there is a user '%s' already", add->name);
	else if (same)
		rc = loam_fail(err, LOAM_E_EXISTS, "uid %u belongs to '%s' already", add->uid,
			       same->name);
	loam_accounts_free(present);
	bool had;
	return rc < 0 ? rc : loam_lines_set(old, add->name, add->line, out, &had, err);
}

static int check_new(struct loam_account_store *store, const struct loam_new_user *user,
		     struct loam_err *err)
{
	if (!loam_user_name_is_valid(user->name))
		return loam_fail(
			err, LOAM_E_UNPROCESSABLE,
			"'%.40s': a user's name is 1 to 32 of a-z, 0-9, '_', '-', beginning "
			"with a letter, and not a name of the system",
			user->name);
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	bool taken = loam_accounts_by_name(accounts, user->name) ||
		     loam_accounts_group(accounts, user->name);
	loam_account_store_put(store, accounts);
	if (taken)
		return loam_fail(err, LOAM_E_EXISTS, "there is a user or group '%s' already",
				 user->name);
	return 0;
}

/* The name is his: a directory that a killed command left there becomes his too. */
static int make_home(struct loam_account_store *store, const char *home, uint32_t uid, uint32_t gid,
		     struct loam_err *err)
{
	struct loam_meta *meta = store->tree->volume->meta;
	struct loam_attr attr, wanted = { .uid = uid, .gid = gid, .mode = 0700 };
	uint64_t ino;
	int rc = loam_files_mkdirs(store->tree->volume, home, uid, gid, 0700, 0, &ino, err);
	if (rc == 0)
		rc = loam_meta_getattr(meta, ino, &attr, err);
	if (rc < 0 || (attr.uid == uid && attr.gid == gid))
		return rc;
	return loam_meta_setattr(meta, &loam_who_root, ino,
				 LOAM_SET_MODE | LOAM_SET_UID | LOAM_SET_GID, &wanted, &attr, err);
}

/* A group of his own, unless the number is a group already (a host's users may share one). */
static int add_group(struct loam_account_store *store, const char *name, uint32_t gid,
		     struct loam_err *err)
{
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	struct loam_group *present;
	HASH_FIND(by_gid, accounts->groups_by_gid, &gid, sizeof(gid), present);
	loam_account_store_put(store, accounts);
	if (present)
		return 0;
	char line[LOAM_ACCOUNT_LINE_BYTES_MAX];
	loam_account_group_line(name, gid, line);
	return put_line(store, GROUP, name, line, false, err);
}

int loam_account_store_add_user(struct loam_account_store *store, const struct loam_new_user *user,
				uint32_t *out_uid, struct loam_err *err)
{
	uint32_t uid = 0, gid = 0;
	int rc = check_new(store, user, err);
	if (rc == 0)
		rc = choose_numbers(store, user, &uid, &gid, err);
	if (rc < 0)
		return rc;
	char home[LOAM_PATH_BYTES_MAX], line[LOAM_ACCOUNT_LINE_BYTES_MAX];
	loam_tree_user_path(store->tree, user->name, home);
	loam_account_passwd_line(user->name, uid, gid, home, line);
	struct add_user add = { user->name, uid, line };
	if ((rc = change_file(store, file_names[PASSWD], change_add_passwd, &add, err)) < 0)
		return rc;
	loam_account_shadow_line(user->name, "!", today(), false, line);
	if ((rc = make_home(store, home, uid, gid, err)) == 0 &&
	    (rc = add_group(store, user->name, gid, err)) == 0)
		rc = put_line(store, SHADOW, user->name, line, false, err);
	if ((rc = settle(store, rc, err)) == 0)
		*out_uid = uid;
	return rc;
}

struct shadow_change {
	const char *name;
	const char *hash;     /* NULL: as it is */
	const bool *disabled; /* NULL: as it is */
};

/* The present line with one thing changed; two changes at once both hold. Without a sound line the
 * account has no password and is refused, and stays so unless that is what is changed. */
static int change_shadow(void *arg, const struct loam_buf *old, struct loam_buf *out,
			 struct loam_err *err)
{
	const struct shadow_change *change = arg;
	const char *rest = loam_buf_text(old), *end = rest + old->bytes, *line;
	char copy[LOAM_ACCOUNT_LINE_BYTES_MAX], fresh[LOAM_ACCOUNT_LINE_BYTES_MAX];
	char *fields[LOAM_SHADOW_FIELDS];
	const char *hash = "!", *expiry = "1";
	size_t bytes;
	while (loam_lines_next(&rest, end, &line, &bytes)) {
		struct loam_err damaged = { 0 };
		if (loam_fields_split(line, bytes, copy, fields, LOAM_SHADOW_FIELDS, &damaged) ==
			    0 &&
		    strcmp(fields[0], change->name) == 0) {
			hash = fields[LOAM_SHADOW_HASH_FIELD];
			expiry = fields[LOAM_SHADOW_EXPIRY_FIELD];
			break;
		}
	}
	if (change->hash)
		hash = change->hash;
	if (change->disabled)
		expiry = *change->disabled ? "1" : "";
	snprintf(fresh, sizeof(fresh), "%s:%s:%lld:0:99999:7::%s:\n", change->name, hash,
		 (long long)today(), expiry);
	bool had;
	return loam_lines_set(old, change->name, fresh, out, &had, err);
}

static int run_shadow_change(struct loam_account_store *store, struct shadow_change *change,
			     struct loam_err *err)
{
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	bool found = loam_accounts_by_name(accounts, change->name) != NULL;
	loam_account_store_put(store, accounts);
	if (!found)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no user '%s'", change->name);
	rc = change_file(store, file_names[SHADOW], change_shadow, change, err);
	return settle(store, rc, err);
}

int loam_account_store_set_password(struct loam_account_store *store, const char *name,
				    const char *password, struct loam_err *err)
{
	char hash[LOAM_PASSWORD_HASH_BYTES] = "!";
	if (password) {
		int rc = loam_password_hash(password, hash, err);
		if (rc < 0)
			return rc;
	}
	struct shadow_change change = { .name = name, .hash = hash };
	return run_shadow_change(store, &change, err);
}

int loam_account_store_set_disabled(struct loam_account_store *store, const char *name,
				    bool disabled, struct loam_err *err)
{
	struct shadow_change change = { .name = name, .disabled = &disabled };
	return run_shadow_change(store, &change, err);
}

static int change_drop_tokens(void *arg, const struct loam_buf *old, struct loam_buf *out,
			      struct loam_err *err)
{
	const char *user = arg;
	const char *rest = loam_buf_text(old);
	const char *end = rest + old->bytes;
	const char *line;
	size_t bytes;
	int rc = 0;
	while (rc == 0 && loam_lines_next(&rest, end, &line, &bytes)) {
		struct loam_token token;
		struct loam_err ignored = { 0 };
		if (loam_token_parse(line, bytes, &token, &ignored) == 0 &&
		    strcmp(token.user, user) == 0)
			continue;
		rc = loam_buf_add(out, line, bytes, err);
		if (rc == 0)
			rc = loam_buf_add(out, "\n", 1, err);
	}
	return rc;
}

/* The home stays for the administrator under a name of its own. */
static int set_home_aside(struct loam_account_store *store, const char *name, uint32_t uid,
			  struct loam_err *err)
{
	struct loam_meta *meta = store->tree->volume->meta;
	char home[LOAM_PATH_BYTES_MAX], aside[96];
	loam_tree_user_path(store->tree, name, home);
	snprintf(aside, sizeof(aside), ".removed-%s-%u", name, uid);
	uint64_t parent, ino;
	struct loam_name last;
	struct loam_attr attr;
	int rc = loam_files_parent(store->tree->volume, home, &parent, &last, err);
	if (rc < 0)
		return rc;
	rc = loam_meta_lookup(meta, &loam_who_root, parent, last, &ino, &attr, err);
	if (rc == -LOAM_E_NOT_FOUND) {
		loam_err_clear(err);
		return 0;
	}
	struct loam_attr locked = { .mode = 0700 };
	if (rc == 0)
		rc = loam_meta_setattr(meta, &loam_who_root, ino,
				       LOAM_SET_MODE | LOAM_SET_UID | LOAM_SET_GID, &locked, &attr,
				       err);
	if (rc == 0)
		rc = loam_meta_rename(meta, &loam_who_root, parent, last, parent,
				      loam_name_of(aside), LOAM_RENAME_NOREPLACE, err);
	return rc;
}

/* "UID:" lines of accounts that are gone. */
static int retire_number(struct loam_account_store *store, uint32_t uid, struct loam_err *err)
{
	char number[16], line[24];
	snprintf(number, sizeof(number), "%u", uid);
	snprintf(line, sizeof(line), "%u:\n", uid);
	struct set_line set = { number, line, false };
	return change_file(store, RETIRED, change_set_line, &set, err);
}

int loam_account_store_remove_user(struct loam_account_store *store, const char *name,
				   struct loam_err *err)
{
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	const struct loam_account *account = loam_accounts_by_name(accounts, name);
	uint32_t uid = account ? account->uid : 0;
	loam_account_store_put(store, accounts);
	if (!uid)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no user '%s'", name);
	loam_auto_free char *user = loam_xstrdup(name);
	if ((rc = put_line(store, SHADOW, name, NULL, false, err)) == 0 &&
	    (rc = change_file(store, file_names[TOKENS], change_drop_tokens, user, err)) == 0 &&
	    (rc = set_home_aside(store, name, uid, err)) == 0 &&
	    (rc = retire_number(store, uid, err)) == 0 &&
	    (rc = put_line(store, GROUP, name, NULL, false, err)) == 0)
		rc = put_line(store, PASSWD, name, NULL, true, err);
	return settle(store, rc, err);
}

int loam_account_store_add_token(struct loam_account_store *store, const struct loam_token *token,
				 struct loam_err *err)
{
	char line[LOAM_ACCOUNT_LINE_BYTES_MAX];
	loam_token_print(token, line);
	int rc = put_line(store, TOKENS, token->id, line, false, err);
	return settle(store, rc, err);
}

int loam_account_store_remove_token(struct loam_account_store *store, const char *user,
				    const char *id, struct loam_err *err)
{
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	bool found = false;
	struct loam_token_row *row, *next;
	HASH_ITER (by_hash, accounts->tokens, row, next) {
		if (strcmp(row->token.id, id) == 0 && strcmp(row->token.user, user) == 0)
			found = true;
	}
	loam_account_store_put(store, accounts);
	if (!found)
		return loam_fail(err, LOAM_E_NOT_FOUND, "user '%s' has no token '%s'", user, id);
	rc = put_line(store, TOKENS, id, NULL, false, err);
	return settle(store, rc, err);
}
