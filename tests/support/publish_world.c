/*
 * A publisher over a tree world (tests/support/publish_world.h).
 */
#include "tests/support/publish_world.h"

#include "sync/git_dir.h"

int loam_publish_world_open(struct loam_tree_world *tree, const struct loam_repo *repo,
			    struct loam_publisher **out_publisher, git_repository **out_git,
			    struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	int rc =
		loam_publisher_open(&tree->tree, tree->config, NULL, tree->dir, out_publisher, err);
	if (rc == 0)
		rc = loam_git_dir(*out_publisher, repo, path, err);
	return rc < 0 ? rc : loam_git_open(path, out_git, err);
}
