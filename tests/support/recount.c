/* The recount of a volume (recount.h): every listing is read once into tables, then compared. */
#include "tests/support/recount.h"

#include "core/auto.h"
#include "fs/meta/meta_format.h"
#include "fs/meta/txn.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct inode {
	uint64_t ino;
	bool has_attr, sustained, detached, removed, has_target;
	struct loam_attr attr;
	uint64_t names, sub_dirs, name_parent;
	uint8_t name_type;
	uint64_t chunk_lists, xattrs;
	UT_hash_handle hh;
};

struct link_key {
	uint64_t ino, parent;
};
struct link_count {
	struct link_key key;
	int64_t names, recorded;
	UT_hash_handle hh;
};

struct slice_key {
	uint64_t id, size;
};
struct slice_count {
	struct slice_key key;
	int64_t records, reference; /* reference as stored: one less */
	bool stored;
	UT_hash_handle hh;
};

struct count {
	struct loam_recount out;
	struct inode *inodes;
	struct link_count *links;
	struct slice_count *slices;
};

#define FINDING(count, ...)                               \
	do {                                              \
		(count)->out.findings++;                  \
		fprintf(stderr, "recount: " __VA_ARGS__); \
		fprintf(stderr, "\n");                    \
	} while (0)

static struct inode *inode_of(struct count *count, uint64_t ino)
{
	struct inode *inode;
	HASH_FIND(hh, count->inodes, &ino, sizeof(ino), inode);
	if (inode)
		return inode;
	inode = loam_xnew(struct inode);
	inode->ino = ino;
	HASH_ADD(hh, count->inodes, ino, sizeof(ino), inode);
	return inode;
}

static struct link_count *link_of(struct count *count, uint64_t ino, uint64_t parent)
{
	struct link_key key = { ino, parent };
	struct link_count *link;
	HASH_FIND(hh, count->links, &key, sizeof(key), link);
	if (link)
		return link;
	link = loam_xnew(struct link_count);
	link->key = key;
	HASH_ADD(hh, count->links, key, sizeof(key), link);
	return link;
}

static struct slice_count *slice_of(struct count *count, uint64_t id, uint64_t size)
{
	struct slice_key key = { id, size };
	struct slice_count *slice;
	HASH_FIND(hh, count->slices, &key, sizeof(key), slice);
	if (slice)
		return slice;
	slice = loam_xnew(struct slice_count);
	slice->key = key;
	HASH_ADD(hh, count->slices, key, sizeof(key), slice);
	return slice;
}

static int64_t number(const void *data, size_t data_bytes)
{
	char text[32] = "";
	loam_assert(data_bytes < sizeof(text));
	memcpy(text, data, data_bytes);
	return strtoll(text, NULL, 10);
}

/* A record may come twice in a listing: only what overwrites itself is safe to gather; at rest both
 * engines give each record once, which the counts below rely on. */

static int seen_attr(void *arg, const struct loam_record *record, const void *data, size_t bytes)
{
	struct count *count = arg;
	struct loam_err err = { 0 };
	struct inode *inode = inode_of(count, record->id);
	if (loam_attr_decode(data, bytes, &inode->attr, &err) < 0)
		FINDING(count, "attr of %" PRIu64 ": %s", record->id, err.text);
	else
		inode->has_attr = true;
	return 0;
}

static int seen_dentry(void *arg, const struct loam_record *record, const void *data, size_t bytes)
{
	struct count *count = arg;
	struct loam_err err = { 0 };
	struct loam_dentry dentry;
	if (loam_dentry_decode(data, bytes, &dentry, &err) < 0) {
		FINDING(count, "entry of %" PRIu64 ": %s", record->id, err.text);
		return 0;
	}
	struct inode *inode = inode_of(count, dentry.ino);
	inode->names++;
	inode->name_parent = record->id;
	inode->name_type = dentry.type;
	link_of(count, dentry.ino, record->id)->names++;
	if (dentry.type == LOAM_TYPE_DIR)
		inode_of(count, record->id)->sub_dirs++;
	return 0;
}

static int seen_chunk(void *arg, const struct loam_record *record, const void *data, size_t bytes)
{
	struct count *count = arg;
	struct loam_err err = { 0 };
	loam_auto_free struct loam_slice *slices = NULL;
	size_t slice_count = 0;
	inode_of(count, record->id)->chunk_lists++;
	if (loam_slices_decode(data, bytes, &slices, &slice_count, &err) < 0)
		FINDING(count, "chunk %" PRIu64 " of %" PRIu64 ": %s", record->sub, record->id,
			err.text);
	for (size_t i = 0; i < slice_count; i++) {
		if (slices[i].id > 0)
			slice_of(count, slices[i].id, slices[i].size)->records++;
	}
	return 0;
}

static int seen_delayed(void *arg, const struct loam_record *record, const void *data, size_t bytes)
{
	struct loam_err err = { 0 };
	uint64_t id;
	uint32_t size;
	for (size_t i = 0; loam_delslice_decode(data, bytes, i, &id, &size, &err) == 1; i++)
		slice_of(arg, id, size)->records++;
	return 0;
}

static int seen_reference(void *arg, const struct loam_record *record, const void *data,
			  size_t bytes)
{
	struct slice_count *slice = slice_of(arg, record->id, record->sub);
	slice->stored = true;
	slice->reference = number(data, bytes);
	return 0;
}

static int seen_parent(void *arg, const struct loam_record *record, const void *data, size_t bytes)
{
	link_of(arg, record->id, record->sub)->recorded = number(data, bytes);
	return 0;
}

static int seen_symlink(void *arg, const struct loam_record *record, const void *data, size_t bytes)
{
	inode_of(arg, record->id)->has_target = true;
	return 0;
}

static int seen_xattr(void *arg, const struct loam_record *record, const void *data, size_t bytes)
{
	inode_of(arg, record->id)->xattrs++;
	return 0;
}

static int seen_sustained(void *arg, const struct loam_record *record, const void *data,
			  size_t bytes)
{
	inode_of(arg, record->sub)->sustained = true;
	return 0;
}

static int seen_detached(void *arg, const struct loam_record *record, const void *data,
			 size_t bytes)
{
	struct count *count = arg;
	count->out.detached++;
	inode_of(count, record->id)->detached = true;
	return 0;
}

static int seen_removed(void *arg, const struct loam_record *record, const void *data, size_t bytes)
{
	struct count *count = arg;
	count->out.removed_files++;
	inode_of(count, record->id)->removed = true;
	return 0;
}

static const struct {
	enum loam_record_kind kind;
	loam_record_seen_fn *seen;
} listings[] = {
	{ LOAM_REC_ATTR, seen_attr },		{ LOAM_REC_DENTRY, seen_dentry },
	{ LOAM_REC_CHUNK, seen_chunk },		{ LOAM_REC_DELSLICES, seen_delayed },
	{ LOAM_REC_SLICE_REF, seen_reference }, { LOAM_REC_PARENT, seen_parent },
	{ LOAM_REC_SYMLINK, seen_symlink },	{ LOAM_REC_XATTR, seen_xattr },
	{ LOAM_REC_SUSTAINED, seen_sustained }, { LOAM_REC_DETACHED, seen_detached },
	{ LOAM_REC_DELFILE, seen_removed },
};

static void read_all(struct loam_engine *engine, struct count *count)
{
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(listings); i++) {
		uint64_t cursor = 0, skipped = 0;
		do {
			struct loam_err err = { 0 };
			int rc = engine->ops->scan(engine, listings[i].kind, 0, &cursor, &skipped,
						   listings[i].seen, count, &err);
			loam_assert(rc == 0);
		} while (cursor != 0);
		if (skipped > 0)
			FINDING(count, "%" PRIu64 " malformed keys of kind %d", skipped,
				(int)listings[i].kind);
	}
}

static bool is_root(uint64_t ino)
{
	return ino == LOAM_INO_ROOT || ino == LOAM_INO_TRASH_ROOT;
}

static void check_names(struct count *count, const struct inode *inode)
{
	const struct loam_attr *attr = &inode->attr;
	if (attr->type == LOAM_TYPE_DIR) {
		if (attr->nlink != 2 + inode->sub_dirs)
			FINDING(count, "directory %" PRIu64 ": nlink %u, %" PRIu64 " below it",
				inode->ino, attr->nlink, inode->sub_dirs);
		if (!is_root(inode->ino) && inode->names != (inode->detached ? 0 : 1))
			FINDING(count, "directory %" PRIu64 " has %" PRIu64 " names", inode->ino,
				inode->names);
	} else {
		if (attr->nlink != inode->names)
			FINDING(count, "inode %" PRIu64 ": nlink %u, %" PRIu64 " names", inode->ino,
				attr->nlink, inode->names);
		if (attr->nlink == 0 && !inode->sustained)
			FINDING(count, "inode %" PRIu64 " without a name", inode->ino);
		if (attr->nlink > 1 && attr->parent != 0)
			FINDING(count, "inode %" PRIu64 ": links, and parent %" PRIu64, inode->ino,
				attr->parent);
	}
	if (inode->names > 0 && inode->name_type != attr->type)
		FINDING(count, "inode %" PRIu64 ": type %u, its name says %u", inode->ino,
			attr->type, inode->name_type);
	if (inode->names == 1 && attr->parent != 0 && attr->parent != inode->name_parent)
		FINDING(count, "inode %" PRIu64 ": parent %" PRIu64 ", its name is in %" PRIu64,
			inode->ino, attr->parent, inode->name_parent);
	if ((attr->type == LOAM_TYPE_SYMLINK) != inode->has_target)
		FINDING(count, "inode %" PRIu64 ": symlink target or its absence", inode->ino);
}

static void check_inode(struct count *count, const struct inode *inode)
{
	if (!inode->has_attr) {
		if (inode->names > 0)
			FINDING(count,
				"%" PRIu64 " names of missing inode %" PRIu64 " (in %" PRIu64 ")",
				inode->names, inode->ino, inode->name_parent);
		if (inode->xattrs > 0 || inode->has_target || inode->sustained)
			FINDING(count, "records left of inode %" PRIu64, inode->ino);
		if (inode->chunk_lists > 0 && !inode->removed)
			FINDING(count, "%" PRIu64 " chunk lists left of inode %" PRIu64,
				inode->chunk_lists, inode->ino);
		return;
	}
	if (inode->removed)
		FINDING(count, "inode %" PRIu64 " lives and is in delfiles", inode->ino);
	check_names(count, inode);
	if (is_root(inode->ino))
		return;
	bool is_file = inode->attr.type == LOAM_TYPE_FILE;
	count->out.files += is_file;
	count->out.dirs += inode->attr.type == LOAM_TYPE_DIR;
	count->out.others += !is_file && inode->attr.type != LOAM_TYPE_DIR;
	count->out.used_bytes += is_file ? loam_space(inode->attr.length) : 4096;
	count->out.inodes++;
}

static void check_inodes(struct count *count)
{
	struct inode *inode, *next_inode;
	HASH_ITER (hh, count->inodes, inode, next_inode) {
		check_inode(count, inode);
	}
	struct link_count *link, *next_link;
	HASH_ITER (hh, count->links, link, next_link) {
		const struct inode *target = inode_of(count, link->key.ino);
		int64_t expected = target->has_attr && target->attr.parent == 0 ? link->names : 0;
		if ((link->recorded > 0 ? link->recorded : 0) != expected)
			FINDING(count,
				"inode %" PRIu64 " in %" PRIu64 ": %" PRId64
				" names, p says %" PRId64,
				link->key.ino, link->key.parent, link->names, link->recorded);
		HASH_DEL(count->links, link);
		free(link);
	}
	HASH_ITER (hh, count->inodes, inode, next_inode) {
		HASH_DEL(count->inodes, inode);
		free(inode);
	}
}

static void check_slices(struct count *count)
{
	struct slice_count *slice, *next;
	HASH_ITER (hh, count->slices, slice, next) {
		int64_t stored = slice->stored ? slice->reference + 1 : 1;
		if (slice->records == 0 && slice->stored && slice->reference == -1)
			count->out.freed++;
		else if (slice->records != stored)
			FINDING(count,
				"slice %" PRIu64 " of %" PRIu64 ": %" PRId64 " records, %" PRId64
				" references",
				slice->key.id, slice->key.size, slice->records, stored);
		count->out.slices += slice->records > 0;
		count->out.references += (uint64_t)slice->records;
		HASH_DEL(count->slices, slice);
		free(slice);
	}
}

static int64_t read_counter(struct loam_engine *engine, const char *name)
{
	struct loam_record record = loam_rec_named(LOAM_REC_COUNTER, 0, loam_name_of(name));
	struct loam_value value = { 0 };
	struct loam_err err = { 0 };
	int rc = engine->ops->read(engine, &record, 1, &value, &err);
	loam_assert(rc == 0);
	int64_t result = value.present ? number(value.data, value.bytes) : 0;
	loam_value_release(&value);
	return result;
}

struct loam_recount loam_recount(struct loam_engine *engine)
{
	struct count count = { 0 };
	read_all(engine, &count);
	check_inodes(&count);
	check_slices(&count);
	int64_t used = read_counter(engine, "usedSpace"),
		inodes = read_counter(engine, "totalInodes");
	if (used != count.out.used_bytes)
		FINDING(&count, "usedSpace %" PRId64 ", counted %" PRId64, used,
			count.out.used_bytes);
	if (inodes != count.out.inodes)
		FINDING(&count, "totalInodes %" PRId64 ", counted %" PRId64, inodes,
			count.out.inodes);
	return count.out;
}
