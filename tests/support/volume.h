/*
 * A formatted volume for tests of the metadata: one store, any number of clients, a count of the
 * trips, and a check of everything that the operations must keep in step.
 */
#ifndef LOAM_TESTS_SUPPORT_VOLUME_H
#define LOAM_TESTS_SUPPORT_VOLUME_H

#include "fs/meta/meta.h"
#include "tests/support/engines.h"

struct loam_test_store;

/* An empty store of the fixture's engine. */
struct loam_test_store *loam_test_store_new(const struct loam_engine_fixture *fixture);
/* Frees the store; all clients are closed. */
void loam_test_store_free(struct loam_test_store *store);
/* The store itself, for looking at records. */
struct loam_engine *loam_test_store_engine(struct loam_test_store *store);
/* One more client's engine on the same store: its calls are counted, its end leaves the store. */
struct loam_engine *loam_test_store_client(struct loam_test_store *store);
/* Calls (read, lookup, commit, add, scan) of all clients since the last time, made by the thread
 * that made the store. */
unsigned loam_test_store_calls(struct loam_test_store *store);

#define LOAM_TEST_UUID "e94d66a8-2339-4abd-b8d8-6812df737892"
/* Writes `setting` and the root. more: further members of the JSON, each with a comma before it. */
void loam_test_format(struct loam_test_store *store, const char *more);
/* A client with a session; times of directories are always written. */
struct loam_meta *loam_test_open(struct loam_test_store *store);

/* Recounts the volume (recount.h) and asserts that nothing was found. */
void loam_test_check(struct loam_test_store *store);

/* The value of a record as a NUL-terminated text, NULL when absent; free(). */
char *loam_test_text(struct loam_test_store *store, struct loam_record record);
int64_t loam_test_counter(struct loam_test_store *store, const char *name);

/* State of a test that has a volume and one client: setup, teardown (which recounts), and a main
 * that runs the tests on every engine. */
struct loam_test_world {
	struct loam_test_store *store;
	struct loam_meta *meta;
};
int loam_test_world_open(void **state);
int loam_test_world_close(void **state);
struct CMUnitTest;
int loam_test_world_run(const struct CMUnitTest *tests, size_t count);

/* Makes something as `who`; asserts success. Symlinks point to "target". */
uint64_t loam_test_make(struct loam_meta *meta, const struct loam_who *who, uint64_t parent,
			const char *name, enum loam_type type, uint16_t mode);
struct loam_attr loam_test_attr(struct loam_meta *meta, uint64_t ino);
/* The inode that a name has, 0 when there is none. */
uint64_t loam_test_find(struct loam_meta *meta, uint64_t parent, const char *name);

/* The call, which names its error `&err`, must answer this code. For tests: needs cmocka. */
#define assert_code(call, expected)                                                  \
	do {                                                                         \
		struct loam_err err = { 0 };                                         \
		int loam_rc_ = (call);                                               \
		if (loam_rc_ != -(expected))                                         \
			print_error("%s: %s\n", loam_code_name(loam_rc_), err.text); \
		assert_int_equal(loam_rc_, -(expected));                             \
	} while (0)
#define assert_ok(call) assert_code(call, LOAM_E_OK)

#endif
