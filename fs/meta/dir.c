/*
 * Listing a directory: a snapshot, read in pages, attributes in batches (`ls -l` of a published
 * tree).
 *
 * A listing may give an entry twice while others write; the snapshot is sorted by name and keeps
 * the later of two equal names. Names stand in arenas, so an entry costs no allocation.
 */
#include "core/auto.h"
#include "fs/meta/meta_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES (256u << 10)
#define ATTR_BATCH  1000 /* attributes read in one trip */

struct arena {
	struct arena *next;
	size_t used;
	char bytes[ARENA_BYTES];
};

struct loam_dir {
	struct loam_dir_entry *entries;
	size_t count, capacity;
	struct arena *arenas;
	struct loam_err err; /* of the listing: set by the callback */
};

void loam_dir_close(struct loam_dir *dir)
{
	if (!dir)
		return;

	while (dir->arenas) {
		struct arena *arena = dir->arenas;
		dir->arenas = arena->next;
		free(arena);
	}
	free(dir->entries);
	free(dir);
}
LOAM_DEFINE_AUTO(auto_dir, struct loam_dir, loam_dir_close)

size_t loam_dir_count(const struct loam_dir *dir)
{
	return dir->count;
}

const struct loam_dir_entry *loam_dir_at(const struct loam_dir *dir, size_t index)
{
	loam_assert(index < dir->count);
	return &dir->entries[index];
}

static struct loam_name keep_name(struct loam_dir *dir, struct loam_name name)
{
	if (!dir->arenas || dir->arenas->used + name.bytes > ARENA_BYTES) {
		struct arena *arena = loam_xnew(struct arena);
		arena->next = dir->arenas;
		dir->arenas = arena;
	}
	struct arena *arena = dir->arenas;
	struct loam_name kept = { .data = arena->bytes + arena->used, .bytes = name.bytes };
	memcpy(arena->bytes + arena->used, name.data, name.bytes);
	arena->used += name.bytes;
	return kept;
}

static int seen_entry(void *arg, const struct loam_record *record, const void *data,
		      size_t data_bytes)
{
	struct loam_dir *dir = arg;
	struct loam_dentry dentry;
	if (record->name.bytes == 0) /* damage that other clients skip too */
		return 0;
	int rc = loam_dentry_decode(data, data_bytes, &dentry, &dir->err);
	if (rc < 0)
		return rc;
	if (dir->count == LOAM_DIR_ENTRIES_MAX)
		return loam_fail(&dir->err, LOAM_E_TOO_LARGE, "more than %u entries",
				 LOAM_DIR_ENTRIES_MAX);
	if (dir->count == dir->capacity) {
		size_t capacity = dir->capacity ? dir->capacity * 2 : 64;
		void *grown = realloc(dir->entries, capacity * sizeof(*dir->entries));
		if (!grown)
			return loam_fail(&dir->err, LOAM_E_BUSY, "no memory for %zu entries",
					 capacity);
		dir->entries = grown;
		dir->capacity = capacity;
	}
	dir->entries[dir->count++] = (struct loam_dir_entry){
		.name = keep_name(dir, record->name),
		.dentry = dentry,
	};
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	struct loam_name left = ((const struct loam_dir_entry *)a)->name;
	struct loam_name right = ((const struct loam_dir_entry *)b)->name;
	size_t common = left.bytes < right.bytes ? left.bytes : right.bytes;
	int order = memcmp(left.data, right.data, common);
	return order ? order : (int)left.bytes - (int)right.bytes;
}

static void sort_unique(struct loam_dir *dir)
{
	size_t kept = 0;
	if (dir->count > 1)
		qsort(dir->entries, dir->count, sizeof(*dir->entries), compare_names);
	for (size_t i = 0; i < dir->count; i++) {
		if (kept > 0 && compare_names(&dir->entries[kept - 1], &dir->entries[i]) == 0)
			kept--;
		dir->entries[kept++] = dir->entries[i];
	}
	dir->count = kept;
}

/* Attributes of the entries [first, first + count), in one trip. */
static int read_attrs(struct loam_meta *meta, struct loam_dir *dir, size_t first, size_t count,
		      struct loam_err *err)
{
	loam_auto_free struct loam_record *records = loam_xcalloc(count, sizeof(*records));
	loam_auto_free struct loam_value *values = loam_xcalloc(count, sizeof(*values));
	for (size_t i = 0; i < count; i++)
		records[i] = loam_rec(LOAM_REC_ATTR, dir->entries[first + i].dentry.ino, 0);

	int rc = meta->engine->ops->read(meta->engine, records, count, values, err);
	if (rc < 0)
		return rc;

	for (size_t i = 0; i < count; i++) {
		struct loam_dir_entry *entry = &dir->entries[first + i];
		struct loam_err ignored = { 0 };
		entry->has_attr =
			values[i].present && loam_attr_decode(values[i].data, values[i].bytes,
							      &entry->attr, &ignored) == 0;
		loam_value_release(&values[i]);
	}
	return 0;
}

static int demand_dir(struct loam_meta *meta, uint64_t ino, struct loam_err *err)
{
	struct loam_attr attr;
	int rc = loam_meta_getattr(meta, ino, &attr, err);
	if (rc < 0)
		return rc;
	if (attr.type != LOAM_TYPE_DIR)
		return loam_fail(err, LOAM_E_NOT_DIR, "inode %" PRIu64 " is no directory", ino);
	return 0;
}

int loam_meta_opendir(struct loam_meta *meta, uint64_t ino, bool with_attrs,
		      struct loam_dir **out_dir, struct loam_err *err)
{
	struct loam_dir *dir __attribute__((cleanup(auto_dir_))) = loam_xnew(struct loam_dir);
	uint64_t cursor = 0;
	int rc;
	do {
		rc = meta->engine->ops->scan(meta->engine, LOAM_REC_DENTRY, ino, &cursor, NULL,
					     seen_entry, dir, err);
		if (rc < 0 && err->code == LOAM_E_OK)
			*err = dir->err;
		if (rc < 0)
			return loam_context(err, "list inode %" PRIu64, ino);
	} while (cursor != 0);

	if (dir->count == 0) { /* what has entries is a directory */
		rc = demand_dir(meta, ino, err);
		if (rc < 0)
			return rc;
	}
	sort_unique(dir);
	for (size_t first = 0; with_attrs && first < dir->count; first += ATTR_BATCH) {
		size_t count = dir->count - first < ATTR_BATCH ? dir->count - first : ATTR_BATCH;
		rc = read_attrs(meta, dir, first, count, err);
		if (rc < 0)
			return rc;
	}
	*out_dir = loam_steal(&dir);
	return 0;
}
