/*
 * A volume mounted for a test (mounted.h).
 */
#include "tests/support/mounted.h"

#include "core/auto.h"
#include "fs/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const char format_text[] =
	"{\"Name\":\"test\",\"UUID\":\"0b4c3d2e-1111-4222-8333-abcdefabcdef\",\"Storage\":\"mem\","
	"\"Bucket\":\"\",\"BlockSize\":4096,\"Compression\":\"none\","
	"\"Shards\":0,\"HashPrefix\":false,"
	"\"Capacity\":0,\"Inodes\":0,\"TrashDays\":0,\"MetaVersion\":1,\"EnableACL\":true}";

const char *loam_test_mount_obstacle(void)
{
	if (geteuid() != 0)
		return "mounting needs root";
	return access("/dev/fuse", R_OK | W_OK) == 0 ? NULL : "no /dev/fuse here";
}

static void say_up(void *arg)
{
	int *fd = arg;
	if (write(*fd, "1", 1) != 1)
		_exit(3);
	close(*fd);
}

static int serve(const struct loam_test_mount *mount, int ready_fd,
		 void (*change)(struct loam_mount_options *options), struct loam_err *err)
{
	const char *dir = mount->dir;
	loam_mount_block_signals();
	struct loam_engine *engine;
	struct loam_format *format;
	struct loam_store *store;
	struct loam_meta *meta;
	struct loam_data *data;
	int rc = loam_record_mem_open(&engine, err);
	if (!rc)
		rc = loam_format_parse(format_text, strlen(format_text), &format, err);
	if (!rc)
		rc = loam_meta_format_volume(engine, format, 0, 0, 0755, false, err);
	if (!rc)
		rc = loam_store_mem_open(&store, err);
	if (!rc && mount->store_rules)
		rc = loam_store_fault_open(store, mount->store_rules, &store, err);
	struct loam_meta_options meta_options = { .session = true, .mount_point = dir };
	if (!rc)
		rc = loam_meta_open(engine, &meta_options, &meta, err);
	struct loam_data_options data_options = { .cache_dir = mount->cache_dir,
						  .cache_bytes = 1u << 30 };
	if (!rc)
		rc = loam_data_open(meta, store, &data_options, &data, err);
	if (rc)
		return rc;

	loam_format_free(format);
	struct loam_mount_options options = { .dir = dir,
					      .tree_root = "/",
					      .service_uid = LOAM_TEST_SERVICE_UID,
					      .attr_ms = LOAM_MOUNT_ATTR_MS,
					      .ready = say_up,
					      .ready_arg = &ready_fd };
	if (change)
		change(&options);
	rc = loam_mount_run(data, &options, err);
	loam_data_close(data);
	loam_meta_close(meta);
	store->ops->free(store);
	return rc;
}

void loam_test_mount_start(struct loam_test_mount *mount,
			   void (*change)(struct loam_mount_options *options))
{
	snprintf(mount->dir, sizeof(mount->dir), "/tmp/loam-mount-XXXXXX");
	int ends[2];
	if (!mkdtemp(mount->dir) || chmod(mount->dir, 0755) != 0 || pipe2(ends, O_CLOEXEC) != 0)
		abort();
	mount->pid = fork();
	if (mount->pid == 0) {
		close(ends[0]);
		prctl(PR_SET_PDEATHSIG, SIGTERM); /* a test that aborts leaves no mount */
		struct loam_err err = { 0 };
		int rc = serve(mount, ends[1], change, &err);
		if (rc)
			fprintf(stderr, "mount: %s\n", err.text);
		exit(rc ? 1 : 0);
	}
	close(ends[1]);
	char byte;
	if (mount->pid < 0 || read(ends[0], &byte, 1) != 1) {
		fprintf(stderr, "the mount did not come up\n");
		abort();
	}
	close(ends[0]);
}

int loam_test_mount_stop(struct loam_test_mount *mount)
{
	int status = 0;
	kill(mount->pid, SIGTERM);
	while (waitpid(mount->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (rmdir(mount->dir) != 0)
		fprintf(stderr, "rmdir %s: %s\n", mount->dir, strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int loam_test_as(uid_t uid, gid_t gid, const gid_t *groups, size_t group_count,
		 int (*fn)(const char *path), const char *path)
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		if (setgroups(group_count, groups) != 0 || setresgid(gid, gid, gid) != 0 ||
		    setresuid(uid, uid, uid) != 0)
			_exit(254);
		_exit(fn(path));
	}
	int status = 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}
