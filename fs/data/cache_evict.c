/*
 * Room in the node cache (step 9 of a push).
 *
 * What is used is counted on the disk itself (blocks of the files there), so that two processes of
 * a node and an earlier run are counted too; between two counts what is stored is added. Over 95 %
 * of the maximum, or with less than 5 % of the disk free, the files longest unused give way until
 * 90 % and 6 % are reached.
 *
 *   handed to the kernel in this boot: whole, and only when no process and no kernel has it open:
 *     a write lease is granted exactly then. Until then its space is used and is counted as used.
 *   others: records cleared, then holes punched, under the exclusive lock of the file; a file that
 *     has no block left is removed.
 */
#include "core/clock.h"
#include "core/log.h"
#include "core/sys.h"
#include "fs/data/cache_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#define BEGIN_PERCENT	   95u
#define END_PERCENT	   90u
#define OVER_PERCENT	   105u /* nothing is stored above */
#define FREE_BEGIN_PERCENT 5u
#define FREE_END_PERCENT   6u
#define FREE_BEGIN_BLOCKS  1u
#define FREE_END_BLOCKS	   2u
#define FREE_NEVER_PERCENT 2u
#define COUNT_EVERY_MS	   300000u
#define STUCK_MS	   10000u /* all is in use: not at once again */
#define VICTIMS_MAX	   (1u << 18)
#define ORPHAN_SECONDS	   60
#define DISK_BLOCK_BYTES   512u
#define MAP_SUFFIX_BYTES   (sizeof(LOAM_CACHE_MAP_SUFFIX) - 1)

static const char *const folders[] = { "slice", "content" };

struct victim {
	char *key;
	uint64_t bytes, length;
	struct timespec used;
};

struct survey {
	struct victim *victims;
	size_t count, capacity;
	uint64_t used_bytes;
};

static uint64_t percent(uint64_t whole, unsigned share)
{
	return whole / 100 * share + whole % 100 * share / 100;
}

/* ---- what there is ---- */

static bool has_suffix(const char *name)
{
	size_t bytes = strlen(name);
	return bytes > MAP_SUFFIX_BYTES &&
	       strcmp(name + bytes - MAP_SUFFIX_BYTES, LOAM_CACHE_MAP_SUFFIX) == 0;
}

static void add_victim(struct survey *survey, const char *folder, const char *name,
		       const struct stat *st)
{
	if (survey->count == VICTIMS_MAX)
		return;
	if (survey->count == survey->capacity) {
		size_t capacity = survey->capacity ? 2 * survey->capacity : 256;
		struct victim *more = realloc(survey->victims, capacity * sizeof(*survey->victims));
		if (!more)
			return;
		survey->victims = more;
		survey->capacity = capacity;
	}
	survey->victims[survey->count++] = (struct victim){
		.key = loam_xasprintf("%s/%s", folder, name),
		.bytes = (uint64_t)st->st_blocks * DISK_BLOCK_BYTES,
		.length = (uint64_t)st->st_size,
		.used = st->st_atim,
	};
}

/* A map whose data file has gone, and not just now. */
static void remove_orphan(int dir_fd, const char *map_name, const struct stat *st)
{
	char name[NAME_MAX + 1];
	snprintf(name, sizeof(name), "%.*s", (int)(strlen(map_name) - MAP_SUFFIX_BYTES), map_name);
	if (loam_clock_now().tv_sec - st->st_mtim.tv_sec > ORPHAN_SECONDS &&
	    faccessat(dir_fd, name, F_OK, 0) < 0 && errno == ENOENT)
		unlinkat(dir_fd, map_name, 0);
}

static void survey_folder(struct loam_cache *cache, const char *folder, bool victims,
			  struct survey *survey)
{
	loam_auto_free char *path = loam_cache_path(cache, folder, "");
	DIR *dir = opendir(path);
	if (!dir)
		return;
	struct dirent *entry;
	while (!cache->ending && (entry = readdir(dir))) {
		struct stat st;
		if (entry->d_name[0] == '.' ||
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		survey->used_bytes += (uint64_t)st.st_blocks * DISK_BLOCK_BYTES;
		if (has_suffix(entry->d_name))
			remove_orphan(dirfd(dir), entry->d_name, &st);
		else if (victims)
			add_victim(survey, folder, entry->d_name, &st);
	}
	closedir(dir);
}

static void survey_release(struct survey *survey)
{
	for (size_t i = 0; i < survey->count; i++)
		free(survey->victims[i].key);
	free(survey->victims);
}

static int by_use(const void *a, const void *b)
{
	const struct victim *x = a, *y = b;
	if (x->used.tv_sec != y->used.tv_sec)
		return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
	return (x->used.tv_nsec > y->used.tv_nsec) - (x->used.tv_nsec < y->used.tv_nsec);
}

/* ---- how much ---- */

static uint64_t disk_free(const struct statvfs *st)
{
	return (uint64_t)st->f_bavail * st->f_frsize;
}

/* What should be free: a share of the disk, and room for some blocks above what is never used. */
static uint64_t disk_wanted(const struct statvfs *st, unsigned share, unsigned blocks)
{
	uint64_t whole = (uint64_t)st->f_blocks * st->f_frsize;
	uint64_t wanted = percent(whole, share);
	uint64_t least = percent(whole, FREE_NEVER_PERCENT) + blocks * LOAM_CACHE_BLOCK_BYTES;
	return wanted > least ? wanted : least;
}

bool loam_cache_is_tight(struct loam_cache *cache)
{
	if (cache->used_bytes > percent(cache->max_bytes, BEGIN_PERCENT))
		return true;
	struct statvfs st;
	return statvfs(cache->root, &st) == 0 &&
	       disk_free(&st) < disk_wanted(&st, FREE_BEGIN_PERCENT, FREE_BEGIN_BLOCKS);
}

int loam_cache_room(struct loam_cache *cache, int fd, uint64_t bytes, struct loam_err *err)
{
	if (cache->used_bytes + bytes > percent(cache->max_bytes, OVER_PERCENT))
		return loam_fail(err, LOAM_E_NO_SPACE, "the cache is full");
	struct statvfs st;
	if (fstatvfs(fd, &st) < 0)
		return loam_fail_errno(err, "space of the cache's disk");
	if (disk_free(&st) < disk_wanted(&st, FREE_NEVER_PERCENT, 0) + bytes)
		return loam_fail(err, LOAM_E_NO_SPACE, "the cache's disk is full");
	return 0;
}

void loam_cache_uncount(struct loam_cache *cache, uint64_t bytes)
{
	uint64_t used = cache->used_bytes;
	while (!atomic_compare_exchange_weak(&cache->used_bytes, &used,
					     used > bytes ? used - bytes : 0))
		continue;
}

/* Bytes that must go. */
static uint64_t excess(const struct loam_cache *cache, uint64_t used_bytes)
{
	uint64_t need = 0, keep = percent(cache->max_bytes, END_PERCENT);
	if (used_bytes > percent(cache->max_bytes, BEGIN_PERCENT))
		need = used_bytes - keep;
	struct statvfs st;
	if (statvfs(cache->root, &st) < 0)
		return need;
	uint64_t wanted = disk_wanted(&st, FREE_END_PERCENT, FREE_END_BLOCKS);
	uint64_t is = disk_free(&st);
	if (is < disk_wanted(&st, FREE_BEGIN_PERCENT, FREE_BEGIN_BLOCKS) && wanted - is > need)
		need = wanted - is;
	return need;
}

/* ---- one victim ---- */

static void unlink_pair(struct loam_cache *cache, const char *key)
{
	loam_auto_free char *path = loam_cache_path(cache, key, "");
	loam_auto_free char *map_path = loam_cache_path(cache, key, LOAM_CACHE_MAP_SUFFIX);
	unlink(path);
	unlink(map_path);
}

static bool is_handed(const struct loam_cache *cache, int fd)
{
	char boot_id[LOAM_CACHE_BOOT_BYTES];
	ssize_t got = fgetxattr(fd, LOAM_CACHE_HANDED_ATTR, boot_id, sizeof(boot_id));
	return got > 0 && (size_t)got == strlen(cache->boot_id) &&
	       memcmp(boot_id, cache->boot_id, (size_t)got) == 0;
}

/* Removes a file that the kernel may have, if nobody has it open. While we hold the lease an open
 * waits; its breaking is told by a signal that does nothing. */
static uint64_t evict_whole(struct loam_cache *cache, const struct victim *victim, int fd)
{
	if (fcntl(fd, F_SETSIG, SIGURG) < 0 || fcntl(fd, F_SETLEASE, F_WRLCK) < 0)
		return 0;
	unlink_pair(cache, victim->key);
	fcntl(fd, F_SETLEASE, F_UNLCK);
	return victim->bytes;
}

static uint64_t block_bytes(const struct victim *victim, uint64_t index)
{
	uint64_t left = victim->length - index * LOAM_CACHE_BLOCK_BYTES;
	return left < LOAM_CACHE_BLOCK_BYTES ? left : LOAM_CACHE_BLOCK_BYTES;
}

/* Clears records before the bytes go: who reads meanwhile finds another record. */
static uint64_t punch_blocks(const struct victim *victim, int fd, const struct loam_cache_map *map,
			     uint64_t need, uint64_t *out_left)
{
	uint64_t freed = 0;
	*out_left = 0;
	for (uint64_t i = 0; i < map->block_count; i++) {
		struct loam_cache_record record;
		struct loam_err err = { 0 };
		if (!loam_cache_map_get(map, i, &record))
			continue;
		if (freed >= need || loam_cache_map_clear(map, i, 1, &err) < 0 ||
		    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      (off_t)(i * LOAM_CACHE_BLOCK_BYTES),
			      (off_t)block_bytes(victim, i)) < 0)
			(*out_left)++;
		else
			freed += block_bytes(victim, i);
	}
	return freed;
}

static uint64_t evict_blocks(struct loam_cache *cache, const struct victim *victim, int fd,
			     uint64_t need)
{
	loam_auto_free char *map_path = loam_cache_path(cache, victim->key, LOAM_CACHE_MAP_SUFFIX);
	struct loam_cache_map map = { .fd = -1 };
	struct loam_err err = { 0 };
	if (fremovexattr(fd, LOAM_CACHE_COMPLETE_ATTR) < 0 && errno != ENODATA && errno != ENOTSUP)
		return 0;
	if (loam_cache_map_open(map_path, victim->key, victim->length, false, &map, &err) < 0) {
		unlink_pair(cache, victim->key); /* blocks that nobody can find */
		return victim->bytes;
	}
	uint64_t left;
	uint64_t freed = punch_blocks(victim, fd, &map, need, &left);
	close(map.fd);
	if (left > 0 && freed > 0)
		return freed;
	unlink_pair(cache, victim->key);
	return victim->bytes;
}

/* Bytes that were freed. */
static uint64_t evict_one(struct loam_cache *cache, const struct victim *victim, uint64_t need)
{
	loam_auto_free char *path = loam_cache_path(cache, victim->key, "");
	loam_cache_forget(cache, victim->key);
	loam_auto_fd int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0 || st.st_nlink == 0 ||
	    (uint64_t)st.st_size != victim->length)
		return 0;
	if (is_handed(cache, fd))
		return evict_whole(cache, victim, fd);
	return evict_blocks(cache, victim, fd, need);
}

/* ---- all ---- */

static void evict_bytes(struct loam_cache *cache, struct survey *survey, uint64_t need)
{
	if (survey->count > 1)
		qsort(survey->victims, survey->count, sizeof(*survey->victims), by_use);
	uint64_t freed = 0;
	for (size_t i = 0; i < survey->count && freed < need && !cache->ending; i++)
		freed += evict_one(cache, &survey->victims[i], need - freed);
	atomic_fetch_add(&cache->evicted_bytes, freed);
	cache->stuck = freed == 0;
	loam_cache_uncount(cache, freed);
	loam_debug("cache.evict", "needed=%llu freed=%llu used=%llu", (unsigned long long)need,
		   (unsigned long long)freed, (unsigned long long)cache->used_bytes);
}

void loam_cache_evict(struct loam_cache *cache)
{
	uint64_t now_ms = loam_clock_ms();
	bool tight = loam_cache_is_tight(cache);
	uint64_t pause_ms = !tight ? COUNT_EVERY_MS : cache->stuck ? STUCK_MS : 0;
	if (cache->counted_ms && now_ms - cache->counted_ms < pause_ms)
		return;
	cache->counted_ms = now_ms;
	struct survey survey = { 0 };
	uint64_t added_bytes = cache->added_bytes;
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(folders); i++)
		survey_folder(cache, folders[i], tight, &survey);
	/* What came meanwhile may be counted twice: then there is another count soon. */
	cache->used_bytes = survey.used_bytes + (cache->added_bytes - added_bytes);
	cache->stuck = false;
	uint64_t need = excess(cache, survey.used_bytes);
	if (need > 0 && tight)
		evict_bytes(cache, &survey, need);
	survey_release(&survey);
}

void loam_cache_empty(struct loam_cache *cache)
{
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(folders); i++) {
		loam_auto_free char *path = loam_cache_path(cache, folders[i], "");
		DIR *dir = opendir(path);
		if (!dir)
			continue;
		struct dirent *entry;
		while ((entry = readdir(dir)))
			unlinkat(dirfd(dir), entry->d_name, 0); /* "." and ".." refuse */
		fsync(dirfd(dir));				/* `seen` must not go before them */
		closedir(dir);
	}
	cache->used_bytes = 0;
}
