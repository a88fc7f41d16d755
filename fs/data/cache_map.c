/*
 * The map beside a file of the node cache (step 9 of a push): which 4 MiB blocks are there, and the
 * checksum of each.
 *
 *   header   0 "LOAMCMAP"   8 version   12 bytes of a block   16 length (u64)   24 blocks (u64)
 *           32 key, filled up with NUL (80 bytes)             252 CRC-32C of bytes 0 to 251
 *   record 256 + 16 * index: CRC-32C of the block, seq, check, ~check
 *
 * All numbers are big-endian, u32 where nothing else is said. seq is random for each filling; check
 * is a CRC-32C over the header's, the index, the block's CRC and seq. A record is there when its
 * check agrees: a torn one, one of another file or another place, and zeros are "not there".
 *
 * The map is read and written in place, never mapped: a map that somebody cuts short would kill a
 * process that has it mapped. Through the page cache two processes see each other's records.
 */
#include "core/endian.h"
#include "core/sys.h"
#include "fs/data/cache_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define MAGIC	     "LOAMCMAP"
#define VERSION	     1u
#define HEADER_BYTES 256u
#define RECORD_BYTES 16u
#define SCAN_RECORDS 4096u

static void make_header(const char *key, uint64_t length, uint64_t block_count,
			uint8_t out[HEADER_BYTES])
{
	memset(out, 0, HEADER_BYTES);
	memcpy(out, MAGIC, 8);
	loam_be32_put(out + 8, VERSION);
	loam_be32_put(out + 12, LOAM_CACHE_BLOCK_BYTES);
	loam_be64_put(out + 16, length);
	loam_be64_put(out + 24, block_count);
	memcpy(out + 32, key, strnlen(key, LOAM_CACHE_KEY_BYTES - 1));
	loam_be32_put(out + 252, loam_crc32c(out, 252));
}

static int begin_anew(int fd, const uint8_t header[HEADER_BYTES], uint64_t file_bytes,
		      struct loam_err *err)
{
	if (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)file_bytes) < 0)
		return loam_fail_errno(err, "size of a map");
	return loam_sys_pwrite_all(fd, header, HEADER_BYTES, 0, err);
}

int loam_cache_map_open(const char *path, const char *key, uint64_t length, bool create,
			struct loam_cache_map *out_map, struct loam_err *err)
{
	loam_auto_fd int fd =
		open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0), 0600);
	if (fd < 0)
		return loam_fail_errno(err, "open %s", path);
	uint64_t block_count = (length + LOAM_CACHE_BLOCK_BYTES - 1) / LOAM_CACHE_BLOCK_BYTES;
	uint64_t file_bytes = HEADER_BYTES + RECORD_BYTES * block_count;
	uint8_t wanted[HEADER_BYTES], found[HEADER_BYTES];
	make_header(key, length, block_count, wanted);

	struct stat st;
	size_t got = 0;
	int rc = loam_sys_pread(fd, found, HEADER_BYTES, 0, &got, err);
	if (rc < 0)
		return rc;
	if (fstat(fd, &st) < 0)
		return loam_fail_errno(err, "stat %s", path);
	if ((uint64_t)st.st_size != file_bytes || memcmp(found, wanted, HEADER_BYTES) != 0) {
		rc = begin_anew(fd, wanted, file_bytes, err);
		if (rc < 0)
			return rc;
	}
	out_map->salt = loam_be32_get(wanted + 252);
	out_map->block_count = block_count;
	out_map->fd = loam_steal_fd(&fd);
	return 0;
}

static void encode(const struct loam_cache_map *map, uint64_t index,
		   struct loam_cache_record record, uint8_t out[RECORD_BYTES])
{
	uint8_t covered[20];
	loam_be32_put(covered, map->salt);
	loam_be64_put(covered + 4, index);
	loam_be32_put(covered + 12, record.crc);
	loam_be32_put(covered + 16, record.seq);
	uint32_t check = loam_crc32c(covered, sizeof(covered));
	loam_be32_put(out, record.crc);
	loam_be32_put(out + 4, record.seq);
	loam_be32_put(out + 8, check);
	loam_be32_put(out + 12, ~check);
}

static bool decode(const struct loam_cache_map *map, uint64_t index,
		   const uint8_t data[RECORD_BYTES], struct loam_cache_record *out)
{
	uint8_t again[RECORD_BYTES];
	out->crc = loam_be32_get(data);
	out->seq = loam_be32_get(data + 4);
	encode(map, index, *out, again);
	return out->seq != 0 && memcmp(again, data, RECORD_BYTES) == 0;
}

int loam_cache_map_get(const struct loam_cache_map *map, uint64_t index,
		       struct loam_cache_record *out)
{
	uint8_t data[RECORD_BYTES];
	size_t got = 0;
	struct loam_err err = { 0 };
	int rc = loam_sys_pread(map->fd, data, sizeof(data), HEADER_BYTES + RECORD_BYTES * index,
				&got, &err);
	return rc == 0 && got == sizeof(data) && decode(map, index, data, out);
}

int loam_cache_map_set(const struct loam_cache_map *map, uint64_t index,
		       struct loam_cache_record record, struct loam_err *err)
{
	uint8_t data[RECORD_BYTES];
	loam_assert(index < map->block_count && record.seq != 0);
	encode(map, index, record, data);
	return loam_sys_pwrite_all(map->fd, data, sizeof(data), HEADER_BYTES + RECORD_BYTES * index,
				   err);
}

int loam_cache_map_clear(const struct loam_cache_map *map, uint64_t first, uint64_t count,
			 struct loam_err *err)
{
	static const uint8_t zeros[RECORD_BYTES * SCAN_RECORDS];
	while (count > 0) {
		uint64_t step = count < SCAN_RECORDS ? count : SCAN_RECORDS;
		int rc = loam_sys_pwrite_all(map->fd, zeros, RECORD_BYTES * step,
					     HEADER_BYTES + RECORD_BYTES * first, err);
		if (rc < 0)
			return rc;
		first += step;
		count -= step;
	}
	return 0;
}

uint64_t loam_cache_map_missing(const struct loam_cache_map *map, uint64_t from, uint64_t to)
{
	struct loam_cache_record record;
	/* Mostly asked again for the one that was missing before. */
	if (from < to && !loam_cache_map_get(map, from, &record))
		return from;
	loam_auto_free uint8_t *data = loam_xcalloc(SCAN_RECORDS, RECORD_BYTES);
	struct loam_err err = { 0 };
	for (uint64_t first = from; first < to; first += SCAN_RECORDS) {
		size_t count = to - first < SCAN_RECORDS ? (size_t)(to - first) : SCAN_RECORDS;
		size_t got = 0;
		int rc = loam_sys_pread(map->fd, data, count * RECORD_BYTES,
					HEADER_BYTES + RECORD_BYTES * first, &got, &err);
		if (rc < 0 || got < count * RECORD_BYTES)
			return first;
		for (size_t i = 0; i < count; i++) {
			if (!decode(map, first + i, data + i * RECORD_BYTES, &record))
				return first + i;
		}
	}
	return to;
}
