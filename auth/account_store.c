/*
 * Reading the account files of a volume, and the one way in which they are changed
 * (auth/account_store.h).
 */
#include "auth/account_store_internal.h"

#include "auth/fields.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "fs/files.h"

#include <stdio.h>
#include <string.h>

#define CHANGE_TRIES	 20
#define SECONDS_PER_DAY	 86400
#define NS_PER_MS	 1000000ull
#define SNAPSHOT_LIFE_NS (60000 * NS_PER_MS)
#define LIFE_NS		 (LOAM_ACCOUNTS_LIFE_MS * NS_PER_MS)
#define LOOK_GAP_NS	 (1000 * NS_PER_MS / LOAM_ACCOUNT_LOOKS_PER_SECOND)

struct snapshot {
	struct loam_accounts *accounts; /* what callers hold */
	unsigned users;
	struct snapshot *next; /* older ones that are still in use */
};

struct loam_account_store {
	const struct loam_tree *tree;
	pthread_mutex_t lock;	    /* what is not under read_lock */
	pthread_mutex_t turn_lock;  /* one waits for its turn to look again, the others for it */
	pthread_mutex_t read_lock;  /* one refresh at a time */
	struct snapshot *snapshots; /* newest first */
	uint64_t looked_at_ns; /* when `inos` were last compared with the volume; 0: look now */
	uint64_t read_at_ns;   /* when the newest snapshot was read */
	uint64_t turn_ns;      /* when the next look of get_since() is due */
	unsigned waiting;      /* for their turn */
	unsigned changes;      /* by this process */
	uint64_t inos[LOAM_ACCOUNT_FILES];
	/* Under read_lock: */
	struct loam_files_trail trail; /* to /.loam/etc */
	uint64_t failed_at_ns;	       /* the last refresh without an answer, */
	struct loam_err failure;       /* and its reason */
};

int64_t loam_account_today(void)
{
	return loam_clock_now().tv_sec / SECONDS_PER_DAY;
}

static void file_path(const struct loam_account_store *store, int file, char *out)
{
	char rest[32];
	snprintf(rest, sizeof(rest), "etc/%s",
		 loam_account_file_name((enum loam_account_file)file));
	loam_tree_state_path(store->tree, rest, out);
}

const struct loam_tree *loam_account_store_tree(const struct loam_account_store *store)
{
	return store->tree;
}

int loam_account_store_open(const struct loam_tree *tree, struct loam_account_store **out_store,
			    struct loam_err *err)
{
	struct loam_account_store *store = loam_xnew(struct loam_account_store);
	store->tree = tree;
	pthread_mutex_init(&store->lock, NULL);
	pthread_mutex_init(&store->turn_lock, NULL);
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
	pthread_mutex_destroy(&store->turn_lock);
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

/* One trip. */
static int read_inos(struct loam_account_store *store, uint64_t inos[LOAM_ACCOUNT_FILES],
		     struct loam_err *err)
{
	const char *names[LOAM_ACCOUNT_FILES];
	for (int file = 0; file < LOAM_ACCOUNT_FILES; file++)
		names[file] = loam_account_file_name((enum loam_account_file)file);
	char dir[LOAM_PATH_BYTES_MAX];
	loam_tree_state_path(store->tree, "etc", dir);
	return loam_files_inos(store->tree->volume, dir, names, LOAM_ACCOUNT_FILES, &store->trail,
			       inos, err);
}

static int read_snapshot(struct loam_account_store *store, struct loam_accounts **out,
			 uint64_t inos[LOAM_ACCOUNT_FILES], struct loam_err *err)
{
	struct loam_buf texts[LOAM_ACCOUNT_FILES];
	int rc = 0;
	for (int file = 0; file < LOAM_ACCOUNT_FILES; file++)
		loam_buf_init(&texts[file], LOAM_ACCOUNT_FILE_BYTES_MAX);
	for (int file = 0; rc == 0 && file < LOAM_ACCOUNT_FILES; file++) {
		char path[LOAM_PATH_BYTES_MAX];
		file_path(store, file, path);
		rc = read_file(store, path, &inos[file], &texts[file], err);
	}
	if (rc == 0)
		*out = loam_accounts_parse(texts, loam_account_today());
	for (int file = 0; file < LOAM_ACCOUNT_FILES; file++)
		loam_buf_release(&texts[file]);
	return rc;
}

/* All as they stood at one moment. A file that is replaced while it is read loses its bytes
 * behind the reader's back: what was read counts only when the names still mean the same inodes. */
static int read_steady(struct loam_account_store *store, struct loam_accounts **out,
		       uint64_t inos[LOAM_ACCOUNT_FILES], struct loam_err *err)
{
	for (int tries = 0;; tries++) {
		struct loam_accounts *accounts = NULL;
		uint64_t after[LOAM_ACCOUNT_FILES];
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
	store->looked_at_ns = store->changes == changes ? now : 0;
}

/* true: the newest snapshot holds what stands in these inodes. An expiry passes without any change
 * of a file, so a snapshot lives SNAPSHOT_LIFE_MS at most. */
static bool is_current(struct loam_account_store *store, const uint64_t inos[LOAM_ACCOUNT_FILES],
		       uint64_t now, unsigned changes)
{
	loam_guard(&store->lock);
	if (!store->snapshots || memcmp(store->inos, inos, sizeof(store->inos)) != 0 ||
	    now - store->read_at_ns >= SNAPSHOT_LIFE_NS)
		return false;
	note_look(store, now, changes);
	return true;
}

/* true: the files were compared with the newest snapshot at that time or later. */
static bool is_looked_at_since(struct loam_account_store *store, uint64_t ns)
{
	loam_guard(&store->lock);
	return store->snapshots && store->looked_at_ns != 0 && store->looked_at_ns >= ns;
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
	uint64_t inos[LOAM_ACCOUNT_FILES];
	uint64_t now = loam_clock_ns();
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
	store->read_at_ns = now;
	note_look(store, now, changes);
	drop_unused(store);
	return 0;
}

/* Whoever has waited for another's refresh shares what it found, and its failure: asking in its
 * turn, the last of many would be answered after many deadlines. */
static int refresh(struct loam_account_store *store, bool fresh, uint64_t asked_ns,
		   struct loam_err *err)
{
	loam_guard(&store->read_lock);
	if (store->failed_at_ns >= asked_ns)
		return loam_fail(err, store->failure.code, "%s", store->failure.text);
	if (!fresh && is_looked_at_since(store, asked_ns))
		return 0;
	int rc = read_again(store, fresh, err);
	if (rc == -LOAM_E_UNAVAILABLE) {
		store->failed_at_ns = loam_clock_ns();
		store->failure = *err;
	}
	return rc;
}

/* ---- looking again --------------------------------------------------------------------------- */

/* When the next look may be made; it is made then. A quiet store has LOAM_ACCOUNT_LOOKS_AT_ONCE to
 * spend, so that a client who offers many keys is not slowed down. may_wait false: 0 when it is not
 * yet due. */
static uint64_t take_turn(struct loam_account_store *store, bool may_wait)
{
	loam_guard(&store->lock);
	uint64_t now = loam_clock_ns();
	uint64_t saved = (LOAM_ACCOUNT_LOOKS_AT_ONCE - 1) * LOOK_GAP_NS;
	if (store->turn_ns + saved < now)
		store->turn_ns = now - saved;
	uint64_t turn = store->turn_ns;
	if (turn > now && !may_wait)
		return 0;
	store->turn_ns += LOOK_GAP_NS;
	return turn;
}

/* Whoever comes while another waits shares its look, if that begins after the question. */
static int look_in_turn(struct loam_account_store *store, uint64_t asked_ns, struct loam_err *err)
{
	loam_guard(&store->turn_lock);
	if (is_looked_at_since(store, asked_ns))
		return 0;
	loam_clock_sleep_until_ns(take_turn(store, true));
	return refresh(store, false, asked_ns, err);
}

static bool may_queue(struct loam_account_store *store)
{
	loam_guard(&store->lock);
	if (store->waiting >= LOAM_ACCOUNT_LOOKS_WAITING_MAX)
		return false;
	store->waiting++;
	return true;
}

static int look_again(struct loam_account_store *store, uint64_t asked_ns, bool may_wait,
		      struct loam_err *err)
{
	if (may_wait && may_queue(store)) {
		int rc = look_in_turn(store, asked_ns, err);
		loam_guard(&store->lock);
		store->waiting--;
		return rc;
	}
	return take_turn(store, false) ? refresh(store, false, asked_ns, err) : 0;
}

const struct loam_accounts *loam_account_store_peek(struct loam_account_store *store)
{
	loam_guard(&store->lock);
	if (!store->snapshots)
		return NULL;
	store->snapshots->users++;
	return store->snapshots->accounts;
}

/* The newest snapshot, unless reading it failed. */
static int hand_out(struct loam_account_store *store, int rc,
		    const struct loam_accounts **out_accounts, struct loam_err *err)
{
	if (rc < 0)
		return loam_context(err, "read the accounts");
	*out_accounts = loam_account_store_peek(store);
	return 0;
}

int loam_account_store_get(struct loam_account_store *store, bool fresh,
			   const struct loam_accounts **out_accounts, struct loam_err *err)
{
	uint64_t now = loam_clock_ns();
	bool usable = !fresh && is_looked_at_since(store, now - LIFE_NS);
	int rc = usable ? 0 : refresh(store, fresh, now, err);
	return hand_out(store, rc, out_accounts, err);
}

int loam_account_store_get_since(struct loam_account_store *store, uint64_t asked_ns, bool may_wait,
				 const struct loam_accounts **out_accounts, struct loam_err *err)
{
	bool usable = is_looked_at_since(store, asked_ns);
	int rc = usable ? 0 : look_again(store, asked_ns, may_wait, err);
	return hand_out(store, rc, out_accounts, err);
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

int loam_account_store_read(struct loam_account_store *store, const char *name,
			    struct loam_buf *out, struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	uint64_t ino;
	loam_tree_state_path(store->tree, name, path);
	return read_file(store, path, &ino, out, err);
}

/* One try. CONFLICT: again. */
static int change_once(struct loam_account_store *store, const char *path,
		       loam_account_change_fn *change, void *arg, struct loam_err *err)
{
	loam_auto_buf struct loam_buf old = LOAM_BUF(LOAM_ACCOUNT_FILE_BYTES_MAX);
	loam_auto_buf struct loam_buf fresh = LOAM_BUF(LOAM_ACCOUNT_FILE_BYTES_MAX);
	uint64_t ino;
	int rc = read_file(store, path, &ino, &old, err);
	if (rc == -LOAM_E_NOT_FOUND) { /* replaced while it was read: its inode is gone */
		loam_err_clear(err);
		return loam_fail(err, LOAM_E_CONFLICT, "%s is replaced without pause", path);
	}
	if (rc < 0)
		return rc;
	rc = change(arg, &old, &fresh, err);
	if (rc < 0 || (old.bytes == fresh.bytes &&
		       memcmp(loam_buf_text(&old), loam_buf_text(&fresh), old.bytes) == 0))
		return rc;
	if ((rc = loam_failpoint("account.change", err)) < 0)
		return rc;
	rc = loam_files_replace(store->tree->volume, path, ino, LOAM_SERVICE_ID, LOAM_SERVICE_ID,
				0600, fresh.data, fresh.bytes, err);
	if (rc == -LOAM_E_NOT_FOUND) {
		loam_err_clear(err);
		return loam_fail(err, LOAM_E_CONFLICT, "%s is replaced without pause", path);
	}
	return rc;
}

int loam_account_store_change(struct loam_account_store *store, const char *name,
			      loam_account_change_fn *change, void *arg, struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	loam_tree_state_path(store->tree, name, path);
	for (int tries = 0;; tries++) {
		int rc = change_once(store, path, change, arg, err);
		if (rc != -LOAM_E_CONFLICT || tries == CHANGE_TRIES)
			return rc;
		loam_err_clear(err);
		loam_clock_sleep_ms(1 + loam_random_below(5 + (uint64_t)tries * 5));
	}
}

int loam_account_store_change_file(struct loam_account_store *store, enum loam_account_file file,
				   loam_account_change_fn *change, void *arg, struct loam_err *err)
{
	char name[32];
	snprintf(name, sizeof(name), "etc/%s", loam_account_file_name(file));
	return loam_account_store_change(store, name, change, arg, err);
}

struct set_line {
	const char *name;
	const char *line; /* NULL: remove */
	bool had;
};

static int change_set_line(void *arg, const struct loam_buf *old, struct loam_buf *out,
			   struct loam_err *err)
{
	struct set_line *set = arg;
	return loam_lines_set(old, set->name, set->line, out, &set->had, err);
}

int loam_account_store_put_line(struct loam_account_store *store, enum loam_account_file file,
				const char *name, const char *line, bool *out_had,
				struct loam_err *err)
{
	struct set_line set = { .name = name, .line = line };
	int rc = loam_account_store_change_file(store, file, change_set_line, &set, err);
	if (rc == 0 && out_had)
		*out_had = set.had;
	return rc;
}

int loam_account_store_settle(struct loam_account_store *store, int rc, struct loam_err *err)
{
	pthread_mutex_lock(&store->lock);
	store->looked_at_ns = 0; /* our own change is seen at once */
	store->changes++;
	pthread_mutex_unlock(&store->lock);
	return rc < 0 ? rc : loam_meta_barrier(store->tree->volume->meta, err);
}

int loam_account_store_who(struct loam_account_store *store, const char *text,
			   struct loam_grantee *out, struct loam_err *err)
{
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc == 0)
		rc = loam_accounts_who(accounts, text, out, err);
	loam_account_store_put(store, accounts);
	return rc;
}
