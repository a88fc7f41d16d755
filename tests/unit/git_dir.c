/*
 * sync/git_dir: the bare repository behind a gate, made by a process that has not touched Git
 * before.
 */
#include "sync/git_dir.h"

#include "tests/support/tree_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tests/support/volume.h"

/*
 * serve has given root up by then, and HOME is still root's: what stands there cannot be read, or
 * is none of its business. The first of all repositories is made before any other is opened. (Here
 * a file that no git could parse stands for one that may not be read: tests run as root.)
 */
static void the_settings_of_who_started_the_process_do_not_count(void **state)
{
	struct loam_tree_world *world = *state;
	char home[LOAM_PATH_BYTES_MAX / 4], path[LOAM_PATH_BYTES_MAX], root[LOAM_PATH_BYTES_MAX];
	snprintf(home, sizeof(home), "%s/home", world->dir);
	snprintf(root, sizeof(root), "%s/git", world->dir);
	snprintf(path, sizeof(path), "%s/.gitconfig", home);
	assert_int_equal(mkdir(home, 0700), 0);
	assert_int_equal(mkdir(root, 0700), 0);
	FILE *settings = fopen(path, "w");
	assert_non_null(settings);
	fputs("[this is no section\n", settings);
	assert_int_equal(fclose(settings), 0);
	setenv("HOME", home, 1);

	loam_tree_world_user(world, "alice");
	struct loam_repo repo =
		loam_tree_world_repo(world, "alice/first", LOAM_FIRST_UID, LOAM_PRIVATE);
	assert_ok(loam_git_dir_ensure(&world->tree, root, &repo, path, &err));
	git_repository *git = NULL;
	assert_ok(loam_git_open(path, &git, &err));
	git_repository_free(git);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			the_settings_of_who_started_the_process_do_not_count, loam_tree_world_setup,
			loam_tree_world_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
