/*
 * Many files of one directory cloned in one transaction, and one file of many chunks in several.
 *
 * A transaction takes at most LOAM_CLONE_FILES_MAX entries and LOAM_CONTENT_CHUNKS_MAX chunk lists.
 * Attrs and chunk lists of files are checked at the commit: together they are one state of the
 * file. Xattrs are taken as they were read (few watched keys keep Redis quick for others).
 *
 * A file of more chunks gets its inode first, then its chunks batch by batch; here the source's
 * attr is checked too, so that all batches belong to one state of the source. When it changes, the
 * copy is removed and made again, a few times. Its directory is detached meanwhile: nobody sees it.
 *
 * Source: volume format document §4.13.
 */
#include "fs/meta/clone.h"

#include "core/auto.h"
#include "core/limits.h"
#include "fs/meta/rules.h"

#include <stdlib.h>
#include <string.h>

#define LARGE_TRIES 3
/* One more attr is read, and so checked, than is taken. */
#define CHECKS_MAX (LOAM_TXN_BULK_CHECKS_MAX - 1)

_Static_assert(2 * LOAM_CLONE_FILES_MAX <= CHECKS_MAX, "a batch of small files must fit");

struct loam_clone_batch *loam_clone_batch_new(struct loam_clone *clone, uint64_t to_parent)
{
	struct loam_clone_batch *batch = loam_xnew(struct loam_clone_batch);
	batch->clone = clone;
	batch->to_parent = to_parent;
	return batch;
}

void loam_clone_batch_free(struct loam_clone_batch *batch)
{
	if (!batch)
		return;
	for (size_t i = 0; i < batch->count; i++)
		free(batch->entries[i].name);
	free(batch);
}

static struct loam_name name_of(const struct loam_clone_source *source)
{
	return (struct loam_name){ .data = source->name, .bytes = source->name_bytes };
}

static void put_name(struct loam_txn *txn, const struct loam_clone_batch *batch,
		     const struct loam_clone_source *source, uint8_t type)
{
	struct loam_dentry dentry = { .type = type, .ino = source->to };
	loam_txn_put_dentry(txn, batch->to_parent, name_of(source), &dentry);
}

static int name_failure(const struct loam_clone_source *source, struct loam_err *err)
{
	return loam_context(err, "%.*s", (int)source->name_bytes, source->name);
}

/* ---- one transaction of small files ------------------------------------------------------- */

struct part {
	struct loam_clone_batch *batch;
	size_t first, end; /* entries [first, end) are in this transaction */
	size_t limit; /* of entries in one transaction: fewer where others write at the same time */
	bool large;   /* entries[end] has more chunks than a transaction takes */
	struct loam_attr attrs[LOAM_CLONE_FILES_MAX];
	bool present[LOAM_CLONE_FILES_MAX];
	uint64_t files, bytes;
	int64_t space;
};

/* Reads the attrs and finds out how many entries fit. */
static int choose(struct loam_txn *txn, struct part *part, struct loam_err *err)
{
	const struct loam_clone_batch *batch = part->batch;
	uint32_t checks = 0;
	for (part->end = part->first;
	     part->end < batch->count && part->end - part->first < part->limit; part->end++) {
		const struct loam_clone_source *source = &batch->entries[part->end];
		struct loam_attr *attr = &part->attrs[part->end];
		int found = loam_clone_read_attr(txn, batch->clone, source->from, true, attr, err);
		if (found < 0)
			return name_failure(source, err);
		part->present[part->end] = found && attr->type != LOAM_TYPE_DIR;
		uint32_t chunks = part->present[part->end] ? loam_clone_chunk_count(attr) : 0;
		part->large = chunks > LOAM_CONTENT_CHUNKS_MAX;
		if (part->large || checks + 1 + chunks > CHECKS_MAX)
			break;
		checks += 1 + chunks;
		for (uint32_t i = 1; i < chunks; i++) {
			struct loam_record chunk = loam_rec(LOAM_REC_CHUNK, source->from, i);
			loam_txn_want(txn, &chunk);
		}
	}
	return 0;
}

static int put_entry(struct loam_txn *txn, struct part *part, size_t index, struct loam_err *err)
{
	const struct loam_clone_batch *batch = part->batch;
	const struct loam_clone_source *source = &batch->entries[index];
	const struct loam_attr *attr = &part->attrs[index];
	struct loam_attr made;
	int rc = loam_clone_put_inode(txn, batch->clone, source->from, attr, source->to,
				      batch->to_parent, &made, err);
	if (rc == 0)
		rc = loam_clone_put_chunks(txn, source->from, source->to, 0,
					   loam_clone_chunk_count(attr), err);
	if (rc < 0)
		return name_failure(source, err);
	put_name(txn, batch, source, attr->type);
	part->files++;
	part->bytes += attr->type == LOAM_TYPE_FILE ? attr->length : 0;
	part->space += attr->type == LOAM_TYPE_FILE ? loam_space(attr->length) : loam_space(0);
	return 0;
}

static int clone_part(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct part *part = arg;
	part->files = 0;
	part->bytes = 0;
	part->space = 0;
	part->large = false;
	/* Attrs first: side by side they are asked for together. */
	for (size_t i = part->first; i < part->batch->count && i - part->first < part->limit; i++)
		loam_txn_want_attr(txn, part->batch->entries[i].from);
	for (size_t i = part->first; i < part->batch->count && i - part->first < part->limit; i++)
		loam_clone_want_entry(txn, part->batch->entries[i].from,
				      part->batch->entries[i].type);
	int rc = choose(txn, part, err);
	if (rc < 0)
		return rc;
	for (size_t i = part->first; i < part->end; i++) {
		rc = part->present[i] ? put_entry(txn, part, i, err) : 0;
		if (rc < 0)
			return rc;
	}
	rc = loam_rules_space(part->batch->clone->meta, part->space, (int64_t)part->files, err);
	if (rc == 0 && part->files > 0)
		loam_txn_add_usage(txn, part->space, (int64_t)part->files);
	return rc;
}

/* ---- one file of many chunks -------------------------------------------------------------- */

struct large {
	struct loam_clone_batch *batch;
	const struct loam_clone_source *source;
	struct loam_attr attr; /* of the source, when its copy began */
	uint32_t first, count;
	bool vanished;
};

static int begin_large(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct large *large = arg;
	const struct loam_clone_source *source = large->source;
	struct loam_clone *clone = large->batch->clone;
	loam_clone_want_entry(txn, source->from, LOAM_TYPE_DIR);
	int found = loam_clone_read_attr(txn, clone, source->from, true, &large->attr, err);
	large->vanished = found == 0;
	if (found <= 0)
		return found;

	struct loam_attr made;
	int rc = loam_rules_space(clone->meta, loam_space(large->attr.length), 1, err);
	if (rc == 0)
		rc = loam_clone_put_inode(txn, clone, source->from, &large->attr, source->to,
					  large->batch->to_parent, &made, err);
	if (rc < 0)
		return rc;
	put_name(txn, large->batch, source, LOAM_TYPE_FILE);
	loam_txn_add_usage(txn, loam_space(large->attr.length), 1);
	return 0;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static int go_on_large(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct large *large = arg;
	const struct loam_clone_source *source = large->source;
	loam_txn_want_attr(txn, source->from);
	loam_txn_want_attr(txn, source->to);
	for (uint32_t i = 0; i < large->count; i++) {
		struct loam_record chunk = loam_rec(LOAM_REC_CHUNK, source->from, large->first + i);
		loam_txn_want(txn, &chunk);
	}
	struct loam_attr from, to;
	int found = loam_txn_attr(txn, source->from, &from, err);
	if (found > 0)
		found = loam_txn_attr(txn, source->to, &to, err);
	if (found < 0)
		return found;
	if (found == 0 || from.length != large->attr.length ||
	    !same_time(from.ctime, large->attr.ctime))
		return loam_fail(err, LOAM_E_CONFLICT, "the source changed while it was cloned");
	int rc = loam_clone_put_chunks(txn, source->from, source->to, large->first, large->count,
				       err);
	if (rc == 0)
		loam_txn_put_attr(txn, source->to, &to);
	return rc;
}

static int try_large(struct large *large, struct loam_err *err)
{
	struct loam_clone *clone = large->batch->clone;
	int rc = loam_meta_run(clone->meta, LOAM_TXN_BULK, begin_large, large, err);
	if (rc < 0 || large->vanished)
		return rc;
	uint32_t end = loam_clone_chunk_count(&large->attr);
	for (large->first = 0; large->first < end; large->first += large->count) {
		if (loam_clone_stopped(clone))
			return loam_fail(err, LOAM_E_INTERRUPTED, "the clone was given up");
		large->count = end - large->first < LOAM_CONTENT_CHUNKS_MAX
				       ? end - large->first
				       : LOAM_CONTENT_CHUNKS_MAX;
		rc = loam_meta_run(clone->meta, LOAM_TXN_BULK, go_on_large, large, err);
		if (rc < 0)
			return rc;
	}
	loam_clone_count(clone, 1, 0, large->attr.length);
	return 0;
}

static int clone_large(struct loam_clone_batch *batch, struct loam_clone_source *source,
		       struct loam_err *err)
{
	struct large large = { .batch = batch, .source = source };
	for (int tries = 1;; tries++) {
		int rc = try_large(&large, err);
		if (rc != -LOAM_E_CONFLICT || tries == LARGE_TRIES)
			return rc < 0 ? name_failure(source, err) : 0;
		loam_err_clear(err);
		rc = loam_meta_unlink(batch->clone->meta, &loam_who_root, batch->to_parent,
				      name_of(source), NULL, err);
		if (rc < 0 && rc != -LOAM_E_NOT_FOUND)
			return name_failure(source, err);
		loam_err_clear(err);
		rc = loam_meta_new_inode(batch->clone->meta, &source->to, err);
		if (rc < 0)
			return rc;
	}
}

/* One transaction. Files that others write to all the time make a large one fail again and again,
 * and files of very many records do not fit together: then it is tried with half as many entries.
 */
static int run_part(struct part *part, struct loam_err *err)
{
	for (;;) {
		int rc = loam_meta_run(part->batch->clone->meta, LOAM_TXN_BULK, clone_part, part,
				       err);
		if ((rc != -LOAM_E_CONFLICT && rc != -LOAM_E_TOO_BIG) || part->limit == 1)
			return rc;
		loam_err_clear(err);
		part->limit = (part->end - part->first + 1) / 2;
		if (part->limit == 0)
			part->limit = 1;
	}
}

int loam_clone_batch_run(struct loam_clone_batch *batch, struct loam_err *err)
{
	loam_auto_free struct part *part = loam_xnew(struct part);
	part->batch = batch;
	part->limit = LOAM_CLONE_FILES_MAX;
	for (part->first = 0; part->first < batch->count; part->first = part->end) {
		if (loam_clone_stopped(batch->clone))
			return 0;
		int rc = run_part(part, err);
		if (rc < 0)
			return rc;
		loam_clone_count(batch->clone, part->files, 0, part->bytes);
		if (!part->large)
			continue;
		rc = clone_large(batch, &batch->entries[part->end], err);
		if (rc < 0)
			return rc;
		part->end++;
	}
	return 0;
}

/* ---- directories -------------------------------------------------------------------------- */

struct dirs {
	struct loam_clone_batch *batch;
	bool *cloned;
	uint32_t *nlink;
	uint64_t made;
};

static int clone_dirs(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct dirs *dirs = arg;
	struct loam_clone_batch *batch = dirs->batch;
	struct loam_clone *clone = batch->clone;
	dirs->made = 0;
	for (size_t i = 0; i < batch->count; i++)
		loam_clone_want_entry(txn, batch->entries[i].from, LOAM_TYPE_DIR);
	for (size_t i = 0; i < batch->count; i++) {
		const struct loam_clone_source *source = &batch->entries[i];
		struct loam_attr attr, made;
		int found = loam_clone_read_attr(txn, clone, source->from, false, &attr, err);
		dirs->cloned[i] = found > 0 && attr.type == LOAM_TYPE_DIR;
		int rc = found < 0 ? found : 0;
		if (dirs->cloned[i])
			rc = loam_clone_put_inode(txn, clone, source->from, &attr, source->to,
						  batch->to_parent, &made, err);
		if (rc < 0)
			return name_failure(source, err);
		if (!dirs->cloned[i])
			continue;
		put_name(txn, batch, source, LOAM_TYPE_DIR);
		dirs->nlink[i] = made.nlink;
		dirs->made++;
	}
	int rc =
		loam_rules_space(clone->meta, (int64_t)dirs->made * 4096, (int64_t)dirs->made, err);
	if (rc == 0 && dirs->made > 0)
		loam_txn_add_usage(txn, (int64_t)dirs->made * 4096, (int64_t)dirs->made);
	return rc;
}

int loam_clone_batch_dirs(struct loam_clone_batch *batch, bool *out_cloned, uint32_t *out_nlink,
			  struct loam_err *err)
{
	struct dirs dirs = { .batch = batch, .cloned = out_cloned, .nlink = out_nlink };
	int rc = loam_meta_run(batch->clone->meta, LOAM_TXN_BULK, clone_dirs, &dirs, err);
	if (rc == 0)
		loam_clone_count(batch->clone, 0, dirs.made, 0);
	return rc;
}
