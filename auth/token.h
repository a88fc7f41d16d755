/*
 * Access tokens: "hf_", 43 base62 characters (256 bits), 6 base62 digits of their CRC-32. Hub
 * clients refuse another prefix. Shown once; the volume holds SHA-256 only.
 *
 * Shape of a line in /.loam/etc/tokens, fields joined by ':':
 *   id user sha256-hex scopes created expires repository label [maker]
 * scopes: letters of r, w, a. Times: unix seconds, expires 0 never. repository: models/ns/name or
 * empty. maker: the id of the token that it was made with; the field is absent when there is none.
 */
#ifndef LOAM_AUTH_TOKEN_H
#define LOAM_AUTH_TOKEN_H

#include "core/err.h"
#include "core/hash.h"
#include "core/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define LOAM_TOKEN_TEXT_BYTES 64
#define LOAM_TOKEN_ID_BYTES   24

struct loam_token {
	char id[LOAM_TOKEN_ID_BYTES];
	char user[LOAM_USER_NAME_BYTES_MAX + 1];
	char hash[LOAM_SHA256_HEX + 1];
	unsigned scope; /* enum loam_scope */
	int64_t created, expires;
	char repo[224];
	char label[64];
	char maker[LOAM_TOKEN_ID_BYTES]; /* "", or the token it was made with */
};

/* A new random token. text is the secret; token->id and ->hash are filled. */
void loam_token_make(char text[LOAM_TOKEN_TEXT_BYTES], struct loam_token *token);
/* Right prefix, length, alphabet and checksum: only then is it worth looking up. */
bool loam_token_is_plausible(const char *text);
void loam_token_hash(const char *text, char out[LOAM_SHA256_HEX + 1]);
/* INVALID for any line that is not exactly of the shape above. */
int loam_token_parse(const char *line, size_t line_bytes, struct loam_token *out,
		     struct loam_err *err);
/* The line with its newline; out holds LOAM_ACCOUNT_LINE_BYTES_MAX. */
void loam_token_print(const struct loam_token *token, char *out);

#endif
