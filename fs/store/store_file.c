/*
 * Blocks as files below a directory, in the layout of the JuiceFS `file` driver (step 4 of a push).
 *
 * A block is written as `.jfs.<name, at most 200 bytes>.tmp.<number>` in its directory and renamed,
 * so it is there whole or not at all; parents are made on the way. put begins the write-out and
 * does not wait for it; sync() makes many blocks durable together: write-out is started for what is
 * left of all of them first, so that one journal commit serves them all, then each file is
 * fdatasync'ed, then each directory that names one of them. Parents are synced once per process and
 * directory (`durable`), unless this process made the directory later. A failed sync is final: the
 * file is removed, so that the next put writes it anew.
 *
 * Whole blocks are written past the page cache (O_DIRECT) where the file system can: they are to be
 * durable at once and are not read here soon, and the copy into fresh pages would cost more than
 * the disk does. They are read so too into memory that lies right for it, which is that of the
 * units from which the node cache is filled: what stands there need not stand in memory twice.
 *
 * Every path is walked from root_fd with O_NOFOLLOW: a symlink below the root is an error.
 * What root makes here (a mount, an administrator's command) belongs to the owner of the root
 * directory, so that a server without privileges reads and extends it.
 * Locks: `lock` guards the set `durable` only; no call on the disk is made under it.
 */
#include "core/auto.h"
#include "core/hash.h"
#include "core/limits.h"
#include "core/sys.h"
#include "fs/store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <uthash.h>

#define KEY_BYTES_MAX	  1024
#define TEMP_NAME_BYTES	  256
#define TEMP_BASE_BYTES	  200
#define TEMP_TRIES	  8
#define COMPARE_BYTES	  65536
#define LIST_DEPTH_MAX	  16
#define DURABLE_DIRS_MAX  65536
#define SYNC_TOGETHER_MAX 64 /* descriptors held by one round of sync */
#define DIR_FLAGS	  (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct durable_dir {
	UT_hash_handle hh;
	char *path;
};

struct store_file {
	struct loam_store base;
	int root_fd;
	bool gives; /* we are root and the directory of blocks is another's: */
	uid_t uid;
	gid_t gid;
	pthread_mutex_t lock;
	struct durable_dir *durable; /* directories whose whole chain of parents is synced */
};

static const struct loam_store_ops file_ops;

static struct store_file *store_file(struct loam_store *store)
{
	loam_assert(store->ops == &file_ops);
	return (struct store_file *)store;
}

/* ---- directories that are known to be durable ---- */

static bool is_durable(struct store_file *file, const char *dir)
{
	loam_guard(&file->lock);
	struct durable_dir *found;
	HASH_FIND_STR(file->durable, dir, found);
	return found != NULL;
}

static void forget_all(struct store_file *file)
{
	struct durable_dir *dir, *next;
	HASH_ITER (hh, file->durable, dir, next) {
		HASH_DEL(file->durable, dir);
		free(dir->path);
		free(dir);
	}
}

static void remember_durable(struct store_file *file, const char *path)
{
	loam_guard(&file->lock);
	struct durable_dir *dir;
	HASH_FIND_STR(file->durable, path, dir);
	if (dir)
		return;
	if (HASH_COUNT(file->durable) >= DURABLE_DIRS_MAX)
		forget_all(file);
	dir = loam_xnew(struct durable_dir);
	dir->path = loam_xstrdup(path);
	HASH_ADD_KEYPTR(hh, file->durable, dir->path, strlen(dir->path), dir);
}

/* Something on a path was made anew: whoever relied on it must sync it again. */
static void forget_durable(struct store_file *file)
{
	loam_guard(&file->lock);
	forget_all(file);
}

/* ---- paths ---- */

static int check_key(const char *key, struct loam_err *err)
{
	size_t bytes = strlen(key);
	bool valid = bytes > 0 && bytes < KEY_BYTES_MAX && key[0] != '/' && key[bytes - 1] != '/';
	for (const char *part = key; valid && part; part = strchr(part, '/')) {
		part += *part == '/';
		size_t length = strcspn(part, "/");
		if (length == 0 || length > 255 || (length == 1 && part[0] == '.') ||
		    (length == 2 && part[0] == '.' && part[1] == '.'))
			valid = false;
	}
	return valid ? 0 : loam_fail(err, LOAM_E_INVALID, "'%.200s' is no key of a block", key);
}

/* The directory part of key ("" at the root) into dir; returns the last name. */
static const char *split_key(const char *key, char dir[KEY_BYTES_MAX])
{
	const char *slash = strrchr(key, '/');
	size_t bytes = slash ? (size_t)(slash - key) : 0;
	memcpy(dir, key, bytes);
	dir[bytes] = '\0';
	return slash ? slash + 1 : key;
}

/* A directory or a file that this process has just made. */
static int give(const struct store_file *file, int fd, struct loam_err *err)
{
	if (file->gives && fchown(fd, file->uid, file->gid) < 0)
		return loam_fail_errno(err, "give a block to uid %u", file->uid);
	return 0;
}

static int give_dir(const struct store_file *file, int parent_fd, const char *name,
		    struct loam_err *err)
{
	if (!file->gives)
		return 0;
	loam_auto_fd int fd = openat(parent_fd, name, DIR_FLAGS);
	return fd < 0 ? loam_fail_errno(err, "open directory %s", name) : give(file, fd, err);
}

/* One step of a walk. 1 there, 0 missing. */
static int open_step(struct store_file *file, int parent_fd, const char *name, bool make,
		     int *out_fd, struct loam_err *err)
{
	for (int tries = 0; tries < TEMP_TRIES; tries++) {
		*out_fd = openat(parent_fd, name, DIR_FLAGS);
		if (*out_fd >= 0)
			return 1;
		if (errno != ENOENT)
			return loam_fail_errno(err, "open directory %s", name);
		if (!make)
			return 0;
		if (mkdirat(parent_fd, name, 0777) < 0) {
			if (errno != EEXIST)
				return loam_fail_errno(err, "make directory %s", name);
			continue;
		}
		forget_durable(file);
		int rc = give_dir(file, parent_fd, name, err);
		if (rc < 0)
			return rc;
	}
	return loam_fail(err, LOAM_E_AGAIN, "directory %s comes and goes", name);
}

/* Opens the directory dir below the root. 1 with *out_fd, 0 missing (never with make). */
static int open_dir(struct store_file *file, const char *dir, bool make, int *out_fd,
		    struct loam_err *err)
{
	char path[KEY_BYTES_MAX];
	snprintf(path, sizeof(path), "%s", dir);
	loam_auto_fd int fd = openat(file->root_fd, ".", DIR_FLAGS);
	if (fd < 0)
		return loam_fail_errno(err, "open the directory of blocks");

	char *rest = *path ? path : NULL;
	while (rest) {
		const char *name = strsep(&rest, "/");
		int next = -1;
		int rc = open_step(file, fd, name, make, &next, err);
		if (rc <= 0)
			return rc;
		close(fd);
		fd = next;
	}
	*out_fd = loam_steal_fd(&fd);
	return 1;
}

/* 1 with the directory of key open and its last name; 0 when a directory is missing. */
static int open_parent(struct store_file *file, const char *key, bool make, int *out_fd,
		       const char **out_base, struct loam_err *err)
{
	int rc = check_key(key, err);
	if (rc < 0)
		return rc;
	char dir[KEY_BYTES_MAX];
	*out_base = split_key(key, dir);
	return open_dir(file, dir, make, out_fd, err);
}

/* 1 with the block open for reading, 0 missing. */
static int open_block(struct store_file *file, const char *key, int *out_fd, struct loam_err *err)
{
	loam_auto_fd int dir_fd = -1;
	const char *base;
	int rc = open_parent(file, key, false, &dir_fd, &base, err);
	if (rc <= 0)
		return rc;
	int fd = openat(dir_fd, base, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return loam_fail_errno(err, "open block %s", key);
	*out_fd = fd;
	return 1;
}

static int open_present(struct store_file *file, const char *key, int *out_fd, struct loam_err *err)
{
	int found = open_block(file, key, out_fd, err);
	return found == 0 ? loam_fail(err, LOAM_E_NOT_FOUND, "no block %s", key) : found;
}

/* ---- writing ---- */

static int open_temp(int dir_fd, const char *base, char name[TEMP_NAME_BYTES], struct loam_err *err)
{
	for (int tries = 0; tries < TEMP_TRIES; tries++) {
		snprintf(name, TEMP_NAME_BYTES, ".jfs.%.*s.tmp.%llu", TEMP_BASE_BYTES, base,
			 (unsigned long long)loam_random_below(1ull << 31));
		int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
				0666);
		if (fd >= 0)
			return fd;
		if (errno != EEXIST)
			break;
	}
	return loam_fail_errno(err, "make a file for block %s", base);
}

/* Where the file system cannot do it, fcntl says so; a direct write that is refused all the same,
 * or went on at an odd place, is done again through the page cache. */
static int write_whole(int fd, const void *data, size_t data_bytes, struct loam_err *err)
{
	bool direct =
		loam_sys_may_go_direct(data, data_bytes, 0) && fcntl(fd, F_SETFL, O_DIRECT) == 0;
	int rc = loam_sys_pwrite_all(fd, data, data_bytes, 0, err);
	if (rc != -LOAM_E_INVALID || !direct || fcntl(fd, F_SETFL, 0) < 0)
		return rc;
	loam_err_clear(err);
	return loam_sys_pwrite_all(fd, data, data_bytes, 0, err);
}

static int write_temp(int fd, const void *data, size_t data_bytes, struct loam_err *err)
{
	int rc = write_whole(fd, data, data_bytes, err);
	if (rc == 0) /* a hint: the disk works while more blocks come, sync then waits less */
		sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	/* close tells of a full disk on some file systems */
	if (close(fd) < 0 && rc == 0)
		rc = loam_fail_errno(err, "close");
	return rc;
}

/* 1 the block is there with these bytes, 0 it is not, or has another length (a torn write). */
static int is_put(int dir_fd, const char *base, const char *key, const void *data,
		  size_t data_bytes, struct loam_err *err)
{
	struct stat st;
	loam_auto_fd int fd = openat(dir_fd, base, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ELOOP)) /* what is no file is replaced */
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return loam_fail_errno(err, "look at block %s", key);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != data_bytes)
		return 0;
	for (size_t at = 0; at < data_bytes;) {
		uint8_t present[COMPARE_BYTES];
		size_t left = data_bytes - at;
		size_t step = left < sizeof(present) ? left : sizeof(present);
		int rc = loam_sys_pread_all(fd, present, step, at, err);
		if (rc < 0)
			return loam_context(err, "block %s", key);
		if (memcmp(present, (const uint8_t *)data + at, step) != 0)
			return loam_store_has_others(key, err);
		at += step;
	}
	return 1;
}

static int file_put(struct loam_store *store, const char *key, const void *data, size_t data_bytes,
		    struct loam_err *err)
{
	struct store_file *file = store_file(store);
	loam_auto_fd int dir_fd = -1;
	const char *base;
	int rc = open_parent(file, key, true, &dir_fd, &base, err);
	if (rc == 1)
		rc = is_put(dir_fd, base, key, data, data_bytes, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;

	char temp[TEMP_NAME_BYTES];
	int fd = open_temp(dir_fd, base, temp, err);
	if (fd < 0)
		return fd;
	rc = give(file, fd, err);
	if (rc < 0)
		close(fd);
	else
		rc = write_temp(fd, data, data_bytes, err);
	if (rc == 0)
		rc = loam_sys_renameat(dir_fd, temp, dir_fd, base, err);
	if (rc < 0) {
		unlinkat(dir_fd, temp, 0);
		return loam_context(err, "store block %s", key);
	}
	return 0;
}

static int file_remove(struct loam_store *store, const char *key, struct loam_err *err)
{
	loam_auto_fd int dir_fd = -1;
	const char *base;
	int rc = open_parent(store_file(store), key, false, &dir_fd, &base, err);
	if (rc <= 0)
		return rc;
	if (unlinkat(dir_fd, base, 0) < 0 && errno != ENOENT)
		return loam_fail_errno(err, "remove block %s", key);
	return 0;
}

/* ---- making durable ---- */

/* Files of one round: write-out begins for all, then each is waited for. */
static int sync_files(struct store_file *file, const char *const *keys, size_t count,
		      struct loam_err *err)
{
	int fds[SYNC_TOGETHER_MAX];
	size_t opened = 0;
	int rc = 0;
	while (rc == 0 && opened < count) {
		int found = open_present(file, keys[opened], &fds[opened], err);
		if (found < 0)
			rc = found;
		else
			sync_file_range(fds[opened++], 0, 0, SYNC_FILE_RANGE_WRITE); /* a hint */
	}
	for (size_t i = 0; i < opened; i++) {
		if (rc == 0 && loam_sys_fdatasync(fds[i], err) < 0)
			rc = loam_context(err, "block %s", keys[i]);
		close(fds[i]);
	}
	return rc;
}

static int sync_dir(struct store_file *file, const char *dir, struct loam_err *err)
{
	loam_auto_fd int fd = -1;
	int found = open_dir(file, dir, false, &fd, err);
	if (found < 0)
		return found;
	if (found == 0)
		return loam_fail(err, LOAM_E_NOT_FOUND, "directory of blocks %s is gone", dir);
	if (loam_sys_fsync(fd, err) < 0)
		return loam_context(err, "directory of blocks %s", dir);
	return 0;
}

/* dir itself, and its parents unless they are known to be durable. */
static int sync_chain(struct store_file *file, const char *dir, struct loam_err *err)
{
	bool known = is_durable(file, dir);
	int rc = sync_dir(file, dir, err);
	if (rc < 0 || known || !*dir)
		return rc;
	char parent[KEY_BYTES_MAX];
	split_key(dir, parent);
	rc = sync_chain(file, parent, err);
	if (rc == 0)
		remember_durable(file, dir);
	return rc;
}

static int sync_dirs(struct store_file *file, const char *const *keys, size_t count,
		     struct loam_err *err)
{
	char last[KEY_BYTES_MAX] = "";
	for (size_t i = 0; i < count; i++) {
		char dir[KEY_BYTES_MAX];
		split_key(keys[i], dir);
		if (i > 0 && strcmp(dir, last) == 0)
			continue;
		int rc = sync_chain(file, dir, err);
		if (rc < 0)
			return rc;
		snprintf(last, sizeof(last), "%s", dir);
	}
	return 0;
}

static int file_sync(struct loam_store *store, const char *const *keys, size_t key_count,
		     struct loam_err *err)
{
	struct store_file *file = store_file(store);
	int rc = 0;
	for (size_t i = 0; i < key_count && rc == 0; i++)
		rc = check_key(keys[i], err);
	for (size_t at = 0; at < key_count && rc == 0; at += SYNC_TOGETHER_MAX) {
		size_t count = key_count - at;
		rc = sync_files(file, keys + at,
				count < SYNC_TOGETHER_MAX ? count : SYNC_TOGETHER_MAX, err);
	}
	if (rc == 0)
		rc = sync_dirs(file, keys, key_count, err);
	for (size_t i = 0; i < key_count && rc < 0 && rc != -LOAM_E_INVALID; i++) {
		struct loam_err ignored = { 0 };
		file_remove(store, keys[i], &ignored);
	}
	return rc;
}

/* ---- reading ---- */

/* As write_whole: a file that ends within a page brings a direct read to an odd place, too. */
static int read_whole(int fd, void *out, size_t out_bytes, uint64_t offset, struct loam_err *err)
{
	bool direct =
		loam_sys_may_go_direct(out, out_bytes, offset) && fcntl(fd, F_SETFL, O_DIRECT) == 0;
	int rc = loam_sys_pread_all(fd, out, out_bytes, offset, err);
	if (rc != -LOAM_E_INVALID || !direct || fcntl(fd, F_SETFL, 0) < 0)
		return rc;
	loam_err_clear(err);
	return loam_sys_pread_all(fd, out, out_bytes, offset, err);
}

static int file_get(struct loam_store *store, const char *key, uint64_t offset, void *out,
		    size_t out_bytes, struct loam_err *err)
{
	loam_auto_fd int fd = -1;
	int rc = open_present(store_file(store), key, &fd, err);
	if (rc < 0)
		return rc;
	if (read_whole(fd, out, out_bytes, offset, err) < 0)
		return loam_context(err, "block %s", key);
	return 0;
}

static int file_size(struct loam_store *store, const char *key, uint64_t *out_bytes,
		     struct loam_err *err)
{
	loam_auto_fd int dir_fd = -1;
	const char *base;
	int rc = open_parent(store_file(store), key, false, &dir_fd, &base, err);
	if (rc <= 0)
		return rc;
	struct stat st;
	if (fstatat(dir_fd, base, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT)
			return 0;
		return loam_fail_errno(err, "look at block %s", key);
	}
	if (!S_ISREG(st.st_mode))
		return loam_fail(err, LOAM_E_CORRUPT, "block %s is not a regular file", key);
	*out_bytes = (uint64_t)st.st_size;
	return 1;
}

static int file_open_local(struct loam_store *store, const char *key, int *out_fd,
			   struct loam_err *err)
{
	int rc = open_present(store_file(store), key, out_fd, err);
	return rc < 0 ? rc : 0;
}

/* ---- listing ---- */

struct walk {
	const char *prefix;
	loam_store_seen_fn *seen;
	void *arg;
	char path[KEY_BYTES_MAX]; /* of the directory being read, with a slash at its end */
};

static void loam_auto_dir_(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static bool is_temp(const char *name)
{
	return strncmp(name, ".jfs.", 5) == 0 && strstr(name, ".tmp.") != NULL;
}

/* Could something below path (a directory with its slash) or path itself begin with prefix? */
static bool may_match(const char *path, const char *prefix)
{
	size_t path_bytes = strlen(path), prefix_bytes = strlen(prefix);
	return strncmp(path, prefix, path_bytes < prefix_bytes ? path_bytes : prefix_bytes) == 0;
}

static int walk_dir(struct walk *walk, int dir_fd, int depth, struct loam_err *err);

static int walk_entry(struct walk *walk, int dir_fd, const char *name, int depth,
		      struct loam_err *err)
{
	struct stat st;
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : loam_fail_errno(err, "look at %s", name);
	size_t old_bytes = strlen(walk->path), more = strlen(name);
	if (old_bytes + more + 2 > sizeof(walk->path))
		return 0; /* no key of ours is as long */
	bool is_dir = S_ISDIR(st.st_mode);
	memcpy(walk->path + old_bytes, name, more);
	memcpy(walk->path + old_bytes + more, is_dir ? "/" : "", is_dir ? 2 : 1);

	int rc = 0;
	if (is_dir && depth < LIST_DEPTH_MAX && may_match(walk->path, walk->prefix)) {
		int fd = openat(dir_fd, name, DIR_FLAGS);
		if (fd >= 0)
			rc = walk_dir(walk, fd, depth + 1, err);
		else if (errno != ENOENT)
			rc = loam_fail_errno(err, "open directory %s", walk->path);
	} else if (S_ISREG(st.st_mode) &&
		   strncmp(walk->path, walk->prefix, strlen(walk->prefix)) == 0) {
		struct loam_store_entry entry = { walk->path, (uint64_t)st.st_size, st.st_mtime };
		rc = walk->seen(walk->arg, &entry, err);
	}
	walk->path[old_bytes] = '\0';
	return rc;
}

/* Owns dir_fd. */
static int walk_dir(struct walk *walk, int dir_fd, int depth, struct loam_err *err)
{
	DIR *dir __attribute__((cleanup(loam_auto_dir_))) = fdopendir(dir_fd);
	if (!dir) {
		int rc = loam_fail_errno(err, "read directory %s", walk->path);
		close(dir_fd);
		return rc;
	}
	for (;;) {
		errno = 0;
		struct dirent *entry = readdir(dir);
		if (!entry)
			return errno ? loam_fail_errno(err, "read directory %s", walk->path) : 0;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    is_temp(entry->d_name))
			continue;
		int rc = walk_entry(walk, dirfd(dir), entry->d_name, depth, err);
		if (rc != 0)
			return rc;
	}
}

static int file_list(struct loam_store *store, const char *prefix, loam_store_seen_fn *seen,
		     void *arg, struct loam_err *err)
{
	struct walk walk = { .prefix = prefix, .seen = seen, .arg = arg };
	int fd = -1;
	int rc = open_dir(store_file(store), "", false, &fd, err);
	return rc < 0 ? rc : walk_dir(&walk, fd, 0, err);
}

/* ---- opening ---- */

static void file_free(struct loam_store *store)
{
	struct store_file *file = store_file(store);
	forget_all(file);
	pthread_mutex_destroy(&file->lock);
	close(file->root_fd);
	free(file);
}

static const struct loam_store_ops file_ops = {
	.name = "file",
	.put = file_put,
	.sync = file_sync,
	.get = file_get,
	.size = file_size,
	.remove = file_remove,
	.list = file_list,
	.open_local = file_open_local,
	.free = file_free,
};

/* The names of the root's own chain: synced when the store is opened, whoever made them.
 * Directories that we may not open are not ours to have made. */
static int sync_root(const char *bucket, struct loam_err *err)
{
	loam_auto_free char *path = loam_xstrdup(bucket);
	for (size_t end = strlen(path) + 1; end-- > 0;) {
		if (path[end] != '/' && path[end] != '\0')
			continue;
		path[end] = '\0';
		loam_auto_fd int fd = open(end ? path : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			return 0;
		if (loam_sys_fsync(fd, err) < 0)
			return loam_context(err, "directory %s", path);
	}
	return 0;
}

int loam_store_file_open(const char *bucket, struct loam_store **out_store, struct loam_err *err)
{
	if (bucket[0] != '/')
		return loam_fail(err, LOAM_E_INVALID,
				 "the directory of blocks '%s' is not an absolute path", bucket);
	struct stat st;
	bool is_new = stat(bucket, &st) < 0;
	int rc = loam_mkdir_all(bucket, 0777, err);
	if (rc == 0 && is_new)
		rc = sync_root(bucket, err);
	if (rc < 0)
		return rc;

	loam_auto_fd int fd = open(bucket, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return loam_fail_errno(err, "open the directory of blocks %s", bucket);
	if (fstat(fd, &st) < 0)
		return loam_fail_errno(err, "look at the directory of blocks %s", bucket);
	struct store_file *file = loam_xnew(struct store_file);
	file->base.ops = &file_ops;
	file->root_fd = loam_steal_fd(&fd);
	file->gives = geteuid() == 0 && st.st_uid != 0;
	file->uid = st.st_uid;
	file->gid = st.st_gid;
	pthread_mutex_init(&file->lock, NULL);
	*out_store = &file->base;
	return 0;
}
