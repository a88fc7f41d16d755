/*
 * Forking (sync/fork.h).
 *
 *   1 gate      the new repository, which nobody but its owner may enter
 *   2 refs      of the source are listed, then its objects linked: what the refs need is there
 *   3 LFS       what the new history points to gets one more holder
 *   4 refs      of the new repository are written, HEAD too
 *   5 publish
 *
 * A repack of the source takes files away while they are linked. Its directories then have other
 * times behind the linking than before, and it is done again. Killed on the way: a private
 * repository without commits, which its owner may delete.
 */
#include "sync/fork.h"

#include "core/auto.h"
#include "core/failpoint.h"
#include "core/privileges.h"
#include "core/sys.h"
#include "fs/files.h"
#include "lfs/objects.h"
#include "sync/changes.h"
#include "sync/git_dir.h"
#include "sync/publisher.h"
#include "sync/reachable.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINK_ROUNDS 10
#define REFS_MAX    200000

struct forked_ref {
	char *name;
	git_oid oid;
};

struct fork_work {
	struct loam_publisher *publisher;
	const struct loam_fork *fork;
	struct loam_forked *out;
	char from[LOAM_PATH_BYTES_MAX], to[LOAM_PATH_BYTES_MAX];
	git_repository *from_git, *to_git;
	uint64_t gate_ino;
	char *head; /* "refs/heads/main" */
	struct forked_ref *refs;
	size_t ref_count;
};

void loam_forked_release(struct loam_forked *forked)
{
	loam_published_release(&forked->published);
}

static void release(struct fork_work *work)
{
	for (size_t i = 0; i < work->ref_count; i++)
		free(work->refs[i].name);
	free(work->refs);
	free(work->head);
	git_repository_free(work->from_git);
	git_repository_free(work->to_git);
}

/* ---- 2: refs and objects --------------------------------------------------------------------- */

static int add_ref(struct fork_work *work, const git_reference *ref, struct loam_err *err)
{
	const git_oid *oid = git_reference_target(ref);
	if (!oid) /* a symbolic one */
		return 0;
	if (work->ref_count == REFS_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE, "over %d branches and tags", REFS_MAX);
	if ((work->ref_count & (work->ref_count - 1)) == 0) {
		size_t room = work->ref_count ? work->ref_count * 2 : 1;
		work->refs = reallocarray(work->refs, room, sizeof(work->refs[0]));
		loam_assert(work->refs != NULL);
	}
	work->refs[work->ref_count++] =
		(struct forked_ref){ .name = loam_xstrdup(git_reference_name(ref)), .oid = *oid };
	return 0;
}

static int list_refs(struct fork_work *work, struct loam_err *err)
{
	git_reference_iterator *iterator = NULL;
	git_reference *ref = NULL, *head = NULL;
	int rc = 0, more = git_reference_iterator_new(&iterator, work->from_git);
	while (rc == 0 && more == 0 && (more = git_reference_next(&ref, iterator)) == 0) {
		rc = add_ref(work, ref, err);
		git_reference_free(ref);
	}
	git_reference_iterator_free(iterator);
	if (rc == 0 && more < 0 && more != GIT_ITEROVER)
		rc = loam_git_fail(err, more, "list the branches");
	if (rc == 0 && git_reference_lookup(&head, work->from_git, "HEAD") == 0 &&
	    git_reference_symbolic_target(head))
		work->head = loam_xstrdup(git_reference_symbolic_target(head));
	git_reference_free(head);
	return rc;
}

static int link_file(const char *from, const char *to, struct loam_err *err)
{
	if (link(from, to) == 0 || errno == EEXIST || errno == ENOENT)
		return 0; /* there already; or packed meanwhile: the next round has it */
	if (errno == EXDEV || errno == EPERM)
		return loam_fail(err, LOAM_E_CROSS_DEVICE,
				 "the commits of the source cannot be linked from where they are");
	return loam_fail_errno(err, "link %s", to);
}

/* Only what Git's object store is made of: packs with what belongs to them, loose objects. */
static bool is_object_file(const char *name, bool in_pack)
{
	size_t bytes = strlen(name);
	if (in_pack)
		return strncmp(name, "pack-", 5) == 0 && !strstr(name, ".keep") &&
		       !strstr(name, ".tmp");
	return bytes == GIT_OID_HEXSZ - 2 && strspn(name, "0123456789abcdef") == bytes;
}

/* Packs come before their index, without which nobody reads them: as git writes them. */
static int link_kind(const char *from, const char *to, bool in_pack, bool want_index,
		     struct loam_err *err)
{
	DIR *dir = opendir(from);
	if (!dir)
		return errno == ENOENT ? 0 : loam_fail_errno(err, "open %s", from);
	int rc = 0;
	struct dirent *entry;
	while (rc == 0 && (entry = readdir(dir)) != NULL) {
		size_t bytes = strlen(entry->d_name);
		bool is_index = bytes > 4 && strcmp(entry->d_name + bytes - 4, ".idx") == 0;
		if (!is_object_file(entry->d_name, in_pack) || is_index != want_index)
			continue;
		loam_auto_free char *source = loam_path_join(from, entry->d_name);
		loam_auto_free char *target = loam_path_join(to, entry->d_name);
		rc = link_file(source, target, err);
	}
	closedir(dir);
	return rc;
}

/* As the owner of the objects beside it: root forks too, and serve pushes to it later. */
static int make_dir(const char *path, struct loam_err *err)
{
	loam_auto_free char *objects = loam_xstrndup(path, (size_t)(strrchr(path, '/') - path));
	loam_auto_file_owner struct loam_file_owner owner = loam_file_owner_enter(objects);
	return loam_mkdir_all(path, 0700, err);
}

static int link_dir(const char *from, const char *to, bool in_pack, struct loam_err *err)
{
	if (access(from, F_OK) < 0)
		return 0;
	int rc = make_dir(to, err);
	if (rc == 0)
		rc = link_kind(from, to, in_pack, false, err);
	if (rc == 0 && in_pack)
		rc = link_kind(from, to, in_pack, true, err);
	if (rc < 0)
		return rc;
	loam_auto_fd int fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? loam_fail_errno(err, "open %s", to) : loam_sys_fsync(fd, err);
}

#define OBJECT_DIRS 257 /* 00 … ff, pack */

static char *object_dir(const char *bare, unsigned index)
{
	return index < 256 ? loam_xasprintf("%s/objects/%02x", bare, index)
			   : loam_xasprintf("%s/objects/pack", bare);
}

static void dir_times(const char *bare, struct timespec times[OBJECT_DIRS])
{
	for (unsigned i = 0; i < OBJECT_DIRS; i++) {
		loam_auto_free char *path = object_dir(bare, i);
		struct stat st;
		times[i] = stat(path, &st) == 0 ? st.st_mtim : (struct timespec){ 0 };
	}
}

static int link_objects(struct fork_work *work, struct loam_err *err)
{
	struct timespec before[OBJECT_DIRS], after[OBJECT_DIRS];
	for (int round = 0; round < LINK_ROUNDS; round++) {
		int rc = 0;
		dir_times(work->from, before);
		for (unsigned i = 0; rc == 0 && i < OBJECT_DIRS; i++) {
			loam_auto_free char *from = object_dir(work->from, i);
			loam_auto_free char *to = object_dir(work->to, i);
			rc = link_dir(from, to, i == OBJECT_DIRS - 1, err);
		}
		if (rc < 0)
			return rc;
		dir_times(work->from, after);
		if (memcmp(before, after, sizeof(before)) == 0) {
			loam_auto_free char *objects = loam_path_join(work->to, "objects");
			loam_auto_fd int fd = open(objects, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			return fd < 0 ? loam_fail_errno(err, "open %s", objects)
				      : loam_sys_fsync(fd, err);
		}
	}
	return loam_fail(err, LOAM_E_CONFLICT, "the source changes without pause: try again");
}

/* ---- 3, 4: holders and refs ------------------------------------------------------------------ */

static int hold(void *arg, const struct loam_pointer *pointer, struct loam_err *err)
{
	struct fork_work *work = arg;
	int rc = loam_objects_link(work->publisher->tree, work->fork->from, work->fork->to,
				   work->gate_ino, pointer->oid, err);
	work->out->objects += rc == 1;
	/* An object that the source lost long ago, in its old commits, is not there either. */
	return rc < 0 ? rc : 0;
}

static int write_refs(struct fork_work *work, struct loam_err *err)
{
	loam_auto_file_owner struct loam_file_owner owner = loam_file_owner_enter(work->to);
	for (size_t i = 0; i < work->ref_count; i++) {
		git_reference *made = NULL;
		int rc = git_reference_create(&made, work->to_git, work->refs[i].name,
					      &work->refs[i].oid, false, "loam repo fork");
		git_reference_free(made);
		if (rc < 0)
			return loam_git_fail(err, rc, "write a branch");
		work->out->refs++;
	}
	int rc = work->head ? git_repository_set_head(work->to_git, work->head) : 0;
	return rc < 0 ? loam_git_fail(err, rc, "write HEAD") : 0;
}

static int ask_again(const struct fork_work *work, struct loam_err *err)
{
	const struct loam_fork *fork = work->fork;
	return fork->allow ? fork->allow(fork->allow_arg, err) : 0;
}

/* LFS objects are asked for by what the new repository points to, so its refs come first; they are
 * not shown before the last step, and a push finds no such repository of its own yet. */
static int fill(struct fork_work *work, struct loam_err *err)
{
	struct loam_publisher *publisher = work->publisher;
	int rc = loam_git_dir_ensure(publisher->tree, publisher->git_root, work->fork->from,
				     work->from, err);
	if (rc == 0)
		rc = loam_git_open(work->from, &work->from_git, err);
	if (rc == 0)
		rc = list_refs(work, err);
	if (rc == 0)
		rc = loam_git_dir_ensure(publisher->tree, publisher->git_root, work->fork->to,
					 work->to, err);
	if (rc == 0)
		rc = link_objects(work, err);
	if (rc == 0)
		rc = loam_git_open(work->to, &work->to_git, err);
	if (rc == 0)
		rc = loam_failpoint("fork.linked", err);
	if (rc == 0)
		rc = ask_again(work, err);
	if (rc == 0)
		rc = write_refs(work, err);
	if (rc == 0)
		rc = loam_reachable_objects(work->to_git, hold, work, err);
	if (rc == 0)
		rc = ask_again(work, err);
	if (rc == 0)
		rc = loam_meta_barrier(publisher->tree->volume->meta, err);
	return rc < 0 ? rc : loam_publish(publisher, work->fork->to, &work->out->published, err);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void undo(struct fork_work *work)
{
	const struct loam_tree *tree = work->publisher->tree;
	struct loam_err ignored = { 0 };
	char gate[LOAM_PATH_BYTES_MAX];
	loam_tree_gate_path(tree, work->fork->to, gate);
	loam_files_remove(tree->volume, gate, &ignored);
	loam_err_clear(&ignored);
	loam_lfs_drop_repo(tree, work->fork->to, &ignored);
	loam_err_clear(&ignored);
	loam_git_dir_set_aside(work->publisher->git_root, work->fork->to, &ignored);
}

int loam_repo_fork(struct loam_publisher *publisher, const struct loam_fork *fork,
		   struct loam_forked *out, struct loam_err *err)
{
	struct fork_work work = { .publisher = publisher, .fork = fork, .out = out };
	*out = (struct loam_forked){ 0 };
	int rc = loam_repos_create(publisher->tree, fork->to, &fork->owner, fork->visibility,
				   &work.gate_ino, err);
	if (rc < 0)
		return rc;
	rc = fill(&work, err);
	release(&work);
	if (rc < 0) {
		undo(&work);
		loam_forked_release(out);
	}
	return rc;
}
