/*
 * The text of access tokens and their lines on the volume (auth/token.h).
 */
#include "auth/token.h"

#include "auth/auth.h"
#include "auth/fields.h"
#include "core/auto.h"
#include "core/cmd.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define PREFIX	     "hf_"
#define PREFIX_BYTES 3
#define RANDOM_COUNT 43
#define CHECK_COUNT  6
#define FIELD_COUNT  9
#define FIELDS_ONCE  8 /* without a maker */

static void put_check(const char *random, char out[CHECK_COUNT + 1])
{
	static const char digits[] =
		"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	uint32_t crc = loam_crc32(random, RANDOM_COUNT);
	for (int i = CHECK_COUNT - 1; i >= 0; i--) {
		out[i] = digits[crc % 62];
		crc /= 62;
	}
	out[CHECK_COUNT] = '\0';
}

void loam_token_make(char text[LOAM_TOKEN_TEXT_BYTES], struct loam_token *token)
{
	memcpy(text, PREFIX, PREFIX_BYTES);
	loam_random_base62(text + PREFIX_BYTES, RANDOM_COUNT);
	put_check(text + PREFIX_BYTES, text + PREFIX_BYTES + RANDOM_COUNT);
	loam_random_base62(token->id, 12);
	loam_token_hash(text, token->hash);
}

bool loam_token_is_plausible(const char *text)
{
	if (strlen(text) != PREFIX_BYTES + RANDOM_COUNT + CHECK_COUNT ||
	    strncmp(text, PREFIX, PREFIX_BYTES) != 0)
		return false;
	for (const char *c = text + PREFIX_BYTES; *c; c++)
		if (!isalnum((unsigned char)*c))
			return false;
	char check[CHECK_COUNT + 1];
	put_check(text + PREFIX_BYTES, check);
	return strcmp(check, text + PREFIX_BYTES + RANDOM_COUNT) == 0;
}

void loam_token_hash(const char *text, char out[LOAM_SHA256_HEX + 1])
{
	uint8_t digest[LOAM_SHA256_BYTES];
	loam_sha256_of(text, strlen(text), digest);
	loam_hex(digest, sizeof(digest), out);
}

static int parse_scope(const char *text, unsigned *out, struct loam_err *err)
{
	*out = 0;
	for (; *text; text++) {
		if (*text == 'r')
			*out |= LOAM_SCOPE_READ;
		else if (*text == 'w')
			*out |= LOAM_SCOPE_WRITE;
		else if (*text == 'a')
			*out |= LOAM_SCOPE_ADMIN;
		else
			return loam_fail(err, LOAM_E_INVALID, "unknown scope '%c'", *text);
	}
	return 0;
}

int loam_token_parse(const char *line, size_t line_bytes, struct loam_token *out,
		     struct loam_err *err)
{
	char copy[LOAM_ACCOUNT_LINE_BYTES_MAX];
	char *fields[FIELD_COUNT];
	int rc = loam_fields_split_grown(line, line_bytes, copy, fields, FIELD_COUNT, FIELDS_ONCE,
					 err);
	if (rc < 0)
		return rc;
	struct loam_token token = { 0 };
	uint64_t created, expires;
	if (!loam_fields_copy(fields[0], token.id, sizeof(token.id)) ||
	    !loam_fields_copy(fields[1], token.user, sizeof(token.user)) ||
	    !loam_fields_copy(fields[6], token.repo, sizeof(token.repo)) ||
	    !loam_fields_copy(fields[7], token.label, sizeof(token.label)) ||
	    !loam_fields_copy(fields[8], token.maker, sizeof(token.maker)) ||
	    !loam_oid_is_valid(fields[2]) || token.id[0] == '\0' || token.user[0] == '\0')
		return loam_fail(err, LOAM_E_INVALID, "a field is empty, too long or no hash");
	memcpy(token.hash, fields[2], sizeof(token.hash));
	if ((rc = parse_scope(fields[3], &token.scope, err)) < 0 ||
	    (rc = loam_parse_u64(fields[4], 0, INT64_MAX, &created, err)) < 0 ||
	    (rc = loam_parse_u64(fields[5], 0, INT64_MAX, &expires, err)) < 0)
		return rc;
	token.created = (int64_t)created;
	token.expires = (int64_t)expires;
	*out = token;
	return 0;
}

void loam_token_print(const struct loam_token *token, char *out)
{
	snprintf(out, LOAM_ACCOUNT_LINE_BYTES_MAX, "%s:%s:%s:%s%s%s:%lld:%lld:%s:%s%s%s\n",
		 token->id, token->user, token->hash, token->scope & LOAM_SCOPE_READ ? "r" : "",
		 token->scope & LOAM_SCOPE_WRITE ? "w" : "",
		 token->scope & LOAM_SCOPE_ADMIN ? "a" : "", (long long)token->created,
		 (long long)token->expires, token->repo, token->label, token->maker[0] ? ":" : "",
		 token->maker);
}
