/*
 * The memory engine: a volume's records in this process, for tests and fuzzers. A real engine with
 * the contract of record.h: one mutex makes every call atomic.
 *
 *   fields   hash by identity        every record that stands by itself
 *   owners   hash by (kind, inode)   the fields of one directory, xattr hash, parent or sustained
 * set kinds    list by kind            all fields of a kind in the order they came
 *
 * A field keeps the number it got when it came, so a listing resumes behind the last number it
 * gave, whatever is written meanwhile. DIR, XATTRS and PARENTS are views of owners and not stored.
 */
#include "fs/meta/record.h"

#include "core/auto.h"
#include "core/clock.h"
#include "fs/meta/meta_format.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#define SCAN_PAGE	 1000
#define NUMBER_BYTES_MAX 24
#define PACKED_BYTES_MAX (256u << 20)

struct owner;

struct field {
	UT_hash_handle hh;
	struct field *prev, *next;	       /* of its kind */
	struct field *owner_prev, *owner_next; /* of its owner */
	struct owner *owner;		       /* NULL for kinds without one */
	uint64_t number;
	struct loam_record record; /* name points into key */
	struct loam_value value;
	size_t key_bytes;
	uint8_t key[];
};

struct owner_key {
	uint64_t kind, id;
};
struct owner {
	UT_hash_handle hh;
	struct owner_key key;
	struct field *fields;
	size_t field_count;
};

struct record_mem {
	struct loam_engine base;
	pthread_mutex_t lock; /* all below */
	struct field *fields;
	struct owner *owners;
	struct field *kinds[LOAM_REC_COUNT];
	uint64_t last_number;
};

static const struct loam_engine_ops record_mem_ops;

static struct record_mem *record_mem(struct loam_engine *engine)
{
	loam_assert(engine->ops == &record_mem_ops);
	return (struct record_mem *)engine;
}

static bool has_owner(enum loam_record_kind kind)
{
	return kind == LOAM_REC_DENTRY || kind == LOAM_REC_XATTR || kind == LOAM_REC_PARENT ||
	       kind == LOAM_REC_SUSTAINED || kind == LOAM_REC_LOCKED || kind == LOAM_REC_FLOCK ||
	       kind == LOAM_REC_PLOCK;
}

/* The kind whose owner a view shows; LOAM_REC_COUNT for records that stand by themselves. */
static enum loam_record_kind viewed_kind(enum loam_record_kind kind)
{
	switch (kind) {
	case LOAM_REC_DIR:
		return LOAM_REC_DENTRY;
	case LOAM_REC_XATTRS:
		return LOAM_REC_XATTR;
	case LOAM_REC_PARENTS:
		return LOAM_REC_PARENT;
	default:
		return LOAM_REC_COUNT;
	}
}

static struct owner *find_owner(struct record_mem *mem, enum loam_record_kind kind, uint64_t id)
{
	struct owner_key key = { .kind = kind, .id = id };
	struct owner *owner = NULL;
	HASH_FIND(hh, mem->owners, &key, sizeof(key), owner);
	return owner;
}

static struct field *find_field(struct record_mem *mem, const struct loam_record *record)
{
	uint8_t key[LOAM_RECORD_KEY_BYTES_MAX];
	size_t key_bytes = loam_record_key(record, key);
	struct field *field = NULL;
	HASH_FIND(hh, mem->fields, key, key_bytes, field);
	return field;
}

static void join_owner(struct record_mem *mem, struct field *field)
{
	struct owner *owner = find_owner(mem, field->record.kind, field->record.id);
	if (!owner) {
		owner = loam_xnew(struct owner);
		owner->key =
			(struct owner_key){ .kind = field->record.kind, .id = field->record.id };
		HASH_ADD(hh, mem->owners, key, sizeof(owner->key), owner);
	}
	field->owner = owner;
	DL_APPEND2(owner->fields, field, owner_prev, owner_next);
	owner->field_count++;
}

/* The record's field, made empty if it is new. */
static struct field *ensure_field(struct record_mem *mem, const struct loam_record *record)
{
	struct field *field = find_field(mem, record);
	if (field)
		return field;

	uint8_t key[LOAM_RECORD_KEY_BYTES_MAX];
	size_t key_bytes = loam_record_key(record, key);
	field = loam_xcalloc(1, sizeof(*field) + key_bytes);
	memcpy(field->key, key, key_bytes);
	field->key_bytes = key_bytes;
	field->record = *record;
	field->record.name.data = (const char *)field->key + key_bytes - record->name.bytes;
	field->value.present = true;
	field->number = ++mem->last_number;
	HASH_ADD_KEYPTR(hh, mem->fields, field->key, field->key_bytes, field);
	DL_APPEND(mem->kinds[record->kind], field);
	if (has_owner(record->kind))
		join_owner(mem, field);
	return field;
}

static void remove_field(struct record_mem *mem, struct field *field)
{
	struct owner *owner = field->owner;
	if (owner) {
		DL_DELETE2(owner->fields, field, owner_prev, owner_next);
		if (--owner->field_count == 0) {
			HASH_DEL(mem->owners, owner);
			free(owner);
		}
	}
	DL_DELETE(mem->kinds[field->record.kind], field);
	HASH_DEL(mem->fields, field);
	loam_value_release(&field->value);
	free(field);
}

static void remove_record(struct record_mem *mem, const struct loam_record *record)
{
	enum loam_record_kind viewed = viewed_kind(record->kind);
	if (viewed == LOAM_REC_COUNT) {
		struct field *field = find_field(mem, record);
		if (field)
			remove_field(mem, field);
		return;
	}
	for (struct owner *owner; (owner = find_owner(mem, viewed, record->id)) != NULL;)
		remove_field(mem, owner->fields);
}

/* ---- values -------------------------------------------------------------------------------- */

/* Name of a field inside packed pairs: its name, or a PARENT's inode in decimal. */
static struct loam_name packed_name(const struct field *field, char text[NUMBER_BYTES_MAX])
{
	if (field->record.kind != LOAM_REC_PARENT)
		return field->record.name;
	snprintf(text, NUMBER_BYTES_MAX, "%" PRIu64, field->record.sub);
	return loam_name_of(text);
}

static int by_packed_name(const void *left, const void *right)
{
	char left_text[NUMBER_BYTES_MAX], right_text[NUMBER_BYTES_MAX];
	struct loam_name a = packed_name(*(struct field *const *)left, left_text);
	struct loam_name b = packed_name(*(struct field *const *)right, right_text);
	int order = memcmp(a.data, b.data, a.bytes < b.bytes ? a.bytes : b.bytes);
	return order ? order : (int)a.bytes - (int)b.bytes;
}

static int pack_owner(const struct owner *owner, struct loam_value *out, struct loam_err *err)
{
	loam_auto_free struct field **sorted = loam_xcalloc(owner->field_count, sizeof(*sorted));
	size_t count = 0;
	for (struct field *field = owner->fields; field; field = field->owner_next)
		sorted[count++] = field;
	qsort(sorted, count, sizeof(*sorted), by_packed_name);

	loam_auto_buf struct loam_buf packed = LOAM_BUF(PACKED_BYTES_MAX);
	for (size_t i = 0; i < count; i++) {
		char text[NUMBER_BYTES_MAX];
		const struct loam_value *value = &sorted[i]->value;
		int ret = loam_packed_add(&packed, packed_name(sorted[i], text), value->data,
					  value->bytes, err);
		if (ret < 0)
			return ret;
	}
	*out = loam_value_of(packed.data, packed.bytes);
	return 0;
}

/* A copy of the record's value, not present when there is none. */
static int get_value(struct record_mem *mem, const struct loam_record *record,
		     struct loam_value *out, struct loam_err *err)
{
	*out = (struct loam_value){ 0 };
	enum loam_record_kind viewed = viewed_kind(record->kind);
	if (viewed == LOAM_REC_COUNT) {
		struct field *field = find_field(mem, record);
		if (field)
			*out = loam_value_copy(&field->value);
		return 0;
	}
	struct owner *owner = find_owner(mem, viewed, record->id);
	if (!owner)
		return 0;
	if (record->kind != LOAM_REC_DIR)
		return pack_owner(owner, out, err);
	*out = loam_value_of("1", 1);
	return 0;
}

static void set_value(struct field *field, const void *data, size_t data_bytes)
{
	struct loam_value value = loam_value_of(data, data_bytes);
	loam_value_release(&field->value);
	field->value = value;
}

/* 0 for a missing record. */
static int get_number(struct record_mem *mem, const struct loam_record *record, int64_t *out,
		      struct loam_err *err)
{
	*out = 0;
	struct field *field = find_field(mem, record);
	if (!field)
		return 0;

	char text[NUMBER_BYTES_MAX] = "";
	char *end = text;
	if (field->value.bytes > 0 && field->value.bytes < sizeof(text)) {
		memcpy(text, field->value.data, field->value.bytes);
		errno = 0;
		*out = strtoll(text, &end, 10);
	}
	if (end == text || *end != '\0' || errno != 0)
		return loam_fail(err, LOAM_E_CORRUPT, "a %s record holds no number",
				 record->kind == LOAM_REC_COUNTER ? "counter" : "counting");
	return 0;
}

static int add_number(struct record_mem *mem, const struct loam_record *record, int64_t delta,
		      int64_t *out, struct loam_err *err)
{
	int64_t number;
	int ret = get_number(mem, record, &number, err);
	if (ret < 0)
		return ret;
	if (__builtin_add_overflow(number, delta, &number))
		return loam_fail(err, LOAM_E_CORRUPT, "a counter beyond 64 bits");

	char text[NUMBER_BYTES_MAX];
	int bytes = snprintf(text, sizeof(text), "%" PRId64, number);
	set_value(ensure_field(mem, record), text, (size_t)bytes);
	*out = number;
	return 0;
}

static int64_t append(struct record_mem *mem, const struct loam_write *write)
{
	struct field *field = find_field(mem, &write->record);
	if (!field && (write->op == LOAM_WRITE_EXTEND || write->data_bytes == 0))
		return 0;
	if (!field)
		field = ensure_field(mem, &write->record);

	struct loam_value *value = &field->value;
	size_t bytes = value->bytes + (size_t)write->data_bytes;
	loam_assert(bytes <= UINT32_MAX);
	uint8_t *grown = loam_xcalloc(1, bytes);
	if (value->bytes > 0)
		memcpy(grown, value->data, value->bytes);
	if (write->data_bytes > 0)
		memcpy(grown + value->bytes, write->data, write->data_bytes);
	free(value->data);
	value->data = grown;
	value->bytes = (uint32_t)bytes;
	return (int64_t)(bytes / LOAM_SLICE_BYTES);
}

/* ---- calls --------------------------------------------------------------------------------- */

static int mem_read(struct loam_engine *engine, const struct loam_record *records, size_t count,
		    struct loam_value *out, struct loam_err *err)
{
	struct record_mem *mem = record_mem(engine);
	loam_guard(&mem->lock);
	for (size_t i = 0; i < count; i++) {
		int ret = get_value(mem, &records[i], &out[i], err);
		if (ret < 0) {
			while (i-- > 0)
				loam_value_release(&out[i]);
			return ret;
		}
	}
	return 0;
}

/* 1 all hold, 0 some differ (present filled), -code. */
static int compare(struct record_mem *mem, const struct loam_check *checks, size_t check_count,
		   struct loam_value *present, bool *present_differs, struct loam_err *err)
{
	int holds = 1;
	for (size_t i = 0; i < check_count; i++) {
		present_differs[i] = false;
		present[i] = (struct loam_value){ 0 };
	}
	for (size_t i = 0; i < check_count; i++) {
		struct loam_value value;
		int ret = get_value(mem, &checks[i].record, &value, err);
		if (ret < 0) {
			while (i-- > 0)
				loam_value_release(&present[i]);
			return ret;
		}
		if (loam_value_equal(&value, &checks[i].expected)) {
			loam_value_release(&value);
			continue;
		}
		present[i] = value;
		present_differs[i] = true;
		holds = 0;
	}
	return holds;
}

/* Finds what cannot be applied before anything is: a number expected where none stands. */
static int check_writes(struct record_mem *mem, const struct loam_write *writes, size_t write_count,
			struct loam_err *err)
{
	for (size_t i = 0; i < write_count; i++) {
		const struct loam_write *write = &writes[i];
		enum loam_record_kind kind = write->record.kind;
		bool is_list = write->op == LOAM_WRITE_APPEND || write->op == LOAM_WRITE_EXTEND;
		loam_assert(!is_list || kind == LOAM_REC_CHUNK);
		loam_assert(write->op == LOAM_WRITE_DELETE || viewed_kind(kind) == LOAM_REC_COUNT);
		if (is_list && write->data_bytes % LOAM_SLICE_BYTES != 0)
			return loam_fail(err, LOAM_E_INVALID, "%u bytes are no slice records",
					 write->data_bytes);
		int64_t number;
		if (write->op == LOAM_WRITE_ADD) {
			int ret = get_number(mem, &write->record, &number, err);
			if (ret < 0)
				return ret;
		}
	}
	return 0;
}

static int apply(struct record_mem *mem, struct loam_write *write, struct loam_err *err)
{
	switch (write->op) {
	case LOAM_WRITE_PUT:
		if (write->record.kind == LOAM_REC_SUSTAINED ||
		    write->record.kind == LOAM_REC_LOCKED)
			set_value(ensure_field(mem, &write->record), "1", 1);
		else
			set_value(ensure_field(mem, &write->record), write->data,
				  write->data_bytes);
		return 0;
	case LOAM_WRITE_DELETE:
		remove_record(mem, &write->record);
		return 0;
	case LOAM_WRITE_ADD:
		return add_number(mem, &write->record, write->delta, &write->result, err);
	case LOAM_WRITE_APPEND:
	case LOAM_WRITE_EXTEND:
		write->result = append(mem, write);
		return 0;
	}
	return loam_fail(err, LOAM_E_INTERNAL, "unknown write %d", write->op);
}

static int mem_commit(struct loam_engine *engine, const struct loam_check *checks,
		      size_t check_count, struct loam_write *writes, size_t write_count,
		      unsigned flags, struct loam_value *present, bool *present_differs,
		      struct loam_err *err)
{
	struct record_mem *mem = record_mem(engine);
	loam_guard(&mem->lock);
	int holds = compare(mem, checks, check_count, present, present_differs, err);
	if (holds != 1)
		return holds;
	int ret = check_writes(mem, writes, write_count, err);
	for (size_t i = 0; ret == 0 && i < write_count; i++)
		ret = apply(mem, &writes[i], err);
	return ret < 0 ? ret : 1;
}

static int mem_add(struct loam_engine *engine, const char *counter, int64_t delta,
		   int64_t *out_value, struct loam_err *err)
{
	struct record_mem *mem = record_mem(engine);
	struct loam_record record = { .kind = LOAM_REC_COUNTER, .name = loam_name_of(counter) };
	loam_guard(&mem->lock);
	return add_number(mem, &record, delta, out_value, err);
}

struct page {
	size_t count;
	struct page_row {
		struct loam_record record;
		struct loam_value value;
	} rows[SCAN_PAGE];
};

static void page_free(struct page *page)
{
	if (!page)
		return;
	for (size_t i = 0; i < page->count; i++) {
		free((char *)page->rows[i].record.name.data);
		loam_value_release(&page->rows[i].value);
	}
	free(page);
}
LOAM_DEFINE_AUTO(auto_page, struct page, page_free)

static void page_add(struct page *page, const struct field *field)
{
	struct page_row *row = &page->rows[page->count++];
	row->record = field->record;
	row->record.name.data = loam_xstrndup(field->record.name.data, field->record.name.bytes);
	if (field->record.kind != LOAM_REC_COUNTER)
		row->value = loam_value_copy(&field->value);
}

/* Copies the page behind *cursor, which moves on. */
static void fill_page(struct record_mem *mem, enum loam_record_kind kind, uint64_t id,
		      uint64_t *cursor, struct page *page)
{
	loam_guard(&mem->lock);
	struct owner *owner = id != 0 ? find_owner(mem, kind, id) : NULL;
	struct field *field = id == 0 ? mem->kinds[kind] : owner ? owner->fields : NULL;
	uint64_t last = *cursor;
	for (; field; field = owner ? field->owner_next : field->next) {
		if (field->number <= last)
			continue;
		if (page->count == SCAN_PAGE)
			return;
		page_add(page, field);
		*cursor = field->number;
	}
	*cursor = 0;
}

static int mem_scan(struct loam_engine *engine, enum loam_record_kind kind, uint64_t id,
		    uint64_t *cursor, uint64_t *skipped, loam_record_seen_fn *seen, void *arg,
		    struct loam_err *err)
{
	struct page *page __attribute__((cleanup(auto_page_))) = loam_xnew(struct page);
	loam_assert(id == 0 || has_owner(kind));
	fill_page(record_mem(engine), kind, id, cursor, page);
	for (size_t i = 0; i < page->count; i++) {
		const struct page_row *row = &page->rows[i];
		int ret = seen(arg, &row->record, row->value.data, row->value.bytes);
		if (ret != 0)
			return ret;
	}
	return 0;
}

static int mem_now(struct loam_engine *engine, int64_t *out_seconds, struct loam_err *err)
{
	*out_seconds = loam_clock_now().tv_sec;
	return 0;
}

/* Nothing outlives the process, so nothing is left to wait for. */
static int mem_barrier(struct loam_engine *engine, struct loam_err *err)
{
	return 0;
}

static int mem_describe(struct loam_engine *engine, char *text, size_t text_bytes,
			struct loam_err *err)
{
	snprintf(text, text_bytes, "memory of this process, nothing is kept");
	return 0;
}

static void mem_set_session(struct loam_engine *engine, uint64_t sid)
{
	/* No reply is ever lost here, so no marker is written. */
}

static int mem_is_empty(struct loam_engine *engine, struct loam_err *err)
{
	struct record_mem *mem = record_mem(engine);
	loam_guard(&mem->lock);
	return mem->fields == NULL;
}

static void mem_free(struct loam_engine *engine)
{
	struct record_mem *mem = record_mem(engine);
	while (mem->fields)
		remove_field(mem, mem->fields);
	pthread_mutex_destroy(&mem->lock);
	free(mem);
}

static const struct loam_engine_ops record_mem_ops = {
	.name = "mem",
	.read = mem_read,
	.commit = mem_commit,
	.add = mem_add,
	.scan = mem_scan,
	.now = mem_now,
	.barrier = mem_barrier,
	.describe = mem_describe,
	.set_session = mem_set_session,
	.is_empty = mem_is_empty,
	.free = mem_free,
};

int loam_record_mem_open(struct loam_engine **out_engine, struct loam_err *err)
{
	struct record_mem *mem = loam_xnew(struct record_mem);
	mem->base.ops = &record_mem_ops;
	pthread_mutex_init(&mem->lock, NULL);
	*out_engine = &mem->base;
	return 0;
}
