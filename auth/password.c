/*
 * yescrypt by crypt(3) (auth/password.h). The library's scratch memory is 32 KiB a call and lives
 * on the heap; the hash's own 16 MiB are why only two run at once.
 */
#include "auth/password.h"

#include "core/auto.h"
#include "core/hash.h"
#include "core/limits.h"

#include <crypt.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SCHEME	    "$y$"
#define COST	    5
#define HASH_CHARS  43
#define AT_ONCE	    2
#define WAITING_MAX 16

static struct {
	pthread_mutex_t lock;
	pthread_cond_t freed;
	unsigned running, waiting;
} turnstile = { .lock = PTHREAD_MUTEX_INITIALIZER, .freed = PTHREAD_COND_INITIALIZER };

/* A hash nobody has the password of, made once: wrong names cost what wrong passwords cost. */
static pthread_once_t dummy_once = PTHREAD_ONCE_INIT;
static char dummy_hash[LOAM_PASSWORD_HASH_BYTES];

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

/* crypt(3) with its scratch memory on the heap; false when the setting is refused. */
static bool run_crypt(const char *password, const char *setting, char out[LOAM_PASSWORD_HASH_BYTES])
{
	loam_auto_free struct crypt_data *scratch = loam_xnew(struct crypt_data);
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
	char password[33];
	loam_random_base62(password, sizeof(password) - 1);
	struct loam_err err = { 0 };
	loam_assert(hash_now(password, dummy_hash, &err) == 0);
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

int loam_password_check(const char *password, const char *hash, struct loam_err *err)
{
	if (strlen(password) > LOAM_PASSWORD_BYTES_MAX)
		return 0;
	int rc = enter(err);
	if (rc < 0)
		return rc;
	pthread_once(&dummy_once, make_dummy);
	bool usable = hash && has_our_cost(hash);
	const char *against = usable ? hash : dummy_hash;
	char out[LOAM_PASSWORD_HASH_BYTES] = "";
	bool computed = run_crypt(password, against, out);
	leave();

	size_t bytes = strlen(against);
	bool equal = computed && strlen(out) == bytes && loam_equal_secret(out, against, bytes);
	explicit_bzero(out, sizeof(out));
	return usable && equal ? 1 : 0;
}

/* "$y$j9T$SALT$HASH", the hash of 43 characters. */
bool loam_password_hash_is_ours(const char *hash)
{
	static const char alphabet[] =
		"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
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
