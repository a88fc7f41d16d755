/*
 * The second look at suspect inodes (fs/fsck.h): their records are read, all entries are listed
 * again for them alone, each counted once, and their records are read once more. Every change of an
 * inode's names, or of the directories in a directory, writes its record; so what was equal before
 * and after stood still, and what does not fit then is a finding.
 */
#include "fs/fsck_internal.h"

#include <string.h>

#define BATCH 128

struct suspects {
	struct loam_fsck_inode **inodes;
	size_t count;
};

/* A value of the wrong type fails the whole batch: then one by one. */
static int read_batch(struct loam_fsck *fsck, const struct loam_record *records, size_t count,
		      struct loam_value *out, struct loam_err *err)
{
	struct loam_err own = { 0 };
	int rc = fsck->engine->ops->read(fsck->engine, records, count, out, &own);
	if (rc == 0)
		return 0;
	if (rc != -LOAM_E_CORRUPT)
		return loam_fail(err, own.code, "%s", own.text);
	rc = 0;
	for (size_t i = 0; i < count; i++) {
		out[i] = (struct loam_value){ 0 };
		if (rc == 0)
			rc = loam_fsck_read(fsck, &records[i], &out[i], err);
	}
	for (size_t i = 0; rc < 0 && i < count; i++)
		loam_value_release(&out[i]);
	return rc;
}

typedef void see_fn(struct loam_fsck *fsck, struct loam_fsck_inode *inode,
		    const struct loam_value *value);

/* Reads the record of this kind of each suspect. */
static int read_each(struct loam_fsck *fsck, const struct suspects *suspects,
		     enum loam_record_kind kind, see_fn *see, struct loam_err *err)
{
	for (size_t first = 0; first < suspects->count; first += BATCH) {
		struct loam_record records[BATCH];
		struct loam_value values[BATCH];
		size_t count = suspects->count - first < BATCH ? suspects->count - first : BATCH;
		for (size_t i = 0; i < count; i++)
			records[i] = loam_rec(kind, suspects->inodes[first + i]->ino, 0);
		int rc = read_batch(fsck, records, count, values, err);
		if (rc < 0)
			return rc;
		for (size_t i = 0; i < count; i++) {
			see(fsck, suspects->inodes[first + i], &values[i]);
			loam_value_release(&values[i]);
		}
	}
	return 0;
}

static void see_attr_before(struct loam_fsck *fsck, struct loam_fsck_inode *inode,
			    const struct loam_value *value)
{
	inode->attr_sum = 0;
	inode->has_attr = inode->bad_attr = false;
	if (value->present)
		loam_fsck_see_attr(fsck, inode, value->data, value->bytes);
	inode->names = inode->sub_dirs = 0;
	inode->name_types = 0;
	inode->name = NULL;
	inode->has_entries = inode->has_target = false;
	inode->sustained = inode->detached = inode->removed = false;
}

static void see_attr_after(struct loam_fsck *fsck, struct loam_fsck_inode *inode,
			   const struct loam_value *value)
{
	uint64_t before = inode->attr_sum;
	inode->attr_sum = 0;
	if (value->present)
		loam_fsck_see_attr(fsck, inode, value->data, value->bytes);
	inode->moving = inode->attr_sum != before;
}

static void see_target(struct loam_fsck *fsck, struct loam_fsck_inode *inode,
		       const struct loam_value *value)
{
	inode->has_target = value->present;
	inode->target_bytes = value->bytes < UINT16_MAX ? (uint16_t)value->bytes : UINT16_MAX;
}

static void see_parents(struct loam_fsck *fsck, struct loam_fsck_inode *inode,
			const struct loam_value *value)
{
	size_t offset = 0;
	struct loam_name name;
	const void *data;
	uint32_t bytes;
	struct loam_err broken = { 0 };
	if (!value->present || inode->parent != 0)
		return;
	while (loam_packed_next(value, &offset, &name, &data, &bytes, &broken) == 1) {
		int64_t parent, count;
		if (loam_fsck_number(name.data, name.bytes, &parent) &&
		    loam_fsck_number(data, bytes, &count))
			loam_fsck_link_of(fsck, inode->ino, (uint64_t)parent)->recorded = count;
	}
}

static int seen_dentry(void *arg, const struct loam_record *record, const void *data, size_t bytes)
{
	struct loam_fsck *fsck = arg;
	struct loam_dentry dentry;
	struct loam_err broken = { 0 };
	const struct loam_fsck_name *name;
	if (loam_dentry_decode(data, bytes, &dentry, &broken) < 0)
		return 0;
	struct loam_fsck_inode *inode = loam_fsck_inode_find(fsck, dentry.ino);
	struct loam_fsck_inode *parent = loam_fsck_inode_find(fsck, record->id);
	inode = inode && inode->suspect ? inode : NULL;
	parent = parent && parent->suspect ? parent : NULL;
	if ((!inode && !parent) ||
	    !loam_fsck_name_add(fsck, record->id, record->name, dentry.ino, &name))
		return 0;
	if (inode) {
		loam_fsck_see_name(fsck, inode, record->id, dentry.type);
		inode->name = name;
	}
	if (parent) {
		parent->has_entries = true;
		parent->sub_dirs += dentry.type == LOAM_TYPE_DIR;
	}
	return 0;
}

static void gather(struct loam_fsck *fsck, struct suspects *out)
{
	out->inodes = loam_xcalloc(fsck->suspect_inodes + 1, sizeof(out->inodes[0]));
	struct loam_fsck_inode *inode, *next_inode;
	HASH_ITER (hh, fsck->inodes, inode, next_inode) {
		if (inode->suspect)
			out->inodes[out->count++] = inode;
	}
	struct loam_fsck_link *link, *next_link;
	HASH_ITER (hh, fsck->links, link, next_link) {
		const struct loam_fsck_inode *linked = loam_fsck_inode_find(fsck, link->key.ino);
		if (linked && linked->suspect)
			link->names = 0, link->recorded = 0;
	}
}

static int look(struct loam_fsck *fsck, const struct suspects *suspects, struct loam_err *err)
{
	int rc = read_each(fsck, suspects, LOAM_REC_ATTR, see_attr_before, err);
	if (rc == 0)
		rc = loam_fsck_scan(fsck, LOAM_REC_DENTRY, "entries of suspects", seen_dentry, err);
	if (rc == 0)
		rc = read_each(fsck, suspects, LOAM_REC_PARENTS, see_parents, err);
	if (rc == 0)
		rc = read_each(fsck, suspects, LOAM_REC_SYMLINK, see_target, err);
	if (rc == 0)
		rc = loam_fsck_list_small(fsck, err);
	return rc < 0 ? rc : read_each(fsck, suspects, LOAM_REC_ATTR, see_attr_after, err);
}

int loam_fsck_inodes_again(struct loam_fsck *fsck, struct loam_err *err)
{
	struct suspects suspects = { 0 };
	gather(fsck, &suspects);
	loam_auto_free struct loam_fsck_inode **owned = suspects.inodes;
	fsck->again = true;
	int rc = look(fsck, &suspects, err);
	for (size_t i = 0; rc == 0 && i < suspects.count; i++)
		loam_fsck_judge_inode(fsck, suspects.inodes[i]);
	if (rc == 0)
		loam_fsck_judge_links(fsck);
	if (rc == 0)
		loam_fsck_judge_rings(fsck);
	fsck->again = false;
	loam_fsck_names_clear(fsck);
	return rc;
}
