/*
 * Locks as files of the volume (lfs/lock_store.h).
 *
 * The name in the directory makes a lock exclusive; what it says stands in an xattr of its inode,
 * so that a page of locks is one pipeline of metadata, and no block is read. A file without such a
 * record, which only a foreign hand can make, locks nothing: the next lock of its path replaces it,
 * and `loam fsck` names it. Locks go with the repository (loam_lfs_drop_repo).
 */
#include "lfs/lock_store.h"

#include "auth/audit.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/hash.h"
#include "core/limits.h"
#include "fs/files.h"
#include "fs/meta/unlink.h"

#include <string.h>

#define DIR_ATTEMPTS 5
#define SHOWN_BYTES  256 /* of a path, in the audit log */

void loam_lock_release(struct loam_lock *lock)
{
	free(lock->path);
	lock->path = NULL;
}

void loam_lock_page_release(struct loam_lock_page *page)
{
	for (size_t i = 0; i < page->count; i++)
		loam_lock_release(&page->locks[i]);
	free(page->locks);
	*page = (struct loam_lock_page){ 0 };
}

/* ---- paths and records ----------------------------------------------------------------------- */

static bool part_is_odd(const char *part, size_t bytes)
{
	return bytes == 0 || (bytes == 1 && part[0] == '.') ||
	       (bytes == 2 && part[0] == '.' && part[1] == '.');
}

static bool has_odd_part(const char *path, size_t path_bytes)
{
	size_t from = 0;
	for (size_t i = 0; i <= path_bytes; i++) {
		if (i < path_bytes && path[i] != '/')
			continue;
		if (part_is_odd(path + from, i - from))
			return true;
		from = i + 1;
	}
	return false;
}

int loam_lock_path_check(const char *path, size_t path_bytes, struct loam_err *err)
{
	if (path_bytes == 0 || path_bytes > LOAM_PATH_BYTES_MAX)
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "a path has 1 to %d bytes",
				 LOAM_PATH_BYTES_MAX);
	for (size_t i = 0; i < path_bytes; i++)
		if ((unsigned char)path[i] < 0x20 || path[i] == 0x7f)
			return loam_fail(err, LOAM_E_UNPROCESSABLE,
					 "a path with control characters cannot be locked");
	loam_auto_json json_t *text = json_stringn(path, path_bytes);
	if (!text)
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "the path is not UTF-8");
	if (has_odd_part(path, path_bytes))
		return loam_fail(err, LOAM_E_UNPROCESSABLE,
				 "'%.*s' is no path from the top of the repository",
				 (int)(path_bytes < 300 ? path_bytes : 300), path);
	return 0;
}

static void name_of_path(const char *path, size_t path_bytes, char out[LOAM_LOCK_NAME_BYTES + 1])
{
	uint8_t digest[LOAM_SHA256_BYTES];
	loam_sha256_of(path, path_bytes, digest);
	loam_hex(digest, LOAM_LOCK_NAME_BYTES / 2, out);
}

static bool is_hex(const char *text, size_t bytes, size_t wanted)
{
	uint8_t value[LOAM_LOCK_ID_BYTES / 2];
	return bytes == wanted && loam_unhex(text, bytes, value, wanted / 2);
}

json_t *loam_lock_to_json(const struct loam_lock *lock)
{
	return json_pack("{s:s, s:s, s:s, s:I, s:I}", "id", lock->id, "path", lock->path, "owner",
			 lock->owner, "uid", (json_int_t)lock->uid, "locked_at",
			 (json_int_t)lock->locked_at);
}

int loam_lock_from_json(const json_t *json, struct loam_lock *out_lock, struct loam_err *err)
{
	const char *id, *path, *owner;
	uint64_t uid, locked_at;
	struct loam_err why = { 0 };
	if (loam_json_text(json, "id", &id, &why) != 1 ||
	    loam_json_text(json, "path", &path, &why) != 1 ||
	    loam_json_text(json, "owner", &owner, &why) != 1 ||
	    loam_json_u64(json, "uid", &uid, &why) != 1 ||
	    loam_json_u64(json, "locked_at", &locked_at, &why) != 1 ||
	    !is_hex(id, strlen(id), LOAM_LOCK_ID_BYTES) || uid > UINT32_MAX ||
	    strlen(owner) > LOAM_USER_NAME_BYTES_MAX ||
	    loam_lock_path_check(path, strlen(path), &why) < 0)
		return loam_fail(err, LOAM_E_CORRUPT, "a damaged lock");
	*out_lock = (struct loam_lock){ .path = loam_xstrdup(path),
					.uid = (uint32_t)uid,
					.locked_at = (int64_t)locked_at };
	memcpy(out_lock->id, id, sizeof(out_lock->id));
	memcpy(out_lock->owner, owner, strlen(owner));
	return 0;
}

/* The record of the file of this name. 1, 0 when it says nothing. */
static int parse_record(const void *data, size_t data_bytes, struct loam_name name,
			struct loam_lock *out_lock)
{
	struct loam_err damage = { 0 };
	loam_auto_json json_t *json = NULL;
	struct loam_lock lock;
	char expected[LOAM_LOCK_NAME_BYTES + 1];
	if (data_bytes > LOAM_LOCK_RECORD_BYTES ||
	    loam_json_parse(data, data_bytes, &json, &damage) < 0 ||
	    loam_lock_from_json(json, &lock, &damage) < 0)
		return 0;
	name_of_path(lock.path, strlen(lock.path), expected);
	if (name.bytes == LOAM_LOCK_NAME_BYTES &&
	    memcmp(name.data, expected, LOAM_LOCK_NAME_BYTES) == 0 &&
	    memcmp(lock.id, expected, LOAM_LOCK_NAME_BYTES) == 0) {
		*out_lock = lock;
		return 1;
	}
	loam_lock_release(&lock);
	return 0;
}

static int read_lock(struct loam_txn *txn, uint64_t ino, struct loam_name name,
		     struct loam_lock *out_lock, struct loam_err *err)
{
	struct loam_record record =
		loam_rec_named(LOAM_REC_XATTR, ino, loam_name_of(LOAM_XATTR_LOCK));
	const struct loam_value *value;
	int found = loam_txn_read(txn, &record, &value, err);
	return found <= 0 ? found : parse_record(value->data, value->bytes, name, out_lock);
}

int loam_lock_store_is_sound(const struct loam_tree *tree, uint64_t ino, struct loam_name name,
			     struct loam_err *err)
{
	loam_auto_buf struct loam_buf record = LOAM_BUF(LOAM_XATTR_VALUE_BYTES_MAX);
	struct loam_lock lock;
	int rc = loam_meta_getxattr(tree->volume->meta, ino, LOAM_XATTR_LOCK, &record, err);
	if (rc == -LOAM_E_NO_DATA) {
		loam_err_clear(err);
		return 0;
	}
	if (rc < 0)
		return rc;
	rc = parse_record(record.data, record.bytes, name, &lock);
	if (rc == 1)
		loam_lock_release(&lock);
	return rc;
}

/* ---- the directory --------------------------------------------------------------------------- */

/* 1 with the inode, 0 there is none. */
static int locks_dir(const struct loam_tree *tree, const struct loam_repo *repo, uint64_t *out_ino,
		     struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	struct loam_attr attr;
	loam_tree_locks_path(tree, repo, path);
	int rc = loam_files_lookup(tree->volume, path, out_ino, &attr, err);
	if (rc == -LOAM_E_NOT_FOUND) {
		loam_err_clear(err);
		return 0;
	}
	return rc < 0 ? rc : 1;
}

static int make_locks_dir(const struct loam_tree *tree, const struct loam_repo *repo,
			  uint64_t *out_ino, struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	int found = locks_dir(tree, repo, out_ino, err);
	if (found != 0)
		return found < 0 ? found : 0;
	loam_tree_locks_path(tree, repo, path);
	return loam_files_mkdirs(tree->volume, path, LOAM_SERVICE_ID, LOAM_SERVICE_ID, 0700,
				 LOAM_FLAG_SKIP_TRASH, out_ino, err);
}

struct names {
	struct entry {
		char name[LOAM_LOCK_NAME_BYTES + 1];
		uint64_t ino;
	} * entries;
	size_t count;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

/* Every file that a lock can have, sorted. */
static int list_names(struct loam_meta *meta, uint64_t locks, struct names *out,
		      struct loam_err *err)
{
	struct loam_dir *dir = NULL;
	int rc = loam_meta_opendir(meta, locks, false, &dir, err);
	if (rc == -LOAM_E_NOT_FOUND) { /* the repository went in this moment */
		loam_err_clear(err);
		return 0;
	}
	if (rc < 0)
		return rc;
	size_t count = loam_dir_count(dir);
	out->entries = loam_xcalloc(count + 1, sizeof(out->entries[0]));
	for (size_t i = 0; i < count; i++) {
		const struct loam_dir_entry *entry = loam_dir_at(dir, i);
		if (entry->dentry.type != LOAM_TYPE_FILE ||
		    !is_hex(entry->name.data, entry->name.bytes, LOAM_LOCK_NAME_BYTES))
			continue;
		struct entry *named = &out->entries[out->count++];
		memcpy(named->name, entry->name.data, LOAM_LOCK_NAME_BYTES);
		named->ino = entry->dentry.ino;
	}
	loam_dir_close(dir);
	qsort(out->entries, out->count, sizeof(out->entries[0]), by_name);
	return 0;
}

static int check_room(const struct loam_tree *tree, uint64_t locks, struct loam_err *err)
{
	struct names names = { 0 };
	int rc = list_names(tree->volume->meta, locks, &names, err);
	free(names.entries);
	if (rc == 0 && names.count >= LOAM_LFS_LOCKS_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE,
				 "this repository has %d locks, which is the limit: give some back",
				 LOAM_LFS_LOCKS_MAX);
	return rc;
}

/* ---- taking ---------------------------------------------------------------------------------- */

struct take {
	uint64_t gate, locks;
	struct loam_name name;
	const char *record;
	size_t record_bytes;
	uint64_t new_ino;
	struct timespec now;
	/* Answers of a run. */
	bool dir_is_gone, is_held;
	struct loam_lock held;
	struct loam_gone gone; /* a damaged one, which was replaced */
};

static int need(struct loam_txn *txn, uint64_t ino, bool *out_gone, struct loam_err *err)
{
	struct loam_attr attr;
	int found = loam_txn_attr(txn, ino, &attr, err);
	if (found < 0)
		return found;
	*out_gone = found == 0 || attr.type != LOAM_TYPE_DIR;
	return *out_gone ? loam_fail(err, LOAM_E_NOT_FOUND, "no such repository") : 0;
}

/* A new file of the service with the record; its name in place of a damaged one, if any. */
static void put_lock(struct loam_txn *txn, const struct take *take)
{
	struct loam_record record =
		loam_rec_named(LOAM_REC_XATTR, take->new_ino, loam_name_of(LOAM_XATTR_LOCK));
	struct loam_dentry dentry = { .type = LOAM_TYPE_FILE, .ino = take->new_ino };
	struct loam_attr attr = { .type = LOAM_TYPE_FILE,
				  .mode = 0400,
				  .uid = LOAM_SERVICE_ID,
				  .gid = LOAM_SERVICE_ID,
				  .nlink = 1,
				  .parent = take->locks };
	attr.atime = attr.mtime = attr.ctime = take->now;
	loam_txn_put_attr(txn, take->new_ino, &attr);
	loam_txn_put_dentry(txn, take->locks, take->name, &dentry);
	loam_txn_put(txn, &record, take->record, take->record_bytes);
	loam_txn_add_usage(txn, loam_space(0), 1);
}

/* A file of that name whose record says nothing. */
static int drop_damaged(struct loam_txn *txn, struct take *take, struct loam_err *err)
{
	struct loam_dentry dentry;
	struct loam_attr attr;
	int found = loam_txn_dentry(txn, take->locks, take->name, &dentry, err);
	if (found > 0)
		found = loam_txn_attr(txn, dentry.ino, &attr, err);
	if (found <= 0)
		return found;
	if (attr.type == LOAM_TYPE_DIR)
		return loam_fail(err, LOAM_E_CORRUPT, "a directory stands where a lock belongs");
	loam_unlink_drop(txn, take->locks, dentry.ino, &attr, take->now, &take->gone);
	return 0;
}

static int take_fn(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct take *take = arg;
	struct loam_dentry dentry;
	bool gate_is_gone;
	loam_lock_release(&take->held);
	take->is_held = take->dir_is_gone = false;
	take->gone = (struct loam_gone){ 0 };
	loam_txn_want_attr(txn, take->gate);
	loam_txn_want_attr(txn, take->locks);
	loam_txn_want_dentry(txn, take->locks, take->name);
	int rc = need(txn, take->gate, &gate_is_gone, err);
	if (rc == 0)
		rc = need(txn, take->locks, &take->dir_is_gone, err);
	if (rc < 0)
		return rc;
	int found = loam_txn_dentry(txn, take->locks, take->name, &dentry, err);
	if (found > 0)
		found = read_lock(txn, dentry.ino, take->name, &take->held, err);
	if (found < 0)
		return found;
	take->is_held = found > 0;
	if (take->is_held)
		return 0;
	rc = drop_damaged(txn, take, err);
	if (rc == 0)
		put_lock(txn, take);
	return rc;
}

/* In a transaction, with a directory that may be removed and made again meanwhile. */
static int run_take(const struct loam_tree *tree, const struct loam_repo *repo, struct take *take,
		    struct loam_err *err)
{
	int rc = 0;
	for (int attempt = 0; attempt < DIR_ATTEMPTS; attempt++) {
		loam_err_clear(err);
		rc = make_locks_dir(tree, repo, &take->locks, err);
		if (rc == 0)
			rc = check_room(tree, take->locks, err);
		if (rc == 0)
			rc = loam_meta_run(tree->volume->meta, 0, take_fn, take, err);
		if (rc != -LOAM_E_NOT_FOUND || !take->dir_is_gone)
			break;
	}
	return rc;
}

static int take_lock(const struct loam_tree *tree, const struct loam_repo *repo,
		     const struct loam_lock *wanted, struct take *take, struct loam_err *err)
{
	char gate_path[LOAM_PATH_BYTES_MAX];
	struct loam_attr attr;
	loam_auto_json json_t *json = loam_lock_to_json(wanted);
	loam_auto_buf struct loam_buf record = LOAM_BUF(LOAM_LOCK_RECORD_BYTES);
	loam_tree_gate_path(tree, repo, gate_path);
	int rc = loam_json_print(json, &record, err);
	if (rc == 0)
		rc = loam_files_lookup(tree->volume, gate_path, &take->gate, &attr, err);
	if (rc == 0)
		rc = loam_meta_new_inode(tree->volume->meta, &take->new_ino, err);
	if (rc < 0)
		return rc;
	take->record = loam_buf_text(&record);
	take->record_bytes = record.bytes;
	return run_take(tree, repo, take, err);
}

static int take_path(const struct loam_tree *tree, const struct loam_repo *repo, const char *path,
		     size_t path_bytes, const struct loam_principal *who,
		     struct loam_lock *out_lock, struct loam_err *err)
{
	int rc = loam_lock_path_check(path, path_bytes, err);
	if (rc < 0)
		return rc;
	if (who->user[0] == '\0')
		return loam_fail(err, LOAM_E_DENIED, "only an account holds locks");
	uint8_t random[(LOAM_LOCK_ID_BYTES - LOAM_LOCK_NAME_BYTES) / 2];
	char name[LOAM_LOCK_NAME_BYTES + 1];
	struct take take = { .now = loam_clock_now() };
	struct loam_lock lock = { .uid = who->uid, .locked_at = take.now.tv_sec };
	loam_random(random, sizeof(random));
	name_of_path(path, path_bytes, name);
	memcpy(lock.id, name, LOAM_LOCK_NAME_BYTES);
	loam_hex(random, sizeof(random), lock.id + LOAM_LOCK_NAME_BYTES);
	snprintf(lock.owner, sizeof(lock.owner), "%s", who->user);
	lock.path = loam_xstrndup(path, path_bytes);
	take.name = loam_name_of(name);
	rc = take_lock(tree, repo, &lock, &take, err);
	if (rc == 0)
		loam_unlink_after(tree->volume->meta, &take.gone);
	if (rc == 0)
		rc = loam_meta_barrier(tree->volume->meta, err);
	if (rc == 0)
		*out_lock = take.is_held ? take.held : lock;
	if (rc < 0 || take.is_held)
		loam_lock_release(&lock);
	if (rc < 0)
		loam_lock_release(&take.held);
	return rc < 0 ? rc : !take.is_held;
}

/* Who took it already is told so, and nothing has changed. */
int loam_lock_store_take(const struct loam_tree *tree, const struct loam_repo *repo,
			 const char *path, size_t path_bytes, const struct loam_principal *who,
			 struct loam_lock *out_lock, struct loam_err *err)
{
	int rc = take_path(tree, repo, path, path_bytes, who, out_lock, err);
	loam_auto_free char *shown =
		loam_xstrndup(path, path_bytes < SHOWN_BYTES ? path_bytes : SHOWN_BYTES);
	if (rc != 0)
		loam_audit(&(struct loam_audit_entry){ .action = "lock.take",
						       .repo = repo,
						       .detail = shown },
			   rc, err);
	return rc;
}

/* ---- giving back ----------------------------------------------------------------------------- */

struct give_back {
	uint64_t locks;
	const char *id;
	uint32_t uid;
	bool force;
	struct timespec now;
	/* Answers of a run. */
	struct loam_lock lock;
	struct loam_gone gone;
};

static int give_back_fn(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct give_back *give = arg;
	struct loam_name name = { .data = give->id, .bytes = LOAM_LOCK_NAME_BYTES };
	struct loam_dentry dentry;
	struct loam_attr attr;
	loam_lock_release(&give->lock);
	give->gone = (struct loam_gone){ 0 };
	int found = loam_txn_dentry(txn, give->locks, name, &dentry, err);
	if (found > 0)
		found = read_lock(txn, dentry.ino, name, &give->lock, err);
	if (found < 0)
		return found;
	if (found == 0 || strcmp(give->lock.id, give->id) != 0)
		return loam_fail(err, LOAM_E_NOT_FOUND, "there is no such lock");
	if (!give->force && give->lock.uid != give->uid)
		return loam_fail(err, LOAM_E_DENIED,
				 "'%.300s' is locked by %s; --force needs the right of an admin",
				 give->lock.path, give->lock.owner);
	found = loam_txn_attr(txn, dentry.ino, &attr, err);
	if (found < 0)
		return found;
	loam_txn_delete_dentry(txn, give->locks, name);
	if (found > 0)
		loam_unlink_drop(txn, give->locks, dentry.ino, &attr, give->now, &give->gone);
	return 0;
}

static int give_path_back(const struct loam_tree *tree, const struct loam_repo *repo,
			  const char *id, const struct loam_principal *who, bool force,
			  struct loam_lock *out_lock, struct loam_err *err)
{
	struct loam_meta *meta = tree->volume->meta;
	/* Who has no account owns no lock: the number of nobody. */
	struct give_back give = { .id = id,
				  .uid = who->user[0] ? who->uid : UINT32_MAX,
				  .force = force,
				  .now = loam_clock_now() };
	int found = is_hex(id, strlen(id), LOAM_LOCK_ID_BYTES)
			    ? locks_dir(tree, repo, &give.locks, err)
			    : 0;
	if (found < 0)
		return found;
	if (found == 0)
		return loam_fail(err, LOAM_E_NOT_FOUND, "there is no such lock");
	int rc = loam_meta_run(meta, 0, give_back_fn, &give, err);
	if (rc == 0) {
		loam_unlink_after(meta, &give.gone);
		rc = loam_meta_barrier(meta, err);
	}
	if (rc == 0)
		*out_lock = give.lock;
	else
		loam_lock_release(&give.lock);
	return rc;
}

int loam_lock_store_give_back(const struct loam_tree *tree, const struct loam_repo *repo,
			      const char *id, const struct loam_principal *who, bool force,
			      struct loam_lock *out_lock, struct loam_err *err)
{
	int rc = give_path_back(tree, repo, id, who, force, out_lock, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "lock.give",
						      .repo = repo,
						      .account =
							      rc == 0 && out_lock->uid != who->uid
								      ? out_lock->owner
								      : NULL,
						      .detail = rc == 0 ? out_lock->path : id },
			  rc, err);
}

/* ---- listing --------------------------------------------------------------------------------- */

struct page {
	const struct entry *entries;
	size_t entry_count;
	struct loam_lock *locks; /* entry_count places */
	size_t count;
};

static void drop_locks(struct page *page)
{
	while (page->count > 0)
		loam_lock_release(&page->locks[--page->count]);
}

static int page_fn(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct page *page = arg;
	drop_locks(page);
	for (size_t i = 0; i < page->entry_count; i++) {
		struct loam_record record = loam_rec_named(LOAM_REC_XATTR, page->entries[i].ino,
							   loam_name_of(LOAM_XATTR_LOCK));
		loam_txn_want(txn, &record);
	}
	for (size_t i = 0; i < page->entry_count; i++) {
		const struct entry *entry = &page->entries[i];
		int found = read_lock(txn, entry->ino, loam_name_of(entry->name),
				      &page->locks[page->count], err);
		if (found < 0)
			return found;
		page->count += found > 0;
	}
	return 0;
}

static bool is_wanted(const struct loam_lock_query *query, const struct loam_lock *lock)
{
	return (!query->path || strcmp(query->path, lock->path) == 0) &&
	       (!query->id || strcmp(query->id, lock->id) == 0);
}

/* names cut to those a page with this query may hold; out_more: others follow. */
static void cut(struct names *names, const struct loam_lock_query *query, size_t *out_from,
		size_t *out_count, bool *out_more)
{
	size_t limit = query->limit;
	char one[LOAM_LOCK_NAME_BYTES + 1] = "";
	if (limit == 0 || limit > LOAM_LFS_LOCKS_PAGE)
		limit = LOAM_LFS_LOCKS_PAGE;
	if (query->path)
		name_of_path(query->path, strlen(query->path), one);
	else if (query->id)
		snprintf(one, sizeof(one), "%s", query->id);
	size_t from = 0, to;
	while (query->cursor && from < names->count &&
	       strcmp(names->entries[from].name, query->cursor) <= 0)
		from++;
	if (one[0]) /* the file of that path or id, if it is there */
		while (from < names->count && strcmp(names->entries[from].name, one) != 0)
			from++;
	to = one[0] && from < names->count ? from + 1 : names->count;
	*out_more = to - from > limit;
	*out_from = from;
	*out_count = *out_more ? limit : to - from;
}

int loam_lock_store_list(const struct loam_tree *tree, const struct loam_repo *repo,
			 const struct loam_lock_query *query, struct loam_lock_page *out_page,
			 struct loam_err *err)
{
	struct loam_meta *meta = tree->volume->meta;
	struct names names = { 0 };
	struct page page = { 0 };
	uint64_t locks;
	size_t from = 0;
	bool more = false;
	if (query->cursor && query->cursor[0] &&
	    !is_hex(query->cursor, strlen(query->cursor), LOAM_LOCK_NAME_BYTES))
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "'cursor' is not of this list");
	int rc = locks_dir(tree, repo, &locks, err);
	if (rc > 0)
		rc = list_names(meta, locks, &names, err);
	if (rc == 0)
		cut(&names, query, &from, &page.entry_count, &more);
	if (rc == 0 && page.entry_count > 0) {
		page.entries = names.entries + from;
		page.locks = loam_xcalloc(page.entry_count, sizeof(page.locks[0]));
		rc = loam_meta_run(meta, 0, page_fn, &page, err);
	}
	struct loam_lock_page out = { .locks = page.locks };
	for (size_t i = 0; i < page.count; i++) {
		if (rc == 0 && is_wanted(query, &page.locks[i]))
			out.locks[out.count++] = page.locks[i];
		else
			loam_lock_release(&page.locks[i]);
	}
	if (more)
		memcpy(out.next_cursor, page.entries[page.entry_count - 1].name,
		       sizeof(out.next_cursor));
	free(names.entries);
	if (rc == 0)
		*out_page = out;
	else
		free(page.locks);
	return rc;
}
