/*
 * Bare repositories on the server's disk (sync/git_dir.h). They are the service account's: what an
 * administrator's command makes as root is made as their owner would.
 */
#include "sync/git_dir.h"

#include "auth/gate.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/hash.h"
#include "core/log.h"
#include "core/privileges.h"
#include "core/sys.h"
#include "sync/changes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define ID_CHARS  24
#define ASIDE_MAX 1000 /* of one name in one second */

static void set_rules(void)
{
	static const int levels[] = { GIT_CONFIG_LEVEL_SYSTEM, GIT_CONFIG_LEVEL_XDG,
				      GIT_CONFIG_LEVEL_GLOBAL };
	git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(levels); i++)
		git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], "");
}

void loam_git_own_rules(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, set_rules);
}

int loam_git_open(const char *path, git_repository **out_git, struct loam_err *err)
{
	git_libgit2_init();
	loam_git_own_rules();
	int rc = git_repository_open_ext(out_git, path,
					 GIT_REPOSITORY_OPEN_NO_SEARCH | GIT_REPOSITORY_OPEN_BARE |
						 GIT_REPOSITORY_OPEN_NO_DOTGIT,
					 NULL);
	return rc < 0 ? loam_git_fail(err, rc, path) : 0;
}

/* ---- identity -------------------------------------------------------------------------------- */

/* The gate's id, given now if it has none. Durable before a repository bears it: one that bears
 * another id than its gate is set aside, with all that was pushed to it. */
static int gate_id(const struct loam_tree *tree, uint64_t gate_ino, char out[ID_CHARS + 1],
		   struct loam_err *err)
{
	struct loam_meta *meta = tree->volume->meta;
	loam_random_base62(out, ID_CHARS);
	int rc = loam_meta_setxattr(meta, &loam_who_root, gate_ino, LOAM_XATTR_ID, out, ID_CHARS,
				    LOAM_XATTR_CREATE, err);
	if (rc == 0)
		return loam_meta_settle(meta, err);
	if (rc != -LOAM_E_EXISTS)
		return rc;
	loam_err_clear(err);
	loam_auto_buf struct loam_buf text = LOAM_BUF(ID_CHARS);
	rc = loam_meta_getxattr(meta, gate_ino, LOAM_XATTR_ID, &text, err);
	if (rc < 0)
		return rc;
	snprintf(out, ID_CHARS + 1, "%s", loam_buf_text(&text));
	return 0;
}

/* "" when the repository has none. */
static int repository_id(const char *path, char out[ID_CHARS + 1], struct loam_err *err)
{
	git_repository *git = NULL;
	git_config *config = NULL;
	git_buf value = { 0 };
	out[0] = '\0';
	/* libgit2 passes over a configuration that it may not read: then the repository would look
	 * like another's, and be set aside. */
	loam_auto_free char *config_path = loam_path_join(path, "config");
	if (access(config_path, R_OK) < 0 && errno != ENOENT)
		return loam_fail_errno(err, "read %s", config_path);
	int rc = loam_git_open(path, &git, err);
	if (rc < 0)
		return rc;
	if (git_repository_config_snapshot(&config, git) == 0 &&
	    git_config_get_string_buf(&value, config, "loam.id") == 0)
		snprintf(out, ID_CHARS + 1, "%s", value.ptr);
	git_buf_dispose(&value);
	git_config_free(config);
	git_repository_free(git);
	return 0;
}

/* ---- making ---------------------------------------------------------------------------------- */

static int init_bare(const char *path, const char *id, struct loam_err *err)
{
	git_libgit2_init();
	loam_git_own_rules();
	git_repository *git = NULL;
	git_config *config = NULL;
	git_repository_init_options options;
	git_repository_init_options_init(&options, GIT_REPOSITORY_INIT_OPTIONS_VERSION);
	options.flags = GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_MKPATH |
			GIT_REPOSITORY_INIT_NO_REINIT;
	options.mode = 0700;
	options.initial_head = "main";
	int rc = git_repository_init_ext(&git, path, &options);
	if (rc == 0)
		rc = git_repository_config(&config, git);
	if (rc == 0)
		rc = git_config_set_string(config, "loam.id", id);
	if (rc == 0)
		rc = git_config_set_bool(config, "core.logAllRefUpdates", true);
	git_config_free(config);
	git_repository_free(git);
	return rc < 0 ? loam_git_fail(err, rc, "make a bare repository") : 0;
}

/* Made under a temporary name and renamed, so that what stands at path is always whole. */
static int make_repository(const char *git_root, const char *path, const char *id,
			   struct loam_err *err)
{
	loam_auto_file_owner struct loam_file_owner owner = loam_file_owner_enter(git_root);
	char random[17];
	loam_random_base62(random, sizeof(random) - 1);
	loam_auto_free char *making = loam_xasprintf("%s.making-%s", path, random);
	loam_auto_free char *parent = loam_xstrndup(path, (size_t)(strrchr(path, '/') - path));
	int rc = loam_mkdir_all(parent, 0700, err);
	if (rc == 0)
		rc = init_bare(making, id, err);
	if (rc < 0)
		return rc;
	if (rename(making, path) < 0 && errno != ENOTEMPTY && errno != EEXIST)
		return loam_fail_errno(err, "rename %s", making);
	loam_auto_fd int dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? loam_fail_errno(err, "open %s", parent) : loam_sys_fsync(dir, err);
}

static void default_path(const char *git_root, const struct loam_repo *repo, char *out)
{
	char text[LOAM_REPO_TEXT_BYTES];
	loam_repo_text(repo, text);
	snprintf(out, LOAM_PATH_BYTES_MAX, "%s/%s.git", git_root, text);
}

static int set_aside(const char *git_root, const char *path, struct loam_err *err)
{
	loam_auto_file_owner struct loam_file_owner owner = loam_file_owner_enter(git_root);
	long long now = (long long)loam_clock_now().tv_sec;
	for (unsigned number = 1; number <= ASIDE_MAX; number++) {
		/* a namesake was deleted within the same second */
		loam_auto_free char *more = number > 1 ? loam_xasprintf("-%u", number) : NULL;
		loam_auto_free char *aside =
			loam_xasprintf("%s.deleted-%lld%s", path, now, more ? more : "");
		if (rename(path, aside) == 0) {
			loam_info("git.set_aside", "path=%s", aside);
			return 0;
		}
		if (errno == ENOENT)
			return 0;
		if (errno != ENOTEMPTY && errno != EEXIST)
			break;
	}
	return loam_fail_errno(err, "set %s aside", path);
}

int loam_git_dir_set_aside(const char *git_root, const struct loam_repo *repo, struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	default_path(git_root, repo, path);
	return access(path, F_OK) == 0 ? set_aside(git_root, path, err) : 0;
}

/* An empty repository in the place of one that is lost, or on a disk that is not mounted, or of a
 * second server that should share the folder, would empty the tree on every node. */
static int shows_nothing(const struct loam_tree *tree, uint64_t gate_ino, const char *path,
			 struct loam_err *err)
{
	loam_auto_buf struct loam_buf commit = LOAM_BUF(GIT_OID_HEXSZ);
	int rc = loam_meta_getxattr(tree->volume->meta, gate_ino, LOAM_XATTR_COMMIT, &commit, err);
	if (rc == -LOAM_E_NO_DATA) {
		loam_err_clear(err);
		return 0;
	}
	if (rc < 0)
		return rc;
	return loam_fail(err, LOAM_E_IO,
			 "%s is missing, and the mount shows its commit %.12s: bring the directory "
			 "of repositories back (server.repos; servers of one volume share it)",
			 path, loam_buf_text(&commit));
}

static int ensure_default(const struct loam_tree *tree, const char *git_root,
			  const struct loam_repo *repo, uint64_t gate_ino, char *out_path,
			  struct loam_err *err)
{
	char id[ID_CHARS + 1], present[ID_CHARS + 1] = "";
	default_path(git_root, repo, out_path);
	int rc = gate_id(tree, gate_ino, id, err);
	if (rc < 0)
		return rc;
	if (access(out_path, F_OK) == 0) {
		rc = repository_id(out_path, present, err);
		if (rc < 0 || strcmp(present, id) == 0)
			return rc;
		rc = set_aside(git_root, out_path, err);
		if (rc < 0)
			return rc;
	}
	rc = shows_nothing(tree, gate_ino, out_path, err);
	return rc < 0 ? rc : make_repository(git_root, out_path, id, err);
}

int loam_git_dir_ensure(const struct loam_tree *tree, const char *git_root,
			const struct loam_repo *repo, char *out_path, struct loam_err *err)
{
	struct loam_gate gate;
	int rc = loam_gate_read(tree, repo, &gate, err);
	if (rc <= 0)
		return rc < 0 ? rc : loam_fail(err, LOAM_E_NOT_FOUND, "no such repository");
	uint64_t gate_ino = gate.ino;
	loam_gate_release(&gate);
	loam_auto_buf struct loam_buf foreign = LOAM_BUF(LOAM_PATH_BYTES_MAX - 1);
	rc = loam_meta_getxattr(tree->volume->meta, gate_ino, LOAM_XATTR_GIT, &foreign, err);
	if (rc == 0) {
		snprintf(out_path, LOAM_PATH_BYTES_MAX, "%s", loam_buf_text(&foreign));
		return 0;
	}
	if (rc != -LOAM_E_NO_DATA)
		return rc;
	loam_err_clear(err);
	return ensure_default(tree, git_root, repo, gate_ino, out_path, err);
}

/* ---- HEAD ------------------------------------------------------------------------------------ */

/* The branch that HEAD names: its commit, or 0 when it is not there. */
static int head_commit(git_repository *git, git_oid *out, struct loam_err *err)
{
	git_reference *head = NULL, *branch = NULL;
	git_object *commit = NULL;
	int rc = git_reference_lookup(&head, git, "HEAD");
	if (rc < 0)
		return loam_git_fail(err, rc, "read HEAD");
	rc = git_reference_resolve(&branch, head);
	if (rc == 0)
		rc = git_reference_peel(&commit, branch, GIT_OBJECT_COMMIT);
	if (rc == 0)
		*out = *git_object_id(commit);
	git_object_free(commit);
	git_reference_free(branch);
	git_reference_free(head);
	if (rc == GIT_ENOTFOUND)
		return 0;
	return rc < 0 ? loam_git_fail(err, rc, "read the default branch") : 1;
}

struct choice {
	const char *wanted_first;
	char *first, *master, *named;
};

static int consider(git_reference *ref, void *arg)
{
	struct choice *choice = arg;
	const char *name = git_reference_name(ref);
	if (strncmp(name, "refs/heads/", 11) == 0) {
		if (!choice->first || strcmp(name, choice->first) < 0) {
			free(choice->first);
			choice->first = loam_xstrdup(name);
		}
		if (strcmp(name, "refs/heads/master") == 0)
			choice->master = loam_xstrdup(name);
		else if (choice->wanted_first && !choice->named &&
			 strcmp(name, choice->wanted_first) == 0)
			choice->named = loam_xstrdup(name);
	}
	git_reference_free(ref);
	return 0;
}

static int move_head(git_repository *git, const char *first, struct loam_err *err)
{
	struct choice choice = { .wanted_first = first };
	loam_auto_file_owner struct loam_file_owner owner =
		loam_file_owner_enter(git_repository_path(git));
	int rc = git_reference_foreach(git, consider, &choice);
	const char *to = choice.master ? choice.master : choice.named ? choice.named : choice.first;
	if (rc == 0 && to)
		rc = git_repository_set_head(git, to);
	bool moved = to != NULL;
	free(choice.first);
	free(choice.master);
	free(choice.named);
	return rc < 0 ? loam_git_fail(err, rc, "move HEAD") : moved;
}

int loam_git_head(git_repository *git, bool was_published, const char *first, git_oid *out_commit,
		  struct loam_err *err)
{
	int rc = head_commit(git, out_commit, err);
	if (rc != 0 || was_published)
		return rc;
	rc = move_head(git, first, err);
	return rc <= 0 ? rc : head_commit(git, out_commit, err);
}
