/*
 * auth/tree: where Loam's directories may stand on a volume that others use as well.
 */
#include "auth/tree.h"

#include "core/auto.h"
#include "fs/files.h"
#include "tests/support/tree_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/volume.h"

static void make_dir(struct loam_tree_world *world, const char *path, uint16_t mode)
{
	uint64_t ino;
	assert_ok(loam_files_mkdirs(&world->volume, path, 1000, 1000, mode, 0, &ino, &err));
}

static void a_root_below_what_everybody_may_rename_is_refused(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_tree tree;
	struct loam_err refused = { 0 };
	make_dir(world, "/open", 0777);
	make_dir(world, "/open/mine", 0755);
	static const char *const roots[] = { "/open", "/open/", "/open/mine", "/open/mine/new",
					     "/open/new/new" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(roots); i++) {
		assert_int_equal(loam_tree_open(&world->volume, roots[i], true, &tree, &refused),
				 -LOAM_E_UNSUPPORTED);
		assert_non_null(strstr(refused.text, "chmod +t MOUNTPOINT/open"));
		loam_err_clear(&refused);
	}
	assert_int_equal(loam_tree_world_entries(world, "/open"), 1);
}

static void below_a_sticky_one_it_is_made(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_tree tree;
	make_dir(world, "/sticky", 01777);
	assert_ok(loam_tree_open(&world->volume, "/sticky/a/loam/", true, &tree, &err));
	assert_string_equal(tree.root, "/sticky/a/loam");
	assert_int_equal(loam_tree_world_entries(world, "/sticky/a/loam"), 6);
	assert_ok(loam_tree_open(&world->volume, "/sticky/a/loam", false, &tree, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_root_below_what_everybody_may_rename_is_refused,
						loam_tree_world_setup, loam_tree_world_teardown),
		cmocka_unit_test_setup_teardown(below_a_sticky_one_it_is_made,
						loam_tree_world_setup, loam_tree_world_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
