/*
 * What the files of the volume's check share (fsck.c, fsck_table.c, fsck_inodes.c, fsck_again.c,
 * fsck_slices.c, fsck_blocks.c).
 *
 * First every listing is read once into the tables below. An inode or slice that does not add up is
 * a suspect. Then, only if there are any, all is listed again for the suspects alone, each record
 * counted once even if the listing shows it twice; what changed meanwhile is left alone.
 */
#ifndef LOAM_FS_FSCK_INTERNAL_H
#define LOAM_FS_FSCK_INTERNAL_H

#include "core/auto.h"
#include "fs/fsck.h"
#include "fs/meta/txn.h"

#include <uthash.h>

struct loam_fsck_inode {
	uint64_t ino;
	uint64_t length, parent;
	uint64_t name_parent; /* a directory that has its name */
	uint64_t attr_sum;    /* of the record's bytes, when it was last read */
	int64_t ctime;
	uint32_t nlink, names, sub_dirs;
	uint32_t access_acl, default_acl;
	uint32_t walk; /* the last walk upward that came by */
	uint16_t mode, target_bytes;
	uint8_t type;
	uint8_t name_types; /* bits 1 << type, of all its names */
	uint8_t usage_round;
	bool has_attr, bad_attr, has_entries, has_chunks, has_target;
	bool sustained, detached, removed;
	bool suspect, moving, rooted;
	const struct loam_fsck_name *name; /* one of them, in the second look */
	UT_hash_handle hh;
};

/* Names of one inode in one directory; only for inodes with several names or p<ino> records. */
struct loam_fsck_link {
	struct {
		uint64_t ino, parent;
	} key;
	int64_t recorded;
	uint32_t names;
	UT_hash_handle hh;
};

struct loam_fsck_acl {
	uint32_t id;
	bool good;
	uint16_t mode; /* bits that the rule shows */
	UT_hash_handle hh;
};

struct loam_fsck_slice {
	uint64_t id;
	uint32_t size;
	struct loam_fsck_slice *variant; /* same id, another size (only in damaged volumes) */
	int64_t records, reference;	 /* reference as stored: one less */
	int64_t reference_before;
	/* A record that names it: a chunk, or with `delayed` a delayed deletion. */
	struct loam_record holder;
	bool has_reference, had_reference, bad_reference, suspect;
	uint32_t block_count;
	UT_hash_handle hh;
	uint64_t seen[]; /* bit per block */
};

/* A directory entry, or a list, that the second look has met. */
struct loam_fsck_name {
	UT_hash_handle hh;
	uint64_t ino;
	size_t key_bytes;
	uint8_t key[]; /* parent (8 bytes, native), name */
};

/* A record that cannot be right by itself, to be read again. */
struct loam_fsck_odd {
	struct loam_record record;
	char *name;
};

struct loam_fsck {
	struct loam_volume *volume;
	struct loam_engine *engine;
	struct loam_block_naming naming;
	const struct loam_fsck_options *options;
	const struct loam_fsck_sink *sink;
	struct loam_fsck_stats stats;
	bool again; /* the second look: findings are reported, not suspected */
	int64_t now;

	struct loam_fsck_inode *inodes;
	struct loam_fsck_link *links;
	struct loam_fsck_acl *acls;
	struct loam_fsck_slice *slices; /* by id; variants behind the first */
	struct loam_fsck_name *names;
	struct loam_fsck_odd *odd;
	size_t odd_count;
	uint64_t suspect_inodes, suspect_slices, bad_attrs;
	uint64_t max_ino, max_trash, max_slice, max_block_slice;
	int64_t used_bytes, inode_count; /* of the present round of counting */
	uint8_t usage_round;
	uint32_t walks;
	uint64_t listed; /* records of this listing, for progress */
};

/* ---- fsck_table.c ---- */
struct loam_fsck_inode *loam_fsck_inode_of(struct loam_fsck *fsck, uint64_t ino);
struct loam_fsck_inode *loam_fsck_inode_find(struct loam_fsck *fsck, uint64_t ino);
struct loam_fsck_link *loam_fsck_link_of(struct loam_fsck *fsck, uint64_t ino, uint64_t parent);
struct loam_fsck_link *loam_fsck_link_find(struct loam_fsck *fsck, uint64_t ino, uint64_t parent);
struct loam_fsck_slice *loam_fsck_slice_of(struct loam_fsck *fsck, uint64_t id, uint32_t size);
struct loam_fsck_slice *loam_fsck_slice_find(struct loam_fsck *fsck, uint64_t id, uint32_t size);
/* false: it was met before. */
bool loam_fsck_name_add(struct loam_fsck *fsck, uint64_t parent, struct loam_name name,
			uint64_t ino, const struct loam_fsck_name **out_name);
void loam_fsck_names_clear(struct loam_fsck *fsck);
void loam_fsck_odd_add(struct loam_fsck *fsck, const struct loam_record *record);
/* Reads each again and forgets it; judge says what is wrong with it. */
int loam_fsck_odd_judge(struct loam_fsck *fsck,
			void (*judge)(struct loam_fsck *fsck, const struct loam_record *record,
				      const struct loam_value *value),
			struct loam_err *err);
void loam_fsck_release(struct loam_fsck *fsck);
/* Reports; counts. */
void loam_fsck_report(struct loam_fsck *fsck, const char *id, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Lists all records of a kind. Malformed ones are one finding, in the first look. */
int loam_fsck_scan(struct loam_fsck *fsck, enum loam_record_kind kind, const char *what,
		   loam_record_seen_fn *seen, struct loam_err *err);
int loam_fsck_read(struct loam_fsck *fsck, const struct loam_record *record, struct loam_value *out,
		   struct loam_err *err);
/* Decimal text; false when it is none. */
bool loam_fsck_number(const void *data, size_t data_bytes, int64_t *out);
int loam_fsck_counter(struct loam_fsck *fsck, const char *name, int64_t *out, struct loam_err *err);
/* A name for a message: printable, cut. */
#define LOAM_FSCK_SHOWN_BYTES 160
const char *loam_fsck_shown(struct loam_name name, char out[LOAM_FSCK_SHOWN_BYTES]);

/* ---- fsck_inodes.c ---- */
int loam_fsck_list_inodes(struct loam_fsck *fsck, struct loam_err *err);
int loam_fsck_list_small(struct loam_fsck *fsck, struct loam_err *err); /* those that flag inodes */
void loam_fsck_see_attr(struct loam_fsck *fsck, struct loam_fsck_inode *inode, const void *data,
			size_t data_bytes);
void loam_fsck_see_name(struct loam_fsck *fsck, struct loam_fsck_inode *inode, uint64_t parent,
			uint8_t type);
bool loam_fsck_name_is_valid(struct loam_name name);

/* ---- fsck_judge.c ---- */
void loam_fsck_judge_inode(struct loam_fsck *fsck, struct loam_fsck_inode *inode);
void loam_fsck_judge_links(struct loam_fsck *fsck);
void loam_fsck_judge_rings(struct loam_fsck *fsck);

/* ---- fsck_again.c ---- */
int loam_fsck_inodes_again(struct loam_fsck *fsck, struct loam_err *err);

/* ---- fsck_slices.c ---- */
int loam_fsck_list_slices(struct loam_fsck *fsck, struct loam_err *err);
/* Only which slices the records name; nothing is reported. */
int loam_fsck_list_held(struct loam_fsck *fsck, struct loam_err *err);
int loam_fsck_check_references(struct loam_fsck *fsck, struct loam_err *err);

/* ---- fsck_blocks.c ---- */
int loam_fsck_check_blocks(struct loam_fsck *fsck, struct loam_err *err);
int loam_fsck_list_blocks(struct loam_fsck *fsck, struct loam_err *err);

#endif
