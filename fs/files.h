/*
 * Paths and whole files of a volume for the service's own use (accounts, staging, links): as uid 0
 * by default, without following a symlink anywhere.
 *
 * Paths are absolute in the volume ("/.loam/etc/passwd"); callers prefix tree.root themselves
 * through auth/tree.h.
 */
#ifndef LOAM_FS_FILES_H
#define LOAM_FS_FILES_H

#include "fs/volume.h"

/* NOT_FOUND, NOT_DIR; LOOP for a symlink on the way. */
int loam_files_lookup(struct loam_volume *volume, const char *path, uint64_t *out_ino,
		      struct loam_attr *out_attr, struct loam_err *err);
/* The parent directory and the last name (borrowed from path). */
int loam_files_parent(struct loam_volume *volume, const char *path, uint64_t *out_parent,
		      struct loam_name *out_name, struct loam_err *err);
/*
 * The inodes behind several names of one directory, as the volume has them now; 0 for a name that
 * is missing, and for all of them when the directory is. One round trip while the directory stands
 * where the last call with this trail found it. Errors: NOT_DIR, LOOP.
 */
#define LOAM_FILES_TRAIL_MAX 16
struct loam_files_trail {		     /* zeroed before the first call */
	uint64_t inos[LOAM_FILES_TRAIL_MAX]; /* of the path's directories, a hint; 0 unknown */
};
int loam_files_inos(struct loam_volume *volume, const char *dir, const char *const *names,
		    size_t name_count, struct loam_files_trail *trail, uint64_t *out_inos,
		    struct loam_err *err);
/* Makes what is missing, owned by uid:gid with mode; what is there must be a directory. */
int loam_files_mkdirs(struct loam_volume *volume, const char *path, uint32_t uid, uint32_t gid,
		      uint16_t mode, uint8_t attr_flags, uint64_t *out_ino, struct loam_err *err);
/* The whole file, at most out's limit. INVALID when it is not a regular file; NOT_FOUND also when
 * it is removed (or replaced) while it is read. */
int loam_files_read(struct loam_volume *volume, const char *path, struct loam_buf *out,
		    struct loam_err *err);
int loam_files_read_ino(struct loam_volume *volume, uint64_t ino, struct loam_buf *out,
			struct loam_err *err);
/* Replaces the file whole: new inode beside it, then rename. Durable behind loam_meta_barrier. */
int loam_files_write(struct loam_volume *volume, const char *path, uint32_t uid, uint32_t gid,
		     uint16_t mode, const void *data, size_t data_bytes, struct loam_err *err);
/*
 * The same, but only when the path still names expected_ino (0: nothing): CONFLICT when somebody
 * else was faster. What read-change-write of account files stands on.
 */
int loam_files_replace(struct loam_volume *volume, const char *path, uint64_t expected_ino,
		       uint32_t uid, uint32_t gid, uint16_t mode, const void *data,
		       size_t data_bytes, struct loam_err *err);
/* Missing is success. Trees too. */
int loam_files_remove(struct loam_volume *volume, const char *path, struct loam_err *err);

#endif
