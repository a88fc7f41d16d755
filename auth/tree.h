/*
 * Loam's places on a volume, below tree.root, and the names of repositories and accounts.
 *
 * Source: design.md §2, "Names and owners".
 */
#ifndef LOAM_AUTH_TREE_H
#define LOAM_AUTH_TREE_H

#include "core/err.h"
#include "core/limits.h"
#include "fs/volume.h"

#define LOAM_SERVICE_NAME "loam"
#define LOAM_SERVICE_ID	  20000u
#define LOAM_SERVICE_TEXT "20000"
#define LOAM_FIRST_UID	  20001u
#define LOAM_HOST_UID_MIN 1000u

struct loam_tree {
	struct loam_volume *volume;
	char root[LOAM_PATH_BYTES_MAX / 2]; /* "" for "/", else "/dir" */
};

enum loam_kind { LOAM_KIND_MODELS, LOAM_KIND_DATASETS, LOAM_KIND_CODE };
const char *loam_kind_name(enum loam_kind kind); /* "models" */

/* A repository by name: [KIND/]NS/NAME. */
struct loam_repo {
	enum loam_kind kind;
	char ns[LOAM_REPO_SEGMENT_BYTES_MAX + 1];
	char name[LOAM_REPO_SEGMENT_BYTES_MAX + 1];
};
#define LOAM_REPO_TEXT_BYTES 224

/* text: "models/qwen/tiny", "qwen/tiny", with or without a leading slash and ".git".
 * Errors: UNPROCESSABLE with what is wrong. */
int loam_repo_parse(const char *text, struct loam_repo *out_repo, struct loam_err *err);
void loam_repo_text(const struct loam_repo *repo, char out[LOAM_REPO_TEXT_BYTES]);
bool loam_repo_segment_is_valid(const char *text);
bool loam_user_name_is_valid(const char *text); /* what useradd takes, lower case, not reserved */

/* Paths below the root, into out (LOAM_PATH_BYTES_MAX). */
void loam_tree_gate_path(const struct loam_tree *tree, const struct loam_repo *repo, char *out);
void loam_tree_links_path(const struct loam_tree *tree, const struct loam_repo *repo, char *out);
void loam_tree_locks_path(const struct loam_tree *tree, const struct loam_repo *repo, char *out);
void loam_tree_pool_path(const struct loam_tree *tree, const char *oid, char *out);
/* "/.loam/" + rest */
void loam_tree_state_path(const struct loam_tree *tree, const char *rest, char *out);
void loam_tree_user_path(const struct loam_tree *tree, const char *user, char *out);
void loam_tree_group_path(const struct loam_tree *tree, const char *group, char *out);

/*
 * Makes Loam's directories where they are missing and checks those that are there (design.md §2):
 * never takes over a directory it did not make; refuses a root, or a directory above it, that
 * others may write without sticky bit, and a volume without ACLs, each with the command that mends
 * it. Errors: UNSUPPORTED, EXISTS.
 */
int loam_tree_open(struct loam_volume *volume, const char *root, bool make,
		   struct loam_tree *out_tree, struct loam_err *err);

#endif
