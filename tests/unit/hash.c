/*
 * core/hash: published test vectors (FIPS 180-2, RFC 4231, RFC 3720 B.4, RFC 4648 §10) and the text
 * forms of bytes.
 */
#include "core/hash.h"

#include "core/auto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ABC_SHA256 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void sha256_of_abc_is_the_published_one(void **state)
{
	uint8_t digest[LOAM_SHA256_BYTES];
	char hex[LOAM_SHA256_HEX + 1];
	loam_sha256_of("abc", 3, digest);
	loam_hex(digest, sizeof(digest), hex);
	assert_string_equal(hex, ABC_SHA256);
}

static void a_running_hash_does_not_depend_on_the_pieces(void **state)
{
	uint8_t data[1000], whole[LOAM_SHA256_BYTES], pieces[LOAM_SHA256_BYTES];
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	loam_sha256_of(data, sizeof(data), whole);
	struct loam_sha256 *hash = loam_sha256_new();
	for (size_t at = 0, step = 1; at < sizeof(data); at += step, step = step * 2 + 1) {
		size_t left = sizeof(data) - at;
		loam_sha256_add(hash, data + at, step < left ? step : left);
	}
	loam_sha256_end(hash, pieces);
	loam_sha256_free(hash);
	assert_memory_equal(whole, pieces, sizeof(whole));
}

static void hmac_matches_rfc_4231_case_2(void **state)
{
	uint8_t mac[LOAM_SHA256_BYTES];
	char hex[LOAM_SHA256_HEX + 1];
	const char *data = "what do ya want for nothing?";
	loam_hmac_sha256("Jefe", 4, data, strlen(data), mac);
	loam_hex(mac, sizeof(mac), hex);
	assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c7"
				 "5a003f089d2739839dec58b964ec3843");
}

static void checksums_match_their_check_values(void **state)
{
	const char *digits = "123456789";
	uint8_t zeros[32] = { 0 };
	assert_int_equal(loam_crc32(digits, 9), 0xcbf43926);
	assert_int_equal(loam_crc32c(digits, 9), 0xe3069283);
	assert_int_equal(loam_crc32c(zeros, sizeof(zeros)), 0x8a9136aa);
	assert_int_equal(loam_crc32c("", 0), 0);
}

static uint32_t crc32c_bit_by_bit(const uint8_t *at, size_t bytes)
{
	uint32_t crc = UINT32_MAX;
	for (size_t i = 0; i < bytes; i++) {
		crc ^= at[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
	}
	return ~crc;
}

/* Long ones are taken in lanes of 4096 bytes, three at a time. */
static void a_checksum_is_the_same_whatever_the_length(void **state)
{
	static const size_t lengths[] = { 4095,	 4096,	8192,	   12287,     12288,
					  12289, 12295, 2 * 12288, 100 * 1000 };
	static uint8_t bytes[100 * 1000 + 8];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * i * 31 + (i >> 7));
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(lengths); i++) {
		for (size_t from = 0; from < 8; from += 7)
			assert_int_equal(loam_crc32c(bytes + from, lengths[i]),
					 crc32c_bit_by_bit(bytes + from, lengths[i]));
	}
}

static void hex_goes_there_and_back(void **state)
{
	uint8_t bytes[3];
	char text[7];
	loam_hex("\x00\xab\xff", 3, text);
	assert_string_equal(text, "00abff");
	assert_true(loam_unhex(text, 6, bytes, sizeof(bytes)));
	assert_memory_equal(bytes, "\x00\xab\xff", 3);
	assert_false(loam_unhex("00abf", 5, bytes, sizeof(bytes)));
	assert_false(loam_unhex("00abFF", 6, bytes, sizeof(bytes)));
	assert_false(loam_unhex("00ab f", 6, bytes, sizeof(bytes)));
}

static void an_oid_is_64_lower_case_digits_and_nothing_else(void **state)
{
	assert_true(loam_oid_is_valid(ABC_SHA256));
	assert_false(loam_oid_is_valid(""));
	assert_false(loam_oid_is_valid("ba7816"));
	assert_false(loam_oid_is_valid(ABC_SHA256 "0"));
	assert_false(loam_oid_is_valid("BA7816bf8f01cfea414140de5dae2223"
				       "b00361a396177a9cb410ff61f20015ad"));
	assert_false(loam_oid_is_valid("../816bf8f01cfea414140de5dae2223"
				       "b00361a396177a9cb410ff61f20015ad"));
}

static void base64_matches_rfc_4648(void **state)
{
	static const struct {
		const char *plain, *coded;
	} cases[] = { { "", "" },
		      { "f", "Zg==" },
		      { "fo", "Zm8=" },
		      { "foo", "Zm9v" },
		      { "foob", "Zm9vYg==" },
		      { "fooba", "Zm9vYmE=" },
		      { "foobar", "Zm9vYmFy" } };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		char coded[16];
		uint8_t plain[16];
		size_t bytes = sizeof(plain);
		loam_base64_encode(cases[i].plain, strlen(cases[i].plain), coded);
		assert_string_equal(coded, cases[i].coded);
		assert_true(loam_base64_decode(coded, strlen(coded), plain, &bytes));
		assert_int_equal(bytes, strlen(cases[i].plain));
		assert_memory_equal(plain, cases[i].plain, bytes);
	}
}

static void base64_that_is_not_canonical_is_refused(void **state)
{
	static const char *const refused[] = { "Zg",   "Zg=",	   "Zh==", "Zm9=",   "=AAA", "A===",
					       "====", "Zg==Zg==", "Z g=", "Zm9v\n", "Zm-_" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(refused); i++) {
		uint8_t plain[16];
		size_t bytes = sizeof(plain);
		assert_false(loam_base64_decode(refused[i], strlen(refused[i]), plain, &bytes));
		assert_int_equal(bytes, sizeof(plain));
	}
}

static void base64_never_writes_past_its_room(void **state)
{
	uint8_t plain[4] = "abc";
	size_t bytes = 2;
	assert_false(loam_base64_decode("Zm9v", 4, plain, &bytes));
	assert_string_equal((char *)plain, "abc");
	bytes = 3;
	assert_true(loam_base64_decode("Zm9v", 4, plain, &bytes));
}

static void random_numbers_stay_below_their_bound_and_reach_all(void **state)
{
	unsigned seen = 0;
	for (int i = 0; i < 1000; i++) {
		uint64_t value = loam_random_below(7);
		assert_true(value < 7);
		seen |= 1u << value;
	}
	assert_int_equal(seen, 0x7f);
	assert_int_equal(loam_random_below(1), 0);
}

static void random_text_has_its_length_and_alphabet(void **state)
{
	char one[41], two[41];
	loam_random_base62(one, 40);
	loam_random_base62(two, 40);
	assert_int_equal(strlen(one), 40);
	assert_int_equal(strspn(one, "0123456789abcdefghijklmnopqrstuvwxyz"
				     "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
			 40);
	assert_string_not_equal(one, two);
}

static void secrets_compare_by_all_their_bytes(void **state)
{
	assert_true(loam_equal_secret("abcd", "abcd", 4));
	assert_false(loam_equal_secret("abcd", "abce", 4));
	assert_false(loam_equal_secret("abcd", "xbcd", 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_of_abc_is_the_published_one),
		cmocka_unit_test(a_running_hash_does_not_depend_on_the_pieces),
		cmocka_unit_test(hmac_matches_rfc_4231_case_2),
		cmocka_unit_test(checksums_match_their_check_values),
		cmocka_unit_test(a_checksum_is_the_same_whatever_the_length),
		cmocka_unit_test(hex_goes_there_and_back),
		cmocka_unit_test(an_oid_is_64_lower_case_digits_and_nothing_else),
		cmocka_unit_test(base64_matches_rfc_4648),
		cmocka_unit_test(base64_that_is_not_canonical_is_refused),
		cmocka_unit_test(base64_never_writes_past_its_room),
		cmocka_unit_test(random_numbers_stay_below_their_bound_and_reach_all),
		cmocka_unit_test(random_text_has_its_length_and_alphabet),
		cmocka_unit_test(secrets_compare_by_all_their_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
