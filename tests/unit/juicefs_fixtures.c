/*
 * What an official client (1.4.1) wrote, read and written again by ours: fixtures/juicefs-1.4.1.
 */
#include "core/auto.h"
#include "core/hash.h"
#include "core/json.h"
#include "fs/meta/meta_format.h"
#include "fs/store/block_format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FOLDER	      "fixtures/juicefs-1.4.1/"
#define VALUES_MAX    256
#define VALUE_MAX     4096
#define LINE_MAX_HERE (2 * VALUE_MAX + 512)

/* One line of volume.txt: kind, key, then a field, member or index, then the value. */
struct value {
	char kind[8], key[64], field[64];
	uint8_t data[VALUE_MAX];
	size_t bytes;
};
static struct value values[VALUES_MAX];
static size_t value_count;

static const struct loam_block_naming naming = { "fixture", 4u << 20, false };

static void add_line(char *line)
{
	assert_in_range(value_count, 0, VALUES_MAX - 1);
	struct value *value = &values[value_count];
	char hex[LINE_MAX_HERE] = "";
	char third[LINE_MAX_HERE] = "";
	int words = sscanf(line, "%7s %63s %8000s %8000s", value->kind, value->key, third, hex);
	if (strcmp(value->kind, "set") == 0 || strcmp(value->kind, "zset") == 0)
		return;
	value_count++;
	if (strcmp(value->kind, "string") == 0) {
		assert_int_equal(words, 3);
		memcpy(hex, third, sizeof(hex));
	} else {
		assert_int_equal(words, 4);
		snprintf(value->field, sizeof(value->field), "%.63s", third);
	}
	value->bytes = strlen(hex) / 2;
	assert_in_range(value->bytes, 0, VALUE_MAX);
	assert_true(loam_unhex(hex, strlen(hex), value->data, value->bytes));
}

static int read_volume(void **state)
{
	(void)state;
	FILE *file = fopen(FOLDER "volume.txt", "re");
	assert_non_null(file);
	static char line[LINE_MAX_HERE];
	while (fgets(line, sizeof(line), file))
		add_line(line);
	fclose(file);
	return 0;
}

static const struct value *find(const char *key, const char *field)
{
	for (size_t i = 0; i < value_count; i++) {
		if (strcmp(values[i].key, key) == 0 && strcmp(values[i].field, field) == 0)
			return &values[i];
	}
	fail_msg("the fixture has no %s %s", key, field);
	return NULL;
}

static int64_t number(const char *key, const char *field)
{
	const struct value *value = find(key, field);
	char text[32];
	snprintf(text, sizeof(text), "%.*s", (int)value->bytes, (const char *)value->data);
	return strtoll(text, NULL, 10);
}

/* The inode that a name in the root stands for. */
static uint64_t inode_of(const char *name)
{
	const struct value *value = find("d1", name);
	struct loam_dentry dentry;
	struct loam_err err = { 0 };
	assert_int_equal(loam_dentry_decode(value->data, value->bytes, &dentry, &err), 0);
	return dentry.ino;
}

static struct loam_attr attr_of(uint64_t ino)
{
	char key[32];
	snprintf(key, sizeof(key), "i%llu", (unsigned long long)ino);
	const struct value *value = find(key, "");
	struct loam_attr attr;
	struct loam_err err = { 0 };
	assert_int_equal(loam_attr_decode(value->data, value->bytes, &attr, &err), 0);
	return attr;
}

static bool is_kind(const struct value *value, char first)
{
	return value->key[0] == first && value->key[1] >= '0' && value->key[1] <= '9';
}

static void each_attr_is_written_back_byte_for_byte(void **state)
{
	(void)state;
	size_t seen = 0;
	for (size_t i = 0; i < value_count; i++) {
		if (!is_kind(&values[i], 'i'))
			continue;
		struct loam_attr attr;
		struct loam_err err = { 0 };
		assert_int_equal(loam_attr_decode(values[i].data, values[i].bytes, &attr, &err), 0);
		uint8_t again[LOAM_ATTR_BYTES_MAX];
		assert_int_equal(loam_attr_encode(&attr, again), values[i].bytes);
		assert_memory_equal(again, values[i].data, values[i].bytes);
		seen++;
	}
	assert_int_equal(seen, 11);
}

static void attrs_say_what_was_done(void **state)
{
	(void)state;
	struct loam_attr plain = attr_of(inode_of("plain"));
	assert_int_equal(plain.type, LOAM_TYPE_FILE);
	assert_int_equal(plain.mode, 0644);
	assert_int_equal(plain.uid, 1000);
	assert_int_equal(plain.gid, 1001);
	assert_int_equal(plain.length, 5);
	assert_int_equal(plain.parent, 1);
	assert_int_equal(plain.mtime.tv_sec, 1700000000);
	assert_int_equal(plain.mtime.tv_nsec, 123456789);

	assert_int_equal(inode_of("first"), inode_of("second"));
	struct loam_attr linked = attr_of(inode_of("first"));
	assert_int_equal(linked.nlink, 2);
	assert_int_equal(linked.parent, 0);
	assert_int_equal(number("p3", "1"), 2);

	assert_int_equal(attr_of(inode_of("symlink")).type, LOAM_TYPE_SYMLINK);
	assert_int_equal(attr_of(inode_of("symlink")).length, strlen("plain/../plain"));
	assert_int_equal(attr_of(inode_of("fifo")).type, LOAM_TYPE_FIFO);
	assert_int_equal(attr_of(inode_of("sparse")).length, 200u << 20);
	assert_memory_equal(find("x2", "user.note")->data, "some text", 9);
}

static void each_dentry_is_written_back_byte_for_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < value_count; i++) {
		if (!is_kind(&values[i], 'd'))
			continue;
		struct loam_dentry dentry;
		struct loam_err err = { 0 };
		assert_int_equal(loam_dentry_decode(values[i].data, values[i].bytes, &dentry, &err),
				 0);
		assert_int_equal(attr_of(dentry.ino).type, dentry.type);
		uint8_t again[LOAM_DENTRY_BYTES];
		loam_dentry_encode(&dentry, again);
		assert_int_equal(values[i].bytes, sizeof(again));
		assert_memory_equal(again, values[i].data, sizeof(again));
	}
}

/* Calls with each record of each chunk list. */
static size_t each_slice(void (*run)(const struct value *value, const struct loam_slice *slice))
{
	size_t seen = 0;
	for (size_t i = 0; i < value_count; i++) {
		if (!is_kind(&values[i], 'c'))
			continue;
		loam_auto_free struct loam_slice *slices = NULL;
		size_t count = 0;
		struct loam_err err = { 0 };
		assert_int_equal(loam_slices_decode(values[i].data, values[i].bytes, &slices,
						    &count, &err),
				 0);
		assert_int_equal(count, 1);
		run(&values[i], &slices[0]);
		seen++;
	}
	return seen;
}

static void check_again(const struct value *value, const struct loam_slice *slice)
{
	uint8_t again[LOAM_SLICE_BYTES];
	loam_slice_encode(slice, again);
	assert_memory_equal(again, value->data, sizeof(again));
}

static void each_slice_is_written_back_byte_for_byte(void **state)
{
	(void)state;
	assert_int_equal(each_slice(check_again), 11);

	/* truncate from 5 bytes to 200 MiB: zeros to the border, none in chunks 1 and 2 */
	struct loam_slice *hole = NULL;
	size_t count;
	struct loam_err err = { 0 };
	const struct value *value = find("c9_0", "1");
	assert_int_equal(loam_slices_decode(value->data, value->bytes, &hole, &count, &err), 0);
	assert_int_equal(hole->id, 0);
	assert_int_equal(hole->pos, 5);
	assert_int_equal(hole->len, (64u << 20) - 5);
	free(hole);
}

static bool store_has(const char *key, uint32_t bytes)
{
	FILE *file = fopen(FOLDER "objects.txt", "re");
	assert_non_null(file);
	char line[512], wanted[512];
	snprintf(wanted, sizeof(wanted), "%s %u\n", key, bytes);
	bool found = false;
	while (!found && fgets(line, sizeof(line), file))
		found = strcmp(line, wanted) == 0;
	fclose(file);
	return found;
}

static void check_blocks(const struct value *value, const struct loam_slice *slice)
{
	(void)value;
	for (uint32_t i = 0; slice->id && i < loam_block_count(&naming, slice->size); i++) {
		char key[LOAM_BLOCK_KEY_BYTES];
		loam_block_key(&naming, slice->id, slice->size, i, key);
		assert_true(store_has(key, loam_block_bytes(&naming, slice->size, i)));
	}
}

static void each_slice_stands_in_the_store_under_our_names(void **state)
{
	(void)state;
	assert_int_equal(each_slice(check_blocks), 11);
	assert_true(store_has("fixture/juicefs_uuid", 36));
	/* a clone: one reference more than one */
	assert_int_equal(number("sliceRef", "k4_67108864"), 1);
	assert_int_equal(number("sliceRef", "k5_6291456"), 1);
}

static void usage_is_the_sum_that_we_count(void **state)
{
	(void)state;
	int64_t space = 0, inodes = 0;
	for (size_t i = 0; i < value_count; i++) {
		if (!is_kind(&values[i], 'i') || strcmp(values[i].key, "i1") == 0)
			continue;
		struct loam_attr attr;
		struct loam_err err = { 0 };
		assert_int_equal(loam_attr_decode(values[i].data, values[i].bytes, &attr, &err), 0);
		space += loam_space(attr.length);
		inodes++;
	}
	assert_int_equal(space, number("usedSpace", ""));
	assert_int_equal(inodes, number("totalInodes", ""));
}

static void acl_rules_are_ours_byte_for_byte(void **state)
{
	(void)state;
	static const char *const ids[] = { "1", "2" };
	for (size_t i = 0; i < 2; i++) {
		const struct value *value = find("acl", ids[i]);
		struct loam_acl acl;
		struct loam_err err = { 0 };
		loam_acl_init(&acl);
		assert_int_equal(loam_acl_decode(value->data, value->bytes, &acl, &err), 0);
		assert_int_equal(acl.user_count, 1);
		assert_int_equal(acl.users[0].id, 1000);
		assert_int_equal(acl.users[0].perm, 6);
		assert_int_equal(acl.groups[0].id, 200);
		struct loam_buf again;
		loam_buf_init(&again, VALUE_MAX);
		assert_int_equal(loam_acl_encode(&acl, &again, &err), 0);
		assert_int_equal(again.bytes, value->bytes);
		assert_memory_equal(again.data, value->data, value->bytes);
		struct loam_attr attr = attr_of(i == 0 ? inode_of("acls") : 7);
		assert_int_equal(attr.access_acl, i + 1);
		assert_int_equal(attr.mode & 0777, loam_acl_mode(&acl));
		loam_buf_release(&again);
		loam_acl_release(&acl);
	}
}

static void its_setting_is_understood_and_refused_for_one_reason(void **state)
{
	(void)state;
	const struct value *value = find("setting", "");
	struct loam_format *format = NULL;
	struct loam_err err = { 0 };
	assert_int_equal(loam_format_parse(value->data, value->bytes, &format, &err), 0);
	assert_string_equal(format->name, "fixture");
	assert_int_equal(format->block_kib, 4096);
	assert_true(format->enable_acl);
	assert_true(format->dir_stats);
	assert_int_equal(loam_format_check(format, &err), -LOAM_E_UNSUPPORTED);
	assert_non_null(strstr(err.text, "juicefs config META --dir-stats=false"));
	loam_err_clear(&err);

	/* Rewritten by us it says the same, members unknown to us included. */
	struct loam_buf again;
	loam_buf_init(&again, VALUE_MAX);
	assert_int_equal(loam_format_print(format, &again, &err), 0);
	loam_auto_json json_t *theirs = NULL, *ours = NULL;
	assert_int_equal(loam_json_parse(value->data, value->bytes, &theirs, &err), 0);
	assert_int_equal(loam_json_parse(again.data, again.bytes, &ours, &err), 0);
	assert_true(json_equal(theirs, ours));
	loam_buf_release(&again);
	format->dir_stats = false;
	assert_int_equal(loam_format_check(format, &err), 0);
	loam_format_free(format);
}

static void its_session_is_understood(void **state)
{
	(void)state;
	const struct value *value = find("sessionInfos", "1");
	struct loam_err err = { 0 };
	loam_auto_json json_t *info = NULL;
	assert_int_equal(loam_json_parse(value->data, value->bytes, &info, &err), 0);
	const char *version = NULL;
	assert_int_equal(loam_json_text(info, "Version", &version, &err), 1);
	int order = 1;
	assert_int_equal(loam_version_compare(version, "1.4.1", &order, &err), 0);
	assert_int_equal(order, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_attr_is_written_back_byte_for_byte),
		cmocka_unit_test(attrs_say_what_was_done),
		cmocka_unit_test(each_dentry_is_written_back_byte_for_byte),
		cmocka_unit_test(each_slice_is_written_back_byte_for_byte),
		cmocka_unit_test(each_slice_stands_in_the_store_under_our_names),
		cmocka_unit_test(usage_is_the_sum_that_we_count),
		cmocka_unit_test(acl_rules_are_ours_byte_for_byte),
		cmocka_unit_test(its_setting_is_understood_and_refused_for_one_reason),
		cmocka_unit_test(its_session_is_understood),
	};
	return cmocka_run_group_tests(tests, read_volume, NULL);
}
