/*
 * auth/ssh_key: which public keys are taken (reliability.md ssh-9), and their lines on the volume.
 * Keys are made by ssh-keygen, so the judge of what is a key is OpenSSH.
 */
#include "auth/ssh_key.h"

#include "auth/auth.h"
#include "core/auto.h"
#include "core/hash.h"
#include "core/process.h"
#include "core/sys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/volume.h"

#define ED25519 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE8Zz7yv3J9Vg6JyP0p2oZ8X1o8v0W7xq6d7m7K4rJQh"

/* The .pub file of a new key; free(). NULL when this ssh-keygen does not make it. */
static char *keygen(const char *type, const char *bits)
{
	char dir[] = "/tmp/loam-ssh-key-XXXXXX";
	assert_non_null(mkdtemp(dir));
	loam_auto_free char *path = loam_path_join(dir, "k");
	loam_auto_free char *public = loam_path_join(dir, "k.pub");
	const char *argv[] = { "ssh-keygen", "-q", "-t", type, "-N", "",  "-C",
			       "who@where",  "-f", path, "-b", bits, NULL };
	static const char *const env[] = { "PATH=/usr/bin:/bin", NULL };
	struct loam_process_spec spec = { .argv = argv, .env = env, .stdin_fd = -1 };
	struct loam_err refused = { 0 };
	int rc = loam_process_run(&spec, NULL, 0, NULL, 120000, &refused);
	struct loam_buf text = LOAM_BUF(65536);
	if (rc == 0)
		assert_ok(loam_path_read_all(public, &text, &err));
	unlink(path);
	unlink(public);
	rmdir(dir);
	return rc == 0 ? loam_buf_steal(&text) : NULL;
}

static int read_text(const char *text, struct loam_ssh_key *key, struct loam_err *err)
{
	return loam_ssh_key_read(text, strlen(text), key, err);
}

static void keys_of_every_taken_kind_survive_their_line(void **state)
{
	static const char *const kinds[][2] = { { "ed25519", "256" }, { "ecdsa", "256" },
						{ "ecdsa", "384" },   { "ecdsa", "521" },
						{ "rsa", "2048" },    { "rsa", "4096" } };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(kinds); i++) {
		loam_auto_free char *text = keygen(kinds[i][0], kinds[i][1]);
		struct loam_ssh_key key, again;
		char line[LOAM_ACCOUNT_LINE_BYTES_MAX];
		assert_non_null(text);
		assert_ok(read_text(text, &key, &err));
		assert_true(loam_ssh_key_is_id(key.id));
		assert_int_equal(strncmp(text, key.type, strlen(key.type)), 0);
		snprintf(key.user, sizeof(key.user), "alice");
		snprintf(key.label, sizeof(key.label), "laptop");
		key.created = 1700000000;
		loam_ssh_key_print(&key, line);
		assert_null(strstr(line, "who@where"));
		assert_ok(loam_ssh_key_parse(line, strlen(line) - 1, &again, &err));
		assert_memory_equal(&key, &again, sizeof(key));
	}
}

static void small_and_old_keys_are_refused(void **state)
{
	struct loam_ssh_key key;
	struct loam_err refused = { 0 };
	loam_auto_free char *rsa = keygen("rsa", "1024");
	assert_non_null(rsa);
	assert_int_equal(read_text(rsa, &key, &refused), -LOAM_E_UNPROCESSABLE);
	assert_non_null(strstr(refused.text, "1024 bits"));
	loam_auto_free char *dsa = keygen("dsa", "1024");
	if (dsa) {
		loam_err_clear(&refused);
		assert_int_equal(read_text(dsa, &key, &refused), -LOAM_E_UNPROCESSABLE);
	}
}

static void put_u32(uint8_t *at, size_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* A made-up RSA key of that many bits. */
static char *rsa_of(size_t bits)
{
	size_t n_bytes = bits / 8 + 1;
	size_t bytes = 4 + 7 + 4 + 3 + 4 + n_bytes;
	loam_auto_free uint8_t *blob = loam_xcalloc(1, bytes);
	uint8_t *at = blob;
	put_u32(at, 7);
	memcpy(at + 4, "ssh-rsa", 7);
	at += 11;
	put_u32(at, 3);
	memcpy(at + 4, "\1\0\1", 3);
	at += 7;
	put_u32(at, n_bytes);
	memset(at + 5, 0xFF, n_bytes - 1);
	loam_auto_free char *text = loam_xcalloc(1, 4 * ((bytes + 2) / 3) + 1);
	loam_base64_encode(blob, bytes, text);
	return loam_xasprintf("ssh-rsa %s", text);
}

static void rsa_is_taken_up_to_its_bound(void **state)
{
	struct loam_ssh_key key;
	struct loam_err refused = { 0 };
	static const size_t good[] = { 2048, 3072, 16384 }, bad[] = { 1024, 2040, 16392, 65536 };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(good); i++) {
		loam_auto_free char *text = rsa_of(good[i]);
		assert_ok(read_text(text, &key, &err));
	}
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(bad); i++) {
		loam_auto_free char *text = rsa_of(bad[i]);
		assert_int_equal(read_text(text, &key, &refused), -LOAM_E_UNPROCESSABLE);
		loam_err_clear(&refused);
	}
}

static void what_is_no_plain_key_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"ssh-ed25519",
		"ssh-ed25519 ",
		"ssh-ed25519 !!!!",
		"ssh-ed25519 AAAA",
		"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE8Zz7yv3J9Vg6JyP0p2oZ8X1o8v0W7xq6d7m7K4rJQ=",
		"command=\"x\" " ED25519,
		"restrict " ED25519,
		ED25519 " a comment\nwith a second line",
		ED25519 "\n" ED25519 "\n",
		ED25519 "\r\n",
		" " ED25519,
		"ssh-dss AAAAB3NzaC1kc3MAAAAB",
		"ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIE8Zz7yv3J9Vg6JyP0p2oZ8X1o8v0W7xq6d7m7K4rJQh",
		"ssh-ed25519-cert-v01@openssh.com AAAA",
		/* another byte behind the key */
		"ssh-ed25519 "
		"AAAAC3NzaC1lZDI1NTE5AAAAIE8Zz7yv3J9Vg6JyP0p2oZ8X1o8v0W7xq6d7m7K4rJQhAA==",
	};
	struct loam_ssh_key key;
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(texts); i++) {
		struct loam_err err = { 0 };
		assert_int_equal(read_text(texts[i], &key, &err), -LOAM_E_UNPROCESSABLE);
		assert_true(err.text[0] != '\0');
	}
	assert_ok(read_text(ED25519, &key, &err));
	assert_ok(read_text(ED25519 " my laptop: \"work\"\n", &key, &err));
}

static void a_point_off_its_curve_is_refused(void **state)
{
	loam_auto_free char *text = keygen("ecdsa", "256");
	struct loam_ssh_key key;
	struct loam_err refused = { 0 };
	assert_non_null(text);
	assert_ok(read_text(text, &key, &err));
	uint8_t blob[256];
	size_t bytes = sizeof(blob);
	assert_true(loam_base64_decode(key.base64, strlen(key.base64), blob, &bytes));
	blob[bytes - 1] ^= 1;
	loam_base64_encode(blob, bytes, key.base64);
	loam_auto_free char *changed = loam_xasprintf("%s %s", key.type, key.base64);
	assert_int_equal(read_text(changed, &key, &refused), -LOAM_E_UNPROCESSABLE);
}

static void damaged_lines_are_no_keys(void **state)
{
#define K "ssh-ed25519:AAAAC3NzaC1lZDI1NTE5AAAAIE8Zz7yv3J9Vg6JyP0p2oZ8X1o8v0W7xq6d7m7K4rJQh"
	static const char *const lines[] = {
		"key-abcdefghijkl:" K ":alice:::1",
		"key-abcdefghijk:" K ":alice:::1:",
		"tok-abcdefghijkl:" K ":alice:::1:",
		"key-abcdefghijkl:" K ":alice:models/a/b:r:1:",
		"key-abcdefghijkl:" K ":::r:1:",
		"key-abcdefghijkl:" K "::models/a/b::1:",
		"key-abcdefghijkl:" K "::models/a/b:w:1:",
		"key-abcdefghijkl:" K ":alice::r:1:",
		"key-abcdefghijkl:" K ":alice:::-1:",
		"key-abcdefghijkl:ssh-dss:AAAA:alice:::1:",
		"key-abcdefghijkl:" K "x:alice:::1:",
	};
	struct loam_ssh_key key;
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(lines); i++) {
		struct loam_err err = { 0 };
		assert_int_equal(loam_ssh_key_parse(lines[i], strlen(lines[i]), &key, &err),
				 -LOAM_E_INVALID);
	}
	static const char deploy[] = "key-abcdefghijkl:" K "::models/a/b:rw:1:ci";
	assert_ok(loam_ssh_key_parse(deploy, strlen(deploy), &key, &err));
	assert_int_equal(key.scope, LOAM_SCOPE_READ | LOAM_SCOPE_WRITE);
}

static void the_fingerprint_is_that_of_ssh_keygen(void **state)
{
	struct loam_ssh_key key;
	char fingerprint[LOAM_SSH_KEY_FINGERPRINT_BYTES];
	assert_ok(read_text(ED25519, &key, &err));
	loam_ssh_key_fingerprint(&key, fingerprint);
	static const char *const argv[] = { "ssh-keygen", "-l", "-f", "-", NULL };
	static const char *const env[] = { "PATH=/usr/bin:/bin", NULL };
	struct loam_process_spec spec = { .argv = argv, .env = env, .stdin_fd = -1 };
	loam_auto_buf struct loam_buf out = LOAM_BUF(4096);
	assert_ok(loam_process_run(&spec, ED25519 "\n", strlen(ED25519) + 1, &out, 60000, &err));
	assert_non_null(strstr(loam_buf_text(&out), fingerprint));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_of_every_taken_kind_survive_their_line),
		cmocka_unit_test(small_and_old_keys_are_refused),
		cmocka_unit_test(rsa_is_taken_up_to_its_bound),
		cmocka_unit_test(what_is_no_plain_key_is_refused),
		cmocka_unit_test(a_point_off_its_curve_is_refused),
		cmocka_unit_test(damaged_lines_are_no_keys),
		cmocka_unit_test(the_fingerprint_is_that_of_ssh_keygen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
