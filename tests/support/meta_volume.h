/*
 * A formatted volume on a fresh store, for tests of the metadata: opened, with every slice that is
 * given back for deletion remembered. Closing it drains the background work and recounts: no test
 * ends with a volume that does not add up.
 */
#ifndef LOAM_TESTS_SUPPORT_META_VOLUME_H
#define LOAM_TESTS_SUPPORT_META_VOLUME_H

#include "fs/meta/meta.h"
#include "fs/meta/txn.h"
#include "tests/support/engines.h"
#include "tests/support/recount.h"

#include <pthread.h>

/* A cmocka test whose state is a struct loam_meta_volume. */
#define LOAM_ON_VOLUME(test) \
	cmocka_unit_test_setup_teardown(test, loam_meta_volume_setup, loam_meta_volume_teardown)
#define LOAM_META_VOLUME_DELETED_MAX 4096

struct loam_meta_volume {
	struct loam_meta *meta;
	struct loam_engine *engine; /* of meta */
	pthread_mutex_t lock;
	struct loam_freed_slice deleted[LOAM_META_VOLUME_DELETED_MAX];
	size_t deleted_count;
};

/* The engine that the tests of this run use. */
extern const struct loam_engine_fixture *loam_meta_volume_engine;
/* Runs a program's tests once for each engine that can run here; returns the failures. */
int loam_meta_volume_each_engine(int (*run)(void));
/* cmocka set-up and tear-down: *state is a struct loam_meta_volume. */
int loam_meta_volume_setup(void **state);
int loam_meta_volume_teardown(void **state);

/* Waits for background deletion, then recounts; asserts that nothing is found. */
struct loam_recount loam_meta_volume_recount(struct loam_meta_volume *volume);
/* How often a slice was given back for deletion. */
size_t loam_meta_volume_deleted(struct loam_meta_volume *volume, uint64_t id);

uint64_t loam_meta_volume_make(struct loam_meta_volume *volume, const struct loam_who *who,
			       uint64_t parent, const char *name, enum loam_type type,
			       uint16_t mode);
/* One new slice over [offset, offset + bytes), in one chunk; returns its id. */
uint64_t loam_meta_volume_write(struct loam_meta_volume *volume, uint64_t ino, uint64_t offset,
				uint32_t bytes);
uint64_t loam_meta_volume_lookup(struct loam_meta_volume *volume, uint64_t parent,
				 const char *name);
struct loam_attr loam_meta_volume_attr(struct loam_meta_volume *volume, uint64_t ino);

/* What a reader sees at an offset: a byte of a slice; id 0: a zero. */
struct loam_meta_volume_byte {
	uint64_t id;
	uint64_t off; /* in the slice */
};
struct loam_meta_volume_byte loam_meta_volume_seen(struct loam_meta_volume *volume, uint64_t ino,
						   uint64_t offset);

#endif
