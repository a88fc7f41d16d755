/*
 * core/confine: what a confined child reaches, and that its parent keeps its own reach.
 */
#include "core/confine.h"

#include "core/auto.h"
#include "core/process.h"
#include "core/sys.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define LONG_MS	      20000
#define LIMIT_BYTES   (1u << 20)
#define PATHS_BY_TEST 8

struct world {
	char dir[64];
	char *given, *other;
	struct loam_confine_path paths[PATHS_BY_TEST];
	struct loam_confine confine;
};

static void add(struct world *world, const char *path, enum loam_may may)
{
	assert_true(world->confine.path_count < PATHS_BY_TEST);
	world->paths[world->confine.path_count++] = (struct loam_confine_path){ path, may };
}

static int setup(void **state)
{
	struct world *world = loam_xnew(struct world);
	snprintf(world->dir, sizeof(world->dir), "/tmp/loam-confine-XXXXXX");
	assert_non_null(mkdtemp(world->dir));
	world->given = loam_path_join(world->dir, "given");
	world->other = loam_path_join(world->dir, "other");
	for (int i = 0; i < 2; i++) {
		const char *dir = i ? world->other : world->given;
		loam_auto_free char *file = loam_path_join(dir, "file");
		assert_int_equal(mkdir(dir, 0755), 0);
		FILE *out = fopen(file, "w");
		assert_non_null(out);
		fprintf(out, "words\n");
		fclose(out);
	}
	world->confine.paths = world->paths;
	add(world, "/usr", LOAM_MAY_RUN);
	add(world, "/bin", LOAM_MAY_RUN);
	add(world, "/lib", LOAM_MAY_RUN);
	add(world, "/lib64", LOAM_MAY_RUN);
	add(world, "/etc/ld.so.cache", LOAM_MAY_READ);
	add(world, "/dev/null", LOAM_MAY_USE);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;
	const char *const argv[] = { "rm", "-rf", world->dir, NULL };
	static const char *const env[] = { "PATH=/usr/bin:/bin", NULL };
	struct loam_process_spec spec = { .argv = argv, .env = env, .stdin_fd = -1 };
	struct loam_err err = { 0 };
	assert_int_equal(loam_process_run(&spec, NULL, 0, NULL, LONG_MS, &err), 0);
	free(world->given);
	free(world->other);
	free(world);
	return 0;
}

/* 0, or the code of the child's failure; its first words on stderr in *err. */
static int run(struct world *world, const char *script, struct loam_err *err)
{
	const char *const argv[] = { "bash", "-c", script, NULL };
	static const char *const env[] = { "PATH=/usr/bin:/bin", "LC_ALL=C", NULL };
	struct loam_process_spec spec = { .argv = argv,
					  .env = env,
					  .dir = world->dir,
					  .stdin_fd = -1,
					  .stdout_fd = -1,
					  .stderr_fd = -1,
					  .confine = &world->confine };
	return loam_process_run(&spec, NULL, 0, NULL, LONG_MS, err);
}

static void assert_refused(struct world *world, const char *script)
{
	struct loam_err err = { 0 };
	assert_int_equal(run(world, script, &err), -LOAM_E_IO);
	if (!strstr(err.text, "ermission denied"))
		fail_msg("%s: %s", script, err.text);
}

static void need_landlock(int level)
{
	if (loam_confine_level() < level)
		skip();
}

static void it_reads_what_it_is_given_and_nothing_beside(void **state)
{
	struct world *world = *state;
	struct loam_err err = { 0 };
	need_landlock(1);
	add(world, world->given, LOAM_MAY_READ);
	assert_int_equal(run(world, "cat given/file", &err), 0);
	assert_refused(world, "cat other/file");
	assert_refused(world, "ls other");
	assert_refused(world, "cat /etc/shadow");
	assert_refused(world, "echo more >> given/file");
	assert_refused(world, ": > given/new");
	assert_refused(world, "exec 3<> given/file");
}

static void it_changes_what_it_may_change(void **state)
{
	struct world *world = *state;
	struct loam_err err = { 0 };
	need_landlock(1);
	add(world, world->given, LOAM_MAY_CHANGE);
	assert_int_equal(run(world,
			     "cd given && mkdir -p a/b c && echo x > a/b/f && mv a/b/f c/f && "
			     ": > c/f && ln -s f c/link && rm -r a c",
			     &err),
			 0);
	assert_refused(world, "cp /usr/bin/true given/program && given/program");
	assert_refused(world, "mv given/file other/moved");
	assert_refused(world, "rm -f other/file");
	loam_auto_free char *kept = loam_path_join(world->other, "file");
	assert_int_equal(access(kept, F_OK), 0);
}

static void it_has_no_tcp(void **state)
{
	struct world *world = *state;
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t bytes = sizeof(address);
	need_landlock(4);
	loam_auto_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
	loam_auto_free char *script =
		loam_xasprintf("exec 3<>/dev/tcp/127.0.0.1/%u", ntohs(address.sin_port));
	assert_refused(world, script);
}

static void it_makes_no_sockets_where_it_needs_none(void **state)
{
	struct world *world = *state;
	struct loam_err err = { 0 };
	const char *datagram = "exec 3<>/dev/udp/127.0.0.1/9";
	assert_int_equal(run(world, datagram, &err), 0);
	world->confine.no_sockets = true;
	assert_int_equal(run(world, datagram, &err), -LOAM_E_IO);
	assert_non_null(strstr(err.text, "not permitted"));
}

static void its_limits_end_it(void **state)
{
	struct world *world = *state;
	struct loam_err err = { 0 };
	add(world, world->given, LOAM_MAY_CHANGE);
	world->confine.file_bytes = LIMIT_BYTES;
	assert_int_equal(run(world, "head -c 64M /dev/null > given/small", &err), 0);
	const char *too_much = "cat /usr/bin/bash /usr/bin/bash > given/big";
	assert_int_equal(run(world, too_much, &err), -LOAM_E_IO);
	loam_err_clear(&err);
	struct stat st;
	loam_auto_free char *big = loam_path_join(world->given, "big");
	assert_int_equal(stat(big, &st), 0);
	assert_true(st.st_size <= LIMIT_BYTES);
	world->confine.file_bytes = 0;
	world->confine.cpu_seconds = 1;
	assert_int_equal(run(world, "while :; do :; done", &err), -LOAM_E_IO);
	assert_non_null(strstr(err.text, "ended by signal"));
}

static void the_parent_keeps_its_reach(void **state)
{
	struct world *world = *state;
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf text = LOAM_BUF(64);
	loam_auto_free char *other = loam_path_join(world->other, "file");
	assert_int_equal(run(world, "true", &err), 0);
	assert_int_equal(loam_path_read_all(other, &text, &err), 0);
	assert_string_equal(loam_buf_text(&text), "words\n");
}

static void a_missing_program_is_still_not_found(void **state)
{
	struct world *world = *state;
	const char *const argv[] = { "no-such-program", NULL };
	struct loam_process_spec spec = { .argv = argv,
					  .stdin_fd = -1,
					  .confine = &world->confine };
	struct loam_process process = { .pid = 77 };
	struct loam_err err = { 0 };
	assert_int_equal(loam_process_start(&spec, &process, &err), -LOAM_E_NOT_FOUND);
	assert_int_equal(process.pid, 77);
}

#define IN_A_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_A_WORLD(it_reads_what_it_is_given_and_nothing_beside),
		IN_A_WORLD(it_changes_what_it_may_change),
		IN_A_WORLD(it_has_no_tcp),
		IN_A_WORLD(it_makes_no_sockets_where_it_needs_none),
		IN_A_WORLD(its_limits_end_it),
		IN_A_WORLD(the_parent_keeps_its_reach),
		IN_A_WORLD(a_missing_program_is_still_not_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
