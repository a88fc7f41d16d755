/*
 * Tokens of git-lfs-authenticate (lfs/lfs_token.h). Steps 2 and 3 of a push over SSH.
 */
#include "lfs/lfs_token.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/cmd.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define TEXT_BYTES_MAX 1024
#define LINE_COUNT     6 /* all but the signature */

#define BEARER "Bearer " LOAM_LFS_TOKEN_PREFIX

struct parts {
	char text[TEXT_BYTES_MAX];
	char *lines[LINE_COUNT + 1];
};

static char *signed_text(const char *const lines[LINE_COUNT])
{
	return loam_xasprintf("loam lfs token\n%s\n%s\n%s\n%s\n%s\n%s\n", lines[0], lines[1],
			      lines[2], lines[3], lines[4], lines[5]);
}

char *loam_lfs_token_print(struct loam_link_keys *keys, const struct loam_principal *who,
			   const struct loam_repo *repo, bool upload)
{
	char repo_text[LOAM_REPO_TEXT_BYTES], expires[32], signature[2 * LOAM_SHA256_BYTES + 1];
	uint8_t mac[LOAM_SHA256_BYTES];
	loam_repo_text(repo, repo_text);
	snprintf(expires, sizeof(expires), "%" PRId64,
		 (int64_t)loam_clock_now().tv_sec + LOAM_LFS_TOKEN_SECONDS);
	const char *const lines[LINE_COUNT] = { "1",	   upload ? "upload" : "download",
						expires,   repo_text,
						who->user, who->token_id };
	loam_auto_free char *text = signed_text(lines);
	loam_link_keys_sign(keys, text, mac);
	loam_hex(mac, sizeof(mac), signature);
	loam_auto_free char *plain =
		loam_xasprintf("%s\n%s\n%s\n%s\n%s\n%s\n%s", lines[0], lines[1], lines[2], lines[3],
			       lines[4], lines[5], signature);
	size_t bytes = strlen(plain);
	loam_auto_free char *base64 = loam_xcalloc(1, 4 * ((bytes + 2) / 3) + 1);
	loam_base64_encode(plain, bytes, base64);
	return loam_xasprintf("%s%s", LOAM_LFS_TOKEN_PREFIX, base64);
}

bool loam_lfs_token_is(const char *authorization)
{
	return authorization && strncasecmp(authorization, BEARER, strlen(BEARER)) == 0;
}

static bool split(const char *authorization, struct parts *out)
{
	const char *base64 = authorization + strlen(BEARER);
	size_t bytes = sizeof(out->text) - 1, count = 0;
	if (strlen(base64) > 4 * (sizeof(out->text) / 3) ||
	    !loam_base64_decode(base64, strlen(base64), (uint8_t *)out->text, &bytes))
		return false;
	out->text[bytes] = '\0';
	if (strlen(out->text) != bytes)
		return false;
	for (char *at = out->text; at;) {
		if (count > LINE_COUNT)
			return false;
		out->lines[count++] = at;
		at = strchr(at, '\n');
		if (at)
			*at++ = '\0';
	}
	return count == LINE_COUNT + 1;
}

static int wrong(struct loam_err *err)
{
	loam_err_clear(err);
	return loam_fail(err, LOAM_E_UNAUTHENTICATED,
			 "this LFS token is not valid, or its hour is over");
}

static int check(struct loam_link_keys *keys, const struct parts *parts, bool *out_upload,
		 struct loam_err *err)
{
	uint8_t mac[LOAM_SHA256_BYTES];
	uint64_t expires;
	const char *const *lines = (const char *const *)parts->lines;
	if (strcmp(lines[0], "1") != 0 ||
	    !loam_unhex(lines[LINE_COUNT], strlen(lines[LINE_COUNT]), mac, sizeof(mac)))
		return wrong(err);
	loam_auto_free char *text = signed_text(lines);
	int rc = loam_link_keys_fit(keys, text, mac, err);
	if (rc <= 0)
		return rc < 0 ? rc : wrong(err);
	if (loam_parse_u64(lines[2], 1, INT64_MAX, &expires, err) < 0 ||
	    (int64_t)expires <= (int64_t)loam_clock_now().tv_sec)
		return wrong(err);
	*out_upload = strcmp(lines[1], "upload") == 0;
	return 0;
}

int loam_lfs_token_check(struct loam_link_keys *keys, struct loam_auth *auth,
			 const char *authorization, struct loam_principal *out_who,
			 struct loam_err *err)
{
	struct parts parts;
	bool upload = false;
	if (!split(authorization, &parts))
		return wrong(err);
	int rc = check(keys, &parts, &upload, err);
	if (rc == 0)
		rc = loam_auth_user(auth, parts.lines[4], parts.lines[5], out_who, err);
	if (rc < 0)
		return rc;
	/* A deploy key stays one: it has no other rights that could be cut. */
	if (out_who->kind == LOAM_USER)
		out_who->kind = LOAM_TOKEN;
	out_who->scope &=
		upload ? (unsigned)LOAM_SCOPE_READ | LOAM_SCOPE_WRITE : (unsigned)LOAM_SCOPE_READ;
	snprintf(out_who->only_repo, sizeof(out_who->only_repo), "%s", parts.lines[3]);
	return 0;
}
