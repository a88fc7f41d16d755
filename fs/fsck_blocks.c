/*
 * Blocks (V05) and what the volume really takes (fs/fsck.h): one listing of the store, compared
 * with the slices that the metadata names.
 *
 * The store is listed after the metadata: a slice's blocks are there before a record names it. One
 * that is missing is asked for by name, and then its slice must still be named.
 */
#include "core/clock.h"
#include "fs/fsck_internal.h"

#include <string.h>

typedef unsigned long long ull;

#define PROGRESS_EACH 8192

static bool bit_is_set(const struct loam_fsck_slice *slice, uint32_t index)
{
	return slice->seen[index / 64] >> (index % 64) & 1;
}

static int seen_block(void *arg, const struct loam_store_entry *entry, struct loam_err *err)
{
	struct loam_fsck *fsck = arg;
	uint64_t id;
	uint32_t index, block_bytes;
	if (!loam_block_key_parse(&fsck->naming, entry->key, &id, &index, &block_bytes))
		return 0;
	fsck->stats.blocks++;
	fsck->stats.block_bytes += entry->bytes;
	if (fsck->sink && fsck->sink->progress && fsck->stats.blocks % PROGRESS_EACH == 0)
		fsck->sink->progress(fsck->sink->arg, "blocks", fsck->stats.blocks);
	if (id > fsck->max_block_slice)
		fsck->max_block_slice = id;
	bool is_named = false;
	struct loam_fsck_slice *slice;
	HASH_FIND(hh, fsck->slices, &id, sizeof(id), slice);
	for (; slice; slice = slice->variant) {
		if (index >= slice->block_count ||
		    loam_block_bytes(&fsck->naming, slice->size, index) != block_bytes)
			continue;
		is_named = true;
		if (entry->bytes == block_bytes)
			slice->seen[index / 64] |= 1ull << (index % 64);
	}
	if (!is_named && fsck->now - entry->mtime >= fsck->options->grace_seconds) {
		fsck->stats.extra_blocks++;
		fsck->stats.extra_bytes += entry->bytes;
	}
	return 0;
}

int loam_fsck_list_blocks(struct loam_fsck *fsck, struct loam_err *err)
{
	char prefix[sizeof(fsck->naming.volume) + 16];
	snprintf(prefix, sizeof(prefix), "%s/chunks/", fsck->naming.volume);
	struct loam_store *store = fsck->volume->store;
	int rc = store->ops->list(store, prefix, seen_block, fsck, err);
	return rc < 0 ? loam_context(err, "list the blocks") : 0;
}

/* Does the record that named the slice still do? */
static int is_still_named(struct loam_fsck *fsck, const struct loam_fsck_slice *slice,
			  struct loam_err *err)
{
	struct loam_value value = { 0 };
	int rc = loam_fsck_read(fsck, &slice->holder, &value, err);
	bool delayed = slice->holder.kind == LOAM_REC_DELSLICES;
	uint8_t wanted[12]; /* id, size */
	loam_delslice_encode(slice->id, slice->size, wanted);
	size_t step = delayed ? LOAM_DELSLICE_BYTES : LOAM_SLICE_BYTES;
	size_t offset = delayed ? 0 : 4; /* behind a chunk record's position */
	int named = 0;
	for (size_t at = 0; rc == 0 && value.present && at + step <= value.bytes; at += step)
		named |= memcmp(value.data + at + offset, wanted, sizeof(wanted)) == 0;
	loam_value_release(&value);
	return rc < 0 ? rc : named;
}

static void describe_holder(struct loam_fsck *fsck, const struct loam_fsck_slice *slice, char *out,
			    size_t out_bytes)
{
	const struct loam_record *holder = &slice->holder;
	if (holder->kind == LOAM_REC_DELSLICES) {
		snprintf(out, out_bytes, "deleted, kept until the trash expires");
		return;
	}
	loam_auto_buf struct loam_buf path = LOAM_BUF(LOAM_PATH_BYTES_MAX);
	struct loam_err unknown = { 0 };
	char shown[LOAM_FSCK_SHOWN_BYTES] = "";
	if (loam_meta_path(fsck->volume->meta, holder->id, &path, &unknown) == 0)
		loam_fsck_shown((struct loam_name){ .data = loam_buf_text(&path),
						    .bytes = (uint16_t)path.bytes },
				shown);
	snprintf(out, out_bytes, "chunk %llu of inode %llu %s", (ull)holder->sub, (ull)holder->id,
		 shown);
}

static int check_block(struct loam_fsck *fsck, const struct loam_fsck_slice *slice, uint32_t index,
		       struct loam_err *err)
{
	char key[LOAM_BLOCK_KEY_BYTES], holder[256];
	uint64_t bytes = 0;
	struct loam_store *store = fsck->volume->store;
	uint32_t expected = loam_block_bytes(&fsck->naming, slice->size, index);
	loam_block_key(&fsck->naming, slice->id, slice->size, index, key);
	int found = store->ops->size(store, key, &bytes, err);
	if (found < 0)
		return found;
	if (found == 1 && bytes == expected)
		return 0;
	int named = is_still_named(fsck, slice, err);
	if (named <= 0)
		return named;
	describe_holder(fsck, slice, holder, sizeof(holder));
	if (found == 0)
		loam_fsck_report(fsck, "V05", "block %s is missing (%s)", key, holder);
	else
		loam_fsck_report(fsck, "V05", "block %s has %llu bytes (%s)", key, (ull)bytes,
				 holder);
	return 0;
}

int loam_fsck_check_blocks(struct loam_fsck *fsck, struct loam_err *err)
{
	int rc = loam_fsck_list_blocks(fsck, err);
	struct loam_fsck_slice *first = fsck->slices;
	for (; rc == 0 && first; first = first->hh.next) {
		for (struct loam_fsck_slice *slice = first; slice; slice = slice->variant) {
			for (uint32_t i = 0; rc == 0 && i < slice->block_count; i++) {
				if (slice->records > 0 && !bit_is_set(slice, i))
					rc = check_block(fsck, slice, i, err);
			}
		}
	}
	return rc;
}
