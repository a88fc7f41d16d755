/*
 * Operations on inodes: the POSIX and JuiceFS semantics, written once over the record engine.
 *
 * Errors: POSIX meanings through core/err.h (NOT_FOUND = ENOENT, EXISTS = EEXIST …).
 * Threads: any.
 * Durable: a change is in the store's memory when the call returns; loam_meta_barrier() makes all
 *          answered changes durable.
 * Source: volume format document §3, §4, §5.5, §5.7, §8.
 */
#ifndef LOAM_FS_META_META_H
#define LOAM_FS_META_META_H

#include "fs/meta/meta_format.h"
#include "fs/meta/record.h"

struct loam_meta;

/* Who asks. check false: the kernel has checked permissions (default_permissions); sticky,
 * immutable and append rules are checked always. */
struct loam_who {
	uint32_t uid, gid;
	const uint32_t *groups; /* supplementary, may be NULL */
	size_t group_count;
	bool check;
	uint16_t umask; /* 0 when the kernel does not leave it to us */
};
extern const struct loam_who loam_who_root; /* uid 0, no checks */

#define LOAM_DIR_MTIME_ALWAYS UINT32_MAX
struct loam_meta_options {
	bool read_only;
	bool weak_durability; /* meta.durability = weak: barriers that cannot be kept are skipped */
	bool session;	      /* announce a session and heartbeat (mount, serve) */
	const char *mount_point;    /* for the session record */
	uint32_t heartbeat_seconds; /* 0: 12 */
	/* A parent's times are rewritten at most this often; 0: 100, LOAM_DIR_MTIME_ALWAYS: always.
	 */
	uint32_t skip_dir_mtime_ms;
	/* Removes the blocks of slices nobody names any more; NULL: leave them to gc. Called from
	 * background threads only. */
	void (*delete_slice)(void *arg, uint64_t id, uint32_t size);
	void *delete_slice_arg;
};

/* Opens the metadata of a volume: reads and checks `setting` (NOT_FOUND: not formatted). The engine
 * is owned from then on, also on failure. */
int loam_meta_open(struct loam_engine *engine, const struct loam_meta_options *options,
		   struct loam_meta **out_meta, struct loam_err *err);
/* Flushes, ends the session, frees. Accepts NULL. */
void loam_meta_close(struct loam_meta *meta);
const struct loam_format *loam_meta_format(const struct loam_meta *meta);
struct loam_engine *loam_meta_engine(struct loam_meta *meta);
uint64_t loam_meta_session(const struct loam_meta *meta); /* 0 without one */
int loam_meta_barrier(struct loam_meta *meta, struct loam_err *err);
/* The barrier before a step on the store of blocks that cannot be undone; a store of metadata that
 * promises nothing is not waited for (0). */
int loam_meta_settle(struct loam_meta *meta, struct loam_err *err);
/* 1 when this store may forget what it answered (no barrier can be kept), 0 when it cannot. */
int loam_meta_forgets(struct loam_meta *meta, struct loam_err *err);
/* After store and barrier come back, or at once: 0 when the store answers (used by /healthz). */
int loam_meta_ping(struct loam_meta *meta, struct loam_err *err);

/* Writes a new volume: setting, root (and trash root). EXISTS when one is there and !force. */
int loam_meta_format_volume(struct loam_engine *engine, const struct loam_format *format,
			    uint32_t root_uid, uint32_t root_gid, uint16_t root_mode, bool force,
			    struct loam_err *err);

/* ---- names -------------------------------------------------------------------------------- */
int loam_meta_lookup(struct loam_meta *meta, const struct loam_who *who, uint64_t parent,
		     struct loam_name name, uint64_t *out_ino, struct loam_attr *out_attr,
		     struct loam_err *err);
int loam_meta_getattr(struct loam_meta *meta, uint64_t ino, struct loam_attr *out_attr,
		      struct loam_err *err);
/* want: 4 read, 2 write, 1 execute; evaluates mode and ACL for who, whatever who->check. */
int loam_meta_access(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
		     const struct loam_attr *attr, unsigned want, struct loam_err *err);

struct loam_create {
	enum loam_type type;
	uint16_t mode;
	uint32_t rdev;
	const char *target; /* of a symlink */
	uint8_t set_flags;  /* more attr flags (SKIP_TRASH) */
};
/* On EXISTS for a file or directory *out_ino and *out_attr are those of the present one. */
int loam_meta_create(struct loam_meta *meta, const struct loam_who *who, uint64_t parent,
		     struct loam_name name, const struct loam_create *create, uint64_t *out_ino,
		     struct loam_attr *out_attr, struct loam_err *err);
int loam_meta_readlink(struct loam_meta *meta, uint64_t ino, struct loam_buf *out,
		       struct loam_err *err);
int loam_meta_link(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
		   uint64_t parent, struct loam_name name, struct loam_attr *out_attr,
		   struct loam_err *err);
/* *out_ino (may be NULL): the inode that lost the name. */
int loam_meta_unlink(struct loam_meta *meta, const struct loam_who *who, uint64_t parent,
		     struct loam_name name, uint64_t *out_ino, struct loam_err *err);
int loam_meta_rmdir(struct loam_meta *meta, const struct loam_who *who, uint64_t parent,
		    struct loam_name name, struct loam_err *err);
/* out_inos (may be NULL): the inode that moved, and the one that was replaced or changed places
 * with it (0: none). */
enum loam_rename_flags { LOAM_RENAME_NOREPLACE = 1, LOAM_RENAME_EXCHANGE = 2 };
int loam_meta_rename(struct loam_meta *meta, const struct loam_who *who, uint64_t from_parent,
		     struct loam_name from, uint64_t to_parent, struct loam_name to, unsigned flags,
		     uint64_t out_inos[2], struct loam_err *err);
/* Removes a tree, whatever it holds; entries that vanish meanwhile are fine. */
int loam_meta_remove_tree(struct loam_meta *meta, const struct loam_who *who, uint64_t parent,
			  struct loam_name name, struct loam_err *err);

/* A snapshot of a directory, read in pages; with_attrs fills attr where the inode exists. */
struct loam_dir_entry {
	struct loam_name name;
	struct loam_dentry dentry;
	bool has_attr;
	struct loam_attr attr;
};
struct loam_dir;
int loam_meta_opendir(struct loam_meta *meta, uint64_t ino, bool with_attrs,
		      struct loam_dir **out_dir, struct loam_err *err);
size_t loam_dir_count(const struct loam_dir *dir); /* "." and ".." not among them */
const struct loam_dir_entry *loam_dir_at(const struct loam_dir *dir, size_t index);
void loam_dir_close(struct loam_dir *dir);

/* ---- attributes --------------------------------------------------------------------------- */
enum loam_set_attr {
	LOAM_SET_MODE = 1 << 0,
	LOAM_SET_UID = 1 << 1,
	LOAM_SET_GID = 1 << 2,
	LOAM_SET_ATIME = 1 << 4,
	LOAM_SET_MTIME = 1 << 5,
	LOAM_SET_CTIME = 1 << 6,
	LOAM_SET_ATIME_NOW = 1 << 7,
	LOAM_SET_MTIME_NOW = 1 << 8,
	LOAM_SET_FLAGS = 1 << 15
};
int loam_meta_setattr(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
		      unsigned set, const struct loam_attr *values, struct loam_attr *out_attr,
		      struct loam_err *err);
struct loam_statfs {
	uint64_t total_bytes, avail_bytes, used_bytes, used_inodes, avail_inodes;
};
int loam_meta_statfs(struct loam_meta *meta, struct loam_statfs *out, struct loam_err *err);

enum loam_xattr_flags { LOAM_XATTR_CREATE = 1, LOAM_XATTR_REPLACE = 2 };
int loam_meta_getxattr(struct loam_meta *meta, uint64_t ino, const char *name, struct loam_buf *out,
		       struct loam_err *err); /* NO_DATA when absent */
int loam_meta_setxattr(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
		       const char *name, const void *value, size_t value_bytes, unsigned flags,
		       struct loam_err *err);
int loam_meta_removexattr(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
			  const char *name, struct loam_err *err);
/* Names, each followed by NUL; system.posix_acl_* as the attr says. */
int loam_meta_listxattr(struct loam_meta *meta, uint64_t ino, struct loam_buf *out,
			struct loam_err *err);
enum loam_acl_type { LOAM_ACL_ACCESS = 1, LOAM_ACL_DEFAULT = 2 };
/* The rule of an ACL id, from the table of rules held in memory (a trip only for unknown ids). */
int loam_meta_acl_rule(struct loam_meta *meta, uint32_t acl_id, struct loam_acl *out,
		       struct loam_err *err);
int loam_meta_get_acl(struct loam_meta *meta, uint64_t ino, enum loam_acl_type type,
		      struct loam_acl *out, struct loam_err *err); /* NO_DATA when none */
/* out_attr: the attributes behind the change; may be NULL. */
int loam_meta_set_acl(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
		      enum loam_acl_type type, const struct loam_acl *acl,
		      struct loam_attr *out_attr, struct loam_err *err);
/* The id under which a rule is stored, stored now if it is new (outside any transaction). */
int loam_meta_acl_intern(struct loam_meta *meta, const struct loam_acl *acl, uint32_t *out_id,
			 struct loam_err *err);

/* ---- file content ------------------------------------------------------------------------- */
int loam_meta_new_inode(struct loam_meta *meta, uint64_t *out_ino, struct loam_err *err);
int loam_meta_new_slice(struct loam_meta *meta, uint64_t *out_id, struct loam_err *err);
/* Raw records of the chunks [first, first + count), each decoded; one round trip. STALE when the
 * inode is no longer there: what is left of its lists is not its content. */
struct loam_chunk {
	struct loam_slice *slices; /* oldest first; free() */
	size_t slice_count;
};
int loam_meta_chunks(struct loam_meta *meta, uint64_t ino, uint32_t first, uint32_t count,
		     struct loam_chunk *out_chunks, struct loam_err *err);
/* Newest record wins (§5.2): gap-free pieces from 0 to the last covered byte; id 0 is a hole.
 * *out_pieces free(). pos of each is its place in the chunk. */
int loam_slices_resolve(const struct loam_slice *records, size_t record_count,
			struct loam_slice **out_pieces, size_t *out_count, struct loam_err *err);
/*
 * Commits one written slice: record, length, times, usage, in one transaction. Its blocks must be
 * durable. out_record_count (may be NULL): records of the chunk afterwards.
 */
int loam_meta_write(struct loam_meta *meta, uint64_t ino, uint32_t chunk_index,
		    const struct loam_slice *slice, struct timespec mtime,
		    struct loam_attr *out_attr, uint64_t *out_record_count, struct loam_err *err);
int loam_meta_truncate(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
		       uint64_t length, bool by_handle, struct loam_attr *out_attr,
		       struct loam_err *err);
/* mode: FALLOC_FL_* bits. */
int loam_meta_fallocate(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
			unsigned mode, uint64_t offset, uint64_t bytes, struct loam_attr *out_attr,
			struct loam_err *err);
int loam_meta_copy_range(struct loam_meta *meta, const struct loam_who *who, uint64_t from,
			 uint64_t from_offset, uint64_t to, uint64_t to_offset, uint64_t bytes,
			 uint64_t *out_copied, struct loam_attr *out_to_attr, struct loam_err *err);
/* A file counts as open here between these two: an unlink meanwhile sustains it. */
void loam_meta_opened(struct loam_meta *meta, uint64_t ino);
void loam_meta_released(struct loam_meta *meta, uint64_t ino);
/* Replaces the records that a compaction read (the exact `old` prefix) by `replacement`; CONFLICT
 * when they changed meanwhile. */
int loam_meta_compact(struct loam_meta *meta, uint64_t ino, uint32_t chunk_index,
		      const struct loam_slice *old, size_t old_count, size_t skipped,
		      const struct loam_slice *replacement, struct loam_err *err);

/* ---- clone -------------------------------------------------------------------------------- */
enum loam_clone_flags {
	LOAM_CLONE_PRESERVE = 1 << 0, /* keep owner, mode and times of the source */
	LOAM_CLONE_WRITABLE = 1 << 1, /* files that carry user.loam.oid become writable too */
	LOAM_CLONE_SERVICE = 1 << 2   /* publish: owner, modes and times as given, ACLs dropped */
};
/*
 * Metadata copy of a file or tree (no block is read or written): name under to_parent appears at
 * once and whole, or not at all. Directories and files of the clone belong to who; files that carry
 * user.loam.oid stay without write bits unless WRITABLE; set-id bits, ACLs of the gate, skip-trash
 * and trusted.* are not taken over for others than root. who must be able to read every child.
 * cancelled (may be NULL) is asked between batches. Errors: EXISTS, DENIED, INTERRUPTED …
 */
struct loam_clone_stats {
	uint64_t files, dirs, bytes;
};
int loam_meta_clone(struct loam_meta *meta, const struct loam_who *who, uint64_t from,
		    uint64_t to_parent, struct loam_name name, unsigned flags,
		    bool (*cancelled)(void *arg), void *cancelled_arg,
		    struct loam_clone_stats *out_stats, struct loam_err *err);

/* ---- names of things, for messages and fsck ------------------------------------------------ */
/* Path from the root through parents (one for hard links); at most LOAM_PATH_BYTES_MAX. */
int loam_meta_path(struct loam_meta *meta, uint64_t ino, struct loam_buf *out,
		   struct loam_err *err);

#endif
