/*
 * Git LFS pointer files (lfs/pointer.h). Steps 6 and 8 of a push: which blobs stand for an object.
 *
 * The text is taken as the client takes it:
 *
 *   white space (Unicode's) around the whole is cut off; lines end in LF, one CR before it is
 *   dropped; empty lines do not count; a line is "key SP value".
 *   Keys come in the order version, oid, size; a line "ext-N-name" may stand before any of them,
 *   nothing behind size. A repeated key of an extension replaces its value; two extensions of one
 *   priority are an error.
 *
 * Two verdicts differ from `git lfs pointer --check`, on purpose, and are what the client's other
 * commands do: the empty blob is an ordinary empty file (the client calls it the pointer of the
 * empty object, the bytes are the same), and 1024 bytes or more are never a pointer (the check
 * looks at the first 1024 only, while push and fsck pass such a blob over).
 */
#include "lfs/pointer.h"

#include "core/auto.h"
#include "core/buf.h"
#include "core/limits.h"

#include <string.h>

#define VERSION	       "https://git-lfs.github.com/spec/v1"
#define PRIORITY_COUNT 10

/* Bytes borrowed from the blob. */
struct span {
	const char *data;
	size_t bytes;
};

struct parsed {
	struct span values[3]; /* version, oid, size */
	size_t count;
	struct {
		struct span key, value;
	} extensions[PRIORITY_COUNT]; /* by priority; key.data NULL: none */
};

static const char *const keys[] = { "version", "oid", "size" };
static const char *const versions[] = { VERSION, "https://hawser.github.com/spec/v1",
					"http://git-media.io/v/2" };

static bool span_is(struct span span, const char *text)
{
	return span.bytes == strlen(text) && memcmp(span.data, text, span.bytes) == 0;
}

/* ---- white space ----------------------------------------------------------------------------- */

/* Bytes of the white space character that text begins with; 0: none. */
static size_t space_at(const unsigned char *text, size_t bytes)
{
	if (bytes >= 1 && (text[0] == ' ' || (text[0] >= '\t' && text[0] <= '\r')))
		return 1;
	if (bytes >= 2 && text[0] == 0xc2 && (text[1] == 0x85 || text[1] == 0xa0))
		return 2;
	if (bytes < 3 || text[0] < 0xe1 || text[0] > 0xe3)
		return 0;
	unsigned code = (text[0] & 0xfu) << 12 | (text[1] & 0x3fu) << 6 | (text[2] & 0x3fu);
	if ((text[1] & 0xc0) != 0x80 || (text[2] & 0xc0) != 0x80)
		return 0;
	bool is_space = code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
			code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
	return is_space ? 3 : 0;
}

static struct span trim(const void *data, size_t bytes)
{
	const unsigned char *text = data;
	size_t cut;
	while (bytes > 0 && (cut = space_at(text, bytes)) > 0) {
		text += cut;
		bytes -= cut;
	}
	for (bool more = true; more;) {
		more = false;
		for (cut = 1; cut <= 3 && cut <= bytes; cut++) {
			if (space_at(text + bytes - cut, cut) == cut) {
				bytes -= cut;
				more = true;
				break;
			}
		}
	}
	return (struct span){ .data = (const char *)text, .bytes = bytes };
}

/* ---- lines ----------------------------------------------------------------------------------- */

static bool is_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '_';
}

/* ext-N-name: N is one digit, name begins with a word character and goes on as it likes. */
static bool is_extension(struct span key)
{
	return key.bytes >= 7 && memcmp(key.data, "ext-", 4) == 0 && key.data[4] >= '0' &&
	       key.data[4] <= '9' && key.data[5] == '-' && is_word(key.data[6]);
}

static bool add_extension(struct parsed *parsed, struct span key, struct span value)
{
	size_t priority = (size_t)(key.data[4] - '0');
	struct span *present = &parsed->extensions[priority].key;
	if (present->data &&
	    (present->bytes != key.bytes || memcmp(present->data, key.data, key.bytes) != 0))
		return false;
	*present = key;
	parsed->extensions[priority].value = value;
	return true;
}

static bool add_line(struct parsed *parsed, struct span line)
{
	const char *blank = memchr(line.data, ' ', line.bytes);
	if (!blank || parsed->count == LOAM_ARRAY_COUNT(keys))
		return false;
	struct span key = { .data = line.data, .bytes = (size_t)(blank - line.data) };
	struct span value = { .data = blank + 1, .bytes = line.bytes - key.bytes - 1 };
	if (span_is(key, keys[parsed->count])) {
		parsed->values[parsed->count++] = value;
		return true;
	}
	return is_extension(key) && add_extension(parsed, key, value);
}

static bool parse_lines(struct span text, struct parsed *parsed)
{
	while (text.bytes > 0) {
		const char *end = memchr(text.data, '\n', text.bytes);
		struct span line = { .data = text.data,
				     .bytes = end ? (size_t)(end - text.data) : text.bytes };
		size_t taken = line.bytes + (end ? 1 : 0);
		text.data += taken;
		text.bytes -= taken;
		if (line.bytes > 0 && line.data[line.bytes - 1] == '\r')
			line.bytes--;
		if (line.bytes > 0 && !add_line(parsed, line))
			return false;
	}
	return true;
}

/* ---- values ---------------------------------------------------------------------------------- */

static bool parse_oid(struct span value, char out[LOAM_SHA256_HEX + 1])
{
	if (value.bytes != 7 + LOAM_SHA256_HEX || memcmp(value.data, "sha256:", 7) != 0)
		return false;
	memcpy(out, value.data + 7, LOAM_SHA256_HEX);
	out[LOAM_SHA256_HEX] = '\0';
	return loam_oid_is_valid(out);
}

/* A sign and leading zeros are taken, as the client does; "-0" is 0. */
static bool parse_size(struct span value, uint64_t *out)
{
	bool negative = value.bytes > 0 && value.data[0] == '-';
	size_t at = value.bytes > 0 && (negative || value.data[0] == '+') ? 1 : 0;
	uint64_t size = 0;
	if (at == value.bytes)
		return false;
	for (; at < value.bytes; at++) {
		unsigned digit = (unsigned char)value.data[at] - (unsigned)'0';
		if (digit > 9 || size > ((uint64_t)INT64_MAX - digit) / 10)
			return false;
		size = size * 10 + digit;
	}
	*out = size;
	return !negative || size == 0;
}

static bool check_values(const struct parsed *parsed, struct loam_pointer *pointer)
{
	bool known = false;
	if (parsed->count != LOAM_ARRAY_COUNT(keys))
		return false;
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(versions); i++)
		known |= span_is(parsed->values[0], versions[i]);
	for (size_t i = 0; i < PRIORITY_COUNT; i++) {
		char oid[LOAM_SHA256_HEX + 1];
		if (parsed->extensions[i].key.data && !parse_oid(parsed->extensions[i].value, oid))
			return false;
	}
	return known && parse_oid(parsed->values[1], pointer->oid) &&
	       parse_size(parsed->values[2], &pointer->size);
}

/* Is the blob what the client itself writes for these values? An empty object has no pointer. */
static bool is_canonical(const struct parsed *parsed, const struct loam_pointer *pointer,
			 struct span blob)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(2 * LOAM_POINTER_BYTES_MAX);
	struct loam_err err = { 0 };
	int rc = loam_buf_add_text(&text, "version " VERSION "\n", &err);
	for (size_t i = 0; rc == 0 && i < PRIORITY_COUNT; i++) {
		struct span key = parsed->extensions[i].key;
		struct span value = parsed->extensions[i].value;
		if (key.data)
			rc = loam_buf_printf(&text, &err, "%.*s %.*s\n", (int)key.bytes, key.data,
					     (int)value.bytes, value.data);
	}
	if (rc == 0)
		rc = loam_buf_printf(&text, &err, "oid sha256:%s\nsize %llu\n", pointer->oid,
				     (unsigned long long)pointer->size);
	return rc == 0 && pointer->size > 0 && text.bytes == blob.bytes &&
	       memcmp(text.data, blob.data, blob.bytes) == 0;
}

int loam_pointer_parse(const void *data, size_t data_bytes, struct loam_pointer *out_pointer,
		       struct loam_err *err)
{
	struct parsed parsed = { .count = 0 };
	struct loam_pointer pointer = { .size = 0 };
	if (data_bytes >= LOAM_POINTER_BYTES_MAX)
		return loam_fail(err, LOAM_E_INVALID, "too long for a pointer");
	if (data_bytes == 0 || !parse_lines(trim(data, data_bytes), &parsed) ||
	    !check_values(&parsed, &pointer))
		return loam_fail(err, LOAM_E_INVALID, "not a pointer");
	struct span blob = { .data = data, .bytes = data_bytes };
	pointer.canonical = is_canonical(&parsed, &pointer, blob);
	*out_pointer = pointer;
	return 0;
}
