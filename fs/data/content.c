/*
 * Names of contents (content.h), and filling the node cache with a whole one (step 9 of a push).
 *
 * The table keeps one entry per inode, that of its newest version; the pieces stay only while
 * somebody has the content open. When they are needed again they are read again and hashed again:
 * a list that gives another name is never used for this one, so a cache file cannot get bytes of
 * two versions.
 *
 * Locks: loam_contents.lock guards the table, the counts and `pieces`; it is a leaf.
 */
#include "fs/data/content.h"

#include "core/endian.h"
#include "core/hash.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/sys.h"
#include "fs/data/data_internal.h"

#include <stdatomic.h>
#include <string.h>
#include <uthash.h>

#define PREFIX		"content/"
#define ENTRIES_MAX	16384u
#define PIECES_MAX	(1u << 20)
#define CHUNKS_PER_TRIP 64u
#define PACKED_MAX	(1u << 20) /* a smaller part of a shared slice is read by the slice */
#define WARM_THREADS	8u
#define ENCODED_BYTES	32u

struct piece {
	uint64_t pos, id, off, len;
	uint32_t size;
};

struct pieces {
	struct piece *all;
	size_t count, capacity;
};

struct loam_content {
	UT_hash_handle hh;
	struct loam_data *data;
	uint64_t ino, length;
	struct timespec ctime;
	char key[LOAM_CACHE_KEY_BYTES]; /* "": is not named by its content */
	unsigned refs;			/* of users; the table has none */
	bool listed;
	struct pieces pieces; /* none: to be read again */
};

struct loam_contents {
	pthread_mutex_t lock;
	struct loam_content *entries; /* by inode, in the order of their making */
};

/* ---- the table ---- */

struct loam_contents *loam_contents_new(void)
{
	struct loam_contents *contents = loam_xnew(struct loam_contents);
	pthread_mutex_init(&contents->lock, NULL);
	return contents;
}

static void content_free(struct loam_content *content)
{
	free(content->pieces.all);
	free(content);
}

void loam_contents_free(struct loam_contents *contents)
{
	if (!contents)
		return;
	struct loam_content *content, *next;
	HASH_ITER (hh, contents->entries, content, next) {
		loam_assert(content->refs == 0);
		HASH_DEL(contents->entries, content);
		content_free(content);
	}
	pthread_mutex_destroy(&contents->lock);
	free(contents);
}

/* The next few under the lock. */
static void unlist(struct loam_contents *contents, struct loam_content *content)
{
	if (!content->listed)
		return;
	HASH_DEL(contents->entries, content);
	content->listed = false;
	if (content->refs == 0)
		content_free(content);
}

static struct loam_content *find_listed(struct loam_contents *contents, uint64_t ino)
{
	struct loam_content *content;
	HASH_FIND(hh, contents->entries, &ino, sizeof(ino), content);
	return content;
}

static void make_room(struct loam_contents *contents)
{
	struct loam_content *content, *next;
	HASH_ITER (hh, contents->entries, content, next) {
		if (HASH_COUNT(contents->entries) < ENTRIES_MAX)
			return;
		unlist(contents, content);
	}
}

static void unref(struct loam_content *content)
{
	if (--content->refs > 0)
		return;
	free(loam_steal(&content->pieces.all));
	content->pieces = (struct pieces){ 0 };
	if (!content->listed)
		content_free(content);
}

struct loam_content *loam_content_ref(struct loam_content *content)
{
	loam_guard(&content->data->contents->lock);
	content->refs++;
	return content;
}

void loam_content_put(struct loam_content *content)
{
	if (!content)
		return;
	loam_guard(&content->data->contents->lock);
	unref(content);
}

void loam_content_forget(struct loam_content *content)
{
	loam_guard(&content->data->contents->lock);
	unlist(content->data->contents, content);
}

const char *loam_content_name(const struct loam_content *content)
{
	return content->key;
}

/* ---- the pieces ---- */

static int add_piece(struct pieces *pieces, struct piece piece, struct loam_err *err)
{
	struct piece *last = pieces->count ? &pieces->all[pieces->count - 1] : NULL;
	if (piece.len == 0)
		return 0;
	if (piece.id == 0)
		piece.off = piece.size = 0;
	if (last && last->id == piece.id && last->size == piece.size &&
	    (piece.id == 0 || last->off + last->len == piece.off)) {
		last->len += piece.len;
		return 0;
	}
	if (pieces->count == PIECES_MAX)
		return loam_fail(err, LOAM_E_TOO_BIG, "over %u pieces", PIECES_MAX);
	if (pieces->count == pieces->capacity) {
		size_t capacity = pieces->capacity ? 2 * pieces->capacity : 16;
		struct piece *more = realloc(pieces->all, capacity * sizeof(*more));
		if (!more)
			return loam_fail(err, LOAM_E_BUSY, "no memory for %zu pieces", capacity);
		pieces->all = more;
		pieces->capacity = capacity;
	}
	pieces->all[pieces->count++] = piece;
	return 0;
}

/* What is seen of one chunk, up to `bytes` of it; the rest is a hole. */
static int add_chunk(struct pieces *pieces, const struct loam_chunk *chunk, uint64_t base,
		     uint64_t bytes, struct loam_err *err)
{
	loam_auto_free struct loam_slice *seen = NULL;
	size_t count;
	int rc = loam_slices_resolve(chunk->slices, chunk->slice_count, &seen, &count, err);
	uint64_t at = 0;
	for (size_t i = 0; i < count && rc == 0 && at < bytes; i++) {
		uint64_t len = seen[i].len < bytes - at ? seen[i].len : bytes - at;
		rc = add_piece(pieces,
			       (struct piece){ base + at, seen[i].id, seen[i].off, len,
					       seen[i].size },
			       err);
		at += len;
	}
	if (rc == 0)
		rc = add_piece(pieces, (struct piece){ .pos = base + at, .len = bytes - at }, err);
	return rc;
}

static int add_chunks(struct loam_data *data, uint64_t ino, uint64_t length, uint32_t first,
		      uint32_t count, struct pieces *pieces, struct loam_err *err)
{
	struct loam_chunk chunks[CHUNKS_PER_TRIP] = { 0 };
	int rc = loam_meta_chunks(data->meta, ino, first, count, chunks, err);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t base = (uint64_t)(first + i) * LOAM_CHUNK_BYTES;
		uint64_t bytes =
			length - base < LOAM_CHUNK_BYTES ? length - base : LOAM_CHUNK_BYTES;
		if (rc == 0)
			rc = add_chunk(pieces, &chunks[i], base, bytes, err);
		free(chunks[i].slices);
	}
	return rc;
}

static int read_pieces(struct loam_data *data, uint64_t ino, uint64_t length, struct pieces *pieces,
		       struct loam_err *err)
{
	uint64_t chunk_count = (length + LOAM_CHUNK_BYTES - 1) / LOAM_CHUNK_BYTES;
	for (uint64_t first = 0; first < chunk_count; first += CHUNKS_PER_TRIP) {
		uint64_t left = chunk_count - first;
		uint32_t count = left < CHUNKS_PER_TRIP ? (uint32_t)left : CHUNKS_PER_TRIP;
		int rc = add_chunks(data, ino, length, (uint32_t)first, count, pieces, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- the name ---- */

static void make_key(struct loam_data *data, uint64_t length, const struct pieces *pieces,
		     char out[LOAM_CACHE_KEY_BYTES])
{
	const char *uuid = loam_meta_format(data->meta)->uuid;
	struct loam_sha256 *hash = loam_sha256_new();
	uint8_t text[ENCODED_BYTES], digest[LOAM_SHA256_BYTES];
	loam_sha256_add(hash, uuid, strlen(uuid));
	loam_be64_put(text, length);
	loam_sha256_add(hash, text, 8);
	for (size_t i = 0; i < pieces->count; i++) {
		const struct piece *piece = &pieces->all[i];
		loam_be64_put(text, piece->pos);
		loam_be64_put(text + 8, piece->id);
		loam_be64_put(text + 16, piece->off);
		loam_be64_put(text + 24, piece->len);
		loam_sha256_add(hash, text, sizeof(text));
	}
	loam_sha256_end(hash, digest);
	loam_sha256_free(hash);
	memcpy(out, PREFIX, sizeof(PREFIX));
	loam_hex(digest, sizeof(digest), out + strlen(PREFIX));
}

static bool is_packed(uint64_t length, const struct pieces *pieces)
{
	for (size_t i = 0; i < pieces->count && length < PACKED_MAX; i++) {
		const struct piece *piece = &pieces->all[i];
		if (piece->id != 0 && (piece->off > 0 || piece->len < piece->size))
			return true;
	}
	return false;
}

static bool is_eligible(const struct loam_data *data, const struct loam_attr *attr)
{
	return data->cache && attr->type == LOAM_TYPE_FILE && (attr->mode & 0222) == 0 &&
	       attr->length > 0;
}

static bool is_version(const struct loam_content *content, const struct loam_attr *attr)
{
	return content->length == attr->length && content->ctime.tv_sec == attr->ctime.tv_sec &&
	       content->ctime.tv_nsec == attr->ctime.tv_nsec;
}

/* 1 named, 0 remembered as not named by its content, -NO_DATA not remembered. */
static int find_held(struct loam_data *data, uint64_t ino, const struct loam_attr *attr,
		     struct loam_content **out)
{
	loam_guard(&data->contents->lock);
	struct loam_content *content = find_listed(data->contents, ino);
	if (!content || !is_version(content, attr))
		return -LOAM_E_NO_DATA;
	if (!content->key[0])
		return 0;
	content->refs++;
	*out = content;
	return 1;
}

/* Puts a new content, with one reference, into the place of an older version. */
static void list_content(struct loam_contents *contents, struct loam_content *content)
{
	loam_guard(&contents->lock);
	struct loam_content *old = find_listed(contents, content->ino);
	if (old)
		unlist(contents, old);
	make_room(contents);
	HASH_ADD(hh, contents->entries, ino, sizeof(content->ino), content);
	content->listed = true;
}

int loam_content_open(struct loam_data *data, uint64_t ino, const struct loam_attr *attr,
		      struct loam_content **out_content, struct loam_err *err)
{
	if (!is_eligible(data, attr))
		return 0;
	int rc = find_held(data, ino, attr, out_content);
	if (rc >= 0)
		return rc;
	struct pieces pieces = { 0 };
	rc = read_pieces(data, ino, attr->length, &pieces, err);
	if (rc < 0 && rc != -LOAM_E_TOO_BIG) {
		free(pieces.all);
		return loam_context(err, "name the content of inode %llu", (unsigned long long)ino);
	}
	struct loam_content *content = loam_xnew(struct loam_content);
	content->data = data;
	content->ino = ino;
	content->length = attr->length;
	content->ctime = attr->ctime;
	content->refs = 1;
	content->pieces = pieces;
	if (rc < 0)
		loam_err_clear(err);
	else if (!is_packed(attr->length, &pieces))
		make_key(data, attr->length, &pieces, content->key);
	bool named = content->key[0];
	list_content(data->contents, content);
	if (named)
		*out_content = content;
	else
		loam_content_put(content);
	return named;
}

int loam_content_key(struct loam_data *data, uint64_t ino, const struct loam_attr *attr,
		     char out_key[LOAM_CACHE_KEY_BYTES], struct loam_err *err)
{
	struct loam_content *content;
	int rc = loam_content_open(data, ino, attr, &content, err);
	if (rc < 0) {
		loam_debug("content.key", "ino=%llu why=%s", (unsigned long long)ino, err->text);
		loam_err_clear(err);
		return 0;
	}
	if (rc > 0) {
		memcpy(out_key, content->key, LOAM_CACHE_KEY_BYTES);
		loam_content_put(content);
	}
	return rc;
}

/* ---- units ---- */

static bool has_pieces(struct loam_content *content)
{
	loam_guard(&content->data->contents->lock);
	return content->pieces.count > 0;
}

/* Reads the pieces again where they were given up. They stay as long as the caller's reference. */
static int need_pieces(struct loam_content *content, struct loam_err *err)
{
	if (has_pieces(content))
		return 0;
	struct pieces pieces = { 0 };
	char key[LOAM_CACHE_KEY_BYTES] = "";
	int rc = read_pieces(content->data, content->ino, content->length, &pieces, err);
	if (rc == 0)
		make_key(content->data, content->length, &pieces, key);
	if (rc == 0 && strcmp(key, content->key) != 0)
		rc = loam_fail(err, LOAM_E_CONFLICT, "inode %llu has other slices by now",
			       (unsigned long long)content->ino);
	if (rc == 0) {
		loam_guard(&content->data->contents->lock);
		if (content->pieces.count == 0) {
			content->pieces = pieces;
			pieces.all = NULL;
		}
	}
	free(pieces.all);
	return rc;
}

/* The piece that holds the position. */
static size_t find_piece(const struct pieces *pieces, uint64_t pos)
{
	size_t low = 0, high = pieces->count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (pieces->all[middle].pos + pieces->all[middle].len <= pos)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int loam_content_plan(struct loam_content *content, uint64_t unit_index,
		      struct loam_slice **out_pieces, size_t *out_count, struct loam_err *err)
{
	int rc = need_pieces(content, err);
	if (rc < 0)
		return rc;
	const struct pieces *pieces = &content->pieces;
	uint64_t start = unit_index * LOAM_UNIT_BYTES, end = start + LOAM_UNIT_BYTES;
	if (start >= content->length)
		return loam_fail(err, LOAM_E_INVALID, "unit %llu is behind the end",
				 (unsigned long long)unit_index);
	size_t first = find_piece(pieces, start), behind = first;
	while (behind < pieces->count && pieces->all[behind].pos < end)
		behind++;
	struct loam_slice *out = loam_xcalloc(behind - first + 1, sizeof(*out));
	for (size_t i = first; i < behind; i++) {
		const struct piece *piece = &pieces->all[i];
		uint64_t from = piece->pos > start ? piece->pos : start;
		uint64_t to = piece->pos + piece->len < end ? piece->pos + piece->len : end;
		out[i - first] = (struct loam_slice){
			.pos = (uint32_t)(from - start),
			.id = piece->id,
			.size = piece->size,
			.off = piece->id ? (uint32_t)(piece->off + (from - piece->pos)) : 0,
			.len = (uint32_t)(to - from),
		};
	}
	*out_pieces = out;
	*out_count = behind - first;
	return 0;
}

/* ---- warming ---- */

struct warm {
	struct loam_content *content;
	struct loam_cache_file *file;
	uint64_t unit_count;
	_Atomic uint64_t next;
	pthread_mutex_t lock;
	struct loam_err failure;
	atomic_bool failed;
};

static int warm_unit(struct warm *warm, uint64_t index, void *buffer, struct loam_err *err)
{
	struct loam_content *content = warm->content;
	struct loam_slice *pieces;
	struct loam_unit unit = { .length = content->length, .index = index };
	if (loam_cache_has(warm->file, index))
		return 0;
	int rc = loam_content_plan(content, index, &pieces, &unit.piece_count, err);
	if (rc < 0)
		return rc;
	unit.pieces = pieces;
	rc = loam_fetch_straight(content->data, &unit, buffer, err);
	free(pieces);
	if (rc == 0)
		rc = loam_cache_fill(warm->file, index, buffer, loam_unit_bytes(&unit), err);
	return rc;
}

static void warm_job(void *arg)
{
	struct warm *warm = arg;
	loam_auto_free void *buffer = aligned_alloc(LOAM_DIRECT_ALIGNMENT, LOAM_UNIT_BYTES);
	struct loam_err err = { 0 };
	int rc = buffer ? 0 : loam_fail(&err, LOAM_E_BUSY, "no memory for a block");
	while (rc == 0 && !warm->failed) {
		uint64_t index = atomic_fetch_add(&warm->next, 1);
		if (index >= warm->unit_count)
			return;
		rc = warm_unit(warm, index, buffer, &err);
	}
	loam_guard(&warm->lock);
	if (rc < 0 && !warm->failed)
		warm->failure = err;
	warm->failed = true;
}

static int warm_all(struct warm *warm, struct loam_err *err)
{
	struct loam_pool *pool;
	int rc = loam_pool_new("warm", WARM_THREADS, WARM_THREADS, &pool, err);
	if (rc < 0)
		return rc;
	pthread_mutex_init(&warm->lock, NULL);
	for (unsigned i = 0; i < WARM_THREADS; i++)
		loam_pool_submit(pool, warm_job, warm);
	loam_pool_free(pool); /* waits */
	pthread_mutex_destroy(&warm->lock);
	if (warm->failure.code != LOAM_E_OK)
		return loam_fail(err, warm->failure.code, "%s", warm->failure.text);
	rc = loam_cache_complete(warm->file, err);
	if (rc == 0)
		return loam_fail(err, LOAM_E_BUSY, "blocks were evicted meanwhile");
	if (rc == -LOAM_E_UNSUPPORTED)
		loam_err_clear(err); /* the blocks are there, only not for passthrough */
	return rc > 0 || rc == -LOAM_E_UNSUPPORTED ? 0 : rc;
}

int loam_content_warm(struct loam_data *data, uint64_t ino, const struct loam_attr *attr,
		      struct loam_err *err)
{
	struct warm warm = { .unit_count = (attr->length + LOAM_UNIT_BYTES - 1) / LOAM_UNIT_BYTES };
	int rc = loam_content_open(data, ino, attr, &warm.content, err);
	if (rc == 0)
		return loam_fail(err, LOAM_E_UNSUPPORTED, "not a read-only file with a content");
	if (rc < 0)
		return rc;
	rc = loam_cache_get(data->cache, warm.content->key, attr->length, &warm.file, err);
	if (rc == 0) {
		if (!loam_cache_is_complete(warm.file))
			rc = warm_all(&warm, err);
		loam_cache_put(warm.file);
	}
	loam_content_put(warm.content);
	return rc;
}
