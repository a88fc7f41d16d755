/*
 * Reading a file (step 9 of a push).
 *
 * The chunk lists are fetched for up to 64 chunks in one trip, resolved once and kept (`maps`); a
 * read finds its piece by binary search and its bytes in a unit (fetch.c): of the slice, or, when
 * the file is named by its content, of the file itself.
 *
 *   read(offset) -> locate: hole | (unit, offset in it, bytes) -> loam_fetch_read
 *
 * Up to four streams per reader are followed; one that goes forward doubles its window of
 * read-ahead with each read. When a block is missing, a compaction may have replaced the slices:
 * the lists are read again, a few times.
 *
 * Locks: `lock` guards everything but the constants; no call out of the process is made under it. A
 * list read before a drop is not kept (`generation`).
 */
#include "core/clock.h"
#include "core/limits.h"
#include "fs/data/data_internal.h"

#include <string.h>
#include <uthash.h>

#define CHUNKS_PER_TRIP 64
#define MAPS_MAX	1024
#define STREAMS		4
#define STREAM_SLACK	(2ull << 20) /* parallel reads of a kernel arrive out of order */
#define BIG_READ_BYTES	(1u << 20)   /* of itself a sign of a stream */
#define COMPACT_RECORDS 5
#define TRIES		6
#define SPARSE_SHARE	8 /* a smaller share of a unit is not worth the whole */

struct map {
	UT_hash_handle hh;
	uint32_t index;
	unsigned refs; /* one is the table's */
	struct loam_slice *pieces;
	size_t count;
};

struct stream {
	uint64_t next, window, ahead_until, used;
};

struct loam_reader {
	struct loam_data *data;
	uint64_t ino;
	pthread_mutex_t lock;
	uint64_t length;
	struct loam_content *content; /* NULL: by slices */
	uint64_t generation, clock;
	struct map *maps;
	struct stream streams[STREAMS];
};

/* Where a byte of the file is. */
struct place {
	bool hole;
	struct loam_unit unit;
	struct loam_slice one;	    /* what unit.pieces names when it is a slice's */
	struct loam_slice *planned; /* the same for contents; free() */
	uint32_t offset;	    /* in the unit */
	uint64_t bytes;		    /* that can be had there */
	bool sparse;		    /* little of the unit belongs to this piece */
};

int loam_reader_new(struct loam_data *data, uint64_t ino, uint64_t length,
		    struct loam_reader **out_reader, struct loam_err *err)
{
	struct loam_reader *reader = loam_xnew(struct loam_reader);
	reader->data = data;
	reader->ino = ino;
	reader->length = length;
	pthread_mutex_init(&reader->lock, NULL);
	*out_reader = reader;
	return 0;
}

/* ---- maps ---- */

static void map_unref(struct map *map)
{
	if (--map->refs > 0)
		return;
	free(map->pieces);
	free(map);
}

/* Under the lock. */
static void drop_maps(struct loam_reader *reader)
{
	struct map *map, *next;
	HASH_ITER (hh, reader->maps, map, next) {
		HASH_DEL(reader->maps, map);
		map_unref(map);
	}
	reader->generation++;
}

/* Under the lock. */
static void drop_content(struct loam_reader *reader)
{
	loam_content_put(loam_steal(&reader->content));
}

static struct map *find_map(struct loam_reader *reader, uint32_t index)
{
	struct map *map;
	HASH_FIND(hh, reader->maps, &index, sizeof(index), map);
	return map;
}

static void map_put(struct loam_reader *reader, struct map *map)
{
	loam_guard(&reader->lock);
	map_unref(map);
}

static int make_map(struct loam_reader *reader, const struct loam_chunk *chunk, uint32_t index,
		    struct map **out, struct loam_err *err)
{
	struct map *map = loam_xnew(struct map);
	map->index = index;
	map->refs = 1;
	int rc = loam_slices_resolve(chunk->slices, chunk->slice_count, &map->pieces, &map->count,
				     err);
	if (rc < 0) {
		free(map);
		return rc;
	}
	if (chunk->slice_count >= COMPACT_RECORDS || map->count >= COMPACT_RECORDS)
		loam_compact_ask(reader->data, reader->ino, index);
	*out = map;
	return 0;
}

/* Keeps the maps unless the lists were dropped since; gives the first with a reference. */
static void keep_maps(struct loam_reader *reader, uint64_t generation, struct map **maps,
		      uint32_t count, struct map **out_first)
{
	loam_guard(&reader->lock);
	bool current = generation == reader->generation;
	if (HASH_COUNT(reader->maps) > MAPS_MAX)
		drop_maps(reader);
	maps[0]->refs++;
	*out_first = maps[0];
	for (uint32_t i = 0; i < count; i++) {
		if (!current || find_map(reader, maps[i]->index))
			map_unref(maps[i]);
		else
			HASH_ADD(hh, reader->maps, index, sizeof(maps[i]->index), maps[i]);
	}
}

static int fetch_maps(struct loam_reader *reader, uint32_t index, uint32_t count,
		      uint64_t generation, struct map **out, struct loam_err *err)
{
	struct loam_chunk chunks[CHUNKS_PER_TRIP] = { 0 };
	struct map *maps[CHUNKS_PER_TRIP] = { 0 };
	int rc = loam_meta_chunks(reader->data->meta, reader->ino, index, count, chunks, err);
	if (rc < 0)
		return rc;
	uint32_t made = 0;
	for (uint32_t i = 0; i < count; i++) {
		if (rc == 0)
			rc = make_map(reader, &chunks[i], index + i, &maps[i], err);
		made += rc == 0;
		free(chunks[i].slices);
	}
	/* Damage in a later chunk is told to who reads there. */
	if (made == 0)
		return loam_context(err, "chunk %u of inode %llu", index,
				    (unsigned long long)reader->ino);
	if (rc < 0)
		loam_err_clear(err);
	keep_maps(reader, generation, maps, made, out);
	return 0;
}

/* The map of a chunk, held: map_put() it. */
static int get_map(struct loam_reader *reader, uint32_t index, struct map **out,
		   struct loam_err *err)
{
	uint64_t generation, chunk_count;
	{
		loam_guard(&reader->lock);
		*out = find_map(reader, index);
		if (*out) {
			(*out)->refs++;
			return 0;
		}
		generation = reader->generation;
		chunk_count = (reader->length + LOAM_CHUNK_BYTES - 1) / LOAM_CHUNK_BYTES;
	}
	uint64_t count = chunk_count > index ? chunk_count - index : 1;
	if (count > CHUNKS_PER_TRIP)
		count = CHUNKS_PER_TRIP;
	return fetch_maps(reader, index, (uint32_t)count, generation, out, err);
}

/* Index of the piece that covers pos, or count when none does. */
static size_t find_piece(const struct map *map, uint32_t pos)
{
	size_t low = 0, high = map->count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		const struct loam_slice *piece = &map->pieces[middle];
		if (pos >= (uint64_t)piece->pos + piece->len)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ---- places ---- */

static void place_in_slice(const struct loam_slice *piece, uint32_t pos, struct place *out)
{
	uint32_t at = piece->off + (pos - piece->pos);
	uint32_t unit_start = at / LOAM_UNIT_BYTES * LOAM_UNIT_BYTES;
	snprintf(out->unit.key, sizeof(out->unit.key), "slice/%llu_%u",
		 (unsigned long long)piece->id, piece->size);
	out->unit.length = piece->size;
	out->unit.index = at / LOAM_UNIT_BYTES;
	uint32_t unit_bytes = loam_unit_bytes(&out->unit);
	out->one = (struct loam_slice){ 0, piece->id, piece->size, unit_start, unit_bytes };
	out->unit.pieces = &out->one;
	out->unit.piece_count = 1;
	out->offset = at - unit_start;
	uint32_t from = piece->off > unit_start ? piece->off : unit_start;
	uint32_t to = piece->off + piece->len;
	if (to > unit_start + unit_bytes)
		to = unit_start + unit_bytes;
	out->sparse = to - from < unit_bytes / SPARSE_SHARE;
	uint32_t left = piece->len - (pos - piece->pos);
	out->bytes = unit_bytes - out->offset < left ? unit_bytes - out->offset : left;
}

static int locate_in_slices(struct loam_reader *reader, uint64_t offset, struct place *out,
			    struct loam_err *err)
{
	uint32_t pos = (uint32_t)(offset % LOAM_CHUNK_BYTES);
	struct map *map;
	int rc = get_map(reader, (uint32_t)(offset / LOAM_CHUNK_BYTES), &map, err);
	if (rc < 0)
		return rc;
	size_t index = find_piece(map, pos);
	if (index == map->count) {
		out->hole = true;
		out->bytes = LOAM_CHUNK_BYTES - pos;
	} else if (map->pieces[index].id == 0) {
		out->hole = true;
		out->bytes = map->pieces[index].pos + map->pieces[index].len - pos;
	} else {
		place_in_slice(&map->pieces[index], pos, out);
	}
	map_put(reader, map);
	return 0;
}

static struct loam_content *hold_content(struct loam_reader *reader)
{
	loam_guard(&reader->lock);
	return reader->content ? loam_content_ref(reader->content) : NULL;
}

/* Looks the unit's pieces up: needed when the content is not in the cache. CONFLICT when the file
 * is no longer read by that content, or that content has other pieces by now. */
static int plan_content(struct loam_reader *reader, struct place *place, struct loam_err *err)
{
	struct loam_content *content = hold_content(reader);
	int rc;
	if (content && strcmp(loam_content_name(content), place->unit.key) == 0)
		rc = loam_content_plan(content, place->unit.index, &place->planned,
				       &place->unit.piece_count, err);
	else
		rc = loam_fail(err, LOAM_E_CONFLICT, "the file has changed");
	if (rc == 0)
		place->unit.pieces = place->planned;
	loam_content_put(content);
	return rc;
}

static int locate(struct loam_reader *reader, uint64_t offset, struct place *out,
		  struct loam_err *err)
{
	*out = (struct place){ 0 };
	bool by_content;
	{
		loam_guard(&reader->lock);
		by_content = reader->content && offset < reader->length;
		if (by_content)
			snprintf(out->unit.key, sizeof(out->unit.key), "%s",
				 loam_content_name(reader->content));
		out->unit.length = reader->length;
	}
	if (!by_content)
		return locate_in_slices(reader, offset, out, err);
	out->unit.index = offset / LOAM_UNIT_BYTES;
	out->offset = (uint32_t)(offset % LOAM_UNIT_BYTES);
	out->bytes = loam_unit_bytes(&out->unit) - out->offset;
	return 0;
}

/* ---- read-ahead ---- */

/* The stream that this read goes on with, or a new one in the place of the least used. */
static size_t follow_stream(struct loam_reader *reader, uint64_t offset, size_t bytes)
{
	loam_guard(&reader->lock);
	uint64_t limit = reader->data->readahead_bytes;
	size_t oldest = 0;
	for (size_t i = 0; i < STREAMS; i++) {
		struct stream *stream = &reader->streams[i];
		if (stream->used < reader->streams[oldest].used)
			oldest = i;
		if (!stream->used || offset + STREAM_SLACK < stream->next ||
		    offset > stream->next + STREAM_SLACK)
			continue;
		uint64_t doubled = stream->window ? 2 * stream->window : LOAM_UNIT_BYTES;
		stream->window = doubled < limit ? doubled : limit;
		if (offset + bytes > stream->next)
			stream->next = offset + bytes;
		stream->used = ++reader->clock;
		return i;
	}
	reader->streams[oldest] = (struct stream){
		.next = offset + bytes,
		.window = bytes >= BIG_READ_BYTES ? LOAM_UNIT_BYTES : 0,
		.ahead_until = offset,
		.used = ++reader->clock,
	};
	return oldest;
}

/* What the stream should have under way by now: [*out_from, *out_to). */
static void ahead_range(struct loam_reader *reader, size_t stream_index, uint64_t offset,
			size_t bytes, uint64_t *out_from, uint64_t *out_to)
{
	loam_guard(&reader->lock);
	struct stream *stream = &reader->streams[stream_index];
	uint64_t to = offset + bytes + stream->window;
	*out_to = to < reader->length ? to : reader->length;
	*out_from = stream->ahead_until > offset ? stream->ahead_until : offset;
}

static bool ahead_one(struct loam_reader *reader, uint64_t offset, uint64_t *out_bytes)
{
	struct loam_err err = { 0 };
	struct place place;
	if (locate(reader, offset, &place, &err) < 0)
		return false;
	*out_bytes = place.bytes;
	if (place.hole || place.sparse)
		return true;
	bool done = false;
	if (place.unit.pieces || loam_fetch_knows(reader->data, &place.unit) ||
	    plan_content(reader, &place, &err) == 0)
		done = loam_fetch_ahead(reader->data, &place.unit);
	free(place.planned);
	return done;
}

static void read_ahead(struct loam_reader *reader, size_t stream_index, uint64_t offset,
		       size_t bytes)
{
	uint64_t from, to, step;
	ahead_range(reader, stream_index, offset, bytes, &from, &to);
	while (from < to && ahead_one(reader, from, &step))
		from += step;
	loam_guard(&reader->lock);
	struct stream *stream = &reader->streams[stream_index];
	if (from > stream->ahead_until)
		stream->ahead_until = from;
}

/* ---- reading ---- */

static int read_place(struct loam_reader *reader, struct place *place, void *out, size_t bytes,
		      bool whole, struct loam_err *err)
{
	if (place->hole) {
		memset(out, 0, bytes);
		return 0;
	}
	whole = whole && !place->sparse;
	int rc = loam_fetch_read(reader->data, &place->unit, place->offset, out, bytes, whole, err);
	if (rc == 0)
		rc = plan_content(reader, place, err);
	if (rc == 0)
		rc = loam_fetch_read(reader->data, &place->unit, place->offset, out, bytes, whole,
				     err);
	return rc < 0 ? rc : 0;
}

static bool goes_forward(struct loam_reader *reader, size_t stream_index)
{
	loam_guard(&reader->lock);
	return reader->streams[stream_index].window > 0;
}

static int read_span(struct loam_reader *reader, size_t stream_index, uint64_t offset, uint8_t *out,
		     size_t bytes, struct loam_err *err)
{
	bool whole = goes_forward(reader, stream_index);
	while (bytes > 0) {
		if (whole)
			read_ahead(reader, stream_index, offset, bytes);
		struct place place;
		int rc = locate(reader, offset, &place, err);
		if (rc < 0)
			return rc;
		size_t step = place.bytes < bytes ? (size_t)place.bytes : bytes;
		rc = read_place(reader, &place, out, step, whole, err);
		free(place.planned);
		if (rc < 0)
			return rc;
		out += step;
		offset += step;
		bytes -= step;
	}
	return 0;
}

/* May reading the lists again help? */
static bool may_help(int rc)
{
	return rc == -LOAM_E_NOT_FOUND || rc == -LOAM_E_CORRUPT || loam_code_may_retry(rc);
}

/* The content was named by lists that no longer hold when its blocks have gone: by slices then. */
static void drop_plans(struct loam_reader *reader, int why)
{
	loam_guard(&reader->lock);
	drop_maps(reader);
	if (!reader->content ||
	    (why != -LOAM_E_NOT_FOUND && why != -LOAM_E_CORRUPT && why != -LOAM_E_CONFLICT))
		return;
	loam_content_forget(reader->content);
	drop_content(reader);
}

/* A block that stays missing is damage, not an absent file. */
static int call_corrupt(struct loam_err *err)
{
	struct loam_err missing = *err;
	loam_err_clear(err);
	return loam_fail(err, LOAM_E_CORRUPT, "%s", missing.text);
}

/* Bytes that there are; with a stream that goes on there. */
static size_t begin(struct loam_reader *reader, uint64_t offset, size_t bytes, size_t *out_stream)
{
	{
		loam_guard(&reader->lock);
		if (offset >= reader->length)
			bytes = 0;
		else if (bytes > reader->length - offset)
			bytes = (size_t)(reader->length - offset);
	}
	*out_stream = bytes ? follow_stream(reader, offset, bytes) : 0;
	return bytes;
}

static int read_tries(struct loam_reader *reader, size_t stream_index, uint64_t offset, void *out,
		      size_t bytes, struct loam_err *err)
{
	for (int tried = 1;; tried++) {
		int rc = read_span(reader, stream_index, offset, out, bytes, err);
		if (rc == 0)
			return 0;
		if (!may_help(rc))
			return rc;
		if (tried == TRIES)
			return rc == -LOAM_E_NOT_FOUND ? call_corrupt(err) : rc;
		drop_plans(reader, rc);
		loam_err_clear(err);
		loam_clock_sleep_ms(1 + 20 * (uint64_t)(tried * tried - 1));
	}
}

int loam_reader_read(struct loam_reader *reader, uint64_t offset, void *out, size_t bytes,
		     size_t *out_read, struct loam_err *err)
{
	size_t stream_index;
	bytes = begin(reader, offset, bytes, &stream_index);
	int rc = read_tries(reader, stream_index, offset, out, bytes, err);
	if (rc == 0)
		*out_read = bytes;
	return rc;
}

/* Whatever goes wrong here is met again, and told, by the ordinary way. */
static bool lend_unit(struct loam_reader *reader, size_t stream_index, uint64_t offset,
		      size_t bytes, struct loam_lent *out)
{
	if (bytes == 0 || !goes_forward(reader, stream_index))
		return false;
	read_ahead(reader, stream_index, offset, bytes);
	struct place place;
	struct loam_err err = { 0 };
	if (locate(reader, offset, &place, &err) < 0 || place.hole || place.bytes < bytes)
		return false;
	out->unit = loam_fetch_lend(reader->data, &place.unit, place.offset, bytes, &out->data);
	return out->unit != NULL;
}

int loam_reader_lend(struct loam_reader *reader, uint64_t offset, size_t bytes,
		     struct loam_lent *out, struct loam_err *err)
{
	size_t stream_index;
	*out = (struct loam_lent){ 0 };
	out->bytes = begin(reader, offset, bytes, &stream_index);
	if (lend_unit(reader, stream_index, offset, out->bytes, out))
		return 0;
	out->data = out->own = malloc(out->bytes + 1);
	if (!out->own)
		return loam_fail(err, LOAM_E_BUSY, "no memory for %zu bytes", out->bytes);
	int rc = read_tries(reader, stream_index, offset, out->own, out->bytes, err);
	if (rc < 0)
		loam_lent_return(out);
	return rc;
}

void loam_lent_return(struct loam_lent *lent)
{
	if (lent->unit)
		loam_fetch_return(lent->unit);
	free(lent->own);
	*lent = (struct loam_lent){ 0 };
}

/* ---- changes ---- */

void loam_reader_refresh(struct loam_reader *reader, uint64_t length)
{
	loam_guard(&reader->lock);
	reader->length = length;
	drop_content(reader);
	drop_maps(reader);
	memset(reader->streams, 0, sizeof(reader->streams));
}

void loam_reader_drop_chunk(struct loam_reader *reader, uint32_t chunk_index)
{
	loam_guard(&reader->lock);
	struct map *map = find_map(reader, chunk_index);
	if (map) {
		HASH_DEL(reader->maps, map);
		map_unref(map);
	}
	drop_content(reader);
	reader->generation++;
}

void loam_reader_set_length(struct loam_reader *reader, uint64_t length)
{
	loam_guard(&reader->lock);
	if (length != reader->length)
		drop_content(reader);
	reader->length = length;
}

void loam_reader_set_content(struct loam_reader *reader, struct loam_content *content)
{
	loam_guard(&reader->lock);
	drop_content(reader);
	reader->content = content;
}

void loam_reader_free(struct loam_reader *reader)
{
	if (!reader)
		return;
	drop_maps(reader);
	drop_content(reader);
	pthread_mutex_destroy(&reader->lock);
	free(reader);
}
