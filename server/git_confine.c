/*
 * The reach of git children (server/git_confine.h). Steps 5 and 6 of a push.
 *
 * Known limits: receive-pack makes HEAD.lock and packed-refs.lock beside `config`, so `config` is
 * in its reach; the settings of server/git_env.h stand above it. A repository of another server
 * whose objects lie elsewhere (alternates) cannot be read through Loam's own Git door.
 */
#include "server/git_confine.h"

#include "core/auto.h"

#include <stdlib.h>
#include <unistd.h>

#define CPU_SECONDS 3600
#define DATA_BYTES  (4ull << 30)
#define FILE_BYTES  (8ull << 30) /* a pack of the largest push, thin objects added */
#define FILES	    1024
#define PROCESSES   4096 /* of the account: all git children and our own threads */

static const struct loam_confine_path system_paths[] = {
	{ "/usr", LOAM_MAY_RUN },
	{ "/bin", LOAM_MAY_RUN },
	{ "/lib", LOAM_MAY_RUN },
	{ "/lib64", LOAM_MAY_RUN },
	{ "/etc/ld.so.cache", LOAM_MAY_READ },
	{ "/etc/ld.so.preload", LOAM_MAY_READ },
	{ "/etc/localtime", LOAM_MAY_READ },
	{ "/etc/nsswitch.conf", LOAM_MAY_READ },
	{ "/etc/passwd", LOAM_MAY_READ },
	{ "/proc", LOAM_MAY_READ }, /* its own; what is others' needs ptrace rights */
	{ "/sys/devices/system/cpu", LOAM_MAY_READ },
	{ "/dev/null", LOAM_MAY_USE },
	{ "/dev/zero", LOAM_MAY_READ },
	{ "/dev/urandom", LOAM_MAY_READ },
};

static void add(struct loam_git_confine *out, const char *path, enum loam_may may)
{
	loam_assert(out->confine.path_count < LOAM_GIT_CONFINE_PATHS_MAX);
	out->paths[out->confine.path_count++] = (struct loam_confine_path){ path, may };
}

/* Test builds: hooks note the failpoints they reach. */
static void add_failpoint_log(struct loam_git_confine *out)
{
#ifdef LOAM_FAILPOINTS
	const char *path = getenv("LOAM_FAILPOINT_LOG");
	if (path)
		add(out, path, LOAM_MAY_USE);
#endif
}

void loam_git_confine_init(struct loam_git_confine *out, const char *dir, bool writes,
			   const char *hooks_dir)
{
	out->confine = (struct loam_confine){ .paths = out->paths,
					      .no_sockets = hooks_dir == NULL,
					      .cpu_seconds = CPU_SECONDS,
					      .data_bytes = DATA_BYTES,
					      .file_bytes = FILE_BYTES,
					      .files = FILES,
					      .processes = PROCESSES };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(system_paths); i++)
		add(out, system_paths[i].path, system_paths[i].may);
	add(out, dir, writes ? LOAM_MAY_CHANGE : LOAM_MAY_READ);
	if (!hooks_dir)
		return;
	add(out, hooks_dir, LOAM_MAY_RUN);
	ssize_t bytes = readlink("/proc/self/exe", out->program, sizeof(out->program) - 1);
	if (bytes > 0) {
		out->program[bytes] = '\0';
		add(out, out->program, LOAM_MAY_RUN);
	}
	add_failpoint_log(out);
}
