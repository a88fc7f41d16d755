/*
 * loam hook install: Loam as a plugin of another Git server on this host (design.md §2.7).
 *
 * The bare repository gets links named pre-receive and post-receive to this program, a key of its
 * own (loam-hook.key, 0600, its owner's), and three lines of configuration. The gate remembers the
 * repository's path (trusted.loam.git) and the key's hash (trusted.loam.hook). That server decides
 * who may push; clients send LFS objects to Loam by lfs.url.
 */
#include "auth/audit.h"
#include "auth/gate.h"
#include "auth/instance.h"
#include "core/atomic_file.h"
#include "core/auto.h"
#include "core/hash.h"
#include "core/privileges.h"
#include "core/sys.h"
#include "githook/channel.h"
#include "githook/commands.h"
#include "githook/socket_path.h"

#include <errno.h>
#include <fcntl.h>
#include <git2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define KEY_CHARS 48

struct install_opts {
	const char *meta, *repo;
};

static const char *const hooks[] = { "pre-receive", "post-receive" };

const char *loam_hook_of_program(const char *argv0)
{
	const char *slash = strrchr(argv0, '/');
	const char *name = slash ? slash + 1 : argv0;
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(hooks); i++)
		if (strcmp(name, hooks[i]) == 0)
			return hooks[i];
	return NULL;
}

static char *hook_path(const char *dir, const char *name)
{
	return loam_xasprintf("%s/hooks/%s", dir, name);
}

static bool is_our_link(const char *path)
{
	char target[1024];
	ssize_t bytes = readlink(path, target, sizeof(target) - 1);
	if (bytes < 0)
		return false;
	target[bytes] = '\0';
	const char *base = strrchr(target, '/');
	return strcmp(base ? base + 1 : target, "loam") == 0;
}

/* Before anything is changed: a link of ours is replaced; anything else is somebody's work. */
static int check_hooks(const char *dir, struct loam_err *err)
{
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(hooks); i++) {
		struct stat there;
		loam_auto_free char *path = hook_path(dir, hooks[i]);
		if (lstat(path, &there) == 0 && !is_our_link(path))
			return loam_fail(
				err, LOAM_E_EXISTS,
				"%s is there already: call `loam hook %s` from it, or move it away",
				path, hooks[i]);
	}
	return 0;
}

static int link_hook(const char *dir, const char *name, const char *program, struct loam_err *err)
{
	loam_auto_free char *path = hook_path(dir, name);
	if (is_our_link(path))
		unlink(path);
	if (symlink(program, path) < 0 || access(path, X_OK) < 0)
		return loam_fail_errno(err, "make %s", path);
	return 0;
}

static int write_key(const char *dir, char hash[LOAM_SHA256_HEX + 1], struct loam_err *err)
{
	char key[KEY_CHARS + 2];
	uint8_t digest[LOAM_SHA256_BYTES];
	loam_auto_free char *path = loam_path_join(dir, LOAM_HOOK_KEY_FILE);
	loam_random_base62(key, KEY_CHARS);
	loam_sha256_of(key, KEY_CHARS, digest);
	loam_hex(digest, sizeof(digest), hash);
	key[KEY_CHARS] = '\n';
	return loam_atomic_file_put(path, 0600, key, KEY_CHARS + 1, err);
}

static int write_config(const char *dir, const char *socket, const char *repo, struct loam_err *err)
{
	loam_auto_free char *path = loam_path_join(dir, "config");
	git_config *config = NULL;
	struct stat before;
	int rc = 0;
	if (stat(path, &before) < 0)
		return loam_fail_errno(err, "look at %s", path);
	git_libgit2_init();
	if (git_config_open_ondisk(&config, path) < 0 ||
	    git_config_set_string(config, "loam.hooksocket", socket) < 0 ||
	    git_config_set_string(config, "loam.repo", repo) < 0)
		rc = loam_fail(err, LOAM_E_IO, "write %s: %s", path,
			       git_error_last() ? git_error_last()->message : "failed");
	git_config_free(config);
	/* It is a new file now: whoever read the old one (serve, too) reads it. */
	if (rc == 0 && chmod(path, before.st_mode & 07777) < 0)
		return loam_fail_errno(err, "give %s its mode again", path);
	return rc;
}

static int find_gate(struct loam_instance *instance, const struct loam_repo *repo,
		     uint64_t *out_ino, struct loam_err *err)
{
	struct loam_gate gate;
	int rc = loam_gate_read(&instance->tree, repo, &gate, err);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return loam_fail(err, LOAM_E_NOT_FOUND,
				 "no such repository: loam repo create makes it");
	*out_ino = gate.ino;
	loam_gate_release(&gate);
	return 0;
}

static int mark_gate(struct loam_instance *instance, uint64_t ino, const char *dir,
		     const char *hash, struct loam_err *err)
{
	struct loam_meta *meta = instance->volume->meta;
	int rc = loam_meta_setxattr(meta, &loam_who_root, ino, LOAM_XATTR_HOOK, hash, strlen(hash),
				    0, err);
	if (rc == 0)
		rc = loam_meta_setxattr(meta, &loam_who_root, ino, LOAM_XATTR_GIT, dir, strlen(dir),
					0, err);
	return rc < 0 ? rc : loam_meta_barrier(meta, err);
}

/* Key, configuration and links, as the owner of the repository would make them: his git reads and
 * runs them, and what he linked to elsewhere is not written through. */
static int write_files(const char *dir, const char *program, const char *socket, const char *repo,
		       char hash[LOAM_SHA256_HEX + 1], struct loam_err *err)
{
	loam_auto_free char *hook_dir = loam_path_join(dir, "hooks");
	loam_auto_file_owner struct loam_file_owner owner = loam_file_owner_enter(dir);
	loam_auto_fd int fd = open(program, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return loam_fail_errno(
			err,
			"the owner of %s cannot run %s, so git would leave the hooks "
			"out: install loam where everybody reaches it",
			dir, program);
	int rc;
	if ((rc = loam_mkdir_all(hook_dir, 0755, err)) < 0 ||
	    (rc = write_key(dir, hash, err)) < 0 || (rc = write_config(dir, socket, repo, err)) < 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < LOAM_ARRAY_COUNT(hooks); i++)
		rc = link_hook(dir, hooks[i], program, err);
	return rc;
}

/* serve reads the commits itself, as an account of its own: said now, not at the first push. */
static void warn_of_reach(const struct loam_config *config, const char *dir)
{
	struct loam_identity who;
	struct loam_err ignored = { 0 };
	static const char *const read[] = { "HEAD", "objects", "refs" };
	if (geteuid() != 0 ||
	    loam_identity_find(config->server_run_as[0] ? config->server_run_as : LOAM_SERVICE_TEXT,
			       &who, &ignored) < 0)
		return;
	loam_auto_file_owner struct loam_file_owner as = loam_file_owner_as(&who);
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(read); i++) {
		loam_auto_free char *path = loam_path_join(dir, read[i]);
		loam_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			fprintf(stderr,
				"loam: uid %u, the account of loam serve, cannot read %s (%s): "
				"it must, to show pushes on the mount\n",
				who.uid, path, strerror(errno));
	}
}

static int install(const struct install_opts *opts, const char *dir, struct loam_err *err)
{
	struct loam_repo repo;
	char text[LOAM_REPO_TEXT_BYTES], hash[LOAM_SHA256_HEX + 1], program[1024];
	loam_auto_instance struct loam_instance *instance = NULL;
	loam_auto_free char *real = realpath(dir, NULL);
	if (!real)
		return loam_fail_errno(err, "find %s", dir);
	loam_auto_free char *objects = loam_path_join(real, "objects");
	if (access(objects, F_OK) < 0)
		return loam_fail(err, LOAM_E_INVALID, "%s is not a bare Git repository", dir);
	ssize_t bytes = readlink("/proc/self/exe", program, sizeof(program) - 1);
	if (bytes < 0)
		return loam_fail_errno(err, "find this program");
	program[bytes] = '\0';
	int rc = loam_repo_parse(opts->repo, &repo, err);
	if (rc == 0)
		rc = loam_instance_open(&(struct loam_instance_options){ .meta_url = opts->meta },
					&instance, err);
	uint64_t gate_ino = 0;
	if (rc == 0)
		rc = find_gate(instance, &repo, &gate_ino, err);
	if (rc == 0)
		rc = check_hooks(real, err);
	if (rc < 0)
		return rc;
	warn_of_reach(instance->config, real);
	loam_repo_text(&repo, text);
	loam_auto_free char *socket = loam_hook_socket_path(instance->config);
	rc = write_files(real, program, socket, text, hash, err);
	if (rc == 0)
		rc = mark_gate(instance, gate_ino, real, hash, err);
	/* serve does the same when it meets this repository, within a minute; the first push may
	 * come before. Not there: no server runs. */
	if (rc == 0 && chmod(socket, 0666) < 0 && errno != ENOENT)
		rc = loam_fail_errno(err, "let the hooks of other accounts reach %s", socket);
	return loam_audit(&(struct loam_audit_entry){ .action = "hook.install",
						      .repo = &repo,
						      .detail = real },
			  rc, err);
}

static int run_install(const void *options, int argc, char **argv)
{
	const struct install_opts *opts = options;
	struct loam_err err = { 0 };
	if (!opts->repo)
		return loam_cmd_misused("--repo REPO says which repository shows it on the mount");
	if (install(opts, argv[0], &err) < 0)
		return loam_cmd_failed(&err);
	fprintf(stderr, "loam: pushes to %s are checked and published as %s from now on\n", argv[0],
		opts->repo);
	return 0;
}

const struct loam_cmd loam_cmd_hook_install = {
	.name = "hook install",
	.usage = "[options] --repo REPO PATH.git",
	.summary = "put the hooks into a bare repository that another Git server serves",
	.options =
		(const struct loam_opt[]){
			LOAM_OPT(struct install_opts, meta, "meta", 0, LOAM_OPT_TEXT, "URL",
				 "the volume (default: LOAM_META, then the configuration)"),
			LOAM_OPT(struct install_opts, repo, "repo", 0, LOAM_OPT_TEXT, "REPO",
				 "the repository whose tree shows it"),
			LOAM_OPT_END },
	.options_bytes = sizeof(struct install_opts),
	.args_min = 1,
	.args_max = 1,
	.run = run_install,
};
