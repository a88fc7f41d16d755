/*
 * The view a function has inside a transaction: reads, wants, guesses, buffered writes
 * (fs/meta/txn.h). Every metadata change of steps 3, 4 and 8 of a push goes through here.
 *
 *   want ──► item ──► read ──► known?            yes ──► seen, with the run's own writes laid over
 * it in the cache?     a guess, checked at the commit neither:          one trip for all that is
 * wanted; guesses in use go along and are compared (is_stale)
 *
 * A read makes a check; a record overwritten before it was read needs neither trip nor check.
 */
#include "fs/meta/txn_internal.h"

#include "core/auto.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define NUMBER_BYTES_MAX 24
#define WRITES_FIRST	 16

static const struct loam_value absent;

static struct loam_txn_item *find_item(struct loam_txn *txn, const struct loam_record *record)
{
	uint8_t key[LOAM_RECORD_KEY_BYTES_MAX];
	size_t key_bytes = loam_record_key(record, key);
	struct loam_txn_item *item = NULL;
	HASH_FIND(hh, txn->items, key, key_bytes, item);
	return item;
}

static struct loam_txn_item *item_of(struct loam_txn *txn, const struct loam_record *record)
{
	struct loam_txn_item *item = find_item(txn, record);
	if (item)
		return item;

	uint8_t key[LOAM_RECORD_KEY_BYTES_MAX];
	size_t key_bytes = loam_record_key(record, key);
	item = loam_xcalloc(1, sizeof(*item) + key_bytes);
	memcpy(item->key, key, key_bytes);
	item->record = *record;
	item->record.name.data = (const char *)item->key + key_bytes - record->name.bytes;
	HASH_ADD_KEYPTR(hh, txn->items, item->key, key_bytes, item);
	return item;
}

/* ---- reads --------------------------------------------------------------------------------- */

void loam_txn_want(struct loam_txn *txn, const struct loam_record *record)
{
	item_of(txn, record)->is_wanted = true;
}

void loam_txn_want_attr(struct loam_txn *txn, uint64_t ino)
{
	struct loam_record record = loam_rec(LOAM_REC_ATTR, ino, 0);
	loam_txn_want(txn, &record);
}

void loam_txn_want_dentry(struct loam_txn *txn, uint64_t parent, struct loam_name name)
{
	struct loam_record record = loam_rec_named(LOAM_REC_DENTRY, parent, name);
	loam_txn_want(txn, &record);
}

static bool is_fetched(const struct loam_txn_item *item, const struct loam_txn_item *needed)
{
	if (item->is_known)
		return item->is_guess && item->is_used;
	return item == needed || item->is_wanted;
}

/* Takes over a value that was read just now. */
static void learn(struct loam_txn *txn, struct loam_txn_item *item, struct loam_value *value)
{
	if (item->is_known && item->is_used && !loam_value_equal(&item->seen, value))
		txn->is_stale = true;
	loam_value_release(&item->seen);
	item->seen = *value;
	item->is_known = true;
	item->is_guess = false;
	if (txn->meta->cache)
		loam_record_cache_put(txn->meta->cache, &item->record, &item->seen);
}

int loam_txn_fetch(struct loam_txn *txn, struct loam_txn_item *needed, struct loam_err *err)
{
	size_t count = 0;
	for (struct loam_txn_item *item = txn->items; item; item = item->hh.next)
		count += is_fetched(item, needed);
	if (count == 0)
		return 0;

	loam_auto_free struct loam_txn_item **items = loam_xcalloc(count, sizeof(*items));
	loam_auto_free struct loam_record *records = loam_xcalloc(count, sizeof(*records));
	loam_auto_free struct loam_value *values = loam_xcalloc(count, sizeof(*values));
	size_t at = 0;
	for (struct loam_txn_item *item = txn->items; item; item = item->hh.next) {
		if (!is_fetched(item, needed))
			continue;
		items[at] = item;
		records[at++] = item->record;
	}
	struct loam_engine *engine = txn->meta->engine;
	int ret = engine->ops->read(engine, records, count, values, err);
	if (ret < 0) {
		txn->has_failed = true;
		return ret;
	}
	for (size_t i = 0; i < count; i++)
		learn(txn, items[i], &values[i]);
	return 0;
}

/* Makes item->seen valid: known already, a guess, or one trip. */
static int know(struct loam_txn *txn, struct loam_txn_item *item, struct loam_err *err)
{
	if (!item->is_known && txn->may_guess &&
	    loam_record_cache_get(txn->meta->cache, &item->record, &item->seen)) {
		item->is_known = true;
		item->is_guess = true;
	}
	if (!item->is_known) {
		int ret = loam_txn_fetch(txn, item, err);
		if (ret < 0)
			return ret;
	}
	item->is_used = true;
	return 0;
}

/* The item of the record that stands for the whole hash this one is a field of; NULL without one.
 */
static struct loam_txn_item *whole_of(struct loam_txn *txn, const struct loam_record *record)
{
	enum loam_record_kind kind;
	if (!txn->has_whole_deletes)
		return NULL;
	switch (record->kind) {
	case LOAM_REC_DENTRY:
		kind = LOAM_REC_DIR;
		break;
	case LOAM_REC_XATTR:
		kind = LOAM_REC_XATTRS;
		break;
	case LOAM_REC_PARENT:
		kind = LOAM_REC_PARENTS;
		break;
	default:
		return NULL;
	}
	struct loam_record whole = loam_rec(kind, record->id, 0);
	return find_item(txn, &whole);
}

static void add_to_value(struct loam_value *value, int64_t delta)
{
	char text[NUMBER_BYTES_MAX] = "";
	if (value->bytes > 0 && value->bytes < sizeof(text))
		memcpy(text, value->data, value->bytes);
	int64_t number = (int64_t)((uint64_t)strtoll(text, NULL, 10) + (uint64_t)delta);
	int bytes = snprintf(text, sizeof(text), "%" PRId64, number);
	loam_value_release(value);
	*value = loam_value_of(text, (size_t)bytes);
}

static void append_to_value(struct loam_value *value, const struct loam_write *write)
{
	if (write->data_bytes == 0 || (write->op == LOAM_WRITE_EXTEND && !value->present))
		return;
	size_t bytes = value->bytes + (size_t)write->data_bytes;
	loam_auto_free uint8_t *joined = loam_xcalloc(1, bytes);
	if (value->bytes > 0)
		memcpy(joined, value->data, value->bytes);
	memcpy(joined + value->bytes, write->data, write->data_bytes);
	loam_value_release(value);
	*value = loam_value_of(joined, bytes);
}

static bool is_overwrite(const struct loam_write *write)
{
	return write->op == LOAM_WRITE_PUT || write->op == LOAM_WRITE_DELETE;
}

/* The write that makes what stood before it irrelevant: its index + 1, 0 without one. */
static size_t last_overwrite(const struct loam_txn *txn, const struct loam_txn_item *item,
			     const struct loam_txn_item *whole)
{
	for (size_t i = txn->write_count; i > 0; i--) {
		const struct loam_txn_item *written = txn->write_items[i - 1];
		if ((written == item || written == whole) && is_overwrite(&txn->writes[i - 1]))
			return i;
	}
	return 0;
}

/* Lays the run's own writes over the value; from is last_overwrite(). */
static void show(struct loam_txn *txn, struct loam_txn_item *item, size_t from)
{
	struct loam_value value = { 0 };
	if (from == 0)
		value = loam_value_copy(&item->seen);
	for (size_t i = from ? from - 1 : 0; i < txn->write_count; i++) {
		const struct loam_write *write = &txn->writes[i];
		if (txn->write_items[i] != item)
			continue;
		if (is_overwrite(write))
			loam_value_release(&value);
		if (write->op == LOAM_WRITE_PUT)
			value = loam_value_of(write->data, write->data_bytes);
		else if (write->op == LOAM_WRITE_ADD)
			add_to_value(&value, write->delta);
		else if (write->op != LOAM_WRITE_DELETE)
			append_to_value(&value, write);
	}
	loam_value_release(&item->shown);
	item->shown = value;
}

static int read_record(struct loam_txn *txn, const struct loam_record *record, bool is_checked,
		       const struct loam_value **out, struct loam_err *err)
{
	struct loam_txn_item *item = item_of(txn, record);
	struct loam_txn_item *whole = whole_of(txn, record);
	bool is_written = item->write_count > 0 || (whole && whole->write_count > 0);
	size_t from = is_written ? last_overwrite(txn, item, whole) : 0;
	if (from == 0) {
		int ret = know(txn, item, err);
		if (ret < 0)
			return ret;
		item->is_checked |= is_checked;
	}
	if (is_written)
		show(txn, item, from);

	const struct loam_value *value = is_written ? &item->shown : &item->seen;
	*out = value->present ? value : &absent;
	return value->present;
}

int loam_txn_read(struct loam_txn *txn, const struct loam_record *record,
		  const struct loam_value **out, struct loam_err *err)
{
	return read_record(txn, record, true, out, err);
}

int loam_txn_peek(struct loam_txn *txn, const struct loam_record *record,
		  const struct loam_value **out, struct loam_err *err)
{
	return read_record(txn, record, false, out, err);
}

int loam_txn_attr(struct loam_txn *txn, uint64_t ino, struct loam_attr *out, struct loam_err *err)
{
	struct loam_record record = loam_rec(LOAM_REC_ATTR, ino, 0);
	const struct loam_value *value;
	int ret = loam_txn_read(txn, &record, &value, err);
	if (ret != 1)
		return ret;
	ret = loam_attr_decode(value->data, value->bytes, out, err);
	if (ret < 0)
		return loam_context(err, "inode %" PRIu64, ino);
	return 1;
}

int loam_txn_dentry(struct loam_txn *txn, uint64_t parent, struct loam_name name,
		    struct loam_dentry *out, struct loam_err *err)
{
	struct loam_record record = loam_rec_named(LOAM_REC_DENTRY, parent, name);
	const struct loam_value *value;
	int ret = loam_txn_read(txn, &record, &value, err);
	if (ret != 1)
		return ret;
	ret = loam_dentry_decode(value->data, value->bytes, out, err);
	if (ret < 0)
		return loam_context(err, "a name in directory %" PRIu64, parent);
	return 1;
}

int loam_txn_chunk(struct loam_txn *txn, uint64_t ino, uint32_t index,
		   struct loam_slice **out_slices, size_t *out_count, struct loam_err *err)
{
	struct loam_record record = loam_rec(LOAM_REC_CHUNK, ino, index);
	const struct loam_value *value;
	int present = loam_txn_read(txn, &record, &value, err);
	if (present < 0)
		return present;
	int ret = loam_slices_decode(value->data, value->bytes, out_slices, out_count, err);
	if (ret < 0)
		return loam_context(err, "chunk %u of inode %" PRIu64, index, ino);
	return present;
}

/* ---- writes -------------------------------------------------------------------------------- */

/* Room for one more element; *max grows by doubling. */
static void *grown(void *array, size_t count, size_t *max, size_t size)
{
	if (count < *max)
		return array;
	size_t more = *max ? *max * 2 : WRITES_FIRST;
	void *larger = loam_xcalloc(more, size);
	if (count > 0)
		memcpy(larger, array, count * size);
	free(array);
	*max = more;
	return larger;
}

/* The earlier write of this record that the new one can replace or join; NULL without one. */
static struct loam_write *foldable(struct loam_txn *txn, const struct loam_txn_item *item,
				   enum loam_write_op op)
{
	if (item->write_count == 0 || txn->has_whole_deletes)
		return NULL;
	struct loam_write *last = &txn->writes[item->last_write];
	if (op == LOAM_WRITE_ADD)
		return last->op == LOAM_WRITE_ADD ? last : NULL;
	bool overwrites = op == LOAM_WRITE_PUT || op == LOAM_WRITE_DELETE;
	return overwrites && is_overwrite(last) ? last : NULL;
}

static bool is_whole(enum loam_record_kind kind)
{
	return kind == LOAM_REC_DIR || kind == LOAM_REC_XATTRS || kind == LOAM_REC_PARENTS;
}

static struct loam_write *add_write(struct loam_txn *txn, struct loam_txn_item *item)
{
	size_t max = txn->write_max;
	txn->write_items = grown(txn->write_items, txn->write_count, &max, sizeof(item));
	txn->writes = grown(txn->writes, txn->write_count, &txn->write_max, sizeof(*txn->writes));
	item->last_write = txn->write_count;
	item->write_count++;
	txn->write_items[txn->write_count] = item;
	struct loam_write *write = &txn->writes[txn->write_count++];
	*write = (struct loam_write){ .record = item->record };
	return write;
}

static void write_record(struct loam_txn *txn, enum loam_write_op op,
			 const struct loam_record *record, const void *data, size_t data_bytes,
			 int64_t delta)
{
	struct loam_txn_item *item = item_of(txn, record);
	struct loam_write *write = foldable(txn, item, op);
	if (!write)
		write = add_write(txn, item);
	if (is_whole(record->kind))
		txn->has_whole_deletes = true;
	free((void *)write->data);
	struct loam_value copy = loam_value_of(data, data_bytes);
	write->op = op;
	write->data = copy.data;
	write->data_bytes = copy.bytes;
	write->delta += delta;
}

void loam_txn_put(struct loam_txn *txn, const struct loam_record *record, const void *data,
		  size_t data_bytes)
{
	loam_assert(!is_whole(record->kind));
	write_record(txn, LOAM_WRITE_PUT, record, data, data_bytes, 0);
}

void loam_txn_delete(struct loam_txn *txn, const struct loam_record *record)
{
	write_record(txn, LOAM_WRITE_DELETE, record, NULL, 0, 0);
}

void loam_txn_put_attr(struct loam_txn *txn, uint64_t ino, const struct loam_attr *attr)
{
	struct loam_record record = loam_rec(LOAM_REC_ATTR, ino, 0);
	uint8_t data[LOAM_ATTR_BYTES_MAX];
	loam_txn_put(txn, &record, data, loam_attr_encode(attr, data));
}

void loam_txn_put_dentry(struct loam_txn *txn, uint64_t parent, struct loam_name name,
			 const struct loam_dentry *dentry)
{
	struct loam_record record = loam_rec_named(LOAM_REC_DENTRY, parent, name);
	uint8_t data[LOAM_DENTRY_BYTES];
	loam_dentry_encode(dentry, data);
	loam_txn_put(txn, &record, data, sizeof(data));
}

void loam_txn_delete_dentry(struct loam_txn *txn, uint64_t parent, struct loam_name name)
{
	struct loam_record record = loam_rec_named(LOAM_REC_DENTRY, parent, name);
	loam_txn_delete(txn, &record);
}

static void write_slices(struct loam_txn *txn, enum loam_write_op op, uint64_t ino, uint32_t index,
			 const struct loam_slice *slices, size_t count)
{
	struct loam_record record = loam_rec(LOAM_REC_CHUNK, ino, index);
	loam_auto_free uint8_t *data = loam_xcalloc(count, LOAM_SLICE_BYTES);
	for (size_t i = 0; i < count; i++)
		loam_slice_encode(&slices[i], data + i * LOAM_SLICE_BYTES);
	write_record(txn, op, &record, data, count * LOAM_SLICE_BYTES, 0);
}

void loam_txn_append_slices(struct loam_txn *txn, uint64_t ino, uint32_t index,
			    const struct loam_slice *slices, size_t count)
{
	write_slices(txn, LOAM_WRITE_APPEND, ino, index, slices, count);
}

void loam_txn_extend_slices(struct loam_txn *txn, uint64_t ino, uint32_t index,
			    const struct loam_slice *slices, size_t count)
{
	write_slices(txn, LOAM_WRITE_EXTEND, ino, index, slices, count);
}

void loam_txn_add(struct loam_txn *txn, const struct loam_record *record, int64_t delta)
{
	write_record(txn, LOAM_WRITE_ADD, record, NULL, 0, delta);
}

void loam_txn_add_usage(struct loam_txn *txn, int64_t space_bytes, int64_t inodes)
{
	struct loam_record space = loam_rec_named(LOAM_REC_COUNTER, 0, loam_name_of("usedSpace"));
	struct loam_record count = loam_rec_named(LOAM_REC_COUNTER, 0, loam_name_of("totalInodes"));
	if (space_bytes != 0)
		loam_txn_add(txn, &space, space_bytes);
	if (inodes != 0)
		loam_txn_add(txn, &count, inodes);
}

void loam_txn_ref_slice(struct loam_txn *txn, uint64_t id, uint32_t size, int64_t delta)
{
	struct loam_record record = loam_rec(LOAM_REC_SLICE_REF, id, size);
	loam_txn_add(txn, &record, delta);
}

/* ---- the commit ---------------------------------------------------------------------------- */

void loam_txn_expect(struct loam_txn *txn, const struct loam_record *record, const void *data,
		     size_t data_bytes)
{
	struct loam_txn_item *item = item_of(txn, record);
	loam_value_release(&item->expected);
	if (data)
		item->expected = loam_value_of(data, data_bytes);
	item->is_expected = true;
}

void loam_txn_after_commit(struct loam_txn *txn,
			   void (*after)(void *arg, const struct loam_freed_slice *freed,
					 size_t freed_count),
			   void *arg)
{
	loam_assert(txn->callback_count < LOAM_TXN_CALLBACKS_MAX);
	txn->callbacks[txn->callback_count++] =
		(struct loam_txn_callback){ .after = after, .arg = arg };
}

void loam_txn_result(struct loam_txn *txn, const struct loam_record *record, int64_t *out_result)
{
	txn->results =
		grown(txn->results, txn->result_count, &txn->result_max, sizeof(*txn->results));
	txn->results[txn->result_count++] =
		(struct loam_txn_result){ .item = item_of(txn, record), .out = out_result };
}

struct loam_meta *loam_txn_meta(struct loam_txn *txn)
{
	return txn->meta;
}
