/*
 * Records between the metadata layer and its engines: names, values, packed pairs, redacted URLs.
 *
 * Packed pairs carry a whole hash in one value:
 *
 *   u32 name bytes | name | u32 value bytes | value | u32 name bytes | …      big-endian, by name
 */
#include "fs/meta/record.h"

#include "core/auto.h"
#include "core/endian.h"

#include <string.h>

struct loam_name loam_name_of(const char *text)
{
	size_t bytes = strlen(text);
	loam_assert(bytes <= UINT16_MAX);
	return (struct loam_name){ .data = text, .bytes = (uint16_t)bytes };
}

size_t loam_record_key(const struct loam_record *record, uint8_t out[LOAM_RECORD_KEY_BYTES_MAX])
{
	out[0] = (uint8_t)record->kind;
	memcpy(out + 1, &record->id, 8);
	memcpy(out + 9, &record->sub, 8);
	if (record->name.bytes > 0)
		memcpy(out + 17, record->name.data, record->name.bytes);
	return 17 + (size_t)record->name.bytes;
}

void loam_value_release(struct loam_value *value)
{
	free(value->data);
	*value = (struct loam_value){ 0 };
}

bool loam_value_equal(const struct loam_value *a, const struct loam_value *b)
{
	if (a->present != b->present)
		return false;
	return a->bytes == b->bytes && (a->bytes == 0 || memcmp(a->data, b->data, a->bytes) == 0);
}

struct loam_value loam_value_of(const void *data, size_t data_bytes)
{
	loam_assert(data_bytes <= UINT32_MAX);
	struct loam_value value = { .present = true, .bytes = (uint32_t)data_bytes };
	if (data_bytes > 0) {
		value.data = loam_xcalloc(1, data_bytes);
		memcpy(value.data, data, data_bytes);
	}
	return value;
}

struct loam_value loam_value_copy(const struct loam_value *value)
{
	if (!value->present)
		return (struct loam_value){ 0 };
	return loam_value_of(value->data, value->bytes);
}

int loam_packed_add(struct loam_buf *packed, struct loam_name name, const void *data,
		    uint32_t data_bytes, struct loam_err *err)
{
	uint8_t length[4];
	loam_be32_put(length, name.bytes);
	int ret = loam_buf_add(packed, length, sizeof(length), err);
	if (ret == 0)
		ret = loam_buf_add(packed, name.data, name.bytes, err);
	loam_be32_put(length, data_bytes);
	if (ret == 0)
		ret = loam_buf_add(packed, length, sizeof(length), err);
	if (ret == 0)
		ret = loam_buf_add(packed, data, data_bytes, err);
	return ret;
}

/* Takes "u32 bytes, bytes" at *offset. False when the value ends before. */
static bool take(const struct loam_value *packed, size_t *offset, const uint8_t **out,
		 uint32_t *out_bytes)
{
	size_t left = packed->bytes - *offset;
	if (left < 4)
		return false;
	uint32_t bytes = loam_be32_get(packed->data + *offset);
	if (bytes > left - 4)
		return false;
	*out = packed->data + *offset + 4;
	*out_bytes = bytes;
	*offset += 4 + (size_t)bytes;
	return true;
}

int loam_packed_next(const struct loam_value *packed, size_t *offset, struct loam_name *out_name,
		     const void **out_data, uint32_t *out_data_bytes, struct loam_err *err)
{
	if (*offset >= packed->bytes)
		return 0;

	size_t at = *offset;
	const uint8_t *name, *data;
	uint32_t name_bytes, data_bytes;
	if (!take(packed, &at, &name, &name_bytes) || !take(packed, &at, &data, &data_bytes) ||
	    name_bytes > UINT16_MAX)
		return loam_fail(err, LOAM_E_CORRUPT, "packed pairs break at byte %zu of %u",
				 *offset, packed->bytes);
	*out_name = (struct loam_name){ .data = (const char *)name, .bytes = (uint16_t)name_bytes };
	*out_data = data;
	*out_data_bytes = data_bytes;
	*offset = at;
	return 1;
}

/* Length of the user part "user:password@" without the @, 0 when the URL has none. */
static size_t user_bytes(const char *authority)
{
	size_t host_end = strcspn(authority, "/?#");
	const char *at = memrchr(authority, '@', host_end);
	if (!at && authority[0] != '/') /* a password with an unescaped slash is still one */
		at = strrchr(authority, '@');
	return at ? (size_t)(at - authority) : 0;
}

char *loam_engine_url_redacted(const char *url)
{
	const char *scheme_end = strstr(url, "://");
	if (!scheme_end)
		return loam_xstrdup(strchr(url, '@') ? "***" : url);

	const char *authority = scheme_end + 3;
	size_t user = user_bytes(authority);
	const char *colon = memchr(authority, ':', user);
	int shown = (int)(colon ? colon + 1 - url : authority - url);
	const char *rest = colon ? authority + user : authority;
	loam_auto_free char *text =
		loam_xasprintf("%.*s%s%s", shown, url, colon ? "***" : "", rest);

	char *query = strstr(text, "password=");
	if (!query)
		return loam_steal(&text);
	query += strlen("password=");
	size_t secret = strcspn(query, "&#");
	return loam_xasprintf("%.*s***%s", (int)(query - text), text, query + secret);
}
