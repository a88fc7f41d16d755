/*
 * core/config: what is read, what is refused, where the volume's name comes from.
 */
#include "core/config.h"

#include "core/atomic_file.h"
#include "core/auto.h"
#include "core/sys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/loam-unit-config-XXXXXX";
static char *path;

static int make_dir(void **state)
{
	unsetenv("LOAM_CONFIG");
	unsetenv("LOAM_META");
	if (!mkdtemp(dir))
		return -1;
	path = loam_path_join(dir, "loam.conf");
	return 0;
}

static int remove_dir(void **state)
{
	unlink(path);
	free(path);
	return rmdir(dir);
}

static void put(const char *text, size_t bytes, mode_t mode)
{
	struct loam_err err = { 0 };
	assert_int_equal(loam_atomic_file_put(path, mode, text, bytes, &err), 0);
}

static void keys_are_read_and_the_rest_is_default(void **state)
{
	static const char text[] = "# a comment\n[server]\n\tlisten = 0.0.0.0:80\n"
				   "\tPLAINHTTP\n\ttlscert = \"/a b.pem\"\n"
				   "[cache]\n\tsizeMiB = 64\n";
	struct loam_err err = { 0 };
	struct loam_config *config = NULL;
	put(text, strlen(text), 0600);
	assert_int_equal(loam_config_load(path, &config, &err), 0);
	assert_string_equal(config->server_listen, "0.0.0.0:80");
	assert_string_equal(config->server_tls_cert, "/a b.pem");
	assert_true(config->server_plain_http);
	assert_int_equal(config->cache_size_mib, 64);
	assert_int_equal(config->server_workers, 64);
	assert_string_equal(config->tree_root, "/");
	assert_string_equal(config->path, path);
	loam_config_free(config);
}

/* Each with a word that the message must hold. */
static void what_breaks_the_table_is_refused_by_name(void **state)
{
	static const char *const cases[][2] = {
		{ "[server]\nport = 80\n", "server.port" },
		{ "[server \"x\"]\nlisten = y\n", "server.x.listen" },
		{ "[server]\nlisten = a\nlisten = b\n", "server.listen is set twice" },
		{ "[server]\nlisten = a\n[SERVER]\nLISTEN = b\n", "server.listen is set twice" },
		{ "[cache]\nsizeMiB = 63\n", "cache.sizeMiB" },
		{ "[cache]\nsizeMiB = 1048577\n", "cache.sizeMiB" },
		{ "[cache]\nsizeMiB = 5G\n", "cache.sizeMiB" },
		{ "[cache]\nsizeMiB = 1e9\n", "cache.sizeMiB" },
		{ "[cache]\nsizeMiB = -1\n", "cache.sizeMiB" },
		{ "[cache]\nsizeMiB =\n", "cache.sizeMiB" },
		{ "[server]\nplainHttp = perhaps\n", "server.plainHttp" },
		{ "[server]\nlisten\n", "server.listen" },
		{ "[server]\nlisten = \"a\\nb\"\n", "server.listen" },
		{ "[meta]\ndurability = some\n", "meta.durability" },
		{ "[tree]\nroot = x\n", "tree.root" },
		{ "[server]\nurl = ftp://x\n", "server.url" },
		{ "[include]\npath = /nonexistent\n", "include.path" },
		{ "[includeIf \"gitdir:/\"]\npath = /nonexistent\n", "includeif" },
		{ "[server\nlisten = a\n", "loam.conf" },
		{ "listen = a\n", "loam.conf" },
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		struct loam_err err = { 0 };
		struct loam_config *config = NULL;
		put(cases[i][0], strlen(cases[i][0]), 0600);
		assert_int_equal(loam_config_load(path, &config, &err), -LOAM_E_INVALID);
		assert_null(config);
		if (!strstr(err.text, cases[i][1]))
			fail_msg("case %zu: %s", i, err.text);
	}
}

static void a_file_that_includes_itself_is_refused(void **state)
{
	struct loam_err err = { 0 };
	struct loam_config *config = NULL;
	put("[include]\npath = loam.conf\n", 26, 0600);
	assert_int_equal(loam_config_load(path, &config, &err), -LOAM_E_INVALID);
}

static void a_nul_or_too_many_bytes_are_refused(void **state)
{
	struct loam_err err = { 0 };
	struct loam_config *config = NULL;
	put("[server]\nlisten = a\0b\n", 22, 0600);
	assert_int_equal(loam_config_load(path, &config, &err), -LOAM_E_INVALID);
	loam_err_clear(&err);
	size_t bytes = (1u << 20) + 1;
	loam_auto_free char *comment = loam_xcalloc(1, bytes);
	memset(comment, '#', bytes);
	put(comment, bytes, 0600);
	assert_int_equal(loam_config_load(path, &config, &err), -LOAM_E_TOO_LARGE);
	loam_err_clear(&err);
	put(comment, bytes - 1, 0600);
	assert_int_equal(loam_config_load(path, &config, &err), 0);
	loam_config_free(config);
}

static void a_password_that_others_may_read_is_refused(void **state)
{
	static const struct {
		const char *url;
		mode_t mode;
		int rc;
	} cases[] = { { "redis://:pw@host:1/2", 0644, -LOAM_E_INVALID },
		      { "redis://u:pw@host:1/2", 0604, -LOAM_E_INVALID },
		      { "unix:///s?password=pw", 0644, -LOAM_E_INVALID },
		      { "redis://:pw@host:1/2", 0640, 0 },
		      { "redis://host:1/2", 0644, 0 } };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		struct loam_err err = { 0 };
		struct loam_config *config = NULL;
		loam_auto_free char *text = loam_xasprintf("[meta]\nurl = %s\n", cases[i].url);
		put(text, strlen(text), cases[i].mode);
		assert_int_equal(loam_config_load(path, &config, &err), cases[i].rc);
		assert_null(strstr(err.text, "pw@"));
		loam_config_free(config);
	}
}

static void the_environment_names_the_file(void **state)
{
	struct loam_err err = { 0 };
	struct loam_config *config = NULL;
	put("[tree]\nroot = /lab\n", 19, 0600);
	setenv("LOAM_CONFIG", path, 1);
	assert_int_equal(loam_config_load(NULL, &config, &err), 0);
	assert_string_equal(config->tree_root, "/lab");
	loam_config_free(config);
	setenv("LOAM_CONFIG", "/nonexistent/loam.conf", 1);
	assert_int_equal(loam_config_load(NULL, &config, &err), -LOAM_E_NOT_FOUND);
	unsetenv("LOAM_CONFIG");
}

static void the_volume_is_named_by_argument_then_environment_then_file(void **state)
{
	struct loam_err err = { 0 };
	struct loam_config *config = NULL;
	const char *url = NULL;
	put("[meta]\nurl = redis://file:1/0\n", 30, 0600);
	assert_int_equal(loam_config_load(path, &config, &err), 0);
	assert_int_equal(loam_config_meta(config, NULL, &url, &err), 0);
	assert_string_equal(url, "redis://file:1/0");
	setenv("LOAM_META", "redis://env:1/0", 1);
	assert_int_equal(loam_config_meta(config, NULL, &url, &err), 0);
	assert_string_equal(url, "redis://env:1/0");
	assert_int_equal(loam_config_meta(config, "redis://arg:1/0", &url, &err), 0);
	assert_string_equal(url, "redis://arg:1/0");
	unsetenv("LOAM_META");
	assert_int_equal(loam_config_meta(NULL, NULL, &url, &err), -LOAM_E_INVALID);
	assert_non_null(strstr(err.text, "LOAM_META"));
	loam_config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_read_and_the_rest_is_default),
		cmocka_unit_test(what_breaks_the_table_is_refused_by_name),
		cmocka_unit_test(a_file_that_includes_itself_is_refused),
		cmocka_unit_test(a_nul_or_too_many_bytes_are_refused),
		cmocka_unit_test(a_password_that_others_may_read_is_refused),
		cmocka_unit_test(the_environment_names_the_file),
		cmocka_unit_test(the_volume_is_named_by_argument_then_environment_then_file),
	};
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
