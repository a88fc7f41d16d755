/*
 * Open counts and sustained inodes (readers of a file that a publish or a user has removed).
 *
 * An entry exists while an inode is open here. `sustained` is set after the commit that took the
 * last name; whoever brings the count to 0 then deletes the inode. When the last close came between
 * the decision and the commit, the unlink itself deletes it, so nothing waits for the session's
 * end.
 */
#include "fs/meta/open_files.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/log.h"
#include "fs/meta/meta_internal.h"

#include <inttypes.h>
#include <uthash.h>

struct loam_open_file {
	uint64_t ino;
	uint64_t count;
	bool sustained;
	UT_hash_handle hh;
};

void loam_open_files_init(struct loam_open_files *files)
{
	pthread_mutex_init(&files->lock, NULL);
}

void loam_open_files_release(struct loam_open_files *files)
{
	struct loam_open_file *file, *next;
	HASH_ITER (hh, files->table, file, next) {
		HASH_DEL(files->table, file);
		free(file);
	}
	pthread_mutex_destroy(&files->lock);
}

static struct loam_open_file *find(struct loam_open_files *files, uint64_t ino)
{
	struct loam_open_file *file = NULL;
	HASH_FIND(hh, files->table, &ino, sizeof(ino), file);
	return file;
}

bool loam_open_files_has(struct loam_meta *meta, uint64_t ino)
{
	if (meta->session.sid == 0)
		return false;

	loam_guard(&meta->open_files.lock);
	return find(&meta->open_files, ino) != NULL;
}

void loam_meta_opened(struct loam_meta *meta, uint64_t ino)
{
	struct loam_open_files *files = &meta->open_files;
	loam_guard(&files->lock);
	struct loam_open_file *file = find(files, ino);
	if (!file) {
		file = loam_xnew(struct loam_open_file);
		file->ino = ino;
		HASH_ADD(hh, files->table, ino, sizeof(file->ino), file);
	}
	file->count++;
}

static void delete_now(struct loam_meta *meta, uint64_t ino)
{
	struct loam_err err = { 0 };
	if (loam_open_files_delete(meta, meta->session.sid, ino, &err) < 0)
		loam_warn("meta.sustained", "inode=%" PRIu64 " error=%s", ino, err.text);
}

void loam_meta_released(struct loam_meta *meta, uint64_t ino)
{
	struct loam_open_files *files = &meta->open_files;
	pthread_mutex_lock(&files->lock);
	struct loam_open_file *file = find(files, ino);
	loam_assert(file && file->count > 0);
	bool gone = --file->count == 0;
	bool sustained = file->sustained;
	if (gone) {
		HASH_DEL(files->table, file);
		free(file);
	}
	pthread_mutex_unlock(&files->lock);

	if (gone && sustained)
		delete_now(meta, ino);
}

void loam_open_files_sustained(struct loam_meta *meta, uint64_t ino)
{
	pthread_mutex_lock(&meta->open_files.lock);
	struct loam_open_file *file = find(&meta->open_files, ino);
	if (file)
		file->sustained = true;
	pthread_mutex_unlock(&meta->open_files.lock);

	if (!file)
		delete_now(meta, ino);
}

struct delete
{
	uint64_t sid, ino;
	struct loam_gone gone;
};

static int delete_fn(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct delete *delete = arg;
	struct loam_record sustained = loam_rec(LOAM_REC_SUSTAINED, delete->sid, delete->ino);
	struct loam_attr attr;
	delete->gone = (struct loam_gone){ 0 };
	int found = loam_txn_attr(txn, delete->ino, &attr, err);
	if (found < 0)
		return found;

	loam_txn_delete(txn, &sustained);
	if (found && attr.nlink == 0)
		loam_unlink_delete_file(txn, delete->ino, &attr, &delete->gone);
	return 0;
}

int loam_open_files_delete(struct loam_meta *meta, uint64_t sid, uint64_t ino, struct loam_err *err)
{
	struct delete delete = { .sid = sid, .ino = ino };
	int rc = loam_meta_run(meta, LOAM_TXN_GUESS | LOAM_TXN_UPKEEP, delete_fn, &delete, err);
	if (rc < 0)
		return rc;

	loam_unlink_after(meta, &delete.gone);
	return 0;
}
