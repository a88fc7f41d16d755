/*
 * One file of the node cache: its blocks in and out, and when it is complete (step 9 of a push).
 *
 *   absent --fill: bytes, then record--> there --first read after opening: CRC--> checked
 *      ^---- CRC differs, punched, short ----'
 *   all checked -> fdatasync of data and map -> xattr -> fsync: complete
 *
 * A read looks at the record, reads the bytes, and looks again: an equal record (seq is random)
 * means that nobody took the block away meanwhile. The mark of a complete file names its key and
 * the mtime it had: bytes that somebody changed later make it doubtful, and it is checked again. A
 * complete file is never written but to mend a block whose checksum failed.
 *
 * Whole blocks are written past the page cache: who waits for the bytes has them from memory
 * already, a copy into fresh pages costs more than the disk does, and writers of one file through
 * the page cache wait for each other. The file was made in its final size, so that such a write
 * never moves its end. The system drops what it kept of the range; a mended block goes the ordinary
 * way, since others may have the file mapped.
 */
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/sys.h"
#include "fs/data/cache_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/xattr.h>

#define OPEN_TRIES     8
#define HOLD_TRIES     25
#define HOLD_PAUSE_MS  2
#define MARK_BYTES     160
#define CONTENT_PREFIX "content/"

/* ---- opening ---- */

void loam_cache_file_free(struct loam_cache_file *file)
{
	if (!file)
		return;
	if (file->fd >= 0)
		close(file->fd);
	if (file->map.fd >= 0)
		close(file->map.fd);
	if (file->backing_fd >= 0)
		close(file->backing_fd);
	if (file->direct_fd >= 0)
		close(file->direct_fd);
	pthread_mutex_destroy(&file->lock);
	pthread_mutex_destroy(&file->complete_lock);
	free(file->checked);
	free(file);
}
LOAM_DEFINE_AUTO(auto_file, struct loam_cache_file, loam_cache_file_free)

static int open_locked(const char *path, bool create, struct loam_err *err)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0), 0600);
	if (fd < 0)
		return loam_fail_errno(err, "open %s", path);
	while (flock(fd, LOCK_EX) < 0) {
		if (errno == EINTR)
			continue;
		int rc = loam_fail_errno(err, "lock %s", path);
		close(fd);
		return rc;
	}
	return fd;
}

/* 1: the locked file is the one of that name and has its size; 0: it is gone, look again. A file of
 * a wrong size is nothing that can be trusted. */
static int accept_file(const char *path, const char *map_path, int fd, uint64_t length,
		       struct loam_err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return loam_fail_errno(err, "stat %s", path);
	if (st.st_nlink == 0 || !S_ISREG(st.st_mode))
		return 0;
	if ((uint64_t)st.st_size == length)
		return 1;
	if (st.st_size == 0 && access(map_path, F_OK) < 0) {
		if (ftruncate(fd, (off_t)length) < 0)
			return loam_fail_errno(err, "size of %s", path);
		return 1;
	}
	/* A new file instead of mending this one: others may have it open. */
	unlink(path);
	unlink(map_path);
	return 0;
}

static int open_pair(struct loam_cache_file *file, bool create, struct loam_err *err)
{
	loam_auto_free char *path = loam_cache_path(file->cache, file->key, "");
	loam_auto_free char *map_path =
		loam_cache_path(file->cache, file->key, LOAM_CACHE_MAP_SUFFIX);
	for (int tries = 0; tries < OPEN_TRIES; tries++) {
		loam_auto_fd int fd = open_locked(path, create, err);
		if (fd == -LOAM_E_NOT_FOUND && create && tries == 0) {
			loam_err_clear(err); /* somebody removed the folders */
			int rc = loam_cache_make_dirs(file->cache, err);
			if (rc < 0)
				return rc;
			continue;
		}
		if (fd == -LOAM_E_NOT_FOUND && !create) {
			loam_err_clear(err);
			return 0;
		}
		if (fd < 0)
			return fd;
		int rc = accept_file(path, map_path, fd, file->length, err);
		if (rc == 0)
			continue;
		if (rc > 0)
			rc = loam_cache_map_open(map_path, file->key, file->length, true,
						 &file->map, err);
		if (rc < 0)
			return rc;
		flock(fd, LOCK_UN);
		file->fd = loam_steal_fd(&fd);
		return 1;
	}
	return loam_fail(err, LOAM_E_BUSY, "%s comes and goes", path);
}

static int check_key(const char *key, uint64_t length, struct loam_err *err)
{
	size_t bytes = strlen(key);
	if (bytes == 0 || bytes >= LOAM_CACHE_KEY_BYTES ||
	    strspn(key, "0123456789abcdefghijklmnopqrstuvwxyz_/") != bytes)
		return loam_fail(err, LOAM_E_INVALID, "'%s' is no key of the cache", key);
	if (length == 0 || length > (uint64_t)LOAM_CACHE_BLOCKS_MAX * LOAM_CACHE_BLOCK_BYTES)
		return loam_fail(err, LOAM_E_TOO_LARGE, "%llu bytes are not cached",
				 (unsigned long long)length);
	return 0;
}

int loam_cache_file_open(struct loam_cache *cache, const char *key, uint64_t length, bool create,
			 struct loam_cache_file **out_file, struct loam_err *err)
{
	int rc = check_key(key, length, err);
	if (rc < 0)
		return rc;
	__attribute__((cleanup(auto_file_))) struct loam_cache_file *file =
		loam_xnew(struct loam_cache_file);
	file->cache = cache;
	snprintf(file->key, sizeof(file->key), "%s", key);
	file->length = length;
	file->block_count = (length + LOAM_CACHE_BLOCK_BYTES - 1) / LOAM_CACHE_BLOCK_BYTES;
	file->fd = file->map.fd = file->backing_fd = file->direct_fd = -1;
	pthread_mutex_init(&file->lock, NULL);
	pthread_mutex_init(&file->complete_lock, NULL);
	rc = open_pair(file, create, err);
	if (rc <= 0)
		return rc;
	file->checked = calloc(file->block_count, sizeof(*file->checked));
	if (!file->checked)
		return loam_fail(err, LOAM_E_BUSY, "no memory for %llu blocks",
				 (unsigned long long)file->block_count);
	*out_file = loam_steal(&file);
	return 1;
}

/* ---- the shared flock: one descriptor, many holders ---- */

static bool try_hold(struct loam_cache_file *file)
{
	loam_guard(&file->lock);
	if (file->holders == 0 && flock(file->fd, LOCK_SH | LOCK_NB) < 0)
		return false;
	file->holders++;
	return true;
}

/* Whoever opens the file has it alone for a moment; whoever evicts it, for longer: not waited for,
 * else readers would. */
static bool hold(struct loam_cache_file *file)
{
	for (int tries = 1; !try_hold(file); tries++) {
		if (tries == HOLD_TRIES)
			return false;
		loam_clock_sleep_ms(HOLD_PAUSE_MS);
	}
	return true;
}

static void release(struct loam_cache_file *file)
{
	loam_guard(&file->lock);
	if (--file->holders == 0)
		flock(file->fd, LOCK_UN);
}

/* ---- the mark ---- */

static void mark_text(const struct loam_cache_file *file, const struct stat *st,
		      char out[MARK_BYTES])
{
	snprintf(out, MARK_BYTES, "%s %lld.%09ld", file->key, (long long)st->st_mtim.tv_sec,
		 st->st_mtim.tv_nsec);
}

/* Is the mark there, and the file as it was when it was set? */
static bool mark_is_good(struct loam_cache_file *file, struct timespec *out_mtime)
{
	struct stat st;
	char wanted[MARK_BYTES], found[MARK_BYTES];
	if (fstat(file->fd, &st) < 0 || (uint64_t)st.st_size != file->length)
		return false;
	mark_text(file, &st, wanted);
	ssize_t got = fgetxattr(file->fd, LOAM_CACHE_COMPLETE_ATTR, found, sizeof(found) - 1);
	if (got != (ssize_t)strlen(wanted) || memcmp(found, wanted, (size_t)got) != 0)
		return false;
	*out_mtime = st.st_mtim;
	return true;
}

/* What was checked counts no more. */
static void doubt(struct loam_cache_file *file)
{
	file->complete = false;
	fremovexattr(file->fd, LOAM_CACHE_COMPLETE_ATTR);
	for (uint64_t i = 0; i < file->block_count; i++)
		file->checked[i] = 0;
}

/* A complete file that nobody has touched since. */
static bool is_untouched(struct loam_cache_file *file)
{
	struct stat st;
	if (fstat(file->fd, &st) < 0)
		return false;
	loam_guard(&file->lock);
	return (uint64_t)st.st_size == file->length && st.st_mtim.tv_sec == file->mtime.tv_sec &&
	       st.st_mtim.tv_nsec == file->mtime.tv_nsec;
}

static void set_complete(struct loam_cache_file *file, struct timespec mtime)
{
	loam_guard(&file->lock);
	file->mtime = mtime;
	file->complete = true;
	file->direct_refused = true; /* what is written from now on is mended */
}

static bool still_complete(struct loam_cache_file *file)
{
	if (!file->complete)
		return false;
	if (is_untouched(file))
		return true;
	doubt(file);
	return false;
}

/* ---- blocks ---- */

static size_t block_bytes(const struct loam_cache_file *file, uint64_t index)
{
	uint64_t left = file->length - index * LOAM_CACHE_BLOCK_BYTES;
	return left < LOAM_CACHE_BLOCK_BYTES ? (size_t)left : LOAM_CACHE_BLOCK_BYTES;
}

/* The block is not what it should be: it must be fetched again. */
static void spoil(struct loam_cache_file *file, uint64_t index)
{
	struct loam_err err = { 0 };
	file->complete = false;
	fremovexattr(file->fd, LOAM_CACHE_COMPLETE_ATTR);
	file->checked[index] = 0;
	if (loam_cache_map_clear(&file->map, index, 1, &err) < 0)
		loam_cache_warn(file->cache, &err);
}

static bool has_all(struct loam_cache_file *file)
{
	uint64_t hint = file->missing_hint;
	uint64_t missing = loam_cache_map_missing(&file->map, hint, file->block_count);
	if (missing == file->block_count) {
		missing = loam_cache_map_missing(&file->map, 0, hint);
		if (missing == hint)
			return true;
	}
	file->missing_hint = missing;
	return false;
}

/* Compares the block's bytes with its record. */
static bool check_block(struct loam_cache_file *file, uint64_t index,
			struct loam_cache_record record)
{
	size_t bytes = block_bytes(file, index), got = 0;
	loam_auto_free uint8_t *data = malloc(bytes);
	struct loam_err err = { 0 };
	if (!data)
		return false;
	int rc = loam_sys_pread(file->fd, data, bytes, index * LOAM_CACHE_BLOCK_BYTES, &got, &err);
	bool good = rc == 0 && got == bytes && loam_crc32c(data, bytes) == record.crc;
	if (rc < 0)
		loam_cache_warn(file->cache, &err);
	struct loam_cache_record again;
	if (!loam_cache_map_get(&file->map, index, &again) || again.seq != record.seq)
		return false; /* taken away meanwhile */
	if (good)
		file->checked[index] = record.seq;
	else
		spoil(file, index);
	return good;
}

static bool read_block(struct loam_cache_file *file, uint64_t offset, void *out, size_t bytes)
{
	uint64_t index = offset / LOAM_CACHE_BLOCK_BYTES;
	bool complete = still_complete(file) && file->checked[index] != 0;
	struct loam_cache_record record = { 0 }, again;
	if (!complete) {
		if (!loam_cache_map_get(&file->map, index, &record))
			return false;
		if (file->checked[index] != record.seq && !check_block(file, index, record))
			return false;
	}
	struct loam_err err = { 0 };
	size_t got = 0;
	int rc = loam_sys_pread(file->fd, out, bytes, offset, &got, &err);
	if (rc < 0)
		loam_cache_warn(file->cache, &err);
	if (rc < 0 || got < bytes) {
		spoil(file, index);
		return false;
	}
	return loam_cache_map_get(&file->map, index, &again) &&
	       (complete ? file->checked[index] : record.seq) == again.seq;
}

int loam_cache_read(struct loam_cache_file *file, uint64_t offset, void *out, size_t bytes,
		    struct loam_err *err)
{
	if (offset >= file->length || bytes > file->length - offset ||
	    offset % LOAM_CACHE_BLOCK_BYTES + bytes > LOAM_CACHE_BLOCK_BYTES)
		return loam_fail(err, LOAM_E_INVALID, "%zu bytes at %llu are not in one block",
				 bytes, (unsigned long long)offset);
	bool hit = read_block(file, offset, out, bytes);
	atomic_fetch_add(hit ? &file->cache->hits : &file->cache->misses, 1);
	return hit;
}

bool loam_cache_has(struct loam_cache_file *file, uint64_t block_index)
{
	struct loam_cache_record record;
	return block_index < file->block_count &&
	       loam_cache_map_get(&file->map, block_index, &record);
}

static struct loam_cache_record new_record(const void *data, size_t bytes)
{
	struct loam_cache_record record = { .crc = loam_crc32c(data, bytes) };
	while (record.seq == 0)
		loam_random(&record.seq, sizeof(record.seq));
	return record;
}

/* The descriptor past the page cache, or -1. A directory of many nodes is not asked for one. */
static int direct_fd(struct loam_cache_file *file)
{
	loam_guard(&file->lock);
	struct loam_err err = { 0 };
	if (file->direct_fd < 0 && !file->direct_refused && !file->cache->no_marks)
		file->direct_refused =
			loam_sys_reopen(file->fd, O_WRONLY | O_DIRECT, &file->direct_fd, &err) < 0;
	return file->direct_refused ? -1 : file->direct_fd;
}

static void refuse_direct(struct loam_cache_file *file)
{
	loam_guard(&file->lock);
	file->direct_refused = true;
}

static int write_bytes(struct loam_cache_file *file, const void *data, size_t bytes,
		       uint64_t offset, struct loam_err *err)
{
	int fd = loam_sys_may_go_direct(data, bytes, offset) ? direct_fd(file) : -1;
	if (fd >= 0) {
		int rc = loam_sys_pwrite_all(fd, data, bytes, offset, err);
		if (rc != -LOAM_E_INVALID)
			return rc;
		loam_err_clear(err);
		refuse_direct(file);
	}
	return loam_sys_pwrite_all(file->fd, data, bytes, offset, err);
}

static int store_block(struct loam_cache_file *file, uint64_t index, const void *data, size_t bytes,
		       struct loam_err *err)
{
	int rc = loam_failpoint("cache.fill", err);
	if (rc == 0)
		rc = write_bytes(file, data, bytes, index * LOAM_CACHE_BLOCK_BYTES, err);
	if (rc < 0)
		return rc;
	struct loam_cache_record record = new_record(data, bytes);
	file->checked[index] = record.seq;
	return loam_cache_map_set(&file->map, index, record, err);
}

static int write_block(struct loam_cache_file *file, uint64_t index, const void *data, size_t bytes,
		       struct loam_err *err)
{
	if (loam_cache_has(file, index))
		return 0;
	int rc = loam_cache_room(file->cache, file->fd, bytes, err);
	if (rc < 0)
		return rc;
	atomic_fetch_add(&file->cache->added_bytes, bytes);
	atomic_fetch_add(&file->cache->used_bytes, bytes);
	rc = store_block(file, index, data, bytes, err);
	if (rc < 0)
		loam_cache_uncount(file->cache, bytes);
	return rc;
}

int loam_cache_fill(struct loam_cache_file *file, uint64_t block_index, const void *data,
		    size_t bytes, struct loam_err *err)
{
	if (block_index >= file->block_count || bytes != block_bytes(file, block_index))
		return loam_fail(err, LOAM_E_INVALID, "%zu bytes are not block %llu", bytes,
				 (unsigned long long)block_index);
	int rc = loam_cache_keep_seen(file->cache, err);
	if (rc < 0)
		return rc;
	if (!hold(file))
		return loam_fail(err, LOAM_E_AGAIN, "blocks are being taken away");
	rc = write_block(file, block_index, data, bytes, err);
	release(file);
	if (rc < 0) {
		loam_cache_warn(file->cache, err);
		if (rc == -LOAM_E_NO_SPACE)
			loam_cache_ask_evict(file->cache);
		return rc;
	}
	if (loam_cache_is_tight(file->cache))
		loam_cache_ask_evict(file->cache);
	loam_cache_is_complete(file); /* the last one makes it so, in the background */
	return 0;
}

/* ---- complete ---- */

/* 1: every block is there and was checked by this process; 0: not so. */
static int check_all(struct loam_cache_file *file)
{
	for (uint64_t i = 0; i < file->block_count; i++) {
		struct loam_cache_record record;
		if (file->cache->ending || !loam_cache_map_get(&file->map, i, &record))
			return 0;
		if (file->checked[i] != record.seq && !check_block(file, i, record))
			return 0;
	}
	return 1;
}

/* While the file is held: nobody takes blocks away. */
static int mark_complete(struct loam_cache_file *file, struct loam_err *err)
{
	if (!check_all(file))
		return 0;
	struct stat st;
	char text[MARK_BYTES];
	if (fstat(file->fd, &st) < 0)
		return loam_fail_errno(err, "stat of %s", file->key);
	if ((uint64_t)st.st_size != file->length)
		return 0;
	int rc = loam_sys_fdatasync(file->fd, err);
	if (rc == 0)
		rc = loam_sys_fdatasync(file->map.fd, err);
	if (rc == 0)
		rc = loam_failpoint("cache.mark", err);
	if (rc < 0)
		return rc;
	mark_text(file, &st, text);
	if (fsetxattr(file->fd, LOAM_CACHE_COMPLETE_ATTR, text, strlen(text), 0) < 0)
		return loam_fail_errno(err, "mark %s as complete", file->key);
	rc = loam_sys_fsync(file->fd, err);
	if (rc < 0)
		return rc;
	set_complete(file, st.st_mtim);
	return still_complete(file);
}

int loam_cache_complete(struct loam_cache_file *file, struct loam_err *err)
{
	loam_guard(&file->complete_lock);
	if (still_complete(file))
		return 1;
	if (!has_all(file) || !check_all(file))
		return 0;
	if (!hold(file))
		return 0;
	int rc = mark_complete(file, err);
	release(file);
	if (rc == -LOAM_E_UNSUPPORTED)
		file->cache->no_marks = true;
	if (rc < 0) {
		loam_cache_warn(file->cache, err);
		/* After a failed sync nobody knows what the disk holds. */
		if (rc == -LOAM_E_IO)
			loam_cache_drop(file->cache, file->key);
	}
	return rc;
}

static bool is_content(const struct loam_cache_file *file)
{
	return strncmp(file->key, CONTENT_PREFIX, strlen(CONTENT_PREFIX)) == 0;
}

/* Slices get no mark, nobody hands them out: complete is what this process has checked. */
static bool settle_slice(struct loam_cache_file *file)
{
	for (uint64_t i = 0; i < file->block_count; i++) {
		if (file->checked[i] == 0)
			return false;
	}
	struct stat st;
	if (fstat(file->fd, &st) < 0)
		return false;
	set_complete(file, st.st_mtim);
	return still_complete(file);
}

bool loam_cache_is_complete(struct loam_cache_file *file)
{
	if (still_complete(file))
		return true;
	if (!has_all(file))
		return false;
	if (!is_content(file))
		return settle_slice(file);
	struct timespec mtime;
	if (mark_is_good(file, &mtime)) {
		set_complete(file, mtime);
		return still_complete(file);
	}
	if (!file->cache->no_marks)
		loam_cache_ask_check(file);
	return false;
}

/* ---- passthrough ---- */

static int mark_handed(struct loam_cache_file *file, struct loam_err *err)
{
	const char *boot_id = file->cache->boot_id;
	if (fsetxattr(file->fd, LOAM_CACHE_HANDED_ATTR, boot_id, strlen(boot_id), 0) < 0)
		return loam_fail_errno(err, "mark %s as handed out", file->key);
	return 0;
}

static int open_backing(struct loam_cache_file *file, struct loam_err *err)
{
	loam_guard(&file->lock);
	return file->backing_fd < 0 ? loam_sys_reopen(file->fd, O_RDONLY, &file->backing_fd, err)
				    : 0;
}

int loam_cache_backing_fd(struct loam_cache_file *file, int *out_fd, struct loam_err *err)
{
	if (file->cache->no_marks || !file->cache->boot_id[0])
		return loam_fail(err, LOAM_E_UNSUPPORTED, "the cache's disk keeps no marks");
	if (!loam_cache_is_complete(file))
		return loam_fail(err, LOAM_E_AGAIN, "%s is not complete", file->key);
	if (!hold(file))
		return loam_fail(err, LOAM_E_AGAIN, "blocks are being taken away");
	struct timespec mtime;
	int rc = mark_handed(file, err);
	/* Once more, now that no block can go. */
	if (rc == 0 && !(has_all(file) && mark_is_good(file, &mtime)))
		rc = loam_fail(err, LOAM_E_AGAIN, "%s is not complete", file->key);
	if (rc == 0)
		rc = open_backing(file, err);
	release(file);
	if (rc == 0)
		*out_fd = file->backing_fd;
	return rc;
}
