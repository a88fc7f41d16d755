/*
 * Compaction: the bytes. Many records of a chunk become one slice (format §5.6); which ones is
 * chosen by fs/meta/compact.h, the commit is loam_meta_compact().
 *
 * Done in the background, asked for by readers that meet a long list and by writers that leave one.
 * One compaction per chunk at a time; what does not fit into the queue is dropped: the next reader
 * asks again. When somebody else changed the records meanwhile the new slice is removed, nothing is
 * lost.
 */
#include "core/log.h"
#include "fs/data/data_internal.h"

#include <string.h>

#define THREADS	   2
#define JOBS_MAX   64
#define COPY_BYTES (1u << 20)

struct job {
	struct loam_compactor *compactor;
	uint64_t ino;
	uint32_t chunk_index;
	bool used;
};

struct loam_compactor {
	struct loam_data *data;
	struct loam_pool *pool;
	pthread_mutex_t lock; /* all below */
	struct job jobs[JOBS_MAX];
	bool refused; /* the volume is read-only for us: never ask again */
};

static int copy_piece(struct loam_data *data, const struct loam_slice *piece, uint8_t *buffer,
		      struct loam_slice_writer *writer, struct loam_err *err)
{
	uint32_t done = 0;
	while (done < piece->len) {
		uint32_t step = piece->len - done < COPY_BYTES ? piece->len - done : COPY_BYTES;
		int rc = 0;
		if (piece->id == 0)
			memset(buffer, 0, step);
		else
			rc = loam_data_read_slice(data, piece->id, piece->size, piece->off + done,
						  buffer, step, err);
		if (rc == 0)
			rc = loam_slice_writer_add(writer, buffer, step, err);
		if (rc < 0)
			return rc;
		done += step;
	}
	return 0;
}

static int copy_pieces(struct loam_data *data, const struct loam_compact_plan *plan,
		       struct loam_slice_writer *writer, struct loam_slice *out,
		       struct loam_err *err)
{
	loam_auto_free uint8_t *buffer = loam_xcalloc(1, COPY_BYTES);
	for (size_t i = 0; i < plan->piece_count; i++) {
		int rc = copy_piece(data, &plan->pieces[i], buffer, writer, err);
		if (rc < 0)
			return rc;
	}
	*out = (struct loam_slice){ .pos = plan->pos };
	int rc = loam_slice_writer_finish(writer, &out->id, &out->size, err);
	out->len = out->size;
	return rc;
}

static int compact_planned(struct loam_data *data, uint64_t ino, uint32_t chunk_index,
			   const struct loam_chunk *chunk, const struct loam_compact_plan *plan,
			   struct loam_err *err)
{
	struct loam_slice_writer *writer;
	int rc = loam_slice_writer_new(data, &writer, err);
	if (rc < 0)
		return rc;
	struct loam_slice replacement;
	rc = copy_pieces(data, plan, writer, &replacement, err);
	loam_slice_writer_free(writer);
	if (rc < 0)
		return rc;
	rc = loam_meta_compact(data->meta, ino, chunk_index, chunk->slices,
			       plan->skipped + plan->compacted, plan->skipped, &replacement, err);
	if (rc == -LOAM_E_CONFLICT || rc == -LOAM_E_NOT_FOUND)
		loam_data_remove_blocks(data->store, &data->naming, replacement.id,
					replacement.size);
	return rc;
}

int loam_compact_chunk(struct loam_data *data, uint64_t ino, uint32_t chunk_index,
		       struct loam_err *err)
{
	struct loam_chunk chunk = { 0 };
	int rc = loam_meta_chunks(data->meta, ino, chunk_index, 1, &chunk, err);
	if (rc < 0)
		return rc;
	loam_auto_free struct loam_slice *owned_records = chunk.slices;
	struct loam_compact_plan plan = { 0 };
	rc = loam_compact_select(chunk.slices, chunk.slice_count, &plan, err);
	if (rc <= 0)
		return rc;
	loam_auto_free struct loam_slice *owned_pieces = plan.pieces;
	rc = compact_planned(data, ino, chunk_index, &chunk, &plan, err);
	return rc < 0 ? rc : 1;
}

/* ---- in the background ---- */

static void run_job(void *arg)
{
	struct job *job = arg;
	struct loam_compactor *compactor = job->compactor;
	struct loam_err err = { 0 };
	int rc = loam_compact_chunk(compactor->data, job->ino, job->chunk_index, &err);
	if (rc < 0)
		loam_debug("data.compact", "ino=%llu chunk=%u why=%s", (unsigned long long)job->ino,
			   job->chunk_index, err.text);

	loam_guard(&compactor->lock);
	compactor->refused = compactor->refused || rc == -LOAM_E_READ_ONLY;
	job->used = false;
}

void loam_compact_ask(struct loam_data *data, uint64_t ino, uint32_t chunk_index)
{
	struct loam_compactor *compactor = data->compactor;
	loam_guard(&compactor->lock);
	struct job *free_job = NULL;
	for (size_t i = 0; i < JOBS_MAX; i++) {
		struct job *job = &compactor->jobs[i];
		if (job->used && job->ino == ino && job->chunk_index == chunk_index)
			return;
		if (!job->used)
			free_job = job;
	}
	if (compactor->refused || !free_job)
		return;
	*free_job = (struct job){ compactor, ino, chunk_index, true };
	if (!loam_pool_try(compactor->pool, run_job, free_job))
		free_job->used = false;
}

struct loam_compactor *loam_compactor_new(struct loam_data *data, struct loam_err *err)
{
	struct loam_compactor *compactor = loam_xnew(struct loam_compactor);
	compactor->data = data;
	pthread_mutex_init(&compactor->lock, NULL);
	if (loam_pool_new("compact", THREADS, JOBS_MAX, &compactor->pool, err) < 0) {
		loam_compactor_free(compactor);
		return NULL;
	}
	return compactor;
}

void loam_compactor_free(struct loam_compactor *compactor)
{
	if (!compactor)
		return;
	loam_pool_free(compactor->pool);
	pthread_mutex_destroy(&compactor->lock);
	free(compactor);
}
