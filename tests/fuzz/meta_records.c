/*
 * Records of a volume as damage or another program may have left them. The first byte chooses.
 */
#include "fs/meta/meta_format.h"
#include "tests/fuzz/fuzz.h"

static void attr(const uint8_t *data, size_t bytes)
{
	struct loam_err err = { 0 };
	struct loam_attr one, two;
	uint8_t record[LOAM_ATTR_BYTES_MAX];
	if (loam_attr_decode(data, bytes, &one, &err) < 0)
		return;
	size_t length = loam_attr_encode(&one, record);
	loam_assert(length <= sizeof(record));
	loam_assert(loam_attr_decode(record, length, &two, &err) == 0);
	loam_assert(one.type == two.type && one.length == two.length && one.uid == two.uid &&
		    one.parent == two.parent && one.access_acl == two.access_acl);
	loam_assert((one.length >> 63) == 0 && one.mode <= 07777);
}

static void slices(const uint8_t *data, size_t bytes)
{
	struct loam_err err = { 0 };
	struct loam_slice *list = NULL;
	size_t count = 0;
	if (loam_slices_decode(data, bytes, &list, &count, &err) < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		loam_assert((uint64_t)list[i].pos + list[i].len <= LOAM_CHUNK_BYTES);
		loam_assert(list[i].id == 0 || (uint64_t)list[i].off + list[i].len <= list[i].size);
		uint8_t again[LOAM_SLICE_BYTES];
		loam_slice_encode(&list[i], again);
		loam_assert(memcmp(again, data + i * LOAM_SLICE_BYTES, sizeof(again)) == 0);
	}
	free(list);
}

static void small_ones(const uint8_t *data, size_t bytes)
{
	struct loam_err err = { 0 }, second = { 0 };
	struct loam_dentry dentry;
	uint64_t id;
	uint32_t size;
	loam_dentry_decode(data, bytes, &dentry, &err);
	size_t index = 0;
	while (loam_delslice_decode(data, bytes, index, &id, &size, &second) == 1)
		index++;
	loam_assert(index <= bytes / LOAM_DELSLICE_BYTES);
}

static void document(const uint8_t *data, size_t bytes)
{
	struct loam_err err = { 0 }, second = { 0 };
	struct loam_format *format = NULL;
	if (loam_format_parse(data, bytes, &format, &err) < 0)
		return;
	loam_auto_buf struct loam_buf text = LOAM_BUF(4u << 20);
	loam_format_check(format, &second);
	loam_err_clear(&second);
	loam_assert(loam_format_print(format, &text, &second) == 0);
	loam_format_free(format);
	loam_assert(loam_format_parse(text.data, text.bytes, &format, &second) == 0);
	loam_format_free(format);
}

static void versions(const uint8_t *data, size_t bytes)
{
	struct loam_err err = { 0 };
	size_t first_bytes;
	const uint8_t *first = fuzz_part(&data, &bytes, &first_bytes);
	loam_auto_free char *a = fuzz_text(first, first_bytes);
	loam_auto_free char *b = fuzz_text(data, bytes);
	int order = 0, back = 0;
	if (loam_version_compare(a, b, &order, &err) < 0)
		return;
	loam_assert(loam_version_compare(b, a, &back, &err) == 0);
	loam_assert((order < 0) == (back > 0) && (order == 0) == (back == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
	static void (*const parsers[])(const uint8_t *, size_t) = { attr, slices, small_ones,
								    document, versions };
	if (data_bytes > 0)
		parsers[data[0] % LOAM_ARRAY_COUNT(parsers)](data + 1, data_bytes - 1);
	return 0;
}
