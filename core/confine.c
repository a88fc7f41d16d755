/*
 * Landlock, seccomp and resource limits for children (core/confine.h). Serves steps 5 to 7 of a
 * push: git sees one repository.
 *
 * The C library has no wrappers for Landlock, and the headers that this is built with may be older
 * than the kernel: what they lack is named here with its number from the kernel's interface.
 *
 * Limits are set by prlimit(1), which then becomes the program: posix_spawn has no place for them,
 * and set from outside they would come after the child's first steps.
 *
 * Known limits: a rule cannot take something out of a tree that another rule gives; connecting to
 * Unix sockets by path is not covered by the kernels of today.
 */
#include "core/confine.h"

#include "core/auto.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Sanitizers map terabytes, which count as data. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SHADOW_MEMORY true
#else
#define HAS_SHADOW_MEMORY false
#endif

#define LEVEL_MIN 2 /* renames between directories: before it git could not end a push */

/* Access rights of files that came behind the first version, by version. */
#define FS_REFER     (1ull << 13) /* 2 */
#define FS_TRUNCATE  (1ull << 14) /* 3 */
#define FS_IOCTL_DEV (1ull << 15) /* 5 */
#define NET_ALL	     3ull	  /* 4: TCP bind and connect */
#define SCOPE_ALL    3ull	  /* 6: abstract sockets and signals of those outside */

#define FS_FIRST ((1ull << 13) - 1)
#define FS_READ	 (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_RUN	 (FS_READ | LANDLOCK_ACCESS_FS_EXECUTE)
#define FS_USE	 (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)
#define FS_CHANGE                                                                   \
	(FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
	 LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |              \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SYM | FS_REFER | FS_TRUNCATE)
/* What may be given for a file that is no directory. */
#define FS_OF_FILE                                                      \
	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | \
	 LANDLOCK_ACCESS_FS_EXECUTE | FS_TRUNCATE)

/* struct landlock_ruleset_attr of version 6; older kernels take its beginning. */
struct ruleset {
	uint64_t fs, net, scoped;
};

static const uint64_t rights[] = {
	[LOAM_MAY_READ] = FS_READ,
	[LOAM_MAY_RUN] = FS_RUN,
	[LOAM_MAY_USE] = FS_USE,
	[LOAM_MAY_CHANGE] = FS_CHANGE,
};

int loam_confine_level(void)
{
	long level = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	return level >= LEVEL_MIN ? (int)level : 0;
}

static int make_ruleset(int level, uint64_t *out_handled, int *out_fd, struct loam_err *err)
{
	struct ruleset set = { .fs = FS_FIRST | FS_REFER };
	size_t bytes = sizeof(set.fs);
	if (level >= 3)
		set.fs |= FS_TRUNCATE;
	if (level >= 4) {
		set.net = NET_ALL;
		bytes += sizeof(set.net);
	}
	if (level >= 5)
		set.fs |= FS_IOCTL_DEV;
	if (level >= 6) {
		set.scoped = SCOPE_ALL;
		bytes += sizeof(set.scoped);
	}
	long fd = syscall(SYS_landlock_create_ruleset, &set, bytes, 0);
	if (fd < 0)
		return loam_fail_errno(err, "landlock: make a rule set");
	*out_handled = set.fs;
	*out_fd = (int)fd;
	return 0;
}

static int add_path(int ruleset_fd, uint64_t handled, const struct loam_confine_path *path,
		    struct loam_err *err)
{
	loam_auto_fd int fd = open(path->path, O_PATH | O_CLOEXEC);
	struct stat st;
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return loam_fail_errno(err, "look at %s", path->path);
	uint64_t access = rights[path->may] & handled;
	if (!S_ISDIR(st.st_mode))
		access &= FS_OF_FILE;
	struct landlock_path_beneath_attr rule = { .allowed_access = access, .parent_fd = fd };
	if (syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return loam_fail_errno(err, "landlock: a rule for %s", path->path);
	return 0;
}

static int enter_landlock(const struct loam_confine *confine, struct loam_err *err)
{
	int level = loam_confine_level();
	if (level == 0)
		return 0;
	loam_auto_fd int ruleset_fd = -1;
	uint64_t handled = 0;
	int rc = make_ruleset(level, &handled, &ruleset_fd, err);
	for (size_t i = 0; rc == 0 && i < confine->path_count; i++)
		rc = add_path(ruleset_fd, handled, &confine->paths[i], err);
	if (rc < 0)
		return rc;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, ruleset_fd, 0) < 0)
		return loam_fail_errno(err, "landlock: bind a child");
	return 0;
}

/* Ways around what Landlock says, or into parts of the kernel that no git needs. Ptrace is not
 * among them: Landlock keeps it within the child's own processes. */
static const int calls_taken[] = {
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register),
	SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(keyctl),
	SCMP_SYS(unshare),
	SCMP_SYS(setns),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(chroot),
	SCMP_SYS(fsopen),
	SCMP_SYS(open_tree),
	SCMP_SYS(move_mount),
	SCMP_SYS(fsmount),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
};

static int take_calls(scmp_filter_ctx filter, bool no_sockets)
{
	int failed = 0;
	for (size_t i = 0; failed == 0 && i < LOAM_ARRAY_COUNT(calls_taken); i++)
		failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), calls_taken[i], 0);
	if (failed == 0 && no_sockets)
		failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 0);
	return failed < 0 ? failed : seccomp_load(filter);
}

/* A kernel without seccomp goes without. */
static int enter_seccomp(const struct loam_confine *confine, struct loam_err *err)
{
	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0)
		return 0;
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	if (!filter)
		return loam_fail(err, LOAM_E_IO, "seccomp: no filter can be made");
	int failed = take_calls(filter, confine->no_sockets);
	seccomp_release(filter);
	errno = -failed;
	return failed < 0 ? loam_fail_errno(err, "seccomp: bind a child") : 0;
}

int loam_confine_enter(const struct loam_confine *confine, struct loam_err *err)
{
	int rc = enter_landlock(confine, err);
	return rc < 0 ? rc : enter_seccomp(confine, err);
}

int loam_confine_argv(const struct loam_confine *confine, const char *const *argv,
		      struct loam_confine_words *out, struct loam_err *err)
{
	const struct {
		__rlimit_resource_t what;
		const char *word;
		uint64_t most;
	} limits[] = { { RLIMIT_CPU, "cpu", confine->cpu_seconds },
		       { RLIMIT_DATA, "data", confine->data_bytes },
		       { RLIMIT_FSIZE, "fsize", confine->file_bytes },
		       { RLIMIT_NOFILE, "nofile", confine->files },
		       { RLIMIT_NPROC, "nproc", confine->processes } };
	size_t count = 0, set = 0;
	out->argv[count++] = "prlimit";
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(limits); i++) {
		struct rlimit ours;
		uint64_t most = limits[i].most;
		if (most == 0 || (limits[i].what == RLIMIT_DATA && HAS_SHADOW_MEMORY))
			continue;
		/* Never above what we have: that would need a privilege. */
		if (getrlimit(limits[i].what, &ours) == 0 && ours.rlim_max < most)
			most = ours.rlim_max;
		snprintf(out->limits[set], sizeof(out->limits[set]), "--%s=%llu", limits[i].word,
			 (unsigned long long)most);
		out->argv[count++] = out->limits[set++];
	}
	if (set == 0)
		count = 0;
	else
		out->argv[count++] = "--";
	for (size_t i = 0; argv[i]; i++) {
		if (i == LOAM_CONFINE_WORDS_MAX)
			return loam_fail(err, LOAM_E_TOO_LARGE, "start %s: too many words",
					 argv[0]);
		out->argv[count++] = argv[i];
	}
	out->argv[count] = NULL;
	return 0;
}
