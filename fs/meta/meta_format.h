/*
 * The bytes of a JuiceFS volume's metadata, as other programs read them: records, key names and the
 * Format document. Everything binary is big-endian.
 *
 * Source: volume format document §1 (setting), §2 (keyspace), Appendix A (golden vectors).
 */
#ifndef LOAM_FS_META_META_FORMAT_H
#define LOAM_FS_META_META_FORMAT_H

#include "core/buf.h"
#include "core/err.h"
#include "core/limits.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define LOAM_INO_ROOT	    1u
#define LOAM_INO_SPECIAL    0x7FFFFFFF00000000ull /* this and above never name ordinary files */
#define LOAM_INO_TRASH_ROOT 0x7FFFFFFF10000000ull
#define LOAM_DIR_LENGTH	    4096u

enum loam_type {
	LOAM_TYPE_FILE = 1,
	LOAM_TYPE_DIR = 2,
	LOAM_TYPE_SYMLINK = 3,
	LOAM_TYPE_FIFO = 4,
	LOAM_TYPE_BLOCK_DEV = 5,
	LOAM_TYPE_CHAR_DEV = 6,
	LOAM_TYPE_SOCKET = 7
};

enum loam_attr_flags {
	LOAM_FLAG_IMMUTABLE = 1 << 0,
	LOAM_FLAG_APPEND = 1 << 1,
	LOAM_FLAG_SKIP_TRASH = 1 << 5
};

/* One inode (key i<ino>). Names of any user survive re-encoding: tier and ACL ids are kept. */
struct loam_attr {
	uint8_t flags; /* enum loam_attr_flags and bits of others, kept */
	uint8_t type;  /* enum loam_type */
	uint16_t mode; /* low 12 bits, 07777 */
	uint32_t uid, gid;
	struct timespec atime, mtime, ctime;
	uint32_t nlink;
	uint64_t length; /* bytes; directories 4096, symlinks the target's length, others 0 */
	uint32_t rdev;
	uint64_t parent; /* 0: look at the p<ino> records (a file that was ever hard-linked) */
	uint32_t access_acl, default_acl; /* ids of ACL rules, 0: none */
	uint8_t tier;
};

#define LOAM_ATTR_BYTES_MAX 81
#define LOAM_DENTRY_BYTES   9
#define LOAM_SLICE_BYTES    24
#define LOAM_DELSLICE_BYTES 12

/* Returns the length written: 72, 73, 80 or 81. */
size_t loam_attr_encode(const struct loam_attr *attr, uint8_t out[LOAM_ATTR_BYTES_MAX]);
/* Errors: CORRUPT for fewer than 63 bytes, an unknown type, or a length of 2^63 and more. */
int loam_attr_decode(const void *data, size_t data_bytes, struct loam_attr *out,
		     struct loam_err *err);

struct loam_dentry {
	uint8_t type;
	uint64_t ino;
};
void loam_dentry_encode(const struct loam_dentry *dentry, uint8_t out[LOAM_DENTRY_BYTES]);
int loam_dentry_decode(const void *data, size_t data_bytes, struct loam_dentry *out,
		       struct loam_err *err);

/* One record of a chunk list. id 0 is a hole; readers ignore its size and off. Units: bytes. */
struct loam_slice {
	uint32_t pos; /* in the chunk */
	uint64_t id;
	uint32_t size; /* of the stored slice: part of its blocks' names */
	uint32_t off;  /* first valid byte inside the slice */
	uint32_t len;  /* valid bytes */
};
void loam_slice_encode(const struct loam_slice *slice, uint8_t out[LOAM_SLICE_BYTES]);
/* data_bytes must be a multiple of 24, each record within its chunk and slice, else CORRUPT.
 * *out_slices is malloc'ed (free()), NULL when there are none. */
int loam_slices_decode(const void *data, size_t data_bytes, struct loam_slice **out_slices,
		       size_t *out_count, struct loam_err *err);

/* One slice of a delayed deletion (hash delSlices): n * 12 bytes stand in one value. */
void loam_delslice_encode(uint64_t id, uint32_t size, uint8_t out[LOAM_DELSLICE_BYTES]);
/* 1 with the index-th slice, 0 behind the last, -CORRUPT. */
int loam_delslice_decode(const void *data, size_t data_bytes, size_t index, uint64_t *out_id,
			 uint32_t *out_size, struct loam_err *err);

/* ACL rule (hash acl). 0xFFFF in owner/group/mask/other: absent. */
#define LOAM_ACL_ABSENT 0xFFFFu
struct loam_acl_entry {
	uint32_t id;
	uint16_t perm;
};
struct loam_acl {
	uint16_t owner, group, mask, other;
	struct loam_acl_entry *users, *groups; /* as the caller gave them; free() each */
	uint32_t user_count, group_count;
};
void loam_acl_init(struct loam_acl *acl); /* empty: all absent */
void loam_acl_release(struct loam_acl *acl);
int loam_acl_copy(const struct loam_acl *from, struct loam_acl *out, struct loam_err *err);
bool loam_acl_equal(const struct loam_acl *a, const struct loam_acl *b);
bool loam_acl_is_empty(const struct loam_acl *acl);
bool loam_acl_is_minimal(const struct loam_acl *acl); /* no named entry and no mask */
/* The nine permission bits that the rule shows in a mode (mask stands for group if present). */
uint16_t loam_acl_mode(const struct loam_acl *acl);
int loam_acl_encode(const struct loam_acl *acl, struct loam_buf *out, struct loam_err *err);
int loam_acl_decode(const void *data, size_t data_bytes, struct loam_acl *out,
		    struct loam_err *err);
/* The kernel's xattr form (system.posix_acl_*), version 2, native-endian. INVALID as the kernel. */
int loam_acl_to_xattr(const struct loam_acl *acl, struct loam_buf *out, struct loam_err *err);
int loam_acl_from_xattr(const void *data, size_t data_bytes, struct loam_acl *out,
			struct loam_err *err);
/* What the kernel would answer: may (uid, groups) do `want` (4 read, 2 write, 1 execute) on an
 * inode of owner/group with this rule? groups holds the primary group too. use_mask false: the mask
 * is ignored (rights of a gate's grants). An absent owner, group or other entry grants nothing. */
bool loam_acl_allows(const struct loam_acl *acl, uint32_t owner_uid, uint32_t owner_gid,
		     uint32_t uid, const uint32_t *groups, size_t group_count, unsigned want,
		     bool use_mask);

/* Space accounting: 4096 for 0, else rounded up to 4096. Bytes. */
static inline int64_t loam_space(uint64_t length)
{
	return length == 0 ? 4096 : (int64_t)((length + 4095) / 4096 * 4096);
}

/* The Format document (key setting). */
struct loam_format {
	char *name, *uuid;
	char *storage, *bucket;
	char *access_key, *secret_key;
	uint32_t block_kib; /* 64 … 16384, power of two */
	char *compression;  /* "" none */
	uint32_t shards;
	bool hash_prefix;
	uint64_t capacity_bytes; /* 0: no limit */
	uint64_t inodes;	 /* 0: no limit */
	char *encrypt_algo;
	bool key_encrypted;
	char *encrypt_key;
	int64_t trash_days;
	int64_t meta_version;
	char *min_client, *max_client;
	bool dir_stats, user_group_quota, enable_acl, change_log;
	void *document; /* json_t *: the whole document, unknown members kept when it is rewritten
			 */
};
/* Errors: INVALID when the document breaks its format; unknown members are kept. */
int loam_format_parse(const void *text, size_t text_bytes, struct loam_format **out_format,
		      struct loam_err *err);
/* The document with the fields above written into it (members of others stay). */
int loam_format_print(const struct loam_format *format, struct loam_buf *out, struct loam_err *err);
void loam_format_free(struct loam_format *format);
/* 0 when this client can serve the volume; UNSUPPORTED with the reason: trash, statistics, quotas,
 * compression, encryption, change log, another store, versions. INVALID for a damaged document. */
int loam_format_check(const struct loam_format *format, struct loam_err *err);
/* The version announced in sessions and compared with MinClientVersion. */
#define LOAM_COMPAT_VERSION "1.4.0+loam"
/* *out_order is <0, 0 or >0 as a is older than, the same as, or newer than b (§1.1). INVALID when
 * either is no version. */
int loam_version_compare(const char *a, const char *b, int *out_order, struct loam_err *err);

#endif
