/*
 * Passwords: yescrypt through crypt(3), cost 5 (about 22 ms and 16 MiB each), two at a time.
 * Source: reliability.md §3 rule 10.
 */
#ifndef LOAM_AUTH_PASSWORD_H
#define LOAM_AUTH_PASSWORD_H

#include "core/err.h"

#include <stdbool.h>

#define LOAM_PASSWORD_HASH_BYTES 384

/* UNPROCESSABLE for fewer than 12 or more than 1,024 bytes. */
int loam_password_hash(const char *password, char out[LOAM_PASSWORD_HASH_BYTES],
		       struct loam_err *err);
/*
 * 1 right, 0 wrong. hash NULL, locked ("!…", "*") or of another scheme or cost than ours: the same
 * work is done on a hash of our own and the answer is 0, so that time does not tell users apart.
 * BUSY when 16 wait already.
 */
int loam_password_check(const char *password, const char *hash, struct loam_err *err);

/* Is it whole, of our scheme and cost, and fit for a line of shadow(5)? Others never match. */
bool loam_password_hash_is_ours(const char *hash);

#endif
