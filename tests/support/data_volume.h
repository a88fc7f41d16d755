/*
 * A volume in memory for tests of the data path, with a store that fails by rules and remembers
 * what was put and synced, and plain files made by number.
 */
#ifndef LOAM_TESTS_SUPPORT_DATA_VOLUME_H
#define LOAM_TESTS_SUPPORT_DATA_VOLUME_H

#include "fs/data/data.h"

struct data_volume {
	struct loam_meta *meta;
	struct loam_store *store; /* remembers; around faults; around memory */
	struct loam_data *data;
	unsigned made; /* files */
};

/* rules: of loam_store_fault_open ("" none), or the directory of a file store ("/…").
 * options may be NULL. Asserts that it works. */
void data_volume_open(struct data_volume *volume, const char *rules, uint32_t block_kib,
		      const struct loam_data_options *options);
void data_volume_close(struct data_volume *volume);
uint64_t data_volume_file(struct data_volume *volume, struct loam_attr *out_attr);
/* Asserts that each block of each slice of the file was synced after its last put. */
void data_volume_check_durable(struct data_volume *volume, uint64_t ino);
/* Blocks in the store now. */
size_t data_volume_blocks(struct data_volume *volume);
/* Calls of the store's get since it was opened. */
size_t data_volume_gets(struct data_volume *volume);
/* The whole file through a new reader, compared with model. */
void data_volume_expect(struct data_volume *volume, uint64_t ino, const uint8_t *model,
			size_t bytes);
/* Bytes that tell their place. */
void data_volume_pattern(uint8_t *out, size_t bytes, uint32_t seed);

#endif
