/*
 * A publisher over a tree world, and the bare repository of one of its repositories, for tests of
 * sync/.
 */
#ifndef LOAM_TESTS_SUPPORT_PUBLISH_WORLD_H
#define LOAM_TESTS_SUPPORT_PUBLISH_WORLD_H

#include "sync/publish.h"
#include "tests/support/tree_world.h"

#include <git2.h>

/* Repositories stand in the world's own folder. Both are the caller's: loam_publisher_close, then
 * git_repository_free, before the world is torn down. */
int loam_publish_world_open(struct loam_tree_world *tree, const struct loam_repo *repo,
			    struct loam_publisher **out_publisher, git_repository **out_git,
			    struct loam_err *err);

#endif
