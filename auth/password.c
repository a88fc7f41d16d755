/*
 * yescrypt by crypt(3) (auth/password.h). The library's scratch memory is 32 KiB a call and lives
 * on the heap; the hash's own 16 MiB are why only two run at once.
 */
#include "auth/password.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/hash.h"
#include "core/limits.h"

#include <crypt.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SCHEME		"$y$"
#define COST		5
#define HASH_CHARS	43
#define OLDER		"$loam6$"
#define OLDER_BYTES	7
#define SHA512		"$6$"
#define SHA512_SALT_MAX 16
#define SHA512_CHARS	86
#define AT_ONCE		2
#define WAITING_MAX	16

static struct {
	pthread_mutex_t lock;
	pthread_cond_t freed;
	unsigned running, waiting;
} turnstile = { .lock = PTHREAD_MUTEX_INITIALIZER, .freed = PTHREAD_COND_INITIALIZER };

/* A hash nobody has the password of, made once: wrong names cost what wrong passwords cost. */
static pthread_once_t dummy_once = PTHREAD_ONCE_INIT;
static char dummy_hash[LOAM_PASSWORD_HASH_BYTES];
static char dummy_older[SHA512_SALT_MAX + 8]; /* a setting of sha512crypt */
static uint64_t step_ns;		      /* twice what one check of both took here */

static const char alphabet[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static int enter(struct loam_err *err)
{
	loam_guard(&turnstile.lock);
	if (turnstile.running >= AT_ONCE && turnstile.waiting >= WAITING_MAX)
		return loam_fail(err, LOAM_E_BUSY, "too many logins at once; try again");
	turnstile.waiting++;
	while (turnstile.running >= AT_ONCE)
		pthread_cond_wait(&turnstile.freed, &turnstile.lock);
	turnstile.waiting--;
	turnstile.running++;
	return 0;
}

static void leave(void)
{
	loam_guard(&turnstile.lock);
	turnstile.running--;
	pthread_cond_signal(&turnstile.freed);
}

/* crypt(3) with its scratch memory on the heap; false when the setting is refused. The library
 * takes 511 bytes: of a longer password it is given the digest. */
static bool run_crypt(const char *password, const char *setting, char out[LOAM_PASSWORD_HASH_BYTES])
{
	loam_auto_free struct crypt_data *scratch = loam_xnew(struct crypt_data);
	char hex[LOAM_SHA256_HEX + 1];
	uint8_t digest[LOAM_SHA256_BYTES];
	size_t bytes = strlen(password);
	if (bytes >= CRYPT_MAX_PASSPHRASE_SIZE) {
		loam_sha256_of(password, bytes, digest);
		loam_hex(digest, sizeof(digest), hex);
		password = hex;
	}
	const char *hash = crypt_rn(password, setting, scratch, sizeof(*scratch));
	if (hash)
		snprintf(out, LOAM_PASSWORD_HASH_BYTES, "%s", hash);
	explicit_bzero(scratch, sizeof(*scratch));
	return hash != NULL;
}

static int hash_now(const char *password, char out[LOAM_PASSWORD_HASH_BYTES], struct loam_err *err)
{
	char random[32];
	loam_random(random, sizeof(random));
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];
	if (!crypt_gensalt_rn(SCHEME, COST, random, sizeof(random), setting, sizeof(setting)))
		return loam_fail_errno(err, "make a salt");
	if (!run_crypt(password, setting, out))
		return loam_fail(err, LOAM_E_INTERNAL, "crypt(3) refused its own salt");
	return 0;
}

static void make_dummy(void)
{
	char password[33], out[LOAM_PASSWORD_HASH_BYTES];
	char salt[SHA512_SALT_MAX + 1];
	struct loam_err err = { 0 };
	loam_random_base62(password, sizeof(password) - 1);
	loam_random_base62(salt, SHA512_SALT_MAX);
	snprintf(dummy_older, sizeof(dummy_older), SHA512 "%s$", salt);
	uint64_t begin = loam_clock_ns();
	loam_assert(hash_now(password, dummy_hash, &err) == 0);
	loam_assert(run_crypt(password, dummy_older, out));
	step_ns = 2 * (loam_clock_ns() - begin);
}

int loam_password_hash(const char *password, char out[LOAM_PASSWORD_HASH_BYTES],
		       struct loam_err *err)
{
	size_t bytes = strlen(password);
	if (bytes < LOAM_PASSWORD_BYTES_MIN || bytes > LOAM_PASSWORD_BYTES_MAX)
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "a password has %d to %d bytes",
				 LOAM_PASSWORD_BYTES_MIN, LOAM_PASSWORD_BYTES_MAX);
	int rc = enter(err);
	if (rc < 0)
		return rc;
	rc = hash_now(password, out, err);
	leave();
	return rc;
}

/* The part of a hash that fixes its cost: "$y$j9T$". Only ours is ever computed: a dearer one in an
 * imported file must not let one login take minutes. */
static bool has_our_cost(const char *hash)
{
	if (strncmp(hash, SCHEME, 3) != 0)
		return false;
	size_t prefix = 3 + strcspn(hash + 3, "$") + 1;
	return strncmp(hash, dummy_hash, prefix) == 0;
}

bool loam_password_is_older(const char *hash)
{
	return strncmp(hash, OLDER, OLDER_BYTES) == 0;
}

/* The two settings within "$loam6$SALT$y$…": of sha512crypt into setting, the other is returned. */
static const char *split_older(const char *hash, char setting[SHA512_SALT_MAX + 8])
{
	const char *salt = hash + OLDER_BYTES;
	size_t bytes = strspn(salt, alphabet);
	if (bytes == 0 || bytes > SHA512_SALT_MAX || strncmp(salt + bytes, SCHEME, 3) != 0)
		return NULL;
	snprintf(setting, SHA512_SALT_MAX + 8, SHA512 "%.*s$", (int)bytes, salt);
	return salt + bytes;
}

/* 1 right, 0 wrong; the work is the same whatever hash is. */
static bool is_right(const char *password, const char *hash, bool any_older)
{
	char setting[SHA512_SALT_MAX + 8], inner[LOAM_PASSWORD_HASH_BYTES] = "";
	char out[LOAM_PASSWORD_HASH_BYTES] = "";
	bool older = any_older && hash && loam_password_is_older(hash);
	if (older)
		hash = split_older(hash, setting);
	bool usable = hash && has_our_cost(hash);
	const char *against = usable ? hash : dummy_hash;
	bool computed = true;
	if (any_older)
		computed = run_crypt(password, usable && older ? setting : dummy_older, inner);
	computed = run_crypt(usable && older ? inner : password, against, out) && computed;
	size_t bytes = strlen(against);
	bool equal = computed && strlen(out) == bytes && loam_equal_secret(out, against, bytes);
	explicit_bzero(out, sizeof(out));
	explicit_bzero(inner, sizeof(inner));
	return usable && equal;
}

/* The salt of an older hash has 1 to 16 characters, which a password of the right length feels in
 * the time: wrong answers come at a whole step, right ones at once. */
int loam_password_check(const char *password, const char *hash, bool any_older,
			struct loam_err *err)
{
	if (strlen(password) > LOAM_PASSWORD_BYTES_MAX)
		return 0;
	int rc = enter(err);
	if (rc < 0)
		return rc;
	pthread_once(&dummy_once, make_dummy);
	uint64_t begun_ns = loam_clock_ns();
	bool right = is_right(password, hash, any_older);
	leave();
	if (!right && any_older)
		loam_clock_sleep_to_step_ns(begun_ns, step_ns);
	return right;
}

/* "$y$j9T$SALT$HASH", the hash of 43 characters. */
bool loam_password_hash_is_ours(const char *hash)
{
	pthread_once(&dummy_once, make_dummy);
	if (!has_our_cost(hash) || strlen(hash) >= LOAM_PASSWORD_HASH_BYTES)
		return false;
	const char *salt = hash + 3 + strcspn(hash + 3, "$") + 1;
	size_t salt_bytes = strspn(salt, alphabet);
	if (salt_bytes == 0 || salt[salt_bytes] != '$')
		return false;
	const char *rest = salt + salt_bytes + 1;
	return strspn(rest, alphabet) == HASH_CHARS && rest[HASH_CHARS] == '\0';
}

/* "$6$SALT$DIGEST" without "rounds=": 5,000 of them, the default everywhere. */
static bool is_sha512(const char *hash)
{
	if (strncmp(hash, SHA512, 3) != 0)
		return false;
	size_t salt = strspn(hash + 3, alphabet);
	const char *digest = hash + 3 + salt + 1;
	return salt > 0 && salt <= SHA512_SALT_MAX && hash[3 + salt] == '$' &&
	       strspn(digest, alphabet) == SHA512_CHARS && digest[SHA512_CHARS] == '\0';
}

enum loam_hash_kind loam_password_hash_kind(const char *hash)
{
	if (loam_password_hash_is_ours(hash))
		return LOAM_HASH_OURS;
	return is_sha512(hash) ? LOAM_HASH_OLDER : LOAM_HASH_NONE;
}

int loam_password_hash_keep(const char *hash, char out[LOAM_PASSWORD_HASH_BYTES],
			    struct loam_err *err)
{
	char outer[LOAM_PASSWORD_HASH_BYTES];
	enum loam_hash_kind kind = loam_password_hash_kind(hash);
	if (kind == LOAM_HASH_NONE)
		return loam_fail(err, LOAM_E_UNPROCESSABLE,
				 "not a hash of yescrypt at our cost, or of sha512crypt");
	if (kind == LOAM_HASH_OURS) {
		memcpy(out, hash, strlen(hash) + 1);
		return 0;
	}
	int rc = hash_now(hash, outer, err);
	if (rc < 0)
		return rc;
	snprintf(out, LOAM_PASSWORD_HASH_BYTES, OLDER "%.*s%.300s", (int)strspn(hash + 3, alphabet),
		 hash + 3, outer);
	return 0;
}
