/*
 * Public keys of SSH (auth/ssh_key.h). Step 2 of a push over SSH.
 *
 * A key is base64 of strings with a 32-bit length in front of each: its type again, then
 *   ed25519  the point          ecdsa  curve, point          rsa  e, n (mpints)
 *   sk-…     the same as without, then the application
 * Nothing may stand behind the last. Points are checked to lie on their curve by OpenSSL.
 */
#include "auth/ssh_key.h"

#include "auth/auth.h"
#include "auth/fields.h"
#include "core/auto.h"
#include "core/cmd.h"
#include "core/hash.h"

#include <ctype.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>

#define FIELD_COUNT	  9
#define FIELDS_ONCE	  8 /* without a maker */
#define ID_RANDOM	  12
#define BLOB_BYTES_MAX	  (LOAM_SSH_KEY_BASE64_BYTES / 4 * 3)
#define RSA_BITS_MIN	  2048
#define RSA_BITS_MAX	  16384
#define RSA_EXPONENT_BITS 64
#define ED25519_BYTES	  32
#define APPLICATION_MAX	  255

/* ---- the blob -------------------------------------------------------------------------------- */

struct reader {
	const uint8_t *at, *end;
};

static bool take_string(struct reader *reader, const uint8_t **out, size_t *out_bytes)
{
	if (reader->end - reader->at < 4)
		return false;
	const uint8_t *at = reader->at;
	size_t bytes = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
	if (bytes > (size_t)(reader->end - at) - 4)
		return false;
	*out = at + 4;
	*out_bytes = bytes;
	reader->at = at + 4 + bytes;
	return true;
}

static bool take_text(struct reader *reader, const char *expected)
{
	const uint8_t *text;
	size_t bytes;
	return take_string(reader, &text, &bytes) && bytes == strlen(expected) &&
	       memcmp(text, expected, bytes) == 0;
}

/* A positive integer without needless zeros; *out_bits its length. */
static bool take_mpint(struct reader *reader, size_t *out_bits, bool *out_odd)
{
	const uint8_t *number;
	size_t bytes;
	if (!take_string(reader, &number, &bytes) || bytes == 0 || number[0] & 0x80)
		return false;
	if (number[0] == 0 && (bytes == 1 || !(number[1] & 0x80)))
		return false;
	*out_odd = number[bytes - 1] & 1;
	if (number[0] == 0) {
		number++;
		bytes--;
	}
	*out_bits = bytes * 8;
	for (uint8_t top = number[0]; !(top & 0x80); top = (uint8_t)(top << 1))
		(*out_bits)--;
	return true;
}

static bool is_ed25519_point(const uint8_t *point, size_t bytes)
{
	if (bytes != ED25519_BYTES)
		return false;
	EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, point, bytes);
	EVP_PKEY_free(key);
	return key != NULL;
}

/* Uncompressed, and on the curve. */
static bool is_curve_point(const char *group, const uint8_t *point, size_t bytes)
{
	if (bytes == 0 || point[0] != 4)
		return false;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)point, bytes),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	bool good = context && EVP_PKEY_fromdata_init(context) == 1 &&
		    EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) == 1;
	EVP_PKEY_free(key);
	EVP_PKEY_CTX_free(context);
	return good;
}

/* ---- kinds ----------------------------------------------------------------------------------- */

enum shape { SHAPE_ED25519, SHAPE_ECDSA, SHAPE_RSA };

static const struct kind {
	const char *type;
	enum shape shape;
	const char *curve, *group; /* ssh's name and OpenSSL's */
	bool has_application;
} kinds[] = {
	{ "ssh-ed25519", SHAPE_ED25519, NULL, NULL, false },
	{ "ecdsa-sha2-nistp256", SHAPE_ECDSA, "nistp256", "prime256v1", false },
	{ "ecdsa-sha2-nistp384", SHAPE_ECDSA, "nistp384", "secp384r1", false },
	{ "ecdsa-sha2-nistp521", SHAPE_ECDSA, "nistp521", "secp521r1", false },
	{ "ssh-rsa", SHAPE_RSA, NULL, NULL, false },
	{ "sk-ssh-ed25519@openssh.com", SHAPE_ED25519, NULL, NULL, true },
	{ "sk-ecdsa-sha2-nistp256@openssh.com", SHAPE_ECDSA, "nistp256", "prime256v1", true },
};

static int check_rsa(struct reader *reader, struct loam_err *err)
{
	size_t exponent_bits, bits;
	bool exponent_odd, odd;
	if (!take_mpint(reader, &exponent_bits, &exponent_odd) ||
	    !take_mpint(reader, &bits, &odd) || !exponent_odd || exponent_bits < 2 ||
	    exponent_bits > RSA_EXPONENT_BITS || !odd)
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "the key is damaged");
	if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
		return loam_fail(err, LOAM_E_UNPROCESSABLE,
				 "an RSA key of %zu bits; taken are %d to %d (or make a new one: "
				 "ssh-keygen -t ed25519)",
				 bits, RSA_BITS_MIN, RSA_BITS_MAX);
	return 0;
}

static int check_blob(const struct kind *kind, const uint8_t *blob, size_t blob_bytes,
		      struct loam_err *err)
{
	struct reader reader = { blob, blob + blob_bytes };
	const uint8_t *part;
	size_t bytes;
	bool good = take_text(&reader, kind->type);
	if (good && kind->shape == SHAPE_RSA) {
		int rc = check_rsa(&reader, err);
		if (rc < 0)
			return rc;
	}
	if (good && kind->shape == SHAPE_ED25519)
		good = take_string(&reader, &part, &bytes) && is_ed25519_point(part, bytes);
	if (good && kind->shape == SHAPE_ECDSA)
		good = take_text(&reader, kind->curve) && take_string(&reader, &part, &bytes) &&
		       is_curve_point(kind->group, part, bytes);
	if (good && kind->has_application)
		good = take_string(&reader, &part, &bytes) && bytes <= APPLICATION_MAX;
	if (!good || reader.at != reader.end)
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "the key is damaged");
	return 0;
}

static const struct kind *find_kind(const char *type)
{
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(kinds); i++)
		if (strcmp(kinds[i].type, type) == 0)
			return &kinds[i];
	return NULL;
}

static int check_key(const struct loam_ssh_key *key, struct loam_err *err)
{
	uint8_t blob[BLOB_BYTES_MAX];
	size_t blob_bytes = sizeof(blob);
	const struct kind *kind = find_kind(key->type);
	if (!kind)
		return loam_fail(err, LOAM_E_UNPROCESSABLE,
				 "'%.40s' is no kind of key that is taken: ssh-ed25519, "
				 "ecdsa-sha2-nistp*, ssh-rsa, sk-*@openssh.com, without options "
				 "in front",
				 key->type);
	if (!loam_base64_decode(key->base64, strlen(key->base64), blob, &blob_bytes))
		return loam_fail(err, LOAM_E_UNPROCESSABLE,
				 "the second word is not base64; give one line of a .pub file");
	return check_blob(kind, blob, blob_bytes, err);
}

/* ---- what people hand in --------------------------------------------------------------------- */

static bool take_word(const char **at, const char *end, char *out, size_t out_bytes)
{
	const char *begin = *at;
	while (*at < end && **at != ' ' && **at != '\t')
		(*at)++;
	size_t bytes = (size_t)(*at - begin);
	if (bytes == 0 || bytes >= out_bytes)
		return false;
	memcpy(out, begin, bytes);
	out[bytes] = '\0';
	while (*at < end && (**at == ' ' || **at == '\t'))
		(*at)++;
	return true;
}

int loam_ssh_key_read(const char *text, size_t text_bytes, struct loam_ssh_key *out,
		      struct loam_err *err)
{
	struct loam_ssh_key key = { .id = LOAM_SSH_KEY_PREFIX };
	const char *at = text, *end = text + text_bytes;
	if (end > at && end[-1] == '\n')
		end--;
	for (const char *c = at; c < end; c++)
		if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7F)
			return loam_fail(err, LOAM_E_UNPROCESSABLE,
					 "a public key is one line without control bytes, as in a "
					 ".pub file");
	if (!take_word(&at, end, key.type, sizeof(key.type)) ||
	    !take_word(&at, end, key.base64, sizeof(key.base64)))
		return loam_fail(err, LOAM_E_UNPROCESSABLE,
				 "not a public key: \"type base64\", as in a .pub file");
	int rc = check_key(&key, err);
	if (rc < 0)
		return rc;
	loam_random_base62(key.id + strlen(LOAM_SSH_KEY_PREFIX), ID_RANDOM);
	*out = key;
	return 0;
}

/* ---- lines ----------------------------------------------------------------------------------- */

bool loam_ssh_key_is_id(const char *id)
{
	size_t prefix = strlen(LOAM_SSH_KEY_PREFIX);
	if (strncmp(id, LOAM_SSH_KEY_PREFIX, prefix) != 0 || strlen(id) != prefix + ID_RANDOM)
		return false;
	for (const char *c = id + prefix; *c; c++)
		if (!isalnum((unsigned char)*c))
			return false;
	return true;
}

static int parse_holder(const char *scope, struct loam_ssh_key *key, struct loam_err *err)
{
	if (key->user[0] != '\0' && key->repo[0] == '\0' && scope[0] == '\0')
		return 0;
	if (key->user[0] != '\0' || key->repo[0] == '\0')
		return loam_fail(err, LOAM_E_INVALID, "not a user's and not a repository's key");
	if (strcmp(scope, "r") != 0 && strcmp(scope, "rw") != 0)
		return loam_fail(err, LOAM_E_INVALID, "a deploy key with scope '%.8s'", scope);
	key->scope = LOAM_SCOPE_READ | (scope[1] ? (unsigned)LOAM_SCOPE_WRITE : 0);
	return 0;
}

int loam_ssh_key_parse(const char *line, size_t line_bytes, struct loam_ssh_key *out,
		       struct loam_err *err)
{
	char copy[LOAM_ACCOUNT_LINE_BYTES_MAX];
	char *fields[FIELD_COUNT];
	int rc = loam_fields_split_grown(line, line_bytes, copy, fields, FIELD_COUNT, FIELDS_ONCE,
					 err);
	if (rc < 0)
		return rc;
	struct loam_ssh_key key = { 0 };
	uint64_t created;
	if (!loam_fields_copy(fields[0], key.id, sizeof(key.id)) || !loam_ssh_key_is_id(key.id) ||
	    !loam_fields_copy(fields[1], key.type, sizeof(key.type)) ||
	    !loam_fields_copy(fields[2], key.base64, sizeof(key.base64)) ||
	    !loam_fields_copy(fields[3], key.user, sizeof(key.user)) ||
	    !loam_fields_copy(fields[4], key.repo, sizeof(key.repo)) ||
	    !loam_fields_copy(fields[7], key.label, sizeof(key.label)) ||
	    !loam_fields_copy(fields[8], key.maker, sizeof(key.maker)))
		return loam_fail(err, LOAM_E_INVALID, "a field is empty or too long");
	if ((rc = parse_holder(fields[5], &key, err)) < 0 ||
	    (rc = loam_parse_u64(fields[6], 0, INT64_MAX, &created, err)) < 0)
		return rc;
	rc = check_key(&key, err);
	if (rc < 0) {
		err->code = LOAM_E_INVALID;
		return -LOAM_E_INVALID;
	}
	key.created = (int64_t)created;
	*out = key;
	return 0;
}

void loam_ssh_key_print(const struct loam_ssh_key *key, char *out)
{
	const char *scope = key->user[0] ? "" : key->scope & LOAM_SCOPE_WRITE ? "rw" : "r";
	snprintf(out, LOAM_ACCOUNT_LINE_BYTES_MAX, "%s:%s:%s:%s:%s:%s:%lld:%s%s%s\n", key->id,
		 key->type, key->base64, key->user, key->repo, scope, (long long)key->created,
		 key->label, key->maker[0] ? ":" : "", key->maker);
}

void loam_ssh_key_fingerprint(const struct loam_ssh_key *key,
			      char out[LOAM_SSH_KEY_FINGERPRINT_BYTES])
{
	uint8_t blob[BLOB_BYTES_MAX], digest[LOAM_SHA256_BYTES];
	size_t blob_bytes = sizeof(blob);
	char text[4 * ((LOAM_SHA256_BYTES + 2) / 3) + 1];
	bool good = loam_base64_decode(key->base64, strlen(key->base64), blob, &blob_bytes);
	loam_assert(good);
	loam_sha256_of(blob, blob_bytes, digest);
	loam_base64_encode(digest, sizeof(digest), text);
	text[strcspn(text, "=")] = '\0';
	snprintf(out, LOAM_SSH_KEY_FINGERPRINT_BYTES, "SHA256:%s", text);
}
