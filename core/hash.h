/*
 * Hashes, MACs and random text, on OpenSSL and getrandom(2).
 */
#ifndef LOAM_CORE_HASH_H
#define LOAM_CORE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAM_SHA256_BYTES 32
#define LOAM_SHA256_HEX	  64

/* A running SHA-256. Threads: one at a time. */
struct loam_sha256;
struct loam_sha256 *loam_sha256_new(void);
void loam_sha256_add(struct loam_sha256 *hash, const void *data, size_t data_bytes);
/* Ends it; the object may then only be freed. */
void loam_sha256_end(struct loam_sha256 *hash, uint8_t out[LOAM_SHA256_BYTES]);
void loam_sha256_free(struct loam_sha256 *hash);

void loam_sha256_of(const void *data, size_t data_bytes, uint8_t out[LOAM_SHA256_BYTES]);
void loam_hmac_sha256(const void *key, size_t key_bytes, const void *data, size_t data_bytes,
		      uint8_t out[LOAM_SHA256_BYTES]);
/* CRC-32 (zlib's) and CRC-32C (Castagnoli, SSE4.2 where the processor has it). */
uint32_t loam_crc32(const void *data, size_t data_bytes);
uint32_t loam_crc32c(const void *data, size_t data_bytes);

/* Lower-case hex, NUL-terminated: out holds 2 * data_bytes + 1. */
void loam_hex(const void *data, size_t data_bytes, char *out);
/* Exactly 2 * out_bytes lower-case digits, else false. */
bool loam_unhex(const char *text, size_t text_bytes, uint8_t *out, size_t out_bytes);
/* True for exactly 64 lower-case hex digits: the name of an LFS object. */
bool loam_oid_is_valid(const char *oid);

void loam_random(void *out, size_t out_bytes);
uint64_t loam_random_below(uint64_t bound); /* unbiased; bound > 0 */
/* count characters of [0-9A-Za-z], NUL-terminated. */
void loam_random_base62(char *out, size_t count);
/* Compares in constant time. */
bool loam_equal_secret(const void *a, const void *b, size_t bytes);

/* Standard base64 with padding. Returns false for anything not canonical; out_bytes is in/out. */
bool loam_base64_decode(const char *text, size_t text_bytes, uint8_t *out, size_t *out_bytes);
/* out holds 4 * ((data_bytes + 2) / 3) + 1. */
void loam_base64_encode(const void *data, size_t data_bytes, char *out);

#endif
