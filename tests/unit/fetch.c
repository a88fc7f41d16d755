/*
 * core/fetch: what a server's URL may be, and which ones keep a secret.
 */
#include "core/fetch.h"

#include "core/auto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void a_server_has_one_spelling(void **state)
{
	static const char *const rows[][2] = {
		{ "http://127.0.0.1:8418", "http://127.0.0.1:8418" },
		{ "http://127.0.0.1:8418/", "http://127.0.0.1:8418" },
		{ "HTTPS://Models.Example.ORG", "https://models.example.org" },
		{ "https://models.example.org:443/", "https://models.example.org" },
		{ "http://models.example.org:80", "http://models.example.org" },
		{ "http://models.example.org:443", "http://models.example.org:443" },
		{ "http://[::1]:8418", "http://[::1]:8418" },
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(rows); i++) {
		char server[LOAM_FETCH_URL_BYTES];
		struct loam_err err = { 0 };
		assert_int_equal(loam_fetch_server(rows[i][0], server, &err), 0);
		assert_string_equal(server, rows[i][1]);
	}
}

static void what_is_no_server_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"models.example.org",
		"ftp://models.example.org",
		"file:///etc/passwd",
		"https://models.example.org/path",
		"https://models.example.org/?token=x",
		"https://models.example.org/#x",
		"https://alice@models.example.org",
		"https://alice:secret@models.example.org",
		"https://",
		"https://models.example.org:99999",
		"https://a b",
		"nonsense://x",
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(bad); i++) {
		char server[LOAM_FETCH_URL_BYTES] = "unchanged";
		struct loam_err err = { 0 };
		assert_int_equal(loam_fetch_server(bad[i], server, &err), -LOAM_E_INVALID);
		assert_string_equal(server, "unchanged");
	}
}

static void plain_http_is_private_on_this_machine_only(void **state)
{
	assert_true(loam_fetch_is_private("https://models.example.org"));
	assert_true(loam_fetch_is_private("http://127.0.0.1:8418"));
	assert_true(loam_fetch_is_private("http://127.1.2.3"));
	assert_true(loam_fetch_is_private("http://localhost:1"));
	assert_true(loam_fetch_is_private("http://[::1]:8418"));
	assert_false(loam_fetch_is_private("http://models.example.org"));
	assert_false(loam_fetch_is_private("http://127.0.0.1.example.org"));
	assert_false(loam_fetch_is_private("http://localhost.example.org"));
	assert_false(loam_fetch_is_private("http://[::2]:8418"));
	assert_false(loam_fetch_is_private("http://10.0.0.1"));
}

static void a_segment_holds_no_slash(void **state)
{
	loam_auto_free char *segment = loam_fetch_segment("a/b?c%d e");
	assert_string_equal(segment, "a%2Fb%3Fc%25d%20e");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_server_has_one_spelling),
		cmocka_unit_test(what_is_no_server_is_refused),
		cmocka_unit_test(plain_http_is_private_on_this_machine_only),
		cmocka_unit_test(a_segment_holds_no_slash),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
