/*
 * Names of blocks in the store, as every JuiceFS client forms them.
 * Source: volume format document §6.1.
 */
#ifndef LOAM_FS_STORE_BLOCK_FORMAT_H
#define LOAM_FS_STORE_BLOCK_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAM_BLOCK_KEY_BYTES 192 /* volume name (63) + numbers, NUL included */

/* What forms the names of one volume; copied from its Format. */
struct loam_block_naming {
	char volume[64];
	uint32_t block_bytes; /* BlockSize in bytes */
	bool hash_prefix;
};

/* Bytes of block `index` of a slice of slice_bytes. */
uint32_t loam_block_bytes(const struct loam_block_naming *naming, uint32_t slice_bytes,
			  uint32_t index);
uint32_t loam_block_count(const struct loam_block_naming *naming, uint32_t slice_bytes);
void loam_block_key(const struct loam_block_naming *naming, uint64_t slice_id, uint32_t slice_bytes,
		    uint32_t index, char out[LOAM_BLOCK_KEY_BYTES]);
/* Splits a key of this volume; false for anything that is not a block's exact name. */
bool loam_block_key_parse(const struct loam_block_naming *naming, const char *key,
			  uint64_t *out_slice_id, uint32_t *out_index, uint32_t *out_block_bytes);

#endif
