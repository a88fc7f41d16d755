/*
 * Names of blocks (step 4 of a push: bytes become objects under these names).
 *
 *   <volume>/chunks/<id/1000000>/<id/1000>/<id>_<index>_<bytes>      plain
 *   <volume>/chunks/<XX>/<id/1000000>/<id>_<index>_<bytes>           hashed; XX = id mod 256, upper
 * hex
 *
 * <bytes> is the length of that block, so a full block has its name before the slice has its size.
 */
#include "fs/store/block_format.h"

#include "core/err.h"
#include "core/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint32_t loam_block_count(const struct loam_block_naming *naming, uint32_t slice_bytes)
{
	return (uint32_t)(((uint64_t)slice_bytes + naming->block_bytes - 1) / naming->block_bytes);
}

uint32_t loam_block_bytes(const struct loam_block_naming *naming, uint32_t slice_bytes,
			  uint32_t index)
{
	uint64_t start = (uint64_t)index * naming->block_bytes;
	if (start >= slice_bytes)
		return 0;
	uint64_t left = slice_bytes - start;
	return left < naming->block_bytes ? (uint32_t)left : naming->block_bytes;
}

static void print_key(const struct loam_block_naming *naming, uint64_t id, uint32_t index,
		      uint32_t block_bytes, char out[LOAM_BLOCK_KEY_BYTES])
{
	int length;
	if (naming->hash_prefix)
		length = snprintf(out, LOAM_BLOCK_KEY_BYTES,
				  "%s/chunks/%02X/%" PRIu64 "/%" PRIu64 "_%" PRIu32 "_%" PRIu32,
				  naming->volume, (unsigned)(id % 256), id / 1000000, id, index,
				  block_bytes);
	else
		length = snprintf(out, LOAM_BLOCK_KEY_BYTES,
				  "%s/chunks/%" PRIu64 "/%" PRIu64 "/%" PRIu64 "_%" PRIu32
				  "_%" PRIu32,
				  naming->volume, id / 1000000, id / 1000, id, index, block_bytes);
	loam_assert(length > 0 && length < LOAM_BLOCK_KEY_BYTES);
}

void loam_block_key(const struct loam_block_naming *naming, uint64_t slice_id, uint32_t slice_bytes,
		    uint32_t index, char out[LOAM_BLOCK_KEY_BYTES])
{
	print_key(naming, slice_id, index, loam_block_bytes(naming, slice_bytes, index), out);
}

bool loam_block_key_parse(const struct loam_block_naming *naming, const char *key,
			  uint64_t *out_slice_id, uint32_t *out_index, uint32_t *out_block_bytes)
{
	const char *base = strrchr(key, '/');
	uint64_t id;
	uint32_t index, bytes;
	if (!base || strlen(base) > 60 ||
	    sscanf(base, "/%" SCNu64 "_%" SCNu32 "_%" SCNu32, &id, &index, &bytes) != 3)
		return false;
	if (bytes == 0 || bytes > naming->block_bytes || id == 0 ||
	    index >= loam_block_count(naming, LOAM_CHUNK_BYTES))
		return false;
	/* The only exact test is to print it again. */
	char again[LOAM_BLOCK_KEY_BYTES];
	print_key(naming, id, index, bytes, again);
	if (strcmp(again, key) != 0)
		return false;
	*out_slice_id = id;
	*out_index = index;
	*out_block_bytes = bytes;
	return true;
}
