/*
 * Public keys of SSH: read as people hand them in, kept as lines on the volume.
 *
 * Taken are ssh-ed25519, ecdsa-sha2-nistp256/384/521, ssh-rsa of 2,048 to 16,384 bits, and the two
 * kinds of security keys (sk-…@openssh.com). Never DSA, never a certificate, never options.
 *
 * Shape of a line in /.loam/etc/ssh_keys, fields joined by ':':
 *   id type base64 user repository scope created label [maker]
 * id is "key-" and 12 of base62, so that it is never a token's id. A user's key has user; a deploy
 * key has repository (models/ns/name) and scope, "r" or "rw", instead. created: unix seconds.
 * maker: the id of the token with which it was added; the field is absent when there is none.
 * Source: RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4; openssh PROTOCOL.u2f; reliability.md ssh-9.
 */
#ifndef LOAM_AUTH_SSH_KEY_H
#define LOAM_AUTH_SSH_KEY_H

#include "core/err.h"
#include "core/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define LOAM_SSH_KEY_PREFIX	       "key-"
#define LOAM_SSH_KEY_ID_BYTES	       24
#define LOAM_SSH_KEY_TYPE_BYTES	       40
#define LOAM_SSH_KEY_BASE64_BYTES      3072 /* RSA of 16,384 bits has 2,764 */
#define LOAM_SSH_KEY_FINGERPRINT_BYTES 56

struct loam_ssh_key {
	char id[LOAM_SSH_KEY_ID_BYTES];
	char type[LOAM_SSH_KEY_TYPE_BYTES];
	char base64[LOAM_SSH_KEY_BASE64_BYTES];
	char user[LOAM_USER_NAME_BYTES_MAX + 1]; /* "" a deploy key */
	char repo[224];				 /* of a deploy key */
	unsigned scope;				 /* enum loam_scope, of a deploy key */
	int64_t created;
	char label[64];
	char maker[24]; /* "", or the token with which it was added */
};

/* One line as in a .pub file: "type base64 [comment]", the comment is dropped. Fills id (a new
 * one), type and base64 of out and clears the rest. UNPROCESSABLE with what is wrong. */
int loam_ssh_key_read(const char *text, size_t text_bytes, struct loam_ssh_key *out,
		      struct loam_err *err);
/* Is this an id of a key, not of a token? */
bool loam_ssh_key_is_id(const char *id);
/* INVALID for any line that is not exactly of the shape above. */
int loam_ssh_key_parse(const char *line, size_t line_bytes, struct loam_ssh_key *out,
		       struct loam_err *err);
/* The line with its newline; out holds LOAM_ACCOUNT_LINE_BYTES_MAX. */
void loam_ssh_key_print(const struct loam_ssh_key *key, char *out);
/* "SHA256:…", as ssh-keygen -l prints it. */
void loam_ssh_key_fingerprint(const struct loam_ssh_key *key,
			      char out[LOAM_SSH_KEY_FINGERPRINT_BYTES]);

#endif
