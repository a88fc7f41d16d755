/*
 * System calls on data paths, behind one seam so that a test can shorten, refuse or stop at the
 * n-th (core/failpoint.h), plus loops that finish partial reads and writes.
 *
 * Errors: each returns -code with errno's meaning in err.
 */
#ifndef LOAM_CORE_SYS_H
#define LOAM_CORE_SYS_H

#include "core/buf.h"
#include "core/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads exactly bytes, or fails (CORRUPT when the file ends before). */
int loam_sys_pread_all(int fd, void *out, size_t bytes, uint64_t offset, struct loam_err *err);
/* Reads up to bytes; *out_read is short only at the end of the file. */
int loam_sys_pread(int fd, void *out, size_t bytes, uint64_t offset, size_t *out_read,
		   struct loam_err *err);
int loam_sys_pwrite_all(int fd, const void *data, size_t bytes, uint64_t offset,
			struct loam_err *err);
int loam_sys_write_all(int fd, const void *data, size_t bytes, struct loam_err *err);
int loam_sys_fdatasync(int fd, struct loam_err *err);
int loam_sys_fsync(int fd, struct loam_err *err);
int loam_sys_renameat(int from_dir, const char *from, int to_dir, const char *to,
		      struct loam_err *err);
#define LOAM_DIRECT_ALIGNMENT 4096

/*
 * May these bytes go past the page cache (O_DIRECT)? Only whole pages in page-aligned memory, and
 * so many that the disk is not asked for crumbs. The file system may still refuse: INVALID.
 */
bool loam_sys_may_go_direct(const void *data, size_t bytes, uint64_t offset);
/* A second descriptor of the same file, opened anew with flags, whatever its name is by now. */
int loam_sys_reopen(int fd, int flags, int *out_fd, struct loam_err *err);
/* The rest of the file, at most out's limit (TOO_LARGE). */
int loam_fd_read_all(int fd, struct loam_buf *out, struct loam_err *err);
int loam_path_read_all(const char *path, struct loam_buf *out, struct loam_err *err);
/* mkdir -p with mode for what is made. */
int loam_mkdir_all(const char *path, mode_t mode, struct loam_err *err);
/* What is missing above path: 0711 whatever the umask, since what will stand at path may belong to
 * another account than ours. Threads: before the process has a second one (umask). */
int loam_mkdir_above(const char *path, struct loam_err *err);
/* a/b with exactly one slash between; free(). */
char *loam_path_join(const char *dir, const char *name);

#endif
