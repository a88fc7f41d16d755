/*
 * The first look at names and inodes (fs/fsck.h): every listing once, into the tables.
 *
 * Names are listed before inodes: what is made meanwhile then only looks like an inode without a
 * name, and is too young to be a suspect.
 */
#include "fs/fsck_internal.h"

#include <string.h>

#define FNV_BASIS 0xcbf29ce484222325ull
#define FNV_PRIME 0x100000001b3ull

bool loam_fsck_name_is_valid(struct loam_name name)
{
	if (name.bytes == 0 || name.bytes > LOAM_NAME_BYTES_MAX)
		return false;
	if (name.data[0] == '.' && (name.bytes == 1 || (name.bytes == 2 && name.data[1] == '.')))
		return false;
	return !memchr(name.data, '/', name.bytes) && !memchr(name.data, '\0', name.bytes);
}

/* ---- directory entries ----------------------------------------------------------------------- */

/* Inodes of one name keep it in themselves; from the second on all are in the table of links. */
void loam_fsck_see_name(struct loam_fsck *fsck, struct loam_fsck_inode *inode, uint64_t parent,
			uint8_t type)
{
	if (inode->names == 1)
		loam_fsck_link_of(fsck, inode->ino, inode->name_parent)->names++;
	if (inode->names >= 1)
		loam_fsck_link_of(fsck, inode->ino, parent)->names++;
	inode->names++;
	inode->name_parent = parent;
	inode->name_types |= (uint8_t)(1u << type);
}

static int seen_dentry(void *arg, const struct loam_record *record, const void *data, size_t bytes)
{
	struct loam_fsck *fsck = arg;
	struct loam_dentry dentry;
	struct loam_err broken = { 0 };
	fsck->stats.dentries++;
	struct loam_fsck_inode *parent = loam_fsck_inode_of(fsck, record->id);
	parent->has_entries = true;
	bool good = loam_fsck_name_is_valid(record->name);
	bool decodes = loam_dentry_decode(data, bytes, &dentry, &broken) == 0;
	if (!good || !decodes)
		loam_fsck_odd_add(fsck, record);
	if (!decodes)
		return 0;
	loam_fsck_see_name(fsck, loam_fsck_inode_of(fsck, dentry.ino), record->id, dentry.type);
	parent->sub_dirs += dentry.type == LOAM_TYPE_DIR;
	return 0;
}

static void judge_dentry(struct loam_fsck *fsck, const struct loam_record *record,
			 const struct loam_value *value)
{
	struct loam_dentry dentry;
	struct loam_err broken = { 0 };
	char shown[LOAM_FSCK_SHOWN_BYTES];
	loam_fsck_shown(record->name, shown);
	if (!loam_fsck_name_is_valid(record->name))
		loam_fsck_report(fsck, "V01", "an entry of directory %llu has the name '%s'",
				 (unsigned long long)record->id, shown);
	else if (loam_dentry_decode(value->data, value->bytes, &dentry, &broken) < 0)
		loam_fsck_report(fsck, "V01", "entry '%s' of directory %llu: %s", shown,
				 (unsigned long long)record->id, broken.text);
}

/* ---- inodes ---------------------------------------------------------------------------------- */

static uint64_t sum_of(const void *data, size_t bytes)
{
	const uint8_t *at = data;
	uint64_t sum = FNV_BASIS;
	for (size_t i = 0; i < bytes; i++)
		sum = (sum ^ at[i]) * FNV_PRIME;
	return sum ? sum : 1; /* 0: no record */
}

void loam_fsck_see_attr(struct loam_fsck *fsck, struct loam_fsck_inode *inode, const void *data,
			size_t data_bytes)
{
	struct loam_attr attr;
	struct loam_err broken = { 0 };
	inode->attr_sum = sum_of(data, data_bytes);
	inode->bad_attr = loam_attr_decode(data, data_bytes, &attr, &broken) < 0;
	inode->has_attr = !inode->bad_attr;
	if (inode->bad_attr)
		return;
	inode->length = attr.length;
	inode->parent = attr.parent;
	inode->ctime = attr.ctime.tv_sec;
	inode->nlink = attr.nlink;
	inode->mode = attr.mode;
	inode->type = attr.type;
	inode->access_acl = attr.access_acl;
	inode->default_acl = attr.default_acl;
}

static int seen_attr(void *arg, const struct loam_record *record, const void *data, size_t bytes)
{
	struct loam_fsck *fsck = arg;
	struct loam_fsck_inode *inode = loam_fsck_inode_of(fsck, record->id);
	loam_fsck_see_attr(fsck, inode, data, bytes);
	if (record->id < LOAM_INO_SPECIAL && record->id > fsck->max_ino)
		fsck->max_ino = record->id;
	if (record->id > LOAM_INO_TRASH_ROOT && record->id > fsck->max_trash)
		fsck->max_trash = record->id;
	if (inode->usage_round == fsck->usage_round)
		return 0;
	inode->usage_round = fsck->usage_round;
	fsck->bad_attrs += inode->bad_attr;
	if (record->id == LOAM_INO_ROOT || record->id == LOAM_INO_TRASH_ROOT)
		return 0;
	fsck->inode_count++;
	fsck->used_bytes +=
		inode->has_attr && inode->type == LOAM_TYPE_FILE ? loam_space(inode->length) : 4096;
	return 0;
}

static int seen_parent(void *arg, const struct loam_record *record, const void *data, size_t bytes)
{
	int64_t count;
	struct loam_fsck_link *link = loam_fsck_link_of(arg, record->id, record->sub);
	link->recorded = loam_fsck_number(data, bytes, &count) ? count : 0;
	return 0;
}

static int seen_symlink(void *arg, const struct loam_record *record, const void *data, size_t bytes)
{
	struct loam_fsck_inode *inode = loam_fsck_inode_find(arg, record->id);
	if (inode) {
		inode->has_target = true;
		inode->target_bytes = bytes < UINT16_MAX ? (uint16_t)bytes : UINT16_MAX;
	}
	return 0;
}

/* ---- small listings -------------------------------------------------------------------------- */

static int seen_sustained(void *arg, const struct loam_record *record, const void *data,
			  size_t bytes)
{
	loam_fsck_inode_of(arg, record->sub)->sustained = true;
	return 0;
}

static int seen_detached(void *arg, const struct loam_record *record, const void *data,
			 size_t bytes)
{
	loam_fsck_inode_of(arg, record->id)->detached = true;
	return 0;
}

static int seen_removed(void *arg, const struct loam_record *record, const void *data, size_t bytes)
{
	loam_fsck_inode_of(arg, record->id)->removed = true;
	return 0;
}

static int seen_acl(void *arg, const struct loam_record *record, const void *data, size_t bytes)
{
	struct loam_fsck *fsck = arg;
	uint32_t id = (uint32_t)record->id;
	struct loam_fsck_acl *acl;
	HASH_FIND(hh, fsck->acls, &id, sizeof(id), acl);
	if (!acl && record->id <= UINT32_MAX) {
		acl = loam_xnew(struct loam_fsck_acl);
		acl->id = id;
		HASH_ADD(hh, fsck->acls, id, sizeof(id), acl);
	}
	struct loam_acl rule;
	struct loam_err broken = { 0 };
	if (!acl || loam_acl_decode(data, bytes, &rule, &broken) < 0)
		return 0;
	acl->good = true;
	acl->mode = loam_acl_mode(&rule);
	loam_acl_release(&rule);
	return 0;
}

int loam_fsck_list_small(struct loam_fsck *fsck, struct loam_err *err)
{
	int rc = loam_fsck_scan(fsck, LOAM_REC_DETACHED, "detached nodes", seen_detached, err);
	if (rc == 0)
		rc = loam_fsck_scan(fsck, LOAM_REC_SUSTAINED, "sustained inodes", seen_sustained,
				    err);
	if (rc == 0)
		rc = loam_fsck_scan(fsck, LOAM_REC_DELFILE, "removed files", seen_removed, err);
	return rc < 0 ? rc : loam_fsck_scan(fsck, LOAM_REC_ACL, "ACL rules", seen_acl, err);
}

/* ---- space and inodes (V08) ------------------------------------------------------------------ */

#define USAGE_ROUNDS 4

struct usage {
	int64_t space, inodes;
};

static int read_usage(struct loam_fsck *fsck, struct usage *out, struct loam_err *err)
{
	int rc = loam_fsck_counter(fsck, "usedSpace", &out->space, err);
	return rc < 0 ? rc : loam_fsck_counter(fsck, "totalInodes", &out->inodes, err);
}

static int seen_usage(void *arg, const struct loam_record *record, const void *data, size_t bytes)
{
	struct loam_fsck *fsck = arg;
	struct loam_attr attr;
	struct loam_err broken = { 0 };
	struct loam_fsck_inode *inode = loam_fsck_inode_of(fsck, record->id);
	if (inode->usage_round == fsck->usage_round || record->id == LOAM_INO_ROOT ||
	    record->id == LOAM_INO_TRASH_ROOT)
		return 0;
	inode->usage_round = fsck->usage_round;
	bool is_file =
		loam_attr_decode(data, bytes, &attr, &broken) == 0 && attr.type == LOAM_TYPE_FILE;
	fsck->inode_count++;
	fsck->used_bytes += is_file ? loam_space(attr.length) : 4096;
	return 0;
}

static int count_usage(struct loam_fsck *fsck, loam_record_seen_fn *seen, struct usage *out_before,
		       struct usage *out_after, struct loam_err *err)
{
	fsck->usage_round++;
	fsck->used_bytes = fsck->inode_count = 0;
	int rc = read_usage(fsck, out_before, err);
	if (rc == 0)
		rc = loam_fsck_scan(fsck, LOAM_REC_ATTR, "inodes", seen, err);
	return rc < 0 ? rc : read_usage(fsck, out_after, err);
}

/* The counters stood still during two countings and were off by the same, or they are right. */
static int check_usage(struct loam_fsck *fsck, struct usage before, struct usage after,
		       struct loam_err *err)
{
	struct usage last_off = { 0 };
	bool had_off = false;
	for (int round = 0; round < USAGE_ROUNDS; round++) {
		struct usage off = { after.space - fsck->used_bytes,
				     after.inodes - fsck->inode_count };
		bool still = before.space == after.space && before.inodes == after.inodes;
		if (off.space == 0 && off.inodes == 0)
			return 0;
		if (still && had_off && off.space == last_off.space &&
		    off.inodes == last_off.inodes) {
			if (off.space != 0)
				loam_fsck_report(fsck, "V08", "usedSpace is %lld, recounted %lld",
						 (long long)after.space,
						 (long long)fsck->used_bytes);
			if (off.inodes != 0)
				loam_fsck_report(fsck, "V08", "totalInodes is %lld, recounted %lld",
						 (long long)after.inodes,
						 (long long)fsck->inode_count);
			return 0;
		}
		had_off = still;
		last_off = off;
		int rc = count_usage(fsck, seen_usage, &before, &after, err);
		if (rc < 0)
			return rc;
	}
	fsck->stats.usage_undecided = true;
	return 0;
}

/* ---- all of it ------------------------------------------------------------------------------- */

int loam_fsck_list_inodes(struct loam_fsck *fsck, struct loam_err *err)
{
	struct usage before, after;
	int rc = loam_fsck_scan(fsck, LOAM_REC_DENTRY, "directory entries", seen_dentry, err);
	if (rc == 0)
		rc = loam_fsck_odd_judge(fsck, judge_dentry, err);
	if (rc == 0)
		rc = count_usage(fsck, seen_attr, &before, &after, err);
	fsck->stats.inodes = (uint64_t)fsck->inode_count;
	fsck->stats.used_bytes = fsck->used_bytes;
	if (rc == 0 && fsck->bad_attrs > 0) /* their length is not known */
		fsck->stats.usage_undecided = true;
	else if (rc == 0)
		rc = check_usage(fsck, before, after, err);
	if (rc == 0)
		rc = loam_fsck_scan(fsck, LOAM_REC_PARENT, "links", seen_parent, err);
	if (rc == 0)
		rc = loam_fsck_scan(fsck, LOAM_REC_SYMLINK, "symbolic links", seen_symlink, err);
	return rc;
}
