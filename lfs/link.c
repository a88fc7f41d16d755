/*
 * Presigned transfer links (lfs/link.h). Step 3 of a push.
 *
 * Invariant: the signed text is one line a field, and no field may hold a control byte, so two
 * different links never have one text.
 */
#include "lfs/link.h"

#include "core/auto.h"
#include "core/clock.h"
#include "fs/files.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define KEY_BYTES      32
#define KEY_COUNT      2
#define KEY_TEXT_BYTES (2 * KEY_BYTES + 1)
#define REREAD_MS      1000 /* a stream of forged links costs one read a second */

struct loam_link_keys {
	const struct loam_tree *tree;
	pthread_mutex_t lock; /* all below */
	uint8_t keys[KEY_COUNT][KEY_BYTES];
	uint64_t reread_at_ms;
};

static const char *const key_names[KEY_COUNT] = { "etc/keys/link.1", "etc/keys/link.2" };

/* ---- keys ------------------------------------------------------------------------------------ */

/* 1 read, 0 there is none. */
static int read_key(const struct loam_tree *tree, const char *path, uint8_t out[KEY_BYTES],
		    struct loam_err *err)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(KEY_TEXT_BYTES + 1);
	int rc = loam_files_read(tree->volume, path, &text, err);
	if (rc == -LOAM_E_NOT_FOUND) {
		loam_err_clear(err);
		return 0;
	}
	if (rc < 0)
		return rc;
	size_t bytes =
		text.bytes > 0 && text.data[text.bytes - 1] == '\n' ? text.bytes - 1 : text.bytes;
	bool good = loam_unhex(loam_buf_text(&text), bytes, out, KEY_BYTES);
	explicit_bzero(text.data, text.bytes);
	if (!good)
		return loam_fail(err, LOAM_E_CORRUPT,
				 "%s holds no key; remove it and a new one is made", path);
	return 1;
}

/* Two servers that start at once make one key: whoever is second reads the first one's. */
static int make_key(const struct loam_tree *tree, const char *path, struct loam_err *err)
{
	uint8_t key[KEY_BYTES];
	char text[KEY_TEXT_BYTES + 1];
	loam_random(key, sizeof(key));
	loam_hex(key, sizeof(key), text);
	text[KEY_TEXT_BYTES - 1] = '\n';
	int rc = loam_files_replace(tree->volume, path, 0, LOAM_SERVICE_ID, LOAM_SERVICE_ID, 0400,
				    text, KEY_TEXT_BYTES, err);
	explicit_bzero(key, sizeof(key));
	explicit_bzero(text, sizeof(text));
	if (rc == -LOAM_E_CONFLICT || rc == -LOAM_E_EXISTS) {
		loam_err_clear(err);
		return 0;
	}
	return rc < 0 ? rc : loam_meta_barrier(tree->volume->meta, err);
}

static int load_key(const struct loam_tree *tree, size_t index, uint8_t out[KEY_BYTES],
		    struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	loam_tree_state_path(tree, key_names[index], path);
	int rc = read_key(tree, path, out, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = make_key(tree, path, err);
	if (rc < 0)
		return rc;
	rc = read_key(tree, path, out, err);
	if (rc == 0)
		return loam_fail(err, LOAM_E_CONFLICT, "%s vanished", path);
	return rc < 0 ? rc : 0;
}

static int load_keys(struct loam_link_keys *keys, struct loam_err *err)
{
	uint8_t fresh[KEY_COUNT][KEY_BYTES];
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < KEY_COUNT; i++)
		rc = load_key(keys->tree, i, fresh[i], err);
	if (rc == 0) {
		loam_guard(&keys->lock);
		memcpy(keys->keys, fresh, sizeof(fresh));
	}
	explicit_bzero(fresh, sizeof(fresh));
	return rc;
}

int loam_link_keys_open(const struct loam_tree *tree, struct loam_link_keys **out_keys,
			struct loam_err *err)
{
	struct loam_link_keys *keys = loam_xnew(struct loam_link_keys);
	keys->tree = tree;
	pthread_mutex_init(&keys->lock, NULL);
	int rc = load_keys(keys, err);
	if (rc < 0) {
		loam_link_keys_close(keys);
		return loam_context(err, "keys of transfer links");
	}
	*out_keys = keys;
	return 0;
}

void loam_link_keys_close(struct loam_link_keys *keys)
{
	if (!keys)
		return;
	pthread_mutex_destroy(&keys->lock);
	explicit_bzero(keys, sizeof(*keys));
	free(keys);
}

/* ---- signing --------------------------------------------------------------------------------- */

static char *who_text(const struct loam_link *link)
{
	return loam_xasprintf("%s%s%s", link->user, link->token_id[0] ? "." : "", link->token_id);
}

static char *signed_text(const struct loam_link *link)
{
	const char *method = link->method == LOAM_PUT	 ? "PUT"
			     : link->method == LOAM_POST ? "POST"
							 : "GET";
	char repo[LOAM_REPO_TEXT_BYTES];
	loam_auto_free char *who = who_text(link);
	loam_repo_text(&link->repo, repo);
	return loam_xasprintf("loam link 1\n%s\n%s\n%s\n%" PRIu64 "\n%s\n%" PRId64 "\n", method,
			      repo, link->oid, link->bytes, who, link->expires);
}

static void sign(struct loam_link_keys *keys, size_t index, const char *text,
		 uint8_t out[LOAM_SHA256_BYTES])
{
	loam_guard(&keys->lock);
	loam_hmac_sha256(keys->keys[index], KEY_BYTES, text, strlen(text), out);
}

void loam_link_keys_sign(struct loam_link_keys *keys, const char *text,
			 uint8_t out_mac[LOAM_SHA256_BYTES])
{
	sign(keys, 0, text, out_mac);
}

/* Percent-encodes what may not stand in a query. */
static char *query_text(const char *text)
{
	size_t out_bytes = 3 * strlen(text) + 1;
	char *out = loam_xcalloc(out_bytes, 1);
	for (size_t at = 0; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (c < 0x80 && (isalnum(c) || strchr("-._~", c)))
			out[at++] = (char)c;
		else
			at += (size_t)snprintf(out + at, out_bytes - at, "%%%02X", c);
	}
	return out;
}

char *loam_link_print(struct loam_link_keys *keys, const char *base_url,
		      const struct loam_link *link)
{
	uint8_t mac[LOAM_SHA256_BYTES];
	char signature[2 * LOAM_SHA256_BYTES + 1], repo[LOAM_REPO_TEXT_BYTES];
	loam_auto_free char *text = signed_text(link);
	loam_link_keys_sign(keys, text, mac);
	loam_hex(mac, sizeof(mac), signature);
	loam_repo_text(&link->repo, repo);
	loam_auto_free char *who = who_text(link);
	loam_auto_free char *who_query = query_text(who);
	size_t base_bytes = strlen(base_url);
	while (base_bytes > 0 && base_url[base_bytes - 1] == '/')
		base_bytes--;
	return loam_xasprintf("%.*s/_lfs/%s/%s%s?exp=%" PRId64 "&size=%" PRIu64 "&who=%s&sig=%s",
			      (int)base_bytes, base_url, repo, link->oid,
			      link->method == LOAM_POST ? "/verify" : "", link->expires,
			      link->bytes, who_query, signature);
}

/* ---- checking -------------------------------------------------------------------------------- */

static bool parse_u64(const char *text, uint64_t max, uint64_t *out)
{
	uint64_t number = 0;
	if (!text || *text == '\0')
		return false;
	for (; *text; text++) {
		unsigned digit = (unsigned char)*text - (unsigned)'0';
		if (digit > 9 || number > (max - digit) / 10)
			return false;
		number = number * 10 + digit;
	}
	*out = number;
	return true;
}

static bool parse_repo(const struct loam_web_request *request, struct loam_repo *out)
{
	const char *kind = loam_web_param(request, "kind");
	const char *ns = loam_web_param(request, "ns");
	const char *name = loam_web_param(request, "name");
	if (!kind || !ns || !name)
		return false;
	loam_auto_free char *text = loam_xasprintf("%s/%s/%s", kind, ns, name);
	struct loam_err ignored = { 0 };
	return loam_repo_parse(text, out, &ignored) == 0;
}

static bool parse_who(const char *who, struct loam_link *out)
{
	if (!who)
		return false;
	const char *dot = strrchr(who, '.');
	size_t bytes = dot ? (size_t)(dot - who) : strlen(who);
	const char *token_id = dot ? dot + 1 : "";
	if (bytes >= sizeof(out->user) || strlen(token_id) >= sizeof(out->token_id))
		return false;
	memcpy(out->user, who, bytes);
	out->user[bytes] = '\0';
	snprintf(out->token_id, sizeof(out->token_id), "%s", token_id);
	return true;
}

static bool parse_request(const struct loam_web_request *request, struct loam_link *out,
			  uint8_t mac[LOAM_SHA256_BYTES])
{
	const char *oid = loam_web_param(request, "oid");
	loam_auto_free char *expires = loam_web_query(request, "exp");
	loam_auto_free char *bytes = loam_web_query(request, "size");
	loam_auto_free char *who = loam_web_query(request, "who");
	loam_auto_free char *signature = loam_web_query(request, "sig");
	uint64_t seconds;
	*out = (struct loam_link){ .method = request->method == LOAM_HEAD ? (unsigned)LOAM_GET
									  : request->method };
	if (!oid || !loam_oid_is_valid(oid) || !parse_repo(request, &out->repo) ||
	    !parse_u64(expires, INT64_MAX, &seconds) || !parse_u64(bytes, INT64_MAX, &out->bytes) ||
	    !parse_who(who, out) || !signature)
		return false;
	memcpy(out->oid, oid, sizeof(out->oid));
	out->expires = (int64_t)seconds;
	return loam_unhex(signature, strlen(signature), mac, LOAM_SHA256_BYTES);
}

static bool fits(struct loam_link_keys *keys, const char *text,
		 const uint8_t mac[LOAM_SHA256_BYTES])
{
	bool any = false;
	for (size_t i = 0; i < KEY_COUNT; i++) {
		uint8_t good[LOAM_SHA256_BYTES];
		sign(keys, i, text, good);
		any |= loam_equal_secret(good, mac, sizeof(good));
	}
	return any;
}

static bool may_reread(struct loam_link_keys *keys)
{
	loam_guard(&keys->lock);
	uint64_t now = loam_clock_ms();
	if (keys->reread_at_ms > now)
		return false;
	keys->reread_at_ms = now + REREAD_MS;
	return true;
}

int loam_link_keys_fit(struct loam_link_keys *keys, const char *text,
		       const uint8_t mac[LOAM_SHA256_BYTES], struct loam_err *err)
{
	if (fits(keys, text, mac))
		return 1;
	if (may_reread(keys)) {
		int rc = load_keys(keys, err);
		if (rc < 0)
			return rc;
	}
	return fits(keys, text, mac);
}

int loam_link_check(struct loam_link_keys *keys, const struct loam_web_request *request,
		    struct loam_link *out_link, bool *out_forged, struct loam_err *err)
{
	struct loam_link link;
	uint8_t mac[LOAM_SHA256_BYTES];
	int good = 0;
	*out_forged = false;
	if (parse_request(request, &link, mac)) {
		loam_auto_free char *text = signed_text(&link);
		good = loam_link_keys_fit(keys, text, mac, err);
	}
	if (good < 0)
		return good;
	*out_forged = !good;
	if (!good)
		return loam_fail(err, LOAM_E_DENIED, "this transfer link is not valid");
	if (link.expires <= (int64_t)loam_clock_now().tv_sec)
		return loam_fail(err, LOAM_E_DENIED, "this transfer link has expired");
	*out_link = link;
	return 0;
}
