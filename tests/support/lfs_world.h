/*
 * A volume in memory with Loam's tree, accounts, repositories and the LFS doors, for tests.
 *
 * Accounts: alice owns qwen/tiny and qwen/other (private), bob may read qwen/tiny, carol may do
 * nothing, dave may push to qwen/tiny. models/pub/open is alice's too, and public.
 * Closing it drains background work, recounts the metadata, and asserts that every block in the
 * store belongs to a slice that a file names and that the pool and its links add up (L10).
 */
#ifndef LOAM_TESTS_SUPPORT_LFS_WORLD_H
#define LOAM_TESTS_SUPPORT_LFS_WORLD_H

#include "auth/repos.h"
#include "lfs/lfs_internal.h"
#include "tests/support/web_driver.h"

struct loam_lfs_world {
	struct loam_volume volume;
	struct loam_tree tree;
	struct loam_auth *auth;
	struct loam_config *config;
	struct loam_lfs *lfs;
	struct loam_lfs_context context;
	struct loam_repo tiny, other, open;
	char bearer[4][96]; /* "Bearer …" of alice, bob, carol, dave */
	char *fault_path;   /* rules of the store's faults (fs/store/store.h); empty: none */
};
enum loam_lfs_user { ALICE, BOB, CAROL, DAVE, NOBODY };

/* cmocka set-up and tear-down: *state is a struct loam_lfs_world. */
int loam_lfs_world_setup(void **state);
int loam_lfs_world_teardown(void **state);

/* Rules of the store's faults from now on; "" none. */
void loam_lfs_world_fault(struct loam_lfs_world *world, const char *rules);
/* One call, as user. headers: more name and value pairs, NULL-ended, or NULL. */
struct loam_web_reply loam_lfs_world_call(struct loam_lfs_world *world, enum loam_lfs_user user,
					  unsigned method, const char *target, const char *body);
/* A batch call about one object; reply.json is the answer. */
struct loam_web_reply loam_lfs_world_batch(struct loam_lfs_world *world, enum loam_lfs_user user,
					   const char *repo, const char *operation, const char *oid,
					   uint64_t bytes);
/* The path and query of an action's href in a batch answer; NULL when it has none. free() */
char *loam_lfs_world_href(const struct loam_web_reply *batch, const char *action);
/* The oid of some bytes. */
void loam_lfs_world_oid(const void *data, size_t bytes, char out[LOAM_SHA256_HEX + 1]);
/* Batch and PUT; the status of the PUT, or 0 when the batch gave no upload link. */
int loam_lfs_world_upload(struct loam_lfs_world *world, enum loam_lfs_user user, const char *repo,
			  const void *data, size_t bytes);
bool loam_lfs_world_holds(struct loam_lfs_world *world, const struct loam_repo *repo,
			  const char *oid);
/* Entries of a directory of the volume (below tree.root), e.g. "staging". */
size_t loam_lfs_world_entries(struct loam_lfs_world *world, const char *state_path);
/* The attr of a pool file: false when there is none. */
bool loam_lfs_world_pool(struct loam_lfs_world *world, const char *oid, struct loam_attr *out);

#endif
