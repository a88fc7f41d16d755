/*
 * The volume's bytes: golden vectors of the format document's Appendix A (made by running
 * upstream's encoders), every length an attr can have, the Format document, the version gate.
 */
#include "fs/meta/meta_format.h"
#include "core/auto.h"
#include "core/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ATTR_HEAD                                                                              \
	"0011a4000003e8000003e9000000006553f100075bcd15000000006553f10100000005000000006553f1" \
	"02000000060000000100000000000013880000000000000000000000"

#define ATTR_72 ATTR_HEAD "0100"
#define ATTR_73 ATTR_HEAD "010200"
#define ATTR_80 ATTR_HEAD "01000000030000000000"
#define ATTR_81 ATTR_HEAD "0100000003000000000200"
#define ROOT                                                                                    \
	"0021ff0000000000000000000000006553f10000000000000000006553f10000000000000000006553f10" \
	"00000000000000002000000000000100000000000000000000000000100"
#define TRASH_ROOT                                                                              \
	"00216d0000000000000000000000006553f10000000000000000006553f10000000000000000006553f10" \
	"00000000000000002000000000000100000000000000000000000000100"

static size_t unhex(const char *hex, uint8_t *out, size_t out_max)
{
	size_t bytes = strlen(hex) / 2;
	assert_true(bytes <= out_max);
	assert_true(loam_unhex(hex, 2 * bytes, out, bytes));
	return bytes;
}

static void assert_bytes(const void *data, size_t bytes, const char *hex)
{
	uint8_t wanted[256];
	assert_int_equal(bytes, unhex(hex, wanted, sizeof(wanted)));
	assert_memory_equal(data, wanted, bytes);
}

static struct loam_attr file_attr(void)
{
	return (struct loam_attr){
		.type = LOAM_TYPE_FILE,
		.mode = 0644,
		.uid = 1000,
		.gid = 1001,
		.atime = { 1700000000, 123456789 },
		.mtime = { 1700000001, 5 },
		.ctime = { 1700000002, 6 },
		.nlink = 1,
		.length = 5000,
		.parent = 1,
	};
}

static void assert_attr_is(const struct loam_attr *attr, const char *hex)
{
	uint8_t out[LOAM_ATTR_BYTES_MAX];
	assert_bytes(out, loam_attr_encode(attr, out), hex);
}

static void attrs_encode_as_upstream_does(void **state)
{
	struct loam_attr attr = file_attr();
	assert_attr_is(&attr, ATTR_72);
	attr.tier = 2;
	assert_attr_is(&attr, ATTR_73);
	attr.access_acl = 3;
	assert_attr_is(&attr, ATTR_81);
	attr.tier = 0;
	assert_attr_is(&attr, ATTR_80);

	struct timespec then = { 1700000000, 0 };
	struct loam_attr root = { .type = LOAM_TYPE_DIR,
				  .mode = 0777,
				  .atime = then,
				  .mtime = then,
				  .ctime = then,
				  .nlink = 2,
				  .length = LOAM_DIR_LENGTH,
				  .parent = LOAM_INO_ROOT };
	assert_attr_is(&root, ROOT);
	root.mode = 0555;
	assert_attr_is(&root, TRASH_ROOT);
}

static void attrs_of_every_length_are_decoded(void **state)
{
	uint8_t data[LOAM_ATTR_BYTES_MAX];
	unhex(ATTR_81, data, sizeof(data));
	const struct {
		size_t bytes;
		uint64_t parent;
		uint32_t access_acl;
		uint8_t tier;
	} rows[] = {
		{ 63, 0, 0, 0 }, { 71, 1, 0, 0 }, { 79, 1, 3, 0 }, { 80, 1, 3, 2 }, { 81, 1, 3, 2 },
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(rows); i++) {
		struct loam_attr attr;
		struct loam_err err = { 0 };
		assert_int_equal(loam_attr_decode(data, rows[i].bytes, &attr, &err), 0);
		assert_int_equal(attr.parent, rows[i].parent);
		assert_int_equal(attr.access_acl, rows[i].access_acl);
		assert_int_equal(attr.default_acl, 0);
		assert_int_equal(attr.tier, rows[i].tier);
		assert_int_equal(attr.length, 5000);
		assert_int_equal(attr.mode, 0644);
		assert_int_equal(attr.atime.tv_nsec, 123456789);
	}
}

static void attrs_survive_a_round_trip(void **state)
{
	static const char *const vectors[] = {
		ATTR_72, ATTR_73, ATTR_80, ATTR_81, ROOT, TRASH_ROOT
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(vectors); i++) {
		uint8_t data[LOAM_ATTR_BYTES_MAX];
		size_t bytes = unhex(vectors[i], data, sizeof(data));
		struct loam_attr attr;
		struct loam_err err = { 0 };
		assert_int_equal(loam_attr_decode(data, bytes, &attr, &err), 0);
		assert_attr_is(&attr, vectors[i]);
	}
}

static void a_pad_byte_is_tier_0_and_an_old_record_has_no_parent(void **state)
{
	uint8_t data[LOAM_ATTR_BYTES_MAX];
	struct loam_attr attr;
	struct loam_err err = { 0 };
	unhex(ATTR_72, data, sizeof(data));
	data[63] = 0;
	assert_int_equal(loam_attr_decode(data, 64, &attr, &err), 0);
	assert_int_equal(attr.parent, 0);
	assert_int_equal(attr.tier, 0);

	size_t bytes = unhex(ATTR_73, data, sizeof(data));
	assert_int_equal(loam_attr_decode(data, bytes, &attr, &err), 0);
	assert_int_equal(attr.tier, 2);
	assert_int_equal(attr.access_acl, 0);
}

static void broken_attrs_are_corrupt(void **state)
{
	uint8_t data[LOAM_ATTR_BYTES_MAX];
	struct loam_attr attr = { .uid = 42 };
	size_t bytes = unhex(ATTR_72, data, sizeof(data));
	for (size_t cut = 0; cut < 63; cut++) {
		struct loam_err err = { 0 };
		assert_int_equal(loam_attr_decode(data, cut, &attr, &err), -LOAM_E_CORRUPT);
	}
	static const uint8_t types[] = { 0x01, 0x81, 0xf1 };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(types); i++) {
		struct loam_err err = { 0 };
		data[1] = types[i];
		assert_int_equal(loam_attr_decode(data, bytes, &attr, &err), -LOAM_E_CORRUPT);
	}
	struct loam_err err = { 0 };
	data[1] = 0x11;
	data[51] = 0x80;
	assert_int_equal(loam_attr_decode(data, bytes, &attr, &err), -LOAM_E_CORRUPT);
	assert_int_equal(attr.uid, 42);
}

static void dentries_have_nine_bytes(void **state)
{
	struct loam_dentry dentry = { .type = LOAM_TYPE_DIR, .ino = 1025 };
	uint8_t data[LOAM_DENTRY_BYTES + 1] = { 0 };
	loam_dentry_encode(&dentry, data);
	assert_bytes(data, LOAM_DENTRY_BYTES, "020000000000000401");

	struct loam_dentry back;
	struct loam_err err = { 0 };
	assert_int_equal(loam_dentry_decode(data, LOAM_DENTRY_BYTES, &back, &err), 0);
	assert_int_equal(back.type, LOAM_TYPE_DIR);
	assert_int_equal(back.ino, 1025);
	assert_int_equal(loam_dentry_decode(data, 8, &back, &err), -LOAM_E_CORRUPT);
	loam_err_clear(&err);
	assert_int_equal(loam_dentry_decode(data, 10, &back, &err), -LOAM_E_CORRUPT);
	loam_err_clear(&err);
	data[0] = 8;
	assert_int_equal(loam_dentry_decode(data, 9, &back, &err), -LOAM_E_CORRUPT);
}

static void slices_have_24_bytes(void **state)
{
	struct loam_slice slice = {
		.pos = 4096, .id = 77, .size = 1048576, .off = 512, .len = 8192
	};
	struct loam_slice hole = { .len = LOAM_CHUNK_BYTES };
	uint8_t data[2 * LOAM_SLICE_BYTES];
	loam_slice_encode(&slice, data);
	loam_slice_encode(&hole, data + LOAM_SLICE_BYTES);
	assert_bytes(data, LOAM_SLICE_BYTES, "00001000000000000000004d001000000000020000002000");
	assert_bytes(data + LOAM_SLICE_BYTES, LOAM_SLICE_BYTES,
		     "000000000000000000000000000000000000000004000000");

	loam_auto_free struct loam_slice *slices = NULL;
	size_t count = 0;
	struct loam_err err = { 0 };
	assert_int_equal(loam_slices_decode(data, sizeof(data), &slices, &count, &err), 0);
	assert_int_equal(count, 2);
	assert_int_equal(slices[0].pos, 4096);
	assert_int_equal(slices[0].id, 77);
	assert_int_equal(slices[0].size, 1048576);
	assert_int_equal(slices[0].off, 512);
	assert_int_equal(slices[0].len, 8192);
	assert_int_equal(slices[1].len, LOAM_CHUNK_BYTES);
}

static int decode_one(const struct loam_slice *slice)
{
	uint8_t data[LOAM_SLICE_BYTES];
	loam_slice_encode(slice, data);
	loam_auto_free struct loam_slice *slices = NULL;
	size_t count = 0;
	struct loam_err err = { 0 };
	return loam_slices_decode(data, sizeof(data), &slices, &count, &err);
}

static void slices_beyond_their_chunk_or_blocks_are_corrupt(void **state)
{
	struct loam_slice beyond_chunk = {
		.pos = LOAM_CHUNK_BYTES - 1, .id = 7, .size = 2, .len = 2
	};
	struct loam_slice beyond_slice = { .id = 7, .size = 10, .off = 6, .len = 5 };
	struct loam_slice garbage_hole = { .id = 0, .size = 1, .off = 99, .len = 100 };
	struct loam_slice overflow = { .id = 7, .size = 10, .off = UINT32_MAX, .len = 5 };
	assert_int_equal(decode_one(&beyond_chunk), -LOAM_E_CORRUPT);
	assert_int_equal(decode_one(&beyond_slice), -LOAM_E_CORRUPT);
	assert_int_equal(decode_one(&overflow), -LOAM_E_CORRUPT);
	assert_int_equal(decode_one(&garbage_hole), 0);

	struct loam_slice *slices = NULL;
	size_t count = 9;
	struct loam_err err = { 0 };
	assert_int_equal(loam_slices_decode("", 0, &slices, &count, &err), 0);
	assert_null(slices);
	assert_int_equal(count, 0);
	assert_int_equal(loam_slices_decode("x", 1, &slices, &count, &err), -LOAM_E_CORRUPT);
}

static void delayed_slices_are_read_one_by_one(void **state)
{
	uint8_t data[2 * LOAM_DELSLICE_BYTES];
	loam_delslice_encode(77, 4194304, data);
	loam_delslice_encode(78, 1, data + LOAM_DELSLICE_BYTES);
	assert_bytes(data, LOAM_DELSLICE_BYTES, "000000000000004d00400000");

	uint64_t id = 0;
	uint32_t size = 0;
	struct loam_err err = { 0 };
	assert_int_equal(loam_delslice_decode(data, sizeof(data), 1, &id, &size, &err), 1);
	assert_int_equal(id, 78);
	assert_int_equal(size, 1);
	assert_int_equal(loam_delslice_decode(data, sizeof(data), 2, &id, &size, &err), 0);
	assert_int_equal(loam_delslice_decode(data, 13, 0, &id, &size, &err), -LOAM_E_CORRUPT);
}

static void space_counts_whole_pages(void **state)
{
	assert_int_equal(loam_space(0), 4096);
	assert_int_equal(loam_space(1), 4096);
	assert_int_equal(loam_space(4096), 4096);
	assert_int_equal(loam_space(4097), 8192);
}

#define FORMAT_FIXTURE                                                                    \
	"{\n\"Name\": \"myvol\",\n\"UUID\": \"e94d66a8-2339-4abd-b8d8-6812df737892\",\n"  \
	"\"Storage\": \"file\",\n\"Tiers\": null,\n\"Bucket\": \"/var/blocks/\",\n"       \
	"\"BlockSize\": 4096,\n\"EncryptAlgo\": \"aes256gcm-rsa\",\n\"TrashDays\": 0,\n"  \
	"\"MetaVersion\": 1,\n\"MinClientVersion\": \"1.1.0-A\",\n\"EnableACL\": true,\n" \
	"\"KerbConf\": \"kept\"\n}"

static struct loam_format *parsed(const char *text)
{
	struct loam_format *format = NULL;
	struct loam_err err = { 0 };
	assert_int_equal(loam_format_parse(text, strlen(text), &format, &err), 0);
	return format;
}

static void a_format_document_keeps_what_it_does_not_know(void **state)
{
	struct loam_format *format = parsed(FORMAT_FIXTURE);
	assert_string_equal(format->name, "myvol");
	assert_string_equal(format->bucket, "/var/blocks/");
	assert_string_equal(format->secret_key, "");
	assert_int_equal(format->block_kib, 4096);
	assert_int_equal(format->meta_version, 1);
	assert_true(format->enable_acl);
	assert_false(format->dir_stats);

	format->capacity_bytes = 1ull << 40;
	loam_auto_buf struct loam_buf out = LOAM_BUF(4096);
	struct loam_err err = { 0 };
	assert_int_equal(loam_format_print(format, &out, &err), 0);
	loam_format_free(format);
	assert_non_null(strstr(loam_buf_text(&out), "\"KerbConf\":\"kept\""));
	assert_non_null(strstr(loam_buf_text(&out), "\"Tiers\":null"));
	assert_null(strstr(loam_buf_text(&out), "SecretKey"));

	format = parsed(loam_buf_text(&out));
	assert_int_equal(format->capacity_bytes, 1ull << 40);
	assert_string_equal(format->min_client, "1.1.0-A");
	loam_format_free(format);
}

static void member_names_match_in_any_case(void **state)
{
	struct loam_format *format =
		parsed("{\"name\":\"abc\",\"BLOCKSIZE\":64,\"trashdays\":null,\"enableacl\":true}");
	assert_string_equal(format->name, "abc");
	assert_int_equal(format->block_kib, 64);
	assert_int_equal(format->trash_days, 0);
	assert_true(format->enable_acl);

	format->block_kib = 128;
	loam_auto_buf struct loam_buf out = LOAM_BUF(4096);
	struct loam_err err = { 0 };
	assert_int_equal(loam_format_print(format, &out, &err), 0);
	loam_format_free(format);
	assert_non_null(strstr(loam_buf_text(&out), "\"BLOCKSIZE\":128"));
	assert_null(strstr(loam_buf_text(&out), "BlockSize"));
}

static void a_document_made_by_hand_names_what_upstream_writes(void **state)
{
	struct loam_format format = { .name = (char *)"abc", .block_kib = 4096 };
	loam_auto_buf struct loam_buf out = LOAM_BUF(4096);
	struct loam_err err = { 0 };
	assert_int_equal(loam_format_print(&format, &out, &err), 0);
	assert_string_equal(loam_buf_text(&out),
			    "{\"Name\":\"abc\",\"UUID\":\"\",\"Storage\":\"\",\"Bucket\":\"\","
			    "\"BlockSize\":4096,\"TrashDays\":0,\"EnableACL\":false}");
}

static void broken_documents_are_invalid(void **state)
{
	static const char *const texts[] = {
		"",
		"[]",
		"{",
		"{\"Name\":5}",
		"{\"BlockSize\":\"4096\"}",
		"{\"BlockSize\":-1}",
		"{\"BlockSize\":4294967296}",
		"{\"BlockSize\":4096.0}",
		"{\"Capacity\":-1}",
		"{\"EnableACL\":1}",
		"{\"Name\":\"abc\"} x",
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(texts); i++) {
		struct loam_format *format = NULL;
		struct loam_err err = { 0 };
		assert_int_equal(loam_format_parse(texts[i], strlen(texts[i]), &format, &err),
				 -LOAM_E_INVALID);
		assert_null(format);
	}
}

static int checked(void (*change)(struct loam_format *format))
{
	struct loam_format *format = parsed(FORMAT_FIXTURE);
	struct loam_err err = { 0 };
	if (change)
		change(format);
	int ret = loam_format_check(format, &err);
	loam_format_free(format);
	return ret;
}

static void replace(char **text, const char *with)
{
	free(*text);
	*text = loam_xstrdup(with);
}

#define CHANGE(name, statement)                      \
	static void name(struct loam_format *format) \
	{                                            \
		statement;                           \
	}
CHANGE(has_trash, format->trash_days = 1)
CHANGE(has_stats, format->dir_stats = true)
CHANGE(has_quotas, format->user_group_quota = true)
CHANGE(has_change_log, format->change_log = true)
CHANGE(has_shards, format->shards = 2)
CHANGE(is_compressed, replace(&format->compression, "lz4"))
CHANGE(is_encrypted, replace(&format->encrypt_key, "-----BEGIN"))
CHANGE(is_in_s3, replace(&format->storage, "s3"))
CHANGE(is_newer, format->meta_version = 2)
CHANGE(wants_newer, replace(&format->min_client, "1.5.0-A"))
CHANGE(wants_older, replace(&format->max_client, "1.3.9"))
CHANGE(has_bad_minimum, replace(&format->min_client, "soon"))
CHANGE(has_bad_blocks, format->block_kib = 3000)
CHANGE(has_bad_name, replace(&format->name, "-x-"))
CHANGE(has_bad_uuid, replace(&format->uuid, "1"))
CHANGE(is_plain, replace(&format->compression, "None"))
CHANGE(is_just_new_enough, replace(&format->min_client, "1.4.0-A"))

static void volumes_that_need_more_than_we_do_are_refused(void **state)
{
	assert_int_equal(checked(NULL), 0);
	assert_int_equal(checked(is_plain), 0);
	assert_int_equal(checked(is_just_new_enough), 0);
	static void (*const unsupported[])(struct loam_format *) = {
		has_trash,    has_stats, has_quotas, has_change_log, has_shards,  is_compressed,
		is_encrypted, is_in_s3,	 is_newer,   wants_newer,    wants_older,
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(unsupported); i++)
		assert_int_equal(checked(unsupported[i]), -LOAM_E_UNSUPPORTED);
	assert_int_equal(checked(has_bad_minimum), -LOAM_E_INVALID);
	assert_int_equal(checked(has_bad_blocks), -LOAM_E_INVALID);
	assert_int_equal(checked(has_bad_name), -LOAM_E_INVALID);
	assert_int_equal(checked(has_bad_uuid), -LOAM_E_INVALID);
}

static void versions_are_ordered_as_the_gate_orders_them(void **state)
{
	static const char *const ascending[] = {
		"0.9",	   "1.0.0-A",	  "1.0-beta1",	 "1.0-beta2", "1",	"1.0.1",
		"1.1.0-A", "1.1.0-alpha", "1.1.0-beta1", "1.1.0",     "1.10.0", "2",
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(ascending); i++) {
		for (size_t j = 0; j < LOAM_ARRAY_COUNT(ascending); j++) {
			int order = 0;
			struct loam_err err = { 0 };
			assert_int_equal(loam_version_compare(ascending[i], ascending[j], &order,
							      &err),
					 0);
			assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
		}
	}
	int order = 9;
	struct loam_err err = { 0 };
	assert_int_equal(loam_version_compare("1.4.0+loam", "1.4", &order, &err), 0);
	assert_int_equal(order, 0);
}

static void what_is_no_version_is_invalid(void **state)
{
	static const char *const texts[] = { "",     "x",  "1.", "1.2.3.4", ".1",
					     "1..2", "-A", "+1", "v1.0",    "1.99999999999" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(texts); i++) {
		int order = 0;
		struct loam_err err = { 0 };
		assert_int_equal(loam_version_compare(texts[i], "1.0", &order, &err),
				 -LOAM_E_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attrs_encode_as_upstream_does),
		cmocka_unit_test(attrs_of_every_length_are_decoded),
		cmocka_unit_test(attrs_survive_a_round_trip),
		cmocka_unit_test(a_pad_byte_is_tier_0_and_an_old_record_has_no_parent),
		cmocka_unit_test(broken_attrs_are_corrupt),
		cmocka_unit_test(dentries_have_nine_bytes),
		cmocka_unit_test(slices_have_24_bytes),
		cmocka_unit_test(slices_beyond_their_chunk_or_blocks_are_corrupt),
		cmocka_unit_test(delayed_slices_are_read_one_by_one),
		cmocka_unit_test(space_counts_whole_pages),
		cmocka_unit_test(a_format_document_keeps_what_it_does_not_know),
		cmocka_unit_test(member_names_match_in_any_case),
		cmocka_unit_test(a_document_made_by_hand_names_what_upstream_writes),
		cmocka_unit_test(broken_documents_are_invalid),
		cmocka_unit_test(volumes_that_need_more_than_we_do_are_refused),
		cmocka_unit_test(versions_are_ordered_as_the_gate_orders_them),
		cmocka_unit_test(what_is_no_version_is_invalid),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
