/*
 * `loam fsck`, the volume's part: the order of the looks, counters (V10), what is left over
 * (fs/fsck.h). Proves what steps 3 to 9 of a push must leave behind.
 */
#include "fs/fsck.h"

#include "core/clock.h"
#include "fs/fsck_internal.h"

#include <stdio.h>
#include <string.h>

typedef unsigned long long ull;

/* Counters only grow and are raised before a number is used: read last, they bound all numbers. */
static int check_counters(struct loam_fsck *fsck, struct loam_err *err)
{
	int64_t inodes, slices, trash;
	int rc = loam_fsck_counter(fsck, "nextinode", &inodes, err);
	if (rc == 0)
		rc = loam_fsck_counter(fsck, "nextchunk", &slices, err);
	if (rc == 0)
		rc = loam_fsck_counter(fsck, "nextTrash", &trash, err);
	if (rc < 0)
		return rc;
	if (fsck->max_ino > LOAM_INO_ROOT && (int64_t)fsck->max_ino > inodes)
		loam_fsck_report(fsck, "V10", "inode %llu is in use, nextinode is %lld",
				 (ull)fsck->max_ino, (long long)inodes);
	if (fsck->max_trash > LOAM_INO_TRASH_ROOT &&
	    (int64_t)(fsck->max_trash - LOAM_INO_TRASH_ROOT) > trash)
		loam_fsck_report(fsck, "V10", "trash directory %llu is in use, nextTrash is %lld",
				 (ull)(fsck->max_trash - LOAM_INO_TRASH_ROOT), (long long)trash);
	uint64_t slice =
		fsck->max_slice > fsck->max_block_slice ? fsck->max_slice : fsck->max_block_slice;
	if (slice > INT64_MAX || (int64_t)slice > slices)
		loam_fsck_report(fsck, "V10", "slice %llu is in use%s, nextchunk is %lld",
				 (ull)slice, slice > fsck->max_slice ? " in the store" : "",
				 (long long)slices);
	return 0;
}

/* Chunk lists that no file has any more: upstream leaves some behind (volume format §4.5). */
static int count_left(struct loam_fsck *fsck, struct loam_err *err)
{
	struct loam_fsck_inode *inode, *next;
	HASH_ITER (hh, fsck->inodes, inode, next) {
		if (!inode->has_chunks || inode->has_attr || inode->bad_attr || inode->removed)
			continue;
		struct loam_record record = loam_rec(LOAM_REC_ATTR, inode->ino, 0);
		struct loam_value value = { 0 };
		int rc = loam_fsck_read(fsck, &record, &value, err);
		if (rc < 0)
			return rc;
		fsck->stats.left_chunks += !value.present;
		loam_value_release(&value);
	}
	return 0;
}

static int check_inodes(struct loam_fsck *fsck, struct loam_err *err)
{
	struct loam_fsck_inode *inode, *next;
	loam_fsck_inode_of(fsck, LOAM_INO_ROOT);
	HASH_ITER (hh, fsck->inodes, inode, next)
		loam_fsck_judge_inode(fsck, inode);
	loam_fsck_judge_links(fsck);
	loam_fsck_judge_rings(fsck);
	if (fsck->suspect_inodes == 0)
		return 0;
	return loam_fsck_inodes_again(fsck, err);
}

static int run(struct loam_fsck *fsck, struct loam_err *err)
{
	int rc = fsck->engine->ops->now(fsck->engine, &fsck->now, err);
	if (rc == 0)
		rc = loam_fsck_list_inodes(fsck, err);
	if (rc == 0)
		rc = loam_fsck_list_slices(fsck, err);
	if (rc == 0)
		rc = loam_fsck_list_small(fsck, err);
	if (rc == 0)
		rc = check_inodes(fsck, err);
	if (rc == 0)
		rc = count_left(fsck, err);
	if (rc == 0)
		rc = loam_fsck_check_references(fsck, err);
	if (rc == 0)
		rc = loam_fsck_check_blocks(fsck, err);
	return rc < 0 ? rc : check_counters(fsck, err);
}

static void init(struct loam_fsck *fsck, struct loam_volume *volume)
{
	const struct loam_format *format = loam_meta_format(volume->meta);
	fsck->volume = volume;
	fsck->engine = loam_meta_engine(volume->meta);
	fsck->naming.block_bytes = format->block_kib << 10;
	fsck->naming.hash_prefix = format->hash_prefix;
	snprintf(fsck->naming.volume, sizeof(fsck->naming.volume), "%s", format->name);
}

int loam_fsck_volume(struct loam_volume *volume, const struct loam_fsck_options *options,
		     const struct loam_fsck_sink *sink, struct loam_fsck_stats *out_stats,
		     struct loam_err *err)
{
	struct loam_fsck fsck = { .options = options, .sink = sink };
	init(&fsck, volume);
	int rc = run(&fsck, err);
	if (rc == 0)
		*out_stats = fsck.stats;
	loam_fsck_release(&fsck);
	return rc;
}

int loam_fsck_physical(struct loam_volume *volume, struct loam_physical *out, struct loam_err *err)
{
	const struct loam_fsck_options options = { .grace_seconds = LOAM_FSCK_GRACE_SECONDS };
	struct loam_fsck_sink sink = { .found = NULL };
	struct loam_fsck fsck = { .options = &options, .sink = &sink };
	init(&fsck, volume);
	int rc = loam_fsck_list_held(&fsck, err);
	if (rc == 0)
		rc = loam_fsck_list_blocks(&fsck, err);
	struct loam_physical physical = { .blocks = fsck.stats.blocks,
					  .block_bytes = fsck.stats.block_bytes };
	for (struct loam_fsck_slice *first = fsck.slices; first; first = first->hh.next) {
		for (struct loam_fsck_slice *slice = first; slice; slice = slice->variant) {
			physical.slices++;
			physical.slice_bytes += slice->size;
		}
	}
	loam_fsck_release(&fsck);
	if (rc == 0)
		*out = physical;
	return rc;
}
