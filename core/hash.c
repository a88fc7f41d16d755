/*
 * Hashes, MACs, checksums, random text and the text forms of bytes (core/hash.h).
 *
 * Serves steps 3 and 4 of a push: the SHA-256 of every uploaded object and the checksums of blocks
 * and records. OpenSSL failing at fixed algorithms is a broken installation, hence asserted.
 */
#include "core/hash.h"

#include "core/auto.h"
#include "core/err.h"

#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#include <zlib.h>

#define CRC32C_POLYNOMIAL 0x82f63b78u /* Castagnoli, bits reversed */

struct loam_sha256 {
	EVP_MD_CTX *context;
};

#define CRC_LANE_BYTES 4096
#define CRC_LANES      3

static pthread_once_t crc_once = PTHREAD_ONCE_INIT;
static uint32_t crc_table[256];
static uint32_t crc_over_lane[4][256]; /* by byte of the register: after a lane of zeros */
static bool crc_in_hardware;

static const char base62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

struct loam_sha256 *loam_sha256_new(void)
{
	struct loam_sha256 *hash = loam_xnew(struct loam_sha256);
	hash->context = EVP_MD_CTX_new();
	loam_assert(hash->context != NULL);
	loam_assert(EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL) == 1);
	return hash;
}

void loam_sha256_add(struct loam_sha256 *hash, const void *data, size_t data_bytes)
{
	loam_assert(EVP_DigestUpdate(hash->context, data, data_bytes) == 1);
}

void loam_sha256_end(struct loam_sha256 *hash, uint8_t out[LOAM_SHA256_BYTES])
{
	loam_assert(EVP_DigestFinal_ex(hash->context, out, NULL) == 1);
}

void loam_sha256_free(struct loam_sha256 *hash)
{
	if (!hash)
		return;
	EVP_MD_CTX_free(hash->context);
	free(hash);
}

void loam_sha256_of(const void *data, size_t data_bytes, uint8_t out[LOAM_SHA256_BYTES])
{
	loam_assert(EVP_Digest(data, data_bytes, out, NULL, EVP_sha256(), NULL) == 1);
}

void loam_hmac_sha256(const void *key, size_t key_bytes, const void *data, size_t data_bytes,
		      uint8_t out[LOAM_SHA256_BYTES])
{
	loam_assert(key_bytes <= INT_MAX);
	unsigned int out_bytes = 0;
	loam_assert(HMAC(EVP_sha256(), key, (int)key_bytes, data, data_bytes, out, &out_bytes));
	loam_assert(out_bytes == LOAM_SHA256_BYTES);
}

uint32_t loam_crc32(const void *data, size_t data_bytes)
{
	return (uint32_t)crc32_z(0, data, data_bytes);
}

static void crc_init(void)
{
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t value = byte;
		for (int bit = 0; bit < 8; bit++)
			value = value & 1 ? (value >> 1) ^ CRC32C_POLYNOMIAL : value >> 1;
		crc_table[byte] = value;
	}
#ifdef __x86_64__
	crc_in_hardware = __builtin_cpu_supports("sse4.2");
#endif
	for (unsigned bit = 0; bit < 32; bit++) {
		uint32_t after = 1u << bit;
		for (size_t i = 0; i < CRC_LANE_BYTES; i++)
			after = crc_table[after & 0xff] ^ (after >> 8);
		for (unsigned byte = 0; byte < 256; byte++)
			if (byte & (1u << bit % 8))
				crc_over_lane[bit / 8][byte] ^= after;
	}
}

#ifdef __x86_64__
static uint64_t crc_skip_lane(uint64_t crc)
{
	return crc_over_lane[0][crc & 0xff] ^ crc_over_lane[1][crc >> 8 & 0xff] ^
	       crc_over_lane[2][crc >> 16 & 0xff] ^ crc_over_lane[3][crc >> 24 & 0xff];
}

/* The instruction takes three cycles, and one can begin in each: three lanes side by side, whose
 * results are put together as if zeros had followed (the register is linear). */
__attribute__((target("sse4.2"))) static uint64_t crc_of_lanes(uint64_t crc, const uint8_t *at)
{
	uint64_t lane[CRC_LANES] = { crc };
	for (size_t i = 0; i < CRC_LANE_BYTES; i += sizeof(uint64_t)) {
		uint64_t word[CRC_LANES];
		for (size_t k = 0; k < CRC_LANES; k++)
			memcpy(&word[k], at + k * CRC_LANE_BYTES + i, sizeof(word[k]));
		for (size_t k = 0; k < CRC_LANES; k++)
			lane[k] = __builtin_ia32_crc32di(lane[k], word[k]);
	}
	return crc_skip_lane(crc_skip_lane(lane[0]) ^ lane[1]) ^ lane[2];
}

__attribute__((target("sse4.2"))) static uint32_t crc_by_processor(const uint8_t *at, size_t bytes)
{
	uint64_t crc = UINT32_MAX;
	for (; bytes >= CRC_LANES * CRC_LANE_BYTES; bytes -= CRC_LANES * CRC_LANE_BYTES) {
		crc = crc_of_lanes(crc, at);
		at += CRC_LANES * CRC_LANE_BYTES;
	}
	for (; bytes >= sizeof(uint64_t); bytes -= sizeof(uint64_t), at += sizeof(uint64_t)) {
		uint64_t word;
		memcpy(&word, at, sizeof(word));
		crc = __builtin_ia32_crc32di(crc, word);
	}
	uint32_t rest = (uint32_t)crc;
	for (; bytes > 0; bytes--)
		rest = __builtin_ia32_crc32qi(rest, *at++);
	return ~rest;
}
#endif

uint32_t loam_crc32c(const void *data, size_t data_bytes)
{
	pthread_once(&crc_once, crc_init);
	const uint8_t *at = data;
#ifdef __x86_64__
	if (crc_in_hardware)
		return crc_by_processor(at, data_bytes);
#endif
	uint32_t crc = UINT32_MAX;
	for (size_t i = 0; i < data_bytes; i++)
		crc = crc_table[(crc ^ at[i]) & 0xff] ^ (crc >> 8);
	return ~crc;
}

void loam_hex(const void *data, size_t data_bytes, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *at = data;
	for (size_t i = 0; i < data_bytes; i++) {
		*out++ = digits[at[i] >> 4];
		*out++ = digits[at[i] & 15];
	}
	*out = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool loam_unhex(const char *text, size_t text_bytes, uint8_t *out, size_t out_bytes)
{
	if (text_bytes != 2 * out_bytes)
		return false;
	for (size_t i = 0; i < text_bytes; i++)
		if (hex_digit(text[i]) < 0)
			return false;
	for (size_t i = 0; i < out_bytes; i++)
		out[i] = (uint8_t)(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
	return true;
}

bool loam_oid_is_valid(const char *oid)
{
	for (size_t i = 0; i < LOAM_SHA256_HEX; i++)
		if (hex_digit(oid[i]) < 0)
			return false;
	return oid[LOAM_SHA256_HEX] == '\0';
}

void loam_random(void *out, size_t out_bytes)
{
	uint8_t *at = out;
	while (out_bytes > 0) {
		ssize_t got = getrandom(at, out_bytes, 0);
		if (got < 0) {
			loam_assert(errno == EINTR);
			continue;
		}
		at += got;
		out_bytes -= (size_t)got;
	}
}

uint64_t loam_random_below(uint64_t bound)
{
	loam_assert(bound > 0);
	/* The lowest (2^64 mod bound) values are thrown away: what is left divides evenly. */
	uint64_t refused = (0 - bound) % bound;
	uint64_t value;
	do {
		loam_random(&value, sizeof(value));
	} while (value < refused);
	return value % bound;
}

void loam_random_base62(char *out, size_t count)
{
	for (size_t i = 0; i < count; i++)
		out[i] = base62[loam_random_below(sizeof(base62) - 1)];
	out[count] = '\0';
}

bool loam_equal_secret(const void *a, const void *b, size_t bytes)
{
	return CRYPTO_memcmp(a, b, bytes) == 0;
}

static int base64_digit(char c)
{
	const char *at = c ? strchr(base64, c) : NULL;
	return at ? (int)(at - base64) : -1;
}

/* Canonical: the bits of the last digit that belong to no byte are zero. */
bool loam_base64_decode(const char *text, size_t text_bytes, uint8_t *out, size_t *out_bytes)
{
	if (text_bytes % 4 != 0)
		return false;
	size_t padding = 0;
	while (padding < 2 && padding < text_bytes && text[text_bytes - 1 - padding] == '=')
		padding++;
	size_t needed = text_bytes / 4 * 3 - padding;
	if (needed > *out_bytes)
		return false;

	uint32_t bits = 0;
	unsigned bit_count = 0;
	size_t done = 0;
	for (size_t i = 0; i < text_bytes - padding; i++) {
		int digit = base64_digit(text[i]);
		if (digit < 0)
			return false;
		bits = bits << 6 | (uint32_t)digit;
		bit_count += 6;
		if (bit_count >= 8) {
			bit_count -= 8;
			out[done++] = (uint8_t)(bits >> bit_count);
		}
	}
	if (bits & ((1u << bit_count) - 1))
		return false;
	loam_assert(done == needed);
	*out_bytes = done;
	return true;
}

void loam_base64_encode(const void *data, size_t data_bytes, char *out)
{
	const uint8_t *at = data;
	for (size_t i = 0; i < data_bytes; i += 3) {
		size_t left = data_bytes - i;
		uint32_t bits = (uint32_t)at[i] << 16;
		bits |= left > 1 ? (uint32_t)at[i + 1] << 8 : 0;
		bits |= left > 2 ? at[i + 2] : 0;
		*out++ = base64[bits >> 18 & 63];
		*out++ = base64[bits >> 12 & 63];
		*out++ = left > 1 ? base64[bits >> 6 & 63] : '=';
		*out++ = left > 2 ? base64[bits & 63] : '=';
	}
	*out = '\0';
}
