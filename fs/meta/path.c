/*
 * The path of an inode, for messages and fsck: from the inode upward by its Parent, or by one of
 * its p<ino> records when it has ever been hard-linked; each name is looked for in its parent's
 * listing.
 *
 * Bounds: a chain of parents that closes to a ring, or is longer than a path can be, is CORRUPT.
 * Source: volume format document §2.2 (p<ino>), §11.2 item 21.
 */
#include "fs/meta/meta.h"
#include "fs/meta/txn.h"

#include "core/auto.h"
#include "core/limits.h"

#include <stdlib.h>
#include <string.h>

struct search {
	uint64_t ino;
	bool found;
	char name[LOAM_NAME_BYTES_MAX];
	uint16_t name_bytes;
};

static int seen_entry(void *arg, const struct loam_record *record, const void *data,
		      size_t data_bytes)
{
	struct search *search = arg;
	struct loam_dentry dentry;
	struct loam_err err = { 0 };
	if (search->found || record->name.bytes > LOAM_NAME_BYTES_MAX ||
	    loam_dentry_decode(data, data_bytes, &dentry, &err) < 0 || dentry.ino != search->ino)
		return 0;
	search->found = true;
	memcpy(search->name, record->name.data, record->name.bytes);
	search->name_bytes = record->name.bytes;
	return 0;
}

/* The name of ino in its parent: 1, 0 when the parent does not have it, -code. */
static int name_in(struct loam_engine *engine, uint64_t parent, uint64_t ino,
		   struct search *out_search, struct loam_err *err)
{
	*out_search = (struct search){ .ino = ino };
	uint64_t cursor = 0;
	do {
		int rc = engine->ops->scan(engine, LOAM_REC_DENTRY, parent, &cursor, NULL,
					   seen_entry, out_search, err);
		if (rc < 0)
			return rc;
	} while (cursor != 0 && !out_search->found);
	return out_search->found;
}

/* A parent of a file with hard links: the first with a count above 0. 1, 0 none, -code. */
static int linked_parent(struct loam_engine *engine, uint64_t ino, uint64_t *out_parent,
			 struct loam_err *err)
{
	struct loam_record record = loam_rec(LOAM_REC_PARENTS, ino, 0);
	struct loam_value packed;
	int rc = engine->ops->read(engine, &record, 1, &packed, err);
	if (rc < 0)
		return rc;
	size_t offset = 0;
	struct loam_name name;
	const void *data;
	uint32_t bytes;
	int found = 0;
	while (found == 0) {
		rc = loam_packed_next(&packed, &offset, &name, &data, &bytes, err);
		if (rc <= 0)
			break;
		char count[24] = "", parent[24] = "";
		if (bytes >= sizeof(count) || name.bytes >= sizeof(parent))
			continue;
		memcpy(count, data, bytes);
		memcpy(parent, name.data, name.bytes);
		*out_parent = strtoull(parent, NULL, 10);
		found = strtoll(count, NULL, 10) > 0 && *out_parent > 0;
	}
	loam_value_release(&packed);
	return rc < 0 ? rc : found;
}

static int parent_of(struct loam_meta *meta, uint64_t ino, uint64_t *out_parent,
		     struct loam_err *err)
{
	struct loam_attr attr;
	int rc = loam_meta_getattr(meta, ino, &attr, err);
	if (rc < 0)
		return rc;
	*out_parent = attr.parent;
	if (attr.parent != 0)
		return 1;
	return linked_parent(loam_meta_engine(meta), ino, out_parent, err);
}

/* Puts "/name" in front. */
static int prepend(struct loam_buf *path, const struct search *search, struct loam_err *err)
{
	size_t old_bytes = path->bytes, more = (size_t)search->name_bytes + 1;
	int rc = loam_buf_add(path, "/", 1, err);
	if (rc == 0)
		rc = loam_buf_add(path, search->name, search->name_bytes, err);
	if (rc < 0)
		return rc;
	memmove(path->data + more, path->data, old_bytes);
	path->data[0] = '/';
	memcpy(path->data + 1, search->name, search->name_bytes);
	return 0;
}

int loam_meta_path(struct loam_meta *meta, uint64_t ino, struct loam_buf *out, struct loam_err *err)
{
	loam_auto_buf struct loam_buf path = LOAM_BUF(LOAM_PATH_BYTES_MAX);
	struct search search;
	/* Every step adds two bytes at least, so the buffer's limit ends a ring too. */
	for (uint64_t at = ino; at != LOAM_INO_ROOT;) {
		uint64_t parent;
		int rc = parent_of(meta, at, &parent, err);
		if (rc < 0)
			return rc;
		int found = rc == 0 ? 0 : name_in(loam_meta_engine(meta), parent, at, &search, err);
		if (found < 0)
			return found;
		if (found == 0)
			return loam_fail(err, LOAM_E_NOT_FOUND, "inode %llu has no name",
					 (unsigned long long)at);
		rc = prepend(&path, &search, err);
		if (rc < 0)
			return loam_context(err, "path of inode %llu", (unsigned long long)ino);
		at = parent;
	}
	if (path.bytes == 0)
		return loam_buf_add_text(out, "/", err);
	return loam_buf_add(out, path.data, path.bytes, err);
}
