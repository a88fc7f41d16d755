/*
 * Checks and small rules that many operations share: names, rights, sticky directories, limits of
 * the volume, times of a parent directory.
 *
 * Errors: POSIX meanings; each function says which.
 * Source: volume format document §2.10 (limits), §4.2.
 */
#ifndef LOAM_FS_META_RULES_H
#define LOAM_FS_META_RULES_H

#include "fs/meta/meta.h"

#include <stdatomic.h>

/* Usage as last seen in the store (every commit brings the new totals) and the volume's limits. */
struct loam_usage {
	_Atomic int64_t space_bytes, inodes;
	_Atomic uint64_t capacity_bytes, inode_limit; /* 0: none */
};

/* Remembers the value of a counter that a read or a commit has shown; others are ignored. */
void loam_usage_saw(struct loam_usage *usage, struct loam_name counter, int64_t value);

/* 0 while the volume may be used: IO once it was replaced or went back in time. */
int loam_rules_alive(const struct loam_meta *meta, struct loam_err *err);
/* Also READ_ONLY on a read-only client, or while the volume asks for what is not built. */
int loam_rules_writable(const struct loam_meta *meta, struct loam_err *err);

/* INVALID: empty, '/' or NUL inside; NAME_TOO_LONG over 255 bytes. */
int loam_rules_name(struct loam_name name, struct loam_err *err);
bool loam_rules_name_is(struct loam_name name, const char *text);
bool loam_rules_is_dots(struct loam_name name); /* "." or ".." */
/* NOT_PERMITTED: below the trash, or the name ".trash" of the root. */
int loam_rules_not_trash(const struct loam_who *who, uint64_t parent, struct loam_name name,
			 struct loam_err *err);

static inline bool loam_rules_in_trash(const struct loam_attr *attr)
{
	return attr->parent > LOAM_INO_TRASH_ROOT;
}
static inline bool loam_rules_is_locked(const struct loam_attr *attr)
{
	return (attr->flags & (LOAM_FLAG_IMMUTABLE | LOAM_FLAG_APPEND)) != 0;
}
bool loam_rules_in_group(const struct loam_who *who, uint32_t gid);

/* loam_meta_access() when who checks for itself, else 0. DENIED. */
int loam_rules_access(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
		      const struct loam_attr *attr, unsigned want, struct loam_err *err);
/* A directory whose entries will change: NOT_DIR, DENIED (write and search). */
int loam_rules_change_dir(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
			  const struct loam_attr *dir, struct loam_err *err);
/* DENIED when the sticky directory keeps who from removing an entry of owner_uid. */
int loam_rules_sticky(const struct loam_who *who, const struct loam_attr *dir, uint32_t owner_uid,
		      struct loam_err *err);

/* NO_SPACE when the volume's limits forbid this growth; shrinking always passes. */
int loam_rules_space(const struct loam_meta *meta, int64_t space_bytes, int64_t inodes,
		     struct loam_err *err);

/* Sets mtime and ctime of a directory that changed and says whether its attr must be written: when
 * forced (nlink changed), or when the last time is skip_dir_mtime away. */
bool loam_rules_touch_dir(const struct loam_meta *meta, struct loam_attr *dir, struct timespec now,
			  bool force);

#endif
