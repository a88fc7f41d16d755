/*
 * The contract of fs/meta/record.h: one body, every engine (tests/support/engines.c).
 */
#include "core/auto.h"
#include "fs/meta/meta_format.h"
#include "tests/support/engines.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CHECKS_MAX 8
#define EVIL_NAME  "\xff\x00 \r\n*$\xc3\x28\"'"

static struct loam_record rec(enum loam_record_kind kind, uint64_t id, uint64_t sub)
{
	return (struct loam_record){ .kind = kind, .id = id, .sub = sub };
}

static struct loam_record named(enum loam_record_kind kind, uint64_t id, const char *name,
				size_t name_bytes)
{
	return (struct loam_record){ .kind = kind,
				     .id = id,
				     .name = { .data = name, .bytes = (uint16_t)name_bytes } };
}

static struct loam_record text_named(enum loam_record_kind kind, uint64_t id, const char *name)
{
	return named(kind, id, name, strlen(name));
}

static struct loam_value read_one(struct loam_engine *engine, struct loam_record record)
{
	struct loam_value value;
	struct loam_err err = { 0 };
	int ret = engine->ops->read(engine, &record, 1, &value, &err);
	if (ret < 0)
		print_error("read: %s\n", err.text);
	assert_int_equal(ret, 0);
	return value;
}

static void assert_value(struct loam_engine *engine, struct loam_record record, const void *data,
			 size_t bytes)
{
	struct loam_value value = read_one(engine, record);
	assert_true(value.present);
	assert_int_equal(value.bytes, bytes);
	if (bytes > 0)
		assert_memory_equal(value.data, data, bytes);
	loam_value_release(&value);
}

static void assert_text(struct loam_engine *engine, struct loam_record record, const char *text)
{
	assert_value(engine, record, text, strlen(text));
}

static void assert_absent(struct loam_engine *engine, struct loam_record record)
{
	struct loam_value value = read_one(engine, record);
	assert_false(value.present);
	assert_null(value.data);
}

static int commit(struct loam_engine *engine, const struct loam_check *checks, size_t check_count,
		  struct loam_write *writes, size_t write_count, struct loam_err *err)
{
	struct loam_value present[CHECKS_MAX];
	bool differs[CHECKS_MAX];
	int ret = engine->ops->commit(engine, checks, check_count, writes, write_count, 0, present,
				      differs, err);
	for (size_t i = 0; ret == 0 && i < check_count; i++)
		loam_value_release(&present[i]);
	return ret;
}

static int64_t write_one(struct loam_engine *engine, struct loam_write write)
{
	struct loam_err err = { 0 };
	int ret = commit(engine, NULL, 0, &write, 1, &err);
	if (ret < 0)
		print_error("commit: %s\n", err.text);
	assert_int_equal(ret, 1);
	return write.result;
}

static void put(struct loam_engine *engine, struct loam_record record, const void *data,
		size_t bytes)
{
	write_one(engine, (struct loam_write){ .op = LOAM_WRITE_PUT,
					       .record = record,
					       .data = data,
					       .data_bytes = (uint32_t)bytes });
}

static void put_text(struct loam_engine *engine, struct loam_record record, const char *text)
{
	put(engine, record, text, strlen(text));
}

static void erase(struct loam_engine *engine, struct loam_record record)
{
	write_one(engine, (struct loam_write){ .op = LOAM_WRITE_DELETE, .record = record });
}

static int64_t add(struct loam_engine *engine, struct loam_record record, int64_t delta)
{
	return write_one(engine, (struct loam_write){
					 .op = LOAM_WRITE_ADD, .record = record, .delta = delta });
}

static int64_t append(struct loam_engine *engine, enum loam_write_op op, uint64_t ino,
		      const void *data, size_t bytes)
{
	return write_one(engine, (struct loam_write){ .op = op,
						      .record = rec(LOAM_REC_CHUNK, ino, 3),
						      .data = data,
						      .data_bytes = (uint32_t)bytes });
}

static struct loam_value borrowed(const char *text)
{
	return (struct loam_value){ .present = true,
				    .data = (uint8_t *)text,
				    .bytes = (uint32_t)strlen(text) };
}

/* ---- one record of each kind --------------------------------------------------------------- */

struct kind_case {
	struct loam_record record;
	const char *value;
};
#define DENTRY_BYTES "\x01\x01\x02\x03\x04\x05\x06\x07\x08"
#define CASES_MAX    24

static size_t every_kind(struct kind_case cases[CASES_MAX])
{
	const struct kind_case all[] = {
		{ rec(LOAM_REC_SETTING, 0, 0), "{}" },
		{ text_named(LOAM_REC_COUNTER, 0, "nextTrash"), "7" },
		{ rec(LOAM_REC_ATTR, UINT64_MAX, 0), "attr" },
		{ text_named(LOAM_REC_DENTRY, 9, "name"), DENTRY_BYTES },
		{ rec(LOAM_REC_SYMLINK, 9, 0), "../target" },
		{ text_named(LOAM_REC_XATTR, 9, "user.a"), "value" },
		{ rec(LOAM_REC_PARENT, 9, 1), "2" },
		{ rec(LOAM_REC_SLICE_REF, 77, 4194304), "1" },
		{ rec(LOAM_REC_ACL, 3, 0), "rule" },
		{ rec(LOAM_REC_DELFILE, 9, 5000), "1700000000" },
		{ rec(LOAM_REC_DELSLICES, 77, 1700000000), "twelve bytes" },
		{ rec(LOAM_REC_DETACHED, 9, 0), "1700000001" },
		{ rec(LOAM_REC_SESSION_LIFE, 5, 0), "1700000002" },
		{ rec(LOAM_REC_SESSION_INFO, 5, 0), "{\"Version\":\"1.4.0\"}" },
		{ rec(LOAM_REC_SUSTAINED, 5, 9), "1" },
		{ text_named(LOAM_REC_LOCAL, 0, "a.b"), "c" },
		{ text_named(LOAM_REC_LOCKED, 5, "lockf9"), "1" },
		{ text_named(LOAM_REC_FLOCK, 9, "5_000000DEADBEEF12"), "W" },
		{ text_named(LOAM_REC_PLOCK, 9, "5_000000DEADBEEF12"), "24 bytes" },
	};
	memcpy(cases, all, sizeof(all));
	return LOAM_ARRAY_COUNT(all);
}

static void every_kind_is_put_read_checked_and_deleted(void **state)
{
	struct loam_engine *engine = *state;
	struct kind_case cases[CASES_MAX];
	size_t count = every_kind(cases);
	struct loam_err err = { 0 };
	for (size_t i = 0; i < count; i++) {
		struct loam_write write = { .op = LOAM_WRITE_PUT,
					    .record = cases[i].record,
					    .data = cases[i].value,
					    .data_bytes = (uint32_t)strlen(cases[i].value) };
		struct loam_check check = { .record = cases[i].record };
		assert_absent(engine, cases[i].record);
		assert_int_equal(commit(engine, &check, 1, &write, 1, &err), 1);
		assert_int_equal(commit(engine, &check, 1, &write, 1, &err), 0);
	}
	struct loam_record records[CASES_MAX];
	memset(records, 0, sizeof(records));
	struct loam_value values[CASES_MAX];
	for (size_t i = 0; i < count; i++)
		records[i] = cases[i].record;
	assert_int_equal(engine->ops->read(engine, records, count, values, &err), 0);
	for (size_t i = 0; i < count; i++) {
		struct loam_value wanted = borrowed(cases[i].value);
		assert_true(loam_value_equal(&values[i], &wanted));
		loam_value_release(&values[i]);
	}
	for (size_t i = 0; i < count; i++) {
		struct loam_check check = { cases[i].record, borrowed(cases[i].value) };
		struct loam_write write = { .op = LOAM_WRITE_DELETE, .record = cases[i].record };
		assert_int_equal(commit(engine, &check, 1, &write, 1, &err), 1);
		assert_absent(engine, cases[i].record);
		erase(engine, cases[i].record); /* a missing record is success */
	}
}

static void a_conflict_applies_nothing_and_names_what_is_there(void **state)
{
	struct loam_engine *engine = *state;
	struct loam_err err = { 0 };
	put_text(engine, rec(LOAM_REC_ATTR, 1, 0), "now");
	put_text(engine, rec(LOAM_REC_ATTR, 2, 0), "same");
	struct loam_check checks[] = {
		{ rec(LOAM_REC_ATTR, 1, 0), borrowed("before") },
		{ rec(LOAM_REC_ATTR, 2, 0), borrowed("same") },
		{ rec(LOAM_REC_ATTR, 3, 0), borrowed("gone") },
		{ rec(LOAM_REC_ATTR, 4, 0), { 0 } },
	};
	struct loam_write write = { .op = LOAM_WRITE_PUT,
				    .record = rec(LOAM_REC_ATTR, 4, 0),
				    .data = "x",
				    .data_bytes = 1 };
	struct loam_value present[4];
	bool differs[4];
	assert_int_equal(engine->ops->commit(engine, checks, 4, &write, 1, 0, present, differs,
					     &err),
			 0);
	assert_true(differs[0]);
	assert_false(differs[1]);
	assert_true(differs[2]);
	assert_false(differs[3]);
	struct loam_value now = borrowed("now");
	assert_true(loam_value_equal(&present[0], &now));
	assert_false(present[2].present);
	loam_value_release(&present[0]);
	assert_absent(engine, rec(LOAM_REC_ATTR, 4, 0));
}

static void empty_and_absent_are_told_apart(void **state)
{
	struct loam_engine *engine = *state;
	struct loam_err err = { 0 };
	struct loam_record record = text_named(LOAM_REC_XATTR, 9, "user.empty");
	put(engine, record, "", 0);
	assert_value(engine, record, "", 0);
	struct loam_check absent = { .record = record };
	struct loam_check empty = { .record = record, .expected = { .present = true } };
	struct loam_write write = { .op = LOAM_WRITE_DELETE, .record = record };
	assert_int_equal(commit(engine, &absent, 1, &write, 1, &err), 0);
	assert_int_equal(commit(engine, &empty, 1, &write, 1, &err), 1);
	assert_int_equal(commit(engine, &empty, 1, &write, 1, &err), 0);
}

static void names_are_bytes(void **state)
{
	struct loam_engine *engine = *state;
	char longest[LOAM_NAME_BYTES_MAX];
	for (size_t i = 0; i < sizeof(longest); i++)
		longest[i] = (char)(i + 1);
	struct loam_record records[] = {
		named(LOAM_REC_DENTRY, 1, EVIL_NAME, sizeof(EVIL_NAME) - 1),
		named(LOAM_REC_DENTRY, 1, longest, sizeof(longest)),
		named(LOAM_REC_DENTRY, 1, longest, sizeof(longest) - 1),
		named(LOAM_REC_XATTR, 1, EVIL_NAME, sizeof(EVIL_NAME) - 1),
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(records); i++) {
		uint8_t value[LOAM_DENTRY_BYTES] = { 1, 0, 0xff, 0, '\r', '\n', 0, 0, (uint8_t)i };
		assert_absent(engine, records[i]);
		put(engine, records[i], value, sizeof(value));
	}
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(records); i++) {
		uint8_t value[LOAM_DENTRY_BYTES] = { 1, 0, 0xff, 0, '\r', '\n', 0, 0, (uint8_t)i };
		assert_value(engine, records[i], value, sizeof(value));
	}
}

static void large_values_come_back_whole(void **state)
{
	struct loam_engine *engine = *state;
	size_t bytes = 1u << 20;
	loam_auto_free uint8_t *data = loam_xcalloc(1, bytes);
	for (size_t i = 0; i < bytes; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	put(engine, rec(LOAM_REC_SYMLINK, 1, 0), data, bytes);
	assert_value(engine, rec(LOAM_REC_SYMLINK, 1, 0), data, bytes);

	struct loam_err err = { 0 };
	struct loam_check check = { rec(LOAM_REC_SYMLINK, 1, 0),
				    { .present = true, .data = data, .bytes = (uint32_t)bytes } };
	struct loam_write write = { .op = LOAM_WRITE_DELETE, .record = check.record };
	data[bytes - 1] ^= 1;
	assert_int_equal(commit(engine, &check, 1, &write, 1, &err), 0);
	data[bytes - 1] ^= 1;
	assert_int_equal(commit(engine, &check, 1, &write, 1, &err), 1);
}

static void many_records_are_read_and_written_at_once(void **state)
{
	struct loam_engine *engine = *state;
	struct loam_err err = { 0 };
	enum { COUNT = 3000 };
	loam_auto_free struct loam_write *writes = loam_xcalloc(COUNT, sizeof(*writes));
	loam_auto_free struct loam_record *records = loam_xcalloc(COUNT, sizeof(*records));
	loam_auto_free struct loam_value *values = loam_xcalloc(COUNT, sizeof(*values));
	for (size_t i = 0; i < COUNT; i++) {
		records[i] = rec(LOAM_REC_ATTR, i + 1, 0);
		writes[i] = (struct loam_write){ .op = LOAM_WRITE_PUT,
						 .record = records[i],
						 .data = &records[i].id,
						 .data_bytes = 8 };
	}
	struct loam_check check = { .record = records[0] };
	struct loam_value present;
	bool differs;
	assert_int_equal(engine->ops->commit(engine, &check, 1, writes, COUNT, LOAM_COMMIT_BULK,
					     &present, &differs, &err),
			 1);
	assert_int_equal(engine->ops->commit(engine, &check, 1, writes, COUNT, LOAM_COMMIT_BULK,
					     &present, &differs, &err),
			 0);
	assert_true(differs);
	assert_memory_equal(present.data, &records[0].id, 8);
	loam_value_release(&present);
	assert_int_equal(engine->ops->read(engine, records, COUNT, values, &err), 0);
	for (size_t i = 0; i < COUNT; i++) {
		assert_int_equal(values[i].bytes, 8);
		assert_memory_equal(values[i].data, &records[i].id, 8);
		loam_value_release(&values[i]);
	}
}

/* ---- numbers and lists --------------------------------------------------------------------- */

static void numbers_are_added_to(void **state)
{
	struct loam_engine *engine = *state;
	struct loam_err err = { 0 };
	const struct loam_record records[] = {
		text_named(LOAM_REC_COUNTER, 0, "usedSpace"),
		rec(LOAM_REC_SLICE_REF, 77, 4096),
		rec(LOAM_REC_PARENT, 9, 1),
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(records); i++) {
		assert_int_equal(add(engine, records[i], -1), -1);
		assert_int_equal(add(engine, records[i], 1ll << 52), (1ll << 52) - 1);
		assert_text(engine, records[i], "4503599627370495");
		add(engine, records[i], 1ll << 60); /* results are exact up to 2^53 only */
		assert_text(engine, records[i], "1157425104234217471");
	}
	int64_t value = 0;
	assert_int_equal(engine->ops->add(engine, "nextinode", 1024, &value, &err), 0);
	assert_int_equal(value, 1024);
	assert_int_equal(engine->ops->add(engine, "nextinode", 1024, &value, &err), 0);
	assert_int_equal(value, 2048);
	assert_text(engine, text_named(LOAM_REC_COUNTER, 0, "nextinode"), "2048");
}

static void chunk_lists_grow_at_their_end(void **state)
{
	struct loam_engine *engine = *state;
	struct loam_err err = { 0 };
	uint8_t records[3 * LOAM_SLICE_BYTES];
	for (size_t i = 0; i < sizeof(records); i++)
		records[i] = (uint8_t)i;
	size_t one = LOAM_SLICE_BYTES;
	struct loam_record chunk = rec(LOAM_REC_CHUNK, 9, 3);
	assert_int_equal(append(engine, LOAM_WRITE_EXTEND, 9, records, one), 0);
	assert_absent(engine, chunk);
	assert_int_equal(append(engine, LOAM_WRITE_APPEND, 9, records, one), 1);
	assert_int_equal(append(engine, LOAM_WRITE_APPEND, 9, records + one, 2 * one), 3);
	assert_value(engine, chunk, records, sizeof(records));
	assert_absent(engine, rec(LOAM_REC_CHUNK, 9, 2));

	struct loam_check check = { chunk, { .present = true, .data = records, .bytes = 48 } };
	struct loam_write write = { .op = LOAM_WRITE_DELETE, .record = chunk };
	assert_int_equal(commit(engine, &check, 1, &write, 1, &err), 0);
	check.expected.bytes = 72;
	assert_int_equal(commit(engine, &check, 1, &write, 1, &err), 1);
	assert_absent(engine, chunk);

	put(engine, chunk, records + one, 2 * one); /* a PUT replaces the list */
	put(engine, chunk, records, 2 * one);
	assert_int_equal(append(engine, LOAM_WRITE_EXTEND, 9, records + 2 * one, one), 3);
	assert_value(engine, chunk, records, sizeof(records));
}

static void writes_are_applied_in_order(void **state)
{
	struct loam_engine *engine = *state;
	struct loam_err err = { 0 };
	struct loam_record record = text_named(LOAM_REC_XATTR, 9, "user.a");
	put_text(engine, text_named(LOAM_REC_XATTR, 9, "user.b"), "old");
	struct loam_write writes[] = {
		{ .op = LOAM_WRITE_DELETE, .record = rec(LOAM_REC_XATTRS, 9, 0) },
		{ .op = LOAM_WRITE_PUT, .record = record, .data = "1", .data_bytes = 1 },
		{ .op = LOAM_WRITE_PUT, .record = record, .data = "2", .data_bytes = 1 },
		{ .op = LOAM_WRITE_ADD, .record = rec(LOAM_REC_SLICE_REF, 5, 5), .delta = -1 },
		{ .op = LOAM_WRITE_ADD, .record = rec(LOAM_REC_SLICE_REF, 5, 5), .delta = -1 },
	};
	assert_int_equal(commit(engine, NULL, 0, writes, 5, &err), 1);
	assert_text(engine, record, "2");
	assert_absent(engine, text_named(LOAM_REC_XATTR, 9, "user.b"));
	assert_int_equal(writes[3].result, -1);
	assert_int_equal(writes[4].result, -2);
}

/* ---- whole hashes -------------------------------------------------------------------------- */

static void directories_are_present_while_they_hold_a_name(void **state)
{
	struct loam_engine *engine = *state;
	struct loam_record dir = rec(LOAM_REC_DIR, 7, 0);
	assert_absent(engine, dir);
	put(engine, text_named(LOAM_REC_DENTRY, 7, "a"), DENTRY_BYTES, 9);
	put(engine, text_named(LOAM_REC_DENTRY, 7, "b"), DENTRY_BYTES, 9);
	assert_text(engine, dir, "1");
	erase(engine, text_named(LOAM_REC_DENTRY, 7, "a"));
	assert_text(engine, dir, "1");

	struct loam_err err = { 0 };
	struct loam_check check = { .record = dir };
	struct loam_write write = { .op = LOAM_WRITE_DELETE, .record = dir };
	assert_int_equal(commit(engine, &check, 1, &write, 1, &err), 0);
	check.expected = borrowed("1");
	assert_int_equal(commit(engine, &check, 1, &write, 1, &err), 1);
	assert_absent(engine, dir);
	assert_absent(engine, text_named(LOAM_REC_DENTRY, 7, "b"));
}

static void assert_packed(struct loam_engine *engine, struct loam_record record,
			  const char *const *pairs, size_t pair_count)
{
	struct loam_value value = read_one(engine, record);
	struct loam_err err = { 0 };
	size_t offset = 0;
	struct loam_name name;
	const void *data;
	uint32_t bytes;
	for (size_t i = 0; i < pair_count; i++) {
		assert_int_equal(loam_packed_next(&value, &offset, &name, &data, &bytes, &err), 1);
		assert_int_equal(name.bytes, strlen(pairs[2 * i]));
		assert_memory_equal(name.data, pairs[2 * i], name.bytes);
		assert_int_equal(bytes, strlen(pairs[2 * i + 1]));
		assert_memory_equal(data, pairs[2 * i + 1], bytes);
	}
	assert_int_equal(loam_packed_next(&value, &offset, &name, &data, &bytes, &err), 0);
	loam_value_release(&value);
}

static void whole_hashes_come_as_sorted_pairs(void **state)
{
	struct loam_engine *engine = *state;
	struct loam_err err = { 0 };
	put_text(engine, text_named(LOAM_REC_XATTR, 9, "user.b"), "2");
	put_text(engine, text_named(LOAM_REC_XATTR, 9, "user.a"), "1");
	put_text(engine, text_named(LOAM_REC_XATTR, 9, "user"), "\xff");
	put_text(engine, text_named(LOAM_REC_XATTR, 8, "user.c"), "other");
	const char *xattrs[] = { "user", "\xff", "user.a", "1", "user.b", "2" };
	assert_packed(engine, rec(LOAM_REC_XATTRS, 9, 0), xattrs, 3);

	add(engine, rec(LOAM_REC_PARENT, 9, 200), 2);
	add(engine, rec(LOAM_REC_PARENT, 9, 1025), 1);
	const char *parents[] = { "1025", "1", "200", "2" };
	assert_packed(engine, rec(LOAM_REC_PARENTS, 9, 0), parents, 2);

	struct loam_value seen = read_one(engine, rec(LOAM_REC_XATTRS, 9, 0));
	struct loam_check check = { rec(LOAM_REC_XATTRS, 9, 0), seen };
	struct loam_write write = { .op = LOAM_WRITE_DELETE, .record = check.record };
	put_text(engine, text_named(LOAM_REC_XATTR, 9, "user.a"), "new");
	assert_int_equal(commit(engine, &check, 1, &write, 1, &err), 0);
	put_text(engine, text_named(LOAM_REC_XATTR, 9, "user.a"), "1");
	assert_int_equal(commit(engine, &check, 1, &write, 1, &err), 1);
	loam_value_release(&seen);
	assert_absent(engine, rec(LOAM_REC_XATTRS, 9, 0));
	erase(engine, rec(LOAM_REC_PARENTS, 9, 0));
	assert_absent(engine, rec(LOAM_REC_PARENT, 9, 200));
	assert_text(engine, text_named(LOAM_REC_XATTR, 8, "user.c"), "other");
}

/* ---- listings ------------------------------------------------------------------------------ */

#define SEEN_MAX 2600
struct seen {
	size_t count; /* different records */
	bool marks[SEEN_MAX];
	uint64_t base;
	bool by_name;
	size_t stop_after; /* 0: never */
	size_t calls;
};

static int mark(void *arg, const struct loam_record *record, const void *data, size_t data_bytes)
{
	struct seen *seen = arg;
	uint64_t number = record->id - seen->base;
	if (seen->by_name) {
		char text[32] = "";
		assert_in_range(record->name.bytes, 2, sizeof(text) - 1);
		memcpy(text, record->name.data, record->name.bytes);
		number = strtoull(text + 1, NULL, 10);
	}
	assert_true(number < SEEN_MAX);
	assert_true(data_bytes > 0);
	if (!seen->marks[number])
		seen->count++;
	seen->marks[number] = true;
	seen->calls++;
	return seen->stop_after && seen->calls == seen->stop_after ? 42 : 0;
}

static void scan_all(struct loam_engine *engine, enum loam_record_kind kind, uint64_t id,
		     struct seen *seen, uint64_t *skipped)
{
	uint64_t cursor = 0;
	struct loam_err err = { 0 };
	size_t pages = 0;
	do {
		int ret = engine->ops->scan(engine, kind, id, &cursor, skipped, mark, seen, &err);
		if (ret < 0)
			print_error("scan: %s\n", err.text);
		assert_int_equal(ret, 0);
		assert_true(++pages < 100000);
	} while (cursor != 0);
}

static void large_listings_come_in_pages(void **state)
{
	struct loam_engine *engine = *state;
	struct loam_err err = { 0 };
	loam_auto_free struct seen *seen = loam_xnew(struct seen);
	seen->by_name = true;
	scan_all(engine, LOAM_REC_DENTRY, 7, seen, NULL);
	assert_int_equal(seen->count, 0);

	static struct loam_write writes[SEEN_MAX];
	static char names[SEEN_MAX][16];
	for (size_t i = 0; i < SEEN_MAX; i++) {
		int bytes = snprintf(names[i], sizeof(names[i]), "n%zu", i);
		writes[i] = (struct loam_write){
			.op = LOAM_WRITE_PUT,
			.record = named(LOAM_REC_DENTRY, 7, names[i], (size_t)bytes),
			.data = DENTRY_BYTES,
			.data_bytes = LOAM_DENTRY_BYTES,
		};
	}
	assert_int_equal(engine->ops->commit(engine, NULL, 0, writes, SEEN_MAX, LOAM_COMMIT_BULK,
					     NULL, NULL, &err),
			 1);
	put(engine, text_named(LOAM_REC_DENTRY, 8, "n1"), DENTRY_BYTES, 9);
	scan_all(engine, LOAM_REC_DENTRY, 7, seen, NULL);
	assert_int_equal(seen->count, SEEN_MAX);

	uint64_t cursor = 0;
	seen->stop_after = seen->calls + 5;
	int ret = 0;
	do {
		ret = engine->ops->scan(engine, LOAM_REC_DENTRY, 7, &cursor, NULL, mark, seen,
					&err);
	} while (ret == 0 && cursor != 0);
	assert_int_equal(ret, 42);
}

static void every_kind_is_listed(void **state)
{
	struct loam_engine *engine = *state;
	static const struct {
		enum loam_record_kind kind;
		const char *value;
	} kinds[] = {
		{ LOAM_REC_ATTR, "a" },
		{ LOAM_REC_SYMLINK, "s" },
		{ LOAM_REC_ACL, "r" },
		{ LOAM_REC_SLICE_REF, "1" },
		{ LOAM_REC_DELFILE, "1700000000" },
		{ LOAM_REC_DELSLICES, "d" },
		{ LOAM_REC_DETACHED, "1700000000" },
		{ LOAM_REC_SESSION_LIFE, "1700000000" },
		{ LOAM_REC_SESSION_INFO, "{}" },
		{ LOAM_REC_CHUNK, "123456789012345678901234" },
		{ LOAM_REC_SUSTAINED, "1" },
		{ LOAM_REC_PARENT, "1" },
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(kinds); i++) {
		bool has_sub = kinds[i].kind != LOAM_REC_ATTR &&
			       kinds[i].kind != LOAM_REC_SYMLINK && kinds[i].kind != LOAM_REC_ACL &&
			       kinds[i].kind != LOAM_REC_DETACHED &&
			       kinds[i].kind != LOAM_REC_SESSION_LIFE &&
			       kinds[i].kind != LOAM_REC_SESSION_INFO;
		for (uint64_t id = 1000; id < 1020; id++)
			put_text(engine, rec(kinds[i].kind, id, has_sub ? 4 : 0), kinds[i].value);
	}
	for (uint64_t id = 1000; id < 1020; id++) {
		put(engine, text_named(LOAM_REC_DENTRY, id, "x"), DENTRY_BYTES, 9);
		put_text(engine, text_named(LOAM_REC_XATTR, id, "user.x"), "v");
	}
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(kinds) + 2; i++) {
		enum loam_record_kind kind = i < LOAM_ARRAY_COUNT(kinds)    ? kinds[i].kind
					     : i == LOAM_ARRAY_COUNT(kinds) ? LOAM_REC_DENTRY
									    : LOAM_REC_XATTR;
		loam_auto_free struct seen *seen = loam_xnew(struct seen);
		uint64_t skipped = 0;
		seen->base = 1000;
		scan_all(engine, kind, 0, seen, &skipped);
		assert_int_equal(seen->count, 20);
		assert_int_equal(skipped, 0);
	}
}

static int same_record(void *arg, const struct loam_record *record, const void *data,
		       size_t data_bytes)
{
	const struct kind_case *wanted = arg;
	assert_int_equal(record->kind, wanted->record.kind);
	assert_int_equal(record->id, wanted->record.id);
	assert_int_equal(record->sub, wanted->record.sub);
	assert_int_equal(record->name.bytes, wanted->record.name.bytes);
	if (record->name.bytes)
		assert_memory_equal(record->name.data, wanted->record.name.data,
				    record->name.bytes);
	assert_int_equal(data_bytes, strlen(wanted->value));
	assert_memory_equal(data, wanted->value, data_bytes);
	return 0;
}

static void a_listed_record_is_the_one_that_was_written(void **state)
{
	struct loam_engine *engine = *state;
	struct kind_case cases[CASES_MAX];
	size_t count = every_kind(cases);
	struct loam_err err = { 0 };
	for (size_t i = 0; i < count; i++) {
		enum loam_record_kind kind = cases[i].record.kind;
		if (kind == LOAM_REC_SETTING || kind == LOAM_REC_COUNTER || kind == LOAM_REC_LOCAL)
			continue;
		put_text(engine, cases[i].record, cases[i].value);
		uint64_t cursor = 0;
		do {
			assert_int_equal(engine->ops->scan(engine, kind, 0, &cursor, NULL,
							   same_record, &cases[i], &err),
					 0);
		} while (cursor != 0);
	}
}

/* ---- the rest ------------------------------------------------------------------------------ */

static void an_engine_says_what_it_is(void **state)
{
	struct loam_engine *engine = *state;
	struct loam_err err = { 0 };
	assert_int_equal(engine->ops->is_empty(engine, &err), 1);
	put_text(engine, rec(LOAM_REC_SETTING, 0, 0), "{}");
	assert_int_equal(engine->ops->is_empty(engine, &err), 0);

	char text[256] = "";
	assert_int_equal(engine->ops->describe(engine, text, sizeof(text), &err), 0);
	assert_true(strlen(text) > 0);
	int64_t now = 0;
	assert_int_equal(engine->ops->now(engine, &now, &err), 0);
	assert_true(llabs(now - (int64_t)time(NULL)) < 60);
	engine->ops->set_session(engine, 1);
}

static void a_lookup_is_two_reads(void **state)
{
	struct loam_engine *engine = *state;
	if (!engine->ops->lookup)
		return;
	struct loam_err err = { 0 };
	struct loam_name name = loam_name_of("file");
	struct loam_value dentry, attr;
	assert_int_equal(engine->ops->lookup(engine, 1, name, &dentry, &attr, &err), 0);

	uint64_t inos[] = { 1025, 0x0102030405060708ull, UINT64_MAX };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(inos); i++) {
		uint8_t bytes[LOAM_DENTRY_BYTES];
		loam_dentry_encode(&(struct loam_dentry){ LOAM_TYPE_FILE, inos[i] }, bytes);
		put(engine, text_named(LOAM_REC_DENTRY, 1, "file"), bytes, sizeof(bytes));
		assert_int_equal(engine->ops->lookup(engine, 1, name, &dentry, &attr, &err), 1);
		assert_memory_equal(dentry.data, bytes, sizeof(bytes));
		assert_false(attr.present);
		loam_value_release(&dentry);

		put_text(engine, rec(LOAM_REC_ATTR, inos[i], 0), "attr");
		assert_int_equal(engine->ops->lookup(engine, 1, name, &dentry, &attr, &err), 1);
		assert_memory_equal(attr.data, "attr", 4);
		loam_value_release(&dentry);
		loam_value_release(&attr);
	}
}

#define THREADS	   8
#define INCREMENTS 100

static void *increment(void *arg)
{
	struct loam_engine *engine = arg;
	struct loam_record record = rec(LOAM_REC_ATTR, 1, 0);
	for (int done = 0; done < INCREMENTS;) {
		struct loam_value seen = read_one(engine, record);
		char text[32] = "0";
		if (seen.present)
			memcpy(text, seen.data, seen.bytes + 1 < sizeof(text) ? seen.bytes : 0);
		if (seen.present)
			text[seen.bytes] = '\0';
		char next[32];
		int bytes = snprintf(next, sizeof(next), "%lld", strtoll(text, NULL, 10) + 1);
		struct loam_check check = { record, seen };
		struct loam_write writes[] = {
			{ .op = LOAM_WRITE_PUT,
			  .record = record,
			  .data = next,
			  .data_bytes = (uint32_t)bytes },
			{ .op = LOAM_WRITE_ADD,
			  .record = text_named(LOAM_REC_COUNTER, 0, "usedSpace"),
			  .delta = 2 },
		};
		struct loam_err err = { 0 };
		int ret = commit(engine, &check, 1, writes, 2, &err);
		loam_assert(ret >= 0);
		done += ret;
		loam_value_release(&seen);
	}
	return NULL;
}

static void no_update_of_many_threads_is_lost(void **state)
{
	struct loam_engine *engine = *state;
	pthread_t threads[THREADS];
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, increment, engine), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_text(engine, rec(LOAM_REC_ATTR, 1, 0), "800");
	assert_text(engine, text_named(LOAM_REC_COUNTER, 0, "usedSpace"), "1600");
}

static const struct loam_engine_fixture *fixture; /* the one under test */

static int open_engine(void **state)
{
	*state = fixture->open();
	return 0;
}

static int free_engine(void **state)
{
	struct loam_engine *engine = *state;
	engine->ops->free(engine);
	return 0;
}

#define contract(test) cmocka_unit_test_setup_teardown(test, open_engine, free_engine)

int main(void)
{
	const struct CMUnitTest tests[] = {
		contract(every_kind_is_put_read_checked_and_deleted),
		contract(a_conflict_applies_nothing_and_names_what_is_there),
		contract(empty_and_absent_are_told_apart),
		contract(names_are_bytes),
		contract(large_values_come_back_whole),
		contract(many_records_are_read_and_written_at_once),
		contract(numbers_are_added_to),
		contract(chunk_lists_grow_at_their_end),
		contract(writes_are_applied_in_order),
		contract(directories_are_present_while_they_hold_a_name),
		contract(whole_hashes_come_as_sorted_pairs),
		contract(large_listings_come_in_pages),
		contract(every_kind_is_listed),
		contract(a_listed_record_is_the_one_that_was_written),
		contract(an_engine_says_what_it_is),
		contract(a_lookup_is_two_reads),
		contract(no_update_of_many_threads_is_lost),
	};
	int failed = 0;
	for (size_t i = 0; i < loam_engines_count; i++) {
		const char *reason = NULL;
		fixture = &loam_engines[i];
		if (fixture->start && !fixture->start(&reason)) {
			print_error("engine %s cannot run here: %s\n", fixture->name, reason);
			failed++;
			continue;
		}
		failed += cmocka_run_group_tests_name(fixture->name, tests, NULL, NULL);
		if (fixture->stop)
			fixture->stop();
	}
	return failed;
}
