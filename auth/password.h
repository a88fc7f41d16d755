/*
 * Passwords: yescrypt through crypt(3), cost 5 (about 22 ms and 16 MiB each), two at a time.
 *
 * A sha512crypt hash of an older host is kept within a yescrypt hash of our own, so that what
 * stands on the volume is as hard to guess as any other:
 *
 *   $loam6$SALT$y$j9T$SALT$HASH     HASH is yescrypt of the text "$6$SALT$DIGEST"
 *
 * No other program's crypt(3) knows this form: there it never matches.
 * Source: reliability.md §3 rule 10, acl-5; docs/decisions/0011-imported-hashes.md.
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
 * any_older: somebody has a hash that loam_password_is_older; then every check does that work, too,
 * and wrong answers come at whole steps. BUSY when 16 wait already.
 */
int loam_password_check(const char *password, const char *hash, bool any_older,
			struct loam_err *err);

/* Is it whole, of our scheme and cost, and fit for a line of shadow(5)? Others never match. */
bool loam_password_hash_is_ours(const char *hash);
/* "$loam6$…"? */
bool loam_password_is_older(const char *hash);

enum loam_hash_kind {
	LOAM_HASH_NONE,	 /* never matches: it is not taken over */
	LOAM_HASH_OURS,	 /* kept as it is */
	LOAM_HASH_OLDER, /* sha512crypt of 5,000 rounds: kept within one of ours */
};
enum loam_hash_kind loam_password_hash_kind(const char *hash);
/* The form in which a hash made elsewhere is kept; an older one costs a yescrypt. UNPROCESSABLE for
 * LOAM_HASH_NONE. */
int loam_password_hash_keep(const char *hash, char out[LOAM_PASSWORD_HASH_BYTES],
			    struct loam_err *err);

#endif
