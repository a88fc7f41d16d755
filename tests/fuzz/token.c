/*
 * Token texts, token lines, base64 and names, as credentials and command lines bring them.
 */
#include "auth/token.h"

#include "auth/tree.h"
#include "core/buf.h"
#include "tests/fuzz/fuzz.h"

#define DECODED_BYTES_MAX 4096

static void line(const uint8_t *data, size_t bytes)
{
	struct loam_err err = { 0 };
	struct loam_token token, again;
	char printed[LOAM_ACCOUNT_LINE_BYTES_MAX];
	if (loam_token_parse((const char *)data, bytes, &token, &err) < 0)
		return;
	loam_token_print(&token, printed);
	size_t length = strlen(printed);
	loam_assert(length > 0 && printed[length - 1] == '\n' &&
		    !memchr(printed, '\n', length - 1));
	loam_assert(loam_token_parse(printed, length - 1, &again, &err) == 0);
	loam_assert(strcmp(token.hash, again.hash) == 0 && token.scope == again.scope &&
		    token.expires == again.expires && strcmp(token.repo, again.repo) == 0);
}

static void text(const char *given)
{
	char hash[LOAM_SHA256_HEX + 1];
	if (loam_token_is_plausible(given)) {
		loam_assert(strlen(given) < LOAM_TOKEN_TEXT_BYTES);
		loam_assert(strncmp(given, "hf_", 3) == 0);
		loam_token_hash(given, hash);
		loam_assert(loam_oid_is_valid(hash));
	}
}

static void base64(const uint8_t *data, size_t bytes)
{
	uint8_t out[DECODED_BYTES_MAX];
	char back[DECODED_BYTES_MAX * 4 / 3 + 8];
	size_t out_bytes = sizeof(out);
	if (!loam_base64_decode((const char *)data, bytes, out, &out_bytes))
		return;
	loam_assert(out_bytes <= sizeof(out));
	loam_base64_encode(out, out_bytes, back);
	loam_assert(strlen(back) == bytes && memcmp(back, data, bytes) == 0);
}

static void names(const char *given)
{
	struct loam_err err = { 0 };
	struct loam_repo repo, again;
	char printed[LOAM_REPO_TEXT_BYTES];
	if (loam_repo_parse(given, &repo, &err) == 0) {
		loam_repo_text(&repo, printed);
		loam_assert(loam_repo_parse(printed, &again, &err) == 0);
		loam_assert(repo.kind == again.kind && strcmp(repo.ns, again.ns) == 0 &&
			    strcmp(repo.name, again.name) == 0);
		loam_assert(!strstr(printed, "..") && !strstr(printed, "//") && printed[0] != '-');
	}
	if (loam_user_name_is_valid(given))
		loam_assert(strlen(given) <= LOAM_USER_NAME_BYTES_MAX && !strpbrk(given, ":/\n. "));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
	loam_auto_free char *given = fuzz_text(data, data_bytes);
	line(data, data_bytes);
	text(given);
	base64(data, data_bytes);
	names(given);
	return 0;
}
