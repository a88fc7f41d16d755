/*
 * The record cache: what it keeps, what it refuses, its bound.
 */
#include "fs/meta/record_cache.h"
#include "core/auto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct loam_record rec(enum loam_record_kind kind, uint64_t id)
{
	return (struct loam_record){ .kind = kind, .id = id };
}

static void put(struct loam_record_cache *cache, struct loam_record record, const char *text)
{
	struct loam_value value = { 0 };
	if (text)
		value = loam_value_of(text, strlen(text));
	loam_record_cache_put(cache, &record, &value);
	loam_value_release(&value);
}

/* NULL: nothing known; "-": known to be absent. */
static void assert_known(struct loam_record_cache *cache, struct loam_record record,
			 const char *text)
{
	struct loam_value value = { 0 };
	bool known = loam_record_cache_get(cache, &record, &value);
	assert_int_equal(known, text != NULL);
	if (text && strcmp(text, "-") == 0) {
		assert_false(value.present);
	} else if (text) {
		assert_int_equal(value.bytes, strlen(text));
		assert_memory_equal(value.data, text, value.bytes);
	}
	loam_value_release(&value);
}

static void the_last_value_is_known_until_forgotten(void **state)
{
	struct loam_record_cache *cache = loam_record_cache_new(10);
	struct loam_record attr = rec(LOAM_REC_ATTR, 1);
	assert_known(cache, attr, NULL);
	put(cache, attr, "a");
	put(cache, attr, "b");
	assert_known(cache, attr, "b");
	put(cache, attr, "longer");
	assert_known(cache, attr, "longer");
	put(cache, attr, NULL);
	assert_known(cache, attr, NULL); /* inodes that are gone are not kept */

	struct loam_record dir = rec(LOAM_REC_DIR, 1);
	put(cache, dir, NULL);
	assert_known(cache, dir, "-");
	put(cache, dir, "1");
	assert_known(cache, dir, "1");
	loam_record_cache_forget(cache, &dir);
	loam_record_cache_forget(cache, &dir);
	assert_known(cache, dir, NULL);
	loam_record_cache_free(cache);
}

static void counters_and_large_values_are_not_kept(void **state)
{
	struct loam_record_cache *cache = loam_record_cache_new(10);
	char large[LOAM_RECORD_CACHE_VALUE_MAX + 2];
	memset(large, 'x', sizeof(large));
	large[sizeof(large) - 1] = '\0';
	put(cache, rec(LOAM_REC_CHUNK, 1), "small");
	put(cache, rec(LOAM_REC_CHUNK, 1), large);
	assert_known(cache, rec(LOAM_REC_CHUNK, 1), NULL);
	put(cache, rec(LOAM_REC_SLICE_REF, 1), "1");
	assert_known(cache, rec(LOAM_REC_SLICE_REF, 1), NULL);
	put(cache, rec(LOAM_REC_COUNTER, 1), "1");
	assert_known(cache, rec(LOAM_REC_COUNTER, 1), NULL);
	loam_record_cache_free(cache);
}

static void what_is_used_stays_when_room_is_needed(void **state)
{
	struct loam_record_cache *cache = loam_record_cache_new(100);
	put(cache, rec(LOAM_REC_ATTR, 1), "hot");
	for (uint64_t ino = 2; ino < 10000; ino++) {
		put(cache, rec(LOAM_REC_ATTR, ino), "cold");
		assert_known(cache, rec(LOAM_REC_ATTR, 1), "hot");
	}
	size_t known = 0;
	for (uint64_t ino = 2; ino < 10000; ino++) {
		struct loam_record record = rec(LOAM_REC_ATTR, ino);
		struct loam_value value;
		if (loam_record_cache_get(cache, &record, &value)) {
			known++;
			loam_value_release(&value);
		}
	}
	assert_int_equal(known, 99);
	loam_record_cache_free(cache);
	loam_record_cache_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_value_is_known_until_forgotten),
		cmocka_unit_test(counters_and_large_values_are_not_kept),
		cmocka_unit_test(what_is_used_stays_when_room_is_needed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
