/*
 * Rules by id and by content: every check of a right on the mount and every inherited or set ACL
 * goes through here, so it must cost no trip.
 *
 * A rule that is new gets the next number of `aclMaxId` and is stored under it at once, outside any
 * transaction; when that transaction fails the number is lost, which is harmless. Two processes
 * that store an equal rule at the same time leave two ids for it: harmless too.
 */
#include "fs/meta/acl_table.h"

#include "core/auto.h"
#include "fs/meta/meta_internal.h"

#include <inttypes.h>
#include <uthash.h>

#define ACL_TABLE_MAX  100000
#define ACL_BYTES_MAX  (16 + 6 * 2 * 65536)
#define ACL_FETCH_MAX  500 /* rules read in one trip */
#define ACL_STORE_RUNS 8   /* numbers tried before giving up */

struct loam_acl_row {
	uint32_t id;
	struct loam_acl acl;
	uint8_t *bytes; /* encoded */
	size_t byte_count;
	UT_hash_handle by_id, by_rule;
};

void loam_acl_table_init(struct loam_acl_table *table)
{
	pthread_mutex_init(&table->lock, NULL);
}

static void empty(struct loam_acl_table *table)
{
	struct loam_acl_row *row, *next;
	HASH_CLEAR(by_rule, table->by_rule);
	HASH_ITER (by_id, table->by_id, row, next) {
		HASH_DELETE(by_id, table->by_id, row);
		loam_acl_release(&row->acl);
		free(row->bytes);
		free(row);
	}
	table->known_max = 0;
}

void loam_acl_table_release(struct loam_acl_table *table)
{
	empty(table);
	pthread_mutex_destroy(&table->lock);
}

/* Remembers a rule; one that is there already stays. */
static int remember(struct loam_meta *meta, uint32_t id, const void *data, size_t data_bytes,
		    struct loam_err *err)
{
	struct loam_acl_table *table = &meta->acl_table;
	struct loam_acl acl;
	int rc = loam_acl_decode(data, data_bytes, &acl, err);
	if (rc < 0)
		return loam_context(err, "ACL rule %u", id);

	loam_guard(&table->lock);
	struct loam_acl_row *row = NULL, *equal = NULL;
	HASH_FIND(by_id, table->by_id, &id, sizeof(id), row);
	if (row) {
		loam_acl_release(&acl);
		return 0;
	}
	if (HASH_CNT(by_id, table->by_id) >= ACL_TABLE_MAX)
		empty(table);
	row = loam_xnew(struct loam_acl_row);
	row->id = id;
	row->acl = acl;
	row->byte_count = data_bytes;
	row->bytes = loam_xcalloc(1, data_bytes);
	memcpy(row->bytes, data, data_bytes);
	HASH_ADD(by_id, table->by_id, id, sizeof(row->id), row);
	HASH_FIND(by_rule, table->by_rule, data, data_bytes, equal);
	if (!equal)
		HASH_ADD_KEYPTR(by_rule, table->by_rule, row->bytes, row->byte_count, row);
	return 0;
}

struct loading {
	struct loam_meta *meta;
	uint32_t max_id;
};

/* A damaged rule spoils only the inodes that use it: it is met again, and reported, there. */
static int seen_rule(void *arg, const struct loam_record *record, const void *data,
		     size_t data_bytes)
{
	struct loading *loading = arg;
	struct loam_err ignored = { 0 };
	remember(loading->meta, (uint32_t)record->id, data, data_bytes, &ignored);
	if (record->id <= UINT32_MAX && record->id > loading->max_id)
		loading->max_id = (uint32_t)record->id;
	return 0;
}

int loam_acl_table_load(struct loam_meta *meta, struct loam_err *err)
{
	struct loading loading = { .meta = meta };
	uint64_t cursor = 0;
	do {
		int rc = meta->engine->ops->scan(meta->engine, LOAM_REC_ACL, 0, &cursor, NULL,
						 seen_rule, &loading, err);
		if (rc < 0)
			return loam_context(err, "read the ACL rules");
	} while (cursor != 0);

	loam_guard(&meta->acl_table.lock);
	meta->acl_table.known_max = loading.max_id;
	return 0;
}

/* 1 with a copy, 0 not in memory. */
static int find_id(struct loam_meta *meta, uint32_t id, struct loam_acl *out, struct loam_err *err)
{
	struct loam_acl_row *row = NULL;
	loam_guard(&meta->acl_table.lock);
	HASH_FIND(by_id, meta->acl_table.by_id, &id, sizeof(id), row);
	if (!row)
		return 0;

	int rc = loam_acl_copy(&row->acl, out, err);
	return rc < 0 ? rc : 1;
}

static bool find_rule(struct loam_meta *meta, const struct loam_buf *rule, uint32_t *out_id)
{
	struct loam_acl_row *row = NULL;
	loam_guard(&meta->acl_table.lock);
	HASH_FIND(by_rule, meta->acl_table.by_rule, rule->data, rule->bytes, row);
	if (row)
		*out_id = row->id;
	return row != NULL;
}

int loam_meta_acl_rule(struct loam_meta *meta, uint32_t acl_id, struct loam_acl *out,
		       struct loam_err *err)
{
	int rc = find_id(meta, acl_id, out, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;

	struct loam_record record = loam_rec(LOAM_REC_ACL, acl_id, 0);
	struct loam_value value;
	rc = meta->engine->ops->read(meta->engine, &record, 1, &value, err);
	if (rc < 0)
		return rc;
	if (!value.present)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no ACL rule %u in the volume", acl_id);

	rc = remember(meta, acl_id, value.data, value.bytes, err);
	if (rc == 0)
		rc = loam_acl_decode(value.data, value.bytes, out, err);
	loam_value_release(&value);
	return rc;
}

/* Reads the rules [first, first + count) that others have stored. */
static int fetch_rules(struct loam_meta *meta, uint32_t first, uint32_t count, struct loam_err *err)
{
	loam_auto_free struct loam_record *records = loam_xcalloc(count, sizeof(*records));
	loam_auto_free struct loam_value *values = loam_xcalloc(count, sizeof(*values));
	for (uint32_t i = 0; i < count; i++)
		records[i] = loam_rec(LOAM_REC_ACL, first + i, 0);

	int rc = meta->engine->ops->read(meta->engine, records, count, values, err);
	if (rc < 0)
		return rc;

	for (uint32_t i = 0; i < count; i++) {
		struct loam_err ignored = { 0 };
		if (values[i].present)
			remember(meta, first + i, values[i].data, values[i].bytes, &ignored);
		loam_value_release(&values[i]);
	}
	return 0;
}

/* Looks at the ids that others have taken since the last time. */
static int catch_up(struct loam_meta *meta, struct loam_err *err)
{
	struct loam_record record = loam_rec_named(LOAM_REC_COUNTER, 0, loam_name_of("aclMaxId"));
	struct loam_value value;
	int rc = meta->engine->ops->read(meta->engine, &record, 1, &value, err);
	if (rc < 0)
		return rc;

	int64_t max = loam_meta_value_number(&value);
	loam_value_release(&value);
	pthread_mutex_lock(&meta->acl_table.lock);
	int64_t next = (int64_t)meta->acl_table.known_max + 1;
	pthread_mutex_unlock(&meta->acl_table.lock);
	max = max > UINT32_MAX ? UINT32_MAX : max;
	while (next <= max) {
		int64_t count = max - next + 1 < ACL_FETCH_MAX ? max - next + 1 : ACL_FETCH_MAX;
		rc = fetch_rules(meta, (uint32_t)next, (uint32_t)count, err);
		if (rc < 0)
			return rc;
		next += count;
	}
	loam_guard(&meta->acl_table.lock);
	if (next - 1 > (int64_t)meta->acl_table.known_max)
		meta->acl_table.known_max = (uint32_t)(next - 1);
	return 0;
}

/* 1 stored under a new id, 0 that id was taken. */
static int store(struct loam_meta *meta, const struct loam_buf *rule, uint32_t *out_id,
		 struct loam_err *err)
{
	int64_t id = 0;
	int rc = meta->engine->ops->add(meta->engine, "aclMaxId", 1, &id, err);
	if (rc < 0)
		return rc;
	if (id <= 0 || id > UINT32_MAX)
		return loam_fail(err, LOAM_E_NO_SPACE, "no ACL id is left (%" PRId64 ")", id);

	struct loam_record record = loam_rec(LOAM_REC_ACL, (uint64_t)id, 0);
	struct loam_check absent = { .record = record };
	struct loam_write put = { .op = LOAM_WRITE_PUT,
				  .record = record,
				  .data = rule->data,
				  .data_bytes = (uint32_t)rule->bytes };
	struct loam_value present = { 0 };
	bool differs = false;
	rc = meta->engine->ops->commit(meta->engine, &absent, 1, &put, 1, 0, &present, &differs,
				       err);
	if (rc == 0)
		loam_value_release(&present);
	*out_id = (uint32_t)id;
	return rc;
}

int loam_meta_acl_intern(struct loam_meta *meta, const struct loam_acl *acl, uint32_t *out_id,
			 struct loam_err *err)
{
	loam_auto_buf struct loam_buf rule = LOAM_BUF(ACL_BYTES_MAX);
	int rc = loam_acl_encode(acl, &rule, err);
	if (rc < 0)
		return rc;
	if (find_rule(meta, &rule, out_id))
		return 0;

	rc = loam_rules_writable(meta, err);
	if (rc == 0)
		rc = catch_up(meta, err);
	if (rc < 0)
		return rc;
	if (find_rule(meta, &rule, out_id))
		return 0;

	for (int run = 0; run < ACL_STORE_RUNS; run++) {
		uint32_t id = 0;
		rc = store(meta, &rule, &id, err);
		if (rc < 0)
			return loam_context(err, "store an ACL rule");
		if (rc == 0)
			continue;
		rc = remember(meta, id, rule.data, rule.bytes, err);
		if (rc < 0)
			return rc;
		*out_id = id;
		return 0;
	}
	return loam_fail(err, LOAM_E_CONFLICT, "every new ACL id was taken already");
}
