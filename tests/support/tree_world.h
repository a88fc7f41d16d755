/*
 * A volume in memory with Loam's tree and accounts, for tests of auth/, fs/files and sync/: with
 * real blocks, so that files have content, and a private folder on the disk.
 */
#ifndef LOAM_TESTS_SUPPORT_TREE_WORLD_H
#define LOAM_TESTS_SUPPORT_TREE_WORLD_H

#include "auth/account_store.h"
#include "auth/repos.h"
#include "core/config.h"

struct loam_tree_world {
	struct loam_volume volume;
	struct loam_tree tree;
	struct loam_auth *auth;
	struct loam_config *config; /* defaults */
	char dir[64];		    /* private, removed at the end */
};

/* cmocka set-up and tear-down: *state is a struct loam_tree_world. Tear-down drains background work
 * and recounts: no test ends with a volume that does not add up. */
int loam_tree_world_setup(void **state);
int loam_tree_world_teardown(void **state);
/* Waits for background removal, then recounts; asserts that nothing is found. */
void loam_tree_world_recount(struct loam_tree_world *world);

/* An account with the next number; asserts success. */
uint32_t loam_tree_world_user(struct loam_tree_world *world, const char *name);
struct loam_repo loam_tree_world_repo(struct loam_tree_world *world, const char *text,
				      uint32_t owner_uid, enum loam_visibility visibility);
/* The whole file at path, NUL-terminated; NULL when it cannot be read. free() */
char *loam_tree_world_text(struct loam_tree_world *world, const char *path);
/* Entries of a directory; asserts that it is one. */
size_t loam_tree_world_entries(struct loam_tree_world *world, const char *path);

#endif
