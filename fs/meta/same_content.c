/*
 * Comparing files by their slices (fs/meta/same_content.h): the resolved lists of both, chunk by
 * chunk, clipped to the length.
 */
#include "fs/meta/same_content.h"

#include "core/auto.h"
#include "core/limits.h"

#define CHUNKS_AT_ONCE 16

struct pieces {
	struct loam_slice *list; /* resolved; free() */
	size_t count;
};

static uint32_t chunk_count(uint64_t length)
{
	return (uint32_t)((length + LOAM_CHUNK_BYTES - 1) / LOAM_CHUNK_BYTES);
}

/* Bytes of the chunk that belong to a file of this length. */
static uint32_t chunk_bytes(uint32_t index, uint64_t length)
{
	uint64_t left = length - (uint64_t)index * LOAM_CHUNK_BYTES;
	return left < LOAM_CHUNK_BYTES ? (uint32_t)left : LOAM_CHUNK_BYTES;
}

static void clip(struct pieces *pieces, uint32_t bytes)
{
	while (pieces->count > 0 && pieces->list[pieces->count - 1].pos >= bytes)
		pieces->count--;
	if (pieces->count == 0)
		return;
	struct loam_slice *last = &pieces->list[pieces->count - 1];
	if (last->len > bytes - last->pos)
		last->len = bytes - last->pos;
}

/* The pieces of chunks [first, first + count), clipped to the file. */
static int read_pieces(struct loam_meta *meta, uint64_t ino, uint32_t first, uint32_t count,
		       uint64_t length, struct pieces *out, struct loam_err *err)
{
	struct loam_chunk chunks[CHUNKS_AT_ONCE] = { 0 };
	int rc = loam_meta_chunks(meta, ino, first, count, chunks, err);
	for (uint32_t i = 0; i < count; i++) {
		if (rc == 0)
			rc = loam_slices_resolve(chunks[i].slices, chunks[i].slice_count,
						 &out[i].list, &out[i].count, err);
		if (rc == 0)
			clip(&out[i], chunk_bytes(first + i, length));
		free(chunks[i].slices);
	}
	return rc;
}

static void free_pieces(struct pieces *pieces, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		free(pieces[i].list);
}

static bool pieces_equal(const struct pieces *a, const struct pieces *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		const struct loam_slice *x = &a->list[i], *y = &b->list[i];
		if (x->pos != y->pos || x->len != y->len || x->id != y->id ||
		    (x->id != 0 && x->off != y->off))
			return false;
	}
	return true;
}

int loam_meta_same_content(struct loam_meta *meta, uint64_t a, uint64_t b, uint64_t length,
			   struct loam_err *err)
{
	uint32_t chunks = chunk_count(length);
	int rc = 0;
	bool same = true;
	for (uint32_t first = 0; rc == 0 && same && first < chunks; first += CHUNKS_AT_ONCE) {
		struct pieces of_a[CHUNKS_AT_ONCE] = { 0 }, of_b[CHUNKS_AT_ONCE] = { 0 };
		uint32_t count = chunks - first < CHUNKS_AT_ONCE ? chunks - first : CHUNKS_AT_ONCE;
		rc = read_pieces(meta, a, first, count, length, of_a, err);
		if (rc == 0)
			rc = read_pieces(meta, b, first, count, length, of_b, err);
		for (uint32_t i = 0; rc == 0 && i < count; i++)
			same = same && pieces_equal(&of_a[i], &of_b[i]);
		free_pieces(of_a, count);
		free_pieces(of_b, count);
	}
	return rc < 0 ? rc : same;
}

int loam_meta_has_holes(struct loam_meta *meta, uint64_t ino, uint64_t length, struct loam_err *err)
{
	uint32_t chunks = chunk_count(length);
	uint64_t covered = 0;
	int rc = 0;
	for (uint32_t first = 0; rc == 0 && first < chunks; first += CHUNKS_AT_ONCE) {
		struct pieces pieces[CHUNKS_AT_ONCE] = { 0 };
		uint32_t count = chunks - first < CHUNKS_AT_ONCE ? chunks - first : CHUNKS_AT_ONCE;
		rc = read_pieces(meta, ino, first, count, length, pieces, err);
		for (uint32_t i = 0; rc == 0 && i < count; i++)
			for (size_t p = 0; p < pieces[i].count; p++)
				covered += pieces[i].list[p].id > 0 ? pieces[i].list[p].len : 0;
		free_pieces(pieces, count);
	}
	return rc < 0 ? rc : covered < length;
}
