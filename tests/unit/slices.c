/* The resolution of chunk lists and the selection of compaction: golden vectors of the volume
 * format document's Appendix A, then random lists against a map of single bytes. */
#include "fs/meta/compact.h"

#include "core/auto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define M (1u << 20)

struct golden {
	struct loam_slice records[3];
	size_t record_count;
	struct loam_slice pieces[5]; /* size is taken from the record */
	size_t piece_count;
	int selected;
	size_t skipped;
	uint32_t pos, size;
	size_t selected_pieces;
};

static const struct golden golden[] = {
	{
		.records = { { 10 * M, 10, 30 * M, 0, 30 * M },
			     { 20 * M, 11, 16 * M, 0, 16 * M },
			     { 16 * M, 12, 10 * M, 0, 10 * M } },
		.record_count = 3,
		.pieces = { { 0, 0, 0, 0, 10 * M },
			    { 10 * M, 10, 30 * M, 0, 6 * M },
			    { 16 * M, 12, 10 * M, 0, 10 * M },
			    { 26 * M, 11, 16 * M, 6 * M, 10 * M },
			    { 36 * M, 10, 30 * M, 26 * M, 4 * M } },
		.piece_count = 5,
		.selected = 1,
		.pos = 10 * M,
		.size = 30 * M,
		.selected_pieces = 4,
	},
	{
		.records = { { 0, 5, 4 * M, 0, 4 * M },
			     { 4 * M, 6, 4096, 0, 4096 },
			     { 4 * M + 4096, 7, 4096, 0, 4096 } },
		.record_count = 3,
		.pieces = { { 0, 5, 4 * M, 0, 4 * M },
			    { 4 * M, 6, 4096, 0, 4096 },
			    { 4 * M + 4096, 7, 4096, 0, 4096 } },
		.piece_count = 3,
		.selected = 1,
		.skipped = 1,
		.pos = 4 * M,
		.size = 8192,
		.selected_pieces = 2,
	},
	{
		.records = { { 0, 5, 4 * M, 0, 4 * M }, { 8 * M, 6, 4096, 0, 4096 } },
		.record_count = 2,
		.pieces = { { 0, 5, 4 * M, 0, 4 * M },
			    { 4 * M, 0, 0, 0, 4 * M },
			    { 8 * M, 6, 4096, 0, 4096 } },
		.piece_count = 3,
	},
	{
		.records = { { 0, 5, 4 * M, 0, 4 * M },
			     { 4 * M, 6, 4096, 0, 4096 },
			     { 0, 0, 0, 0, 64 * M } },
		.record_count = 3,
		.pieces = { { 0, 0, 0, 0, 64 * M } },
		.piece_count = 1,
		.selected = 1,
		.size = 1,
		.selected_pieces = 1,
	},
	{
		.records = { { 0, 0, 0, 0, 100 } },
		.record_count = 1,
		.pieces = { { 0, 0, 0, 0, 100 } },
		.piece_count = 1,
	},
};

static void assert_same_slice(const struct loam_slice *a, const struct loam_slice *b)
{
	assert_int_equal(a->pos, b->pos);
	assert_int_equal(a->id, b->id);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->off, b->off);
	assert_int_equal(a->len, b->len);
}

static void the_golden_vectors_resolve(void **state)
{
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(golden); i++) {
		struct loam_err err = { 0 };
		struct loam_slice *pieces;
		size_t count;
		assert_int_equal(loam_slices_resolve(golden[i].records, golden[i].record_count,
						     &pieces, &count, &err),
				 0);
		assert_int_equal(count, golden[i].piece_count);
		for (size_t p = 0; p < count; p++)
			assert_same_slice(&pieces[p], &golden[i].pieces[p]);
		free(pieces);
	}
}

static void the_golden_vectors_are_selected(void **state)
{
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(golden); i++) {
		struct loam_err err = { 0 };
		struct loam_compact_plan plan;
		int selected =
			loam_compact_select(golden[i].records, golden[i].record_count, &plan, &err);
		assert_int_equal(selected, golden[i].selected);
		if (!selected)
			continue;
		assert_int_equal(plan.skipped, golden[i].skipped);
		assert_int_equal(plan.compacted, golden[i].record_count - golden[i].skipped);
		assert_int_equal(plan.pos, golden[i].pos);
		assert_int_equal(plan.size, golden[i].size);
		assert_int_equal(plan.piece_count, golden[i].selected_pieces);
		free(plan.pieces);
	}
}

static void no_records_show_nothing(void **state)
{
	struct loam_err err = { 0 };
	struct loam_slice *pieces;
	size_t count = 7;
	assert_int_equal(loam_slices_resolve(NULL, 0, &pieces, &count, &err), 0);
	assert_int_equal(count, 0);
	free(pieces);
}

static void a_record_past_its_chunk_is_refused(void **state)
{
	struct loam_err err = { 0 };
	struct loam_slice *pieces;
	size_t count;
	struct loam_slice record = { .pos = 64 * M - 1, .id = 1, .size = 2, .len = 2 };
	assert_int_equal(loam_slices_resolve(&record, 1, &pieces, &count, &err), -LOAM_E_CORRUPT);
}

/* Every byte of a small chunk on its own: which slice byte does a reader see? */
#define BYTES 200
struct seen {
	uint64_t id;
	uint32_t off;
};

static void random_lists_agree_with_a_map_of_bytes(void **state)
{
	srand(7);
	for (int round = 0; round < 3000; round++) {
		struct loam_slice records[40];
		size_t record_count = 1 + (size_t)rand() % LOAM_ARRAY_COUNT(records);
		struct seen expected[BYTES] = { 0 };
		uint32_t covered = 0;
		for (size_t i = 0; i < record_count; i++) {
			uint32_t pos = (uint32_t)rand() % (BYTES - 1);
			uint32_t len = 1 + (uint32_t)rand() % (BYTES - pos);
			uint64_t id = (uint64_t)rand() % 6;
			uint32_t off = (uint32_t)rand() % 10;
			records[i] = (struct loam_slice){ pos, id, 1000, off, len };
			for (uint32_t b = 0; b < len; b++)
				expected[pos + b] = (struct seen){ id, id ? off + b : 0 };
			if (pos + len > covered)
				covered = pos + len;
		}
		struct loam_err err = { 0 };
		struct loam_slice *pieces;
		size_t count;
		assert_int_equal(loam_slices_resolve(records, record_count, &pieces, &count, &err),
				 0);
		uint32_t at = 0;
		for (size_t p = 0; p < count; p++) {
			assert_int_equal(pieces[p].pos, at);
			for (uint32_t b = 0; b < pieces[p].len; b++, at++) {
				assert_int_equal(expected[at].id, pieces[p].id);
				if (pieces[p].id)
					assert_int_equal(expected[at].off, pieces[p].off + b);
			}
		}
		assert_int_equal(at, covered);
		free(pieces);
	}
}

static void a_hundred_thousand_records_are_no_trouble(void **state)
{
	size_t record_count = 100000;
	struct loam_slice *records = calloc(record_count, sizeof(*records));
	for (size_t i = 0; i < record_count; i++)
		records[i] = (struct loam_slice){ (uint32_t)(i * 7919 % 60000) * 1000, i + 1, 5000,
						  0, 5000 };
	struct loam_err err = { 0 };
	struct loam_slice *pieces;
	size_t count;
	assert_int_equal(loam_slices_resolve(records, record_count, &pieces, &count, &err), 0);
	assert_true(count > 10000);
	free(pieces);
	free(records);
}

static void only_the_first_thousand_records_are_selected(void **state)
{
	struct loam_slice *records = calloc(1500, sizeof(*records));
	for (uint32_t i = 0; i < 1500; i++)
		records[i] = (struct loam_slice){ i * 100, i + 1, 100, 0, 100 };
	struct loam_err err = { 0 };
	struct loam_compact_plan plan;
	assert_int_equal(loam_compact_select(records, 1500, &plan, &err), 1);
	assert_int_equal(plan.skipped, 0);
	assert_int_equal(plan.compacted, LOAM_COMPACT_RECORDS_MAX);
	assert_int_equal(plan.size, 100000);
	free(plan.pieces);
	free(records);
}

static void a_record_named_twice_is_not_left_alone(void **state)
{
	struct loam_slice records[2] = { { 0, 5, 4 * M, 0, 4 * M }, { 0, 5, 4 * M, 0, 4 * M } };
	struct loam_err err = { 0 };
	struct loam_compact_plan plan;
	assert_int_equal(loam_compact_select(records, 2, &plan, &err), 1);
	assert_int_equal(plan.skipped, 0);
	assert_int_equal(plan.size, 4 * M);
	free(plan.pieces);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_golden_vectors_resolve),
		cmocka_unit_test(the_golden_vectors_are_selected),
		cmocka_unit_test(no_records_show_nothing),
		cmocka_unit_test(a_record_past_its_chunk_is_refused),
		cmocka_unit_test(random_lists_agree_with_a_map_of_bytes),
		cmocka_unit_test(a_hundred_thousand_records_are_no_trouble),
		cmocka_unit_test(only_the_first_thousand_records_are_selected),
		cmocka_unit_test(a_record_named_twice_is_not_left_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
