/*
 * The pool and the links (lfs/objects.h). Step 3 of a push, its last part: what is in staging
 * becomes an object of the repository.
 *
 *   /.loam/staging/JOB ──┬─ pool has none ─► lfs/objects/aa/bb/OID and repos/…/lfs/OID, one inode
 *                        ├─ pool has it ───► repos/…/lfs/OID only; the job's bytes are dropped
 *                        └─ held already ──► the job's bytes are dropped
 *
 * A linked file counts its names by directory in p<ino>, and its own parent is 0 for ever (volume
 * format document §4.8). The times of the directories are left as they are: writing them would make
 * every two uploads of a repository collide.
 */
#include "lfs/objects.h"

#include "auth/gate.h"
#include "core/auto.h"
#include "core/clock.h"
#include "fs/files.h"
#include "fs/meta/unlink.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#define POOL_DIRS      65536 /* aa/bb */
#define ADOPT_ATTEMPTS 5

struct loam_objects {
	const struct loam_tree *tree;
	_Atomic uint64_t pool_dirs[POOL_DIRS]; /* inodes; 0 unknown */
};

struct loam_objects *loam_objects_new(const struct loam_tree *tree)
{
	struct loam_objects *objects = loam_xnew(struct loam_objects);
	objects->tree = tree;
	return objects;
}

void loam_objects_free(struct loam_objects *objects)
{
	free(objects);
}

/* 1 with the inode of the repository's directory of links, 0 there is none. */
static int links_dir(const struct loam_tree *tree, const struct loam_repo *repo, uint64_t *out_ino,
		     struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	struct loam_attr attr;
	loam_tree_links_path(tree, repo, path);
	int rc = loam_files_lookup(tree->volume, path, out_ino, &attr, err);
	if (rc == -LOAM_E_NOT_FOUND) {
		loam_err_clear(err);
		return 0;
	}
	return rc < 0 ? rc : 1;
}

/* ---- finding --------------------------------------------------------------------------------- */

struct find {
	uint64_t links;
	struct loam_object *objects;
	size_t count;
};

static int find_fn(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct find *find = arg;
	for (size_t i = 0; i < find->count; i++)
		loam_txn_want_dentry(txn, find->links, loam_name_of(find->objects[i].oid));
	for (size_t i = 0; i < find->count; i++) {
		struct loam_object *object = &find->objects[i];
		struct loam_dentry dentry;
		int found =
			loam_txn_dentry(txn, find->links, loam_name_of(object->oid), &dentry, err);
		if (found < 0)
			return found;
		object->ino = found ? dentry.ino : 0;
		if (found)
			loam_txn_want_attr(txn, dentry.ino);
	}
	for (size_t i = 0; i < find->count; i++) {
		struct loam_object *object = &find->objects[i];
		struct loam_attr attr;
		int found = object->ino ? loam_txn_attr(txn, object->ino, &attr, err) : 0;
		if (found < 0)
			return found;
		object->held = found && attr.type == LOAM_TYPE_FILE;
		object->bytes = object->held ? attr.length : 0;
	}
	return 0;
}

int loam_objects_find(const struct loam_tree *tree, const struct loam_repo *repo,
		      struct loam_object *objects, size_t count, struct loam_err *err)
{
	struct find find = { .objects = objects, .count = count };
	for (size_t i = 0; i < count; i++)
		objects[i].held = false;
	int rc = links_dir(tree, repo, &find.links, err);
	if (rc <= 0)
		return rc;
	return loam_meta_run(tree->volume->meta, 0, find_fn, &find, err);
}

/* ---- adopting -------------------------------------------------------------------------------- */

struct adopt {
	const struct loam_adoption *what;
	uint64_t job_dir, job_ino;
	struct loam_name job_name;
	uint64_t pool, links; /* directories */
	struct timespec now;
	/* Answers of a run. */
	bool dir_is_gone;
	enum loam_adopted adopted;
	struct loam_gone gone;
};

/* The directory must be there at the commit. */
static int need_dir(struct loam_txn *txn, struct adopt *adopt, uint64_t ino, struct loam_err *err)
{
	struct loam_attr attr;
	int found = loam_txn_attr(txn, ino, &attr, err);
	if (found < 0)
		return found;
	if (found && attr.type == LOAM_TYPE_DIR)
		return 0;
	adopt->dir_is_gone = true;
	return loam_fail(err, LOAM_E_CONFLICT, "a directory was removed meanwhile");
}

/*
 * The right as of the commit: the gate's records are read here, so that the commit fails when one
 * changes; then the question is asked, which reads them again and everything else it needs.
 */
static int need_right(struct loam_txn *txn, const struct adopt *adopt, struct loam_err *err)
{
	const struct loam_adoption *what = adopt->what;
	struct loam_record xattrs = loam_rec(LOAM_REC_XATTRS, what->gate_ino, 0);
	const struct loam_value *value;
	struct loam_attr gate;
	uint64_t gate_ino;
	int rc = loam_txn_attr(txn, what->gate_ino, &gate, err);
	if (rc >= 0)
		rc = loam_txn_read(txn, &xattrs, &value, err);
	if (rc >= 0)
		rc = what->allow(what->allow_arg, &gate_ino, err);
	if (rc < 0)
		return rc;
	if (gate_ino != what->gate_ino)
		return loam_fail(err, LOAM_E_CONFLICT, "the repository was made anew meanwhile");
	return 0;
}

static int need_job(struct loam_txn *txn, const struct adopt *adopt, struct loam_attr *out_attr,
		    struct loam_err *err)
{
	struct loam_dentry dentry;
	int found = loam_txn_dentry(txn, adopt->job_dir, adopt->job_name, &dentry, err);
	if (found > 0)
		found = dentry.ino == adopt->job_ino
				? loam_txn_attr(txn, adopt->job_ino, out_attr, err)
				: 0;
	if (found < 0)
		return found;
	if (!found)
		return loam_fail(err, LOAM_E_CONFLICT,
				 "the upload was swept: this process was held up for too long");
	if (out_attr->length != adopt->what->bytes || out_attr->nlink != 1)
		return loam_fail(err, LOAM_E_CORRUPT,
				 "the upload has %" PRIu64 " bytes, not %" PRIu64, out_attr->length,
				 adopt->what->bytes);
	return 0;
}

static void link_into(struct loam_txn *txn, uint64_t dir, const char *oid, uint64_t ino)
{
	struct loam_dentry dentry = { .type = LOAM_TYPE_FILE, .ino = ino };
	struct loam_record names = loam_rec(LOAM_REC_PARENT, ino, dir);
	loam_txn_put_dentry(txn, dir, loam_name_of(oid), &dentry);
	loam_txn_add(txn, &names, 1);
}

/* The job's inode becomes the pool file. */
static void move_job(struct loam_txn *txn, const struct adopt *adopt, struct loam_attr *attr)
{
	const char *oid = adopt->what->oid;
	struct loam_record xattr =
		loam_rec_named(LOAM_REC_XATTR, adopt->job_ino, loam_name_of(LOAM_XATTR_OID));
	struct loam_record alive =
		loam_rec_named(LOAM_REC_XATTR, adopt->job_ino, loam_name_of(LOAM_XATTR_ALIVE));
	loam_txn_delete_dentry(txn, adopt->job_dir, adopt->job_name);
	link_into(txn, adopt->pool, oid, adopt->job_ino);
	link_into(txn, adopt->links, oid, adopt->job_ino);
	attr->mode = 0400;
	attr->uid = attr->gid = LOAM_SERVICE_ID;
	attr->nlink = 2;
	attr->parent = 0;
	attr->ctime = adopt->now;
	loam_txn_put_attr(txn, adopt->job_ino, attr);
	loam_txn_delete(txn, &alive);
	loam_txn_put(txn, &xattr, oid, LOAM_SHA256_HEX);
}

/* The pool's file gets one more name. */
static int link_pool_file(struct loam_txn *txn, const struct adopt *adopt, uint64_t ino,
			  struct loam_err *err)
{
	struct loam_attr attr;
	int found = loam_txn_attr(txn, ino, &attr, err);
	if (found < 0)
		return found;
	if (!found || attr.type != LOAM_TYPE_FILE || attr.length != adopt->what->bytes)
		return loam_fail(err, LOAM_E_CORRUPT,
				 "the pool's object %s has not %" PRIu64 " bytes", adopt->what->oid,
				 adopt->what->bytes);
	if (attr.parent != 0) {
		struct loam_record before = loam_rec(LOAM_REC_PARENT, ino, attr.parent);
		loam_txn_add(txn, &before, 1);
	}
	attr.parent = 0;
	attr.nlink++;
	attr.ctime = adopt->now;
	loam_txn_put_attr(txn, ino, &attr);
	link_into(txn, adopt->links, adopt->what->oid, ino);
	return 0;
}

static void want_all(struct loam_txn *txn, const struct adopt *adopt)
{
	struct loam_name oid = loam_name_of(adopt->what->oid);
	struct loam_record xattrs = loam_rec(LOAM_REC_XATTRS, adopt->what->gate_ino, 0);
	loam_txn_want_dentry(txn, adopt->job_dir, adopt->job_name);
	loam_txn_want_attr(txn, adopt->job_ino);
	loam_txn_want_dentry(txn, adopt->pool, oid);
	loam_txn_want_dentry(txn, adopt->links, oid);
	loam_txn_want_attr(txn, adopt->pool);
	loam_txn_want_attr(txn, adopt->links);
	loam_txn_want_attr(txn, adopt->what->gate_ino);
	loam_txn_want(txn, &xattrs);
}

static int adopt_fn(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct adopt *adopt = arg;
	struct loam_name oid = loam_name_of(adopt->what->oid);
	struct loam_attr job;
	struct loam_dentry in_pool, held;
	adopt->gone = (struct loam_gone){ 0 };
	adopt->dir_is_gone = false;
	want_all(txn, adopt);
	int rc = need_job(txn, adopt, &job, err);
	if (rc == 0)
		rc = need_dir(txn, adopt, adopt->pool, err);
	if (rc == 0)
		rc = need_dir(txn, adopt, adopt->links, err);
	if (rc == 0)
		rc = need_right(txn, adopt, err);
	if (rc < 0)
		return rc;

	int is_held = loam_txn_dentry(txn, adopt->links, oid, &held, err);
	int has_pool =
		is_held < 0 ? is_held : loam_txn_dentry(txn, adopt->pool, oid, &in_pool, err);
	if (has_pool < 0)
		return has_pool;
	if (!is_held && !has_pool) {
		move_job(txn, adopt, &job);
		adopt->adopted = LOAM_ADOPTED_NEW;
		return 0;
	}
	rc = is_held ? 0 : link_pool_file(txn, adopt, in_pool.ino, err);
	if (rc < 0)
		return rc;
	loam_txn_delete_dentry(txn, adopt->job_dir, adopt->job_name);
	loam_unlink_drop(txn, adopt->job_dir, adopt->job_ino, &job, adopt->now, &adopt->gone);
	adopt->adopted = is_held ? LOAM_ADOPTED_HELD : LOAM_ADOPTED_SHARED;
	return 0;
}

static int find_dirs(struct loam_objects *objects, struct adopt *adopt, struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	uint8_t first[2];
	loam_unhex(adopt->what->oid, 4, first, sizeof(first));
	_Atomic uint64_t *known = &objects->pool_dirs[first[0] << 8 | first[1]];
	adopt->pool = adopt->dir_is_gone ? 0 : atomic_load(known);
	if (adopt->pool == 0) {
		loam_tree_pool_path(objects->tree, adopt->what->oid, path);
		*strrchr(path, '/') = '\0';
		int rc = loam_files_mkdirs(objects->tree->volume, path, LOAM_SERVICE_ID,
					   LOAM_SERVICE_ID, 0700, LOAM_FLAG_SKIP_TRASH,
					   &adopt->pool, err);
		if (rc < 0)
			return rc;
		atomic_store(known, adopt->pool);
	}
	loam_tree_links_path(objects->tree, adopt->what->repo, path);
	return loam_files_mkdirs(objects->tree->volume, path, LOAM_SERVICE_ID, LOAM_SERVICE_ID,
				 0700, LOAM_FLAG_SKIP_TRASH, &adopt->links, err);
}

int loam_objects_adopt(struct loam_objects *objects, struct loam_job *job,
		       const struct loam_adoption *adoption, enum loam_adopted *out_adopted,
		       struct loam_err *err)
{
	struct adopt adopt = { .what = adoption,
			       .job_ino = loam_job_ino(job),
			       .now = loam_clock_now() };
	struct loam_meta *meta = objects->tree->volume->meta;
	adopt.job_dir = loam_job_place(job, &adopt.job_name);
	loam_job_seal(job);
	int rc = 0;
	for (int attempt = 0; attempt < ADOPT_ATTEMPTS; attempt++) {
		loam_err_clear(err);
		rc = find_dirs(objects, &adopt, err);
		if (rc == 0)
			rc = loam_meta_run(meta, 0, adopt_fn, &adopt, err);
		if (rc != -LOAM_E_CONFLICT || !adopt.dir_is_gone)
			break;
	}
	if (rc < 0)
		return rc;
	loam_unlink_after(meta, &adopt.gone);
	loam_job_taken(job);
	*out_adopted = adopt.adopted;
	return 0;
}

/* ---- linking from another repository --------------------------------------------------------- */

struct share {
	uint64_t from, to, gate; /* directories of links, the gate of the second */
	const char *oid;
	struct timespec now;
	bool held; /* by the first */
};

static int share_fn(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct share *share = arg;
	struct loam_name oid = loam_name_of(share->oid);
	struct loam_dentry source, present;
	struct loam_attr attr, gate;
	loam_txn_want_attr(txn, share->gate);
	loam_txn_want_dentry(txn, share->from, oid);
	loam_txn_want_dentry(txn, share->to, oid);
	share->held = false;
	int found = loam_txn_attr(txn, share->gate, &gate, err);
	if (found <= 0)
		return found < 0 ? found : loam_fail(err, LOAM_E_NOT_FOUND, "no such repository");
	found = loam_txn_dentry(txn, share->from, oid, &source, err);
	if (found > 0)
		found = loam_txn_attr(txn, source.ino, &attr, err);
	if (found <= 0)
		return found;
	share->held = true;
	found = loam_txn_dentry(txn, share->to, oid, &present, err);
	if (found != 0)
		return found < 0 ? found : 0;
	attr.nlink++;
	attr.ctime = share->now;
	loam_txn_put_attr(txn, source.ino, &attr);
	link_into(txn, share->to, share->oid, source.ino);
	return 0;
}

int loam_objects_link(const struct loam_tree *tree, const struct loam_repo *from,
		      const struct loam_repo *to, uint64_t to_gate_ino, const char *oid,
		      struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	struct share share = { .gate = to_gate_ino, .oid = oid, .now = loam_clock_now() };
	int rc = links_dir(tree, from, &share.from, err);
	if (rc <= 0)
		return rc;
	loam_tree_links_path(tree, to, path);
	rc = loam_files_mkdirs(tree->volume, path, LOAM_SERVICE_ID, LOAM_SERVICE_ID, 0700,
			       LOAM_FLAG_SKIP_TRASH, &share.to, err);
	if (rc == 0)
		rc = loam_meta_run(tree->volume->meta, 0, share_fn, &share, err);
	return rc < 0 ? rc : share.held;
}

/* ---- dropping -------------------------------------------------------------------------------- */

struct drop {
	uint64_t links;
	uint64_t pool; /* 0: the pool has no such directory */
	const char *oid;
	struct timespec now, changed; /* changed: of a pool file without holder */
	bool removed;
	struct loam_gone gone;
};

static int drop_fn(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct drop *drop = arg;
	struct loam_name oid = loam_name_of(drop->oid);
	struct loam_dentry link = { 0 }, in_pool = { 0 };
	struct loam_attr attr;
	drop->gone = (struct loam_gone){ 0 };
	drop->removed = false;
	if (drop->pool)
		loam_txn_want_dentry(txn, drop->pool, oid);
	int found = loam_txn_dentry(txn, drop->links, oid, &link, err);
	if (found <= 0)
		return found;
	int has_pool = drop->pool ? loam_txn_dentry(txn, drop->pool, oid, &in_pool, err) : 0;
	if (has_pool < 0)
		return has_pool;
	found = loam_txn_attr(txn, link.ino, &attr, err);
	if (found < 0)
		return found;
	loam_txn_delete_dentry(txn, drop->links, oid);
	drop->removed = true;
	if (!found)
		return 0;
	bool is_last = has_pool && in_pool.ino == link.ino && attr.nlink == 2;
	if (is_last) { /* both names at once: the inode goes, so its counts are not written first */
		loam_txn_delete_dentry(txn, drop->pool, oid);
		attr.nlink = 1;
	}
	loam_unlink_drop(txn, is_last ? drop->pool : drop->links, link.ino, &attr, drop->now,
			 &drop->gone);
	return 0;
}

static int pool_dir(const struct loam_tree *tree, const char *oid, uint64_t *out_ino,
		    struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	struct loam_attr attr;
	loam_tree_pool_path(tree, oid, path);
	*strrchr(path, '/') = '\0';
	int rc = loam_files_lookup(tree->volume, path, out_ino, &attr, err);
	if (rc == -LOAM_E_NOT_FOUND) {
		loam_err_clear(err);
		*out_ino = 0;
		return 0;
	}
	return rc;
}

int loam_objects_drop(const struct loam_tree *tree, const struct loam_repo *repo, const char *oid,
		      struct loam_err *err)
{
	struct drop drop = { .oid = oid, .now = loam_clock_now() };
	int rc = links_dir(tree, repo, &drop.links, err);
	if (rc <= 0)
		return rc;
	rc = pool_dir(tree, oid, &drop.pool, err);
	if (rc == 0)
		rc = loam_meta_run(tree->volume->meta, 0, drop_fn, &drop, err);
	if (rc == 0)
		loam_unlink_after(tree->volume->meta, &drop.gone);
	return rc;
}

/* ---- sweeping -------------------------------------------------------------------------------- */

/* The pool file goes unless somebody holds it now, or has touched it since the listing. */
static int sweep_fn(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct drop *drop = arg;
	struct loam_name oid = loam_name_of(drop->oid);
	struct loam_dentry in_pool;
	struct loam_attr attr;
	drop->gone = (struct loam_gone){ 0 };
	drop->removed = false;
	int found = loam_txn_dentry(txn, drop->pool, oid, &in_pool, err);
	if (found > 0)
		found = loam_txn_attr(txn, in_pool.ino, &attr, err);
	if (found <= 0)
		return found;
	if (attr.nlink != 1 || attr.ctime.tv_sec != drop->changed.tv_sec ||
	    attr.ctime.tv_nsec != drop->changed.tv_nsec)
		return 0;
	loam_txn_delete_dentry(txn, drop->pool, oid);
	loam_unlink_drop(txn, drop->pool, in_pool.ino, &attr, drop->now, &drop->gone);
	drop->removed = true;
	return 0;
}

struct sweep {
	const struct loam_tree *tree;
	int64_t before;
	uint64_t removed;
};

static int sweep_file(struct sweep *sweep, uint64_t pool, const struct loam_dir_entry *entry,
		      struct loam_err *err)
{
	if (!entry->has_attr || entry->attr.type != LOAM_TYPE_FILE || entry->attr.nlink != 1 ||
	    entry->attr.ctime.tv_sec >= sweep->before)
		return 0;
	loam_auto_free char *oid = loam_xstrndup(entry->name.data, entry->name.bytes);
	struct drop drop = {
		.pool = pool, .oid = oid, .now = loam_clock_now(), .changed = entry->attr.ctime
	};
	int rc = loam_meta_run(sweep->tree->volume->meta, 0, sweep_fn, &drop, err);
	if (rc == 0) {
		loam_unlink_after(sweep->tree->volume->meta, &drop.gone);
		sweep->removed += drop.removed;
	}
	return rc;
}

/* depth 0: objects, 1: aa, 2: bb. */
static int sweep_dir(struct sweep *sweep, uint64_t ino, unsigned depth, struct loam_err *err)
{
	struct loam_dir *dir = NULL;
	int rc = loam_meta_opendir(sweep->tree->volume->meta, ino, depth == 2, &dir, err);
	if (rc == -LOAM_E_NOT_FOUND) {
		loam_err_clear(err);
		return 0;
	}
	for (size_t i = 0; rc == 0 && i < loam_dir_count(dir); i++) {
		const struct loam_dir_entry *entry = loam_dir_at(dir, i);
		if (depth == 2)
			rc = sweep_file(sweep, ino, entry, err);
		else if (entry->dentry.type == LOAM_TYPE_DIR)
			rc = sweep_dir(sweep, entry->dentry.ino, depth + 1, err);
	}
	loam_dir_close(dir);
	return rc;
}

int loam_objects_sweep(const struct loam_tree *tree, int64_t before, uint64_t *out_removed,
		       struct loam_err *err)
{
	struct sweep sweep = { .tree = tree, .before = before };
	char path[LOAM_PATH_BYTES_MAX];
	struct loam_attr attr;
	uint64_t ino;
	loam_tree_state_path(tree, "lfs/objects", path);
	int rc = loam_files_lookup(tree->volume, path, &ino, &attr, err);
	if (rc == 0)
		rc = sweep_dir(&sweep, ino, 0, err);
	*out_removed = sweep.removed;
	return rc < 0 ? loam_context(err, "sweep the pool") : 0;
}
