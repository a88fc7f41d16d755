/*
 * lfs/pointer: the verdict on a blob is that of the installed git-lfs client, over a corpus
 * (reliability.md ptr-1 to ptr-4) and over seeded mutations of it.
 */
#include "lfs/pointer.h"

#include "core/auto.h"
#include "core/limits.h"
#include "core/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define OID  "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
#define OID2 "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd"
#define V1   "version https://git-lfs.github.com/spec/v1\n"
#define O    "oid sha256:" OID "\n"
#define S    "size 12345\n"

/* Length and text: some hold NUL. */
#define CASE(text)                        \
	{                                 \
		text, sizeof(text) - 1, 0 \
	}
static const struct blob {
	const char *data;
	size_t bytes;
	size_t pad; /* blank lines behind it, up to this length */
} corpus[] = {
	CASE(V1 O S),
	CASE("version https://git-lfs.github.com/spec/v1\r\noid sha256:" OID "\r\nsize 1\r\n"),
	CASE("\xef\xbb\xbf" V1 O S),
	CASE(V1 O "size 12345"),
	CASE(V1 O S "\n\n"),
	CASE(V1 "\n" O S),
	CASE("\n \t" V1 O S),
	CASE(V1 " \n" O S),
	CASE("version https://git-lfs.github.com/spec/v1\r\r\n" O S),
	CASE(V1 O "size 12345 \n"),
	CASE(V1 "oid sha256:" OID " \n" S),
	CASE(V1 O S "\v\f"),
	CASE(V1 O S "\xc2\x85\xc2\xa0\xe2\x80\x83\xe3\x80\x80"),
	CASE("\xe2\x80\xa8" V1 O S),
	CASE(V1 O S "\x85"),
	CASE(V1 O S "\xa0"),
	CASE(V1 O S "\xe2\x80"),
	CASE(V1 O "size +1\n"),
	CASE(V1 O "size 01\n"),
	CASE(V1 O "size 00000000000000000000000000000001\n"),
	CASE(V1 O "size 1e3\n"),
	CASE(V1 O "size -0\n"),
	CASE(V1 O "size -5\n"),
	CASE(V1 O "size +\n"),
	CASE(V1 O "size \n"),
	CASE(V1 O "size  5\n"),
	CASE(V1 O "size 0\n"),
	CASE(V1 O "size 1_0\n"),
	CASE(V1 O "size 0x10\n"),
	CASE(V1 O "size 9223372036854775807\n"),
	CASE(V1 O "size 9223372036854775808\n"),
	CASE(V1 O "size 99999999999999999999\n"),
	CASE(V1 O),
	CASE(O S "# git-lfs\n"),
	CASE(V1 S O),
	CASE(V1 O S "x y\n"),
	CASE(V1 "x y\n" O S),
	CASE(V1 O S "\0"),
	CASE(V1 O "size 12345\0\n"),
	CASE("version https://hawser.github.com/spec/v1\n" O S),
	CASE("version http://git-media.io/v/2\n" O S),
	CASE("version http://git-lfs.github.com/spec/v1\n" O S),
	CASE("version https://git-lfs.github.com/spec/v1 x\n" O S),
	CASE("version https://git-lfs.github.com/spec/v2\n" O S),
	CASE("version  https://git-lfs.github.com/spec/v1\n" O S),
	CASE("version\thttps://git-lfs.github.com/spec/v1\n" O S),
	CASE("# git-media\n" OID "\n"),
	CASE(V1 "oid sha256:4D7A214614AB2935C943F9E0FF69D22EADBB8F32B1258DAAA5E2CA24D17E2393\n" S),
	CASE(V1 "oid sha256:" OID "a\n" S),
	CASE(V1 "oid sha256:4d7a\n" S),
	CASE(V1 "oid " OID "\n" S),
	CASE(V1 "oid md5:" OID "\n" S),
	CASE(V1 "oid sha256:sha256:" OID "\n" S),
	CASE(V1 "OID sha256:" OID "\n" S),
	CASE(V1 "ext-0-foo sha256:" OID2 "\n" O S),
	CASE("ext-0-foo sha256:" OID2 "\n" V1 O S),
	CASE(V1 O "ext-0-foo sha256:" OID2 "\n" S),
	CASE(V1 O S "ext-0-foo sha256:" OID2 "\n"),
	CASE(V1 "ext-0-foo sha256:" OID2 "\next-1-bar sha256:" OID "\n" O S),
	CASE(V1 "ext-1-foo sha256:" OID2 "\next-0-bar sha256:" OID "\n" O S),
	CASE(V1 "ext-0-foo sha256:" OID2 "\next-0-bar sha256:" OID "\n" O S),
	CASE(V1 "ext-0-foo sha256:" OID2 "\next-0-foo sha256:" OID "\n" O S),
	CASE(V1 "ext-0-foo md5:" OID2 "\next-0-foo sha256:" OID "\n" O S),
	CASE(V1 "ext-0-foo sha256:" OID "\next-0-foo md5:" OID2 "\n" O S),
	CASE(V1 "ext-0-foo sha256:" OID2 "zz\n" O S),
	CASE(V1 "ext-10-foo sha256:" OID2 "\n" O S),
	CASE(V1 "ext-0- sha256:" OID2 "\n" O S),
	CASE(V1 "ext-0-a+b sha256:" OID2 "\n" O S),
	CASE(V1 "ext-0-a-b sha256:" OID2 "\n" O S),
	CASE(V1 "ext-0-\xc3\xa9 sha256:" OID2 "\n" O S),
	CASE(V1 "extra-0-a sha256:" OID2 "\n" O S),
	CASE("just a file\n"),
	CASE("git-lfs"),
	CASE(" \n"),
	{ V1 O S, sizeof(V1 O S) - 1, 1023 },
};

#define MUTATION_COUNT 150

/* The client's verdict: 1, 0; -1 there is no client. */
static int client_says(const char *option, const void *data, size_t bytes)
{
	const char *const argv[] = { "git-lfs", "pointer", "--check", option, "--stdin", NULL };
	const char *const argv_plain[] = { "git-lfs", "pointer", "--check", "--stdin", NULL };
	const char *const env[] = { "PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/nonexistent",
				    "GIT_CONFIG_NOSYSTEM=1", NULL };
	struct loam_process_spec spec = { .argv = option ? argv : argv_plain,
					  .env = env,
					  .dir = "/",
					  .stdin_fd = LOAM_PIPE,
					  .stdout_fd = -1,
					  .stderr_fd = -1 };
	struct loam_err err = { 0 };
	int rc = loam_process_run(&spec, data, bytes, NULL, 30000, &err);
	if (rc == -LOAM_E_NOT_FOUND)
		return -1;
	return rc == 0;
}

static void compare(const void *data, size_t bytes, const char *what, size_t index)
{
	struct loam_pointer pointer;
	struct loam_err err = { 0 };
	int is_pointer = client_says(NULL, data, bytes);
	if (is_pointer < 0)
		skip();
	bool ours = loam_pointer_parse(data, bytes, &pointer, &err) == 0;
	if (ours != (is_pointer == 1))
		fail_msg("%s %zu: the client says %d, we %d: %.*s", what, index, is_pointer, ours,
			 (int)bytes, (const char *)data);
	if (!ours)
		return;
	int strict = client_says("--strict", data, bytes);
	if (pointer.canonical != (strict == 1))
		fail_msg("%s %zu: canonical is %d for the client: %.*s", what, index, strict,
			 (int)bytes, (const char *)data);
}

static size_t blob_text(const struct blob *blob, char out[LOAM_POINTER_BYTES_MAX])
{
	memset(out, '\n', LOAM_POINTER_BYTES_MAX);
	memcpy(out, blob->data, blob->bytes);
	return blob->pad ? blob->pad : blob->bytes;
}

static void every_blob_of_the_corpus_gets_the_clients_verdict(void **state)
{
	char text[LOAM_POINTER_BYTES_MAX];
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(corpus); i++)
		compare(text, blob_text(&corpus[i], text), "corpus", i);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* One byte changed, dropped or doubled, or a line moved to the end. */
static size_t mutate(char *text, size_t bytes, uint32_t *seed)
{
	static const char bytes_in[] = " \r\n\t0123456789abcdefgAZ-+:_\xc2\xa0\xe2\x80\x81";
	size_t at = next_random(seed) % bytes;
	switch (next_random(seed) % 3) {
	case 0:
		text[at] = bytes_in[next_random(seed) % (sizeof(bytes_in) - 1)];
		return bytes;
	case 1:
		memmove(text + at, text + at + 1, bytes - at - 1);
		return bytes - 1;
	default:
		if (bytes + 1 >= LOAM_POINTER_BYTES_MAX)
			return bytes;
		memmove(text + at + 1, text + at, bytes - at);
		text[at] = bytes_in[next_random(seed) % (sizeof(bytes_in) - 1)];
		return bytes + 1;
	}
}

static void mutated_blobs_get_the_clients_verdict(void **state)
{
	uint32_t seed = 20261122;
	for (size_t i = 0; i < MUTATION_COUNT; i++) {
		char text[LOAM_POINTER_BYTES_MAX];
		size_t which = next_random(&seed) % LOAM_ARRAY_COUNT(corpus);
		size_t bytes = blob_text(&corpus[which], text);
		for (size_t n = next_random(&seed) % 2 + 1; n > 0 && bytes > 1; n--)
			bytes = mutate(text, bytes, &seed);
		compare(text, bytes, "mutation", i);
	}
}

static void a_pointer_gives_its_oid_and_size(void **state)
{
	struct loam_pointer pointer;
	struct loam_err err = { 0 };
	assert_int_equal(loam_pointer_parse(V1 O S, strlen(V1 O S), &pointer, &err), 0);
	assert_string_equal(pointer.oid, OID);
	assert_int_equal(pointer.size, 12345);
	assert_true(pointer.canonical);
}

static void an_empty_blob_is_an_empty_file(void **state)
{
	struct loam_pointer pointer;
	struct loam_err err = { 0 };
	assert_int_equal(loam_pointer_parse("", 0, &pointer, &err), -LOAM_E_INVALID);
}

static void a_blob_of_1024_bytes_is_no_pointer(void **state)
{
	char text[LOAM_POINTER_BYTES_MAX];
	struct loam_pointer pointer;
	struct loam_err err = { 0 };
	struct blob blob = { V1 O S, strlen(V1 O S), 1024 };
	assert_int_equal(loam_pointer_parse(text, blob_text(&blob, text), &pointer, &err),
			 -LOAM_E_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pointer_gives_its_oid_and_size),
		cmocka_unit_test(an_empty_blob_is_an_empty_file),
		cmocka_unit_test(a_blob_of_1024_bytes_is_no_pointer),
		cmocka_unit_test(every_blob_of_the_corpus_gets_the_clients_verdict),
		cmocka_unit_test(mutated_blobs_get_the_clients_verdict),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
