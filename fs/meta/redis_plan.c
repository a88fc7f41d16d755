/*
 * Grouping writes into commands (redis_plan.h). Every write becomes one or more steps (a chunk list
 * of 1,500 records is an UNLINK and two RPUSH); the steps are sorted by phase, verb and key, and
 * neighbours with the same verb and key are sent as one command.
 *
 * A commit that removes a session's SESSION_INFO also removes the lost-reply markers of that
 * session (fields "<sid>:<slot>" of loam:txn), so that sessions that died leave nothing.
 */
#include "fs/meta/redis_plan.h"

#include "core/endian.h"
#include "fs/meta/meta_format.h"
#include "fs/meta/redis_pool.h"

#include <string.h>

enum verb {
	VERB_UNLINK,
	VERB_HDEL,
	VERB_ZREM,
	VERB_SREM,
	VERB_RPUSH,
	VERB_RPUSHX,
	VERB_INCRBY,
	VERB_HINCRBY,
	VERB_MSET,
	VERB_HSET,
	VERB_ZADD,
	VERB_SADD
};

static const struct verb_row {
	const char *word;
	bool has_result;	  /* alone in its command */
	bool has_key;		  /* the key is named once, before all fields */
	unsigned char words_each; /* arguments that one step adds */
} verbs[] = {
	[VERB_UNLINK] = { "UNLINK", false, false, 1 },
	[VERB_HDEL] = { "HDEL", false, true, 1 },
	[VERB_ZREM] = { "ZREM", false, true, 1 },
	[VERB_SREM] = { "SREM", false, true, 1 },
	[VERB_RPUSH] = { "RPUSH", true, true, 0 },
	[VERB_RPUSHX] = { "RPUSHX", true, true, 0 },
	[VERB_INCRBY] = { "INCRBY", true, true, 0 },
	[VERB_HINCRBY] = { "HINCRBY", true, true, 0 },
	[VERB_MSET] = { "MSET", false, false, 2 },
	[VERB_HSET] = { "HSET", false, true, 2 },
	[VERB_ZADD] = { "ZADD", false, true, 2 },
	[VERB_SADD] = { "SADD", false, true, 1 },
};

enum target { TARGET_RECORD, TARGET_DIR_STATS, TARGET_MARKER, TARGET_PAIR };

struct loam_redis_step {
	enum verb verb;
	enum target target;
	enum loam_record_kind kind;
	uint64_t key_id; /* tells keys of one kind apart: the record's id, 0 for single kinds */
	uint32_t write;
	uint32_t part; /* first record of a list, place of a pair, number of a statistic or slot */
};

static const char *const dir_stats_keys[] = { "dirDataLength", "dirUsedSpace", "dirUsedInodes" };

void loam_redis_plan_release(struct loam_redis_plan *plan)
{
	free(plan->steps);
	*plan = (struct loam_redis_plan){ 0 };
}

static struct loam_redis_step *add_step(struct loam_redis_plan *plan, enum verb verb,
					uint32_t write, uint32_t part)
{
	if (plan->step_count == plan->step_capacity) {
		plan->step_capacity = plan->step_capacity ? plan->step_capacity * 2 : 16;
		plan->steps = reallocarray(plan->steps, plan->step_capacity, sizeof(*plan->steps));
		loam_assert(plan->steps);
	}
	const struct loam_record *record = &plan->writes[write].record;
	struct loam_redis_step *step = &plan->steps[plan->step_count++];
	*step = (struct loam_redis_step){
		.verb = verb, .kind = record->kind, .write = write, .part = part
	};
	if (verbs[verb].has_key && !loam_redis_kind_is_single(record->kind))
		step->key_id = record->id;
	return step;
}

static void add_list(struct loam_redis_plan *plan, enum verb verb, uint32_t write)
{
	uint32_t bytes = plan->writes[write].data_bytes;
	loam_assert(bytes % LOAM_SLICE_BYTES == 0);
	for (uint32_t at = 0; at < bytes; at += LOAM_REDIS_GROUP_ARGS * LOAM_SLICE_BYTES)
		add_step(plan, verb, write, at);
}

static void add_dir_stats(struct loam_redis_plan *plan, enum verb verb, uint32_t write)
{
	for (uint32_t i = 0; i < LOAM_ARRAY_COUNT(dir_stats_keys); i++) {
		struct loam_redis_step *step = add_step(plan, verb, write, i);
		step->target = TARGET_DIR_STATS;
		step->key_id = i;
	}
}

static void add_delete(struct loam_redis_plan *plan, uint32_t write)
{
	enum loam_record_kind kind = plan->writes[write].record.kind;
	plan->has_removals = true;
	if (kind == LOAM_REC_DIR_STATS) {
		add_dir_stats(plan, VERB_HDEL, write);
		return;
	}
	if (kind == LOAM_REC_SESSION_INFO)
		for (uint32_t slot = 0; slot < LOAM_REDIS_CONNECTIONS; slot++)
			add_step(plan, VERB_HDEL, write, slot)->target = TARGET_MARKER;
	switch (loam_redis_shape_of(kind)) {
	case LOAM_SHAPE_FIELD:
		add_step(plan, VERB_HDEL, write, 0);
		return;
	case LOAM_SHAPE_SCORE:
		add_step(plan, VERB_ZREM, write, 0);
		return;
	case LOAM_SHAPE_MEMBER:
		add_step(plan, VERB_SREM, write, 0);
		return;
	case LOAM_SHAPE_STRING:
	case LOAM_SHAPE_FIELDS:
	case LOAM_SHAPE_EXISTS:
	case LOAM_SHAPE_LIST:
		add_step(plan, VERB_UNLINK, write, 0);
		return;
	}
}

/* A pair of packed pairs. */
struct pair {
	const uint8_t *name, *value;
	uint32_t name_bytes, value_bytes;
	uint32_t next; /* offset behind it */
};

static bool pair_at(const struct loam_write *write, uint32_t offset, struct pair *out)
{
	const uint8_t *data = write->data;
	const uint8_t **places[] = { &out->name, &out->value };
	uint32_t *sizes[] = { &out->name_bytes, &out->value_bytes };
	for (size_t i = 0; i < 2; i++) {
		if (write->data_bytes - offset < 4)
			return false;
		uint32_t bytes = loam_be32_get(data + offset);
		offset += 4;
		if (bytes > write->data_bytes - offset)
			return false;
		*places[i] = data + offset;
		*sizes[i] = bytes;
		offset += bytes;
	}
	out->next = offset;
	return true;
}

static int add_put(struct loam_redis_plan *plan, uint32_t write, struct loam_err *err)
{
	const struct loam_write *put = &plan->writes[write];
	struct pair pair;
	if (put->record.kind == LOAM_REC_DIR_STATS) {
		add_dir_stats(plan, VERB_HSET, write);
		return 0;
	}
	switch (loam_redis_shape_of(put->record.kind)) {
	case LOAM_SHAPE_STRING:
		add_step(plan, VERB_MSET, write, 0);
		return 0;
	case LOAM_SHAPE_FIELD:
		add_step(plan, VERB_HSET, write, 0);
		return 0;
	case LOAM_SHAPE_SCORE:
		add_step(plan, VERB_ZADD, write, 0);
		return 0;
	case LOAM_SHAPE_MEMBER:
		add_step(plan, VERB_SADD, write, 0);
		return 0;
	case LOAM_SHAPE_LIST:
		add_step(plan, VERB_UNLINK, write, 0);
		add_list(plan, VERB_RPUSH, write);
		return 0;
	case LOAM_SHAPE_FIELDS:
		add_step(plan, VERB_UNLINK, write, 0);
		for (uint32_t at = 0; at < put->data_bytes; at = pair.next) {
			if (!pair_at(put, at, &pair))
				return loam_fail(err, LOAM_E_CORRUPT, "broken packed pairs");
			add_step(plan, VERB_HSET, write, at)->target = TARGET_PAIR;
		}
		return 0;
	case LOAM_SHAPE_EXISTS:
		break;
	}
	loam_assert(!"a directory exists by its entries");
	return 0;
}

static int compare_steps(const void *left, const void *right)
{
	const struct loam_redis_step *a = left, *b = right;
	if (a->verb != b->verb) /* verbs are in the order of the phases */
		return a->verb < b->verb ? -1 : 1;
	if (a->target != b->target)
		return a->target < b->target ? -1 : 1;
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->key_id != b->key_id)
		return a->key_id < b->key_id ? -1 : 1;
	if (a->write != b->write)
		return a->write < b->write ? -1 : 1;
	return (a->part > b->part) - (a->part < b->part);
}

int loam_redis_plan_make(struct loam_redis_plan *plan, struct loam_write *writes,
			 size_t write_count, struct loam_err *err)
{
	*plan = (struct loam_redis_plan){ .writes = writes };
	for (uint32_t i = 0; i < write_count; i++) {
		int rc = 0;
		switch (writes[i].op) {
		case LOAM_WRITE_DELETE:
			add_delete(plan, i);
			break;
		case LOAM_WRITE_PUT:
			rc = add_put(plan, i, err);
			break;
		case LOAM_WRITE_ADD:
			add_step(plan,
				 loam_redis_shape_of(writes[i].record.kind) == LOAM_SHAPE_STRING
					 ? VERB_INCRBY
					 : VERB_HINCRBY,
				 i, 0);
			break;
		case LOAM_WRITE_APPEND:
			add_list(plan, VERB_RPUSH, i);
			break;
		case LOAM_WRITE_EXTEND:
			add_list(plan, VERB_RPUSHX, i);
			break;
		}
		if (rc < 0)
			return rc;
	}
	if (plan->step_count > 1)
		qsort(plan->steps, plan->step_count, sizeof(*plan->steps), compare_steps);
	return 0;
}

void loam_redis_plan_rewind(struct loam_redis_plan *plan)
{
	plan->next = 0;
}

/* Do both belong into one command? */
static bool joins(const struct loam_redis_step *a, const struct loam_redis_step *b)
{
	if (a->verb != b->verb || verbs[a->verb].has_result)
		return false;
	if (!verbs[a->verb].has_key)
		return true;
	return a->key_id == b->key_id && a->target == b->target && a->kind == b->kind;
}

static void add_key(const struct loam_redis_plan *plan, const struct loam_redis_step *step,
		    struct loam_resp_args *args)
{
	if (step->target == TARGET_DIR_STATS)
		loam_resp_arg_word(args, dir_stats_keys[step->part]);
	else if (step->target == TARGET_MARKER)
		loam_resp_arg_word(args, LOAM_REDIS_TXN_KEY);
	else
		loam_redis_key_add(args, &plan->writes[step->write].record);
}

static void add_field(const struct loam_redis_plan *plan, const struct loam_redis_step *step,
		      struct loam_resp_args *args)
{
	const struct loam_write *write = &plan->writes[step->write];
	if (step->target == TARGET_MARKER)
		loam_resp_arg_format(args, "%llu:%u", (unsigned long long)write->record.id,
				     step->part);
	else
		loam_redis_field_add(args, &write->record);
}

/* What the step adds behind the verb (and its key). */
static void add_words(const struct loam_redis_plan *plan, const struct loam_redis_step *step,
		      struct loam_resp_args *args)
{
	const struct loam_write *write = &plan->writes[step->write];
	struct pair pair;
	switch (step->verb) {
	case VERB_UNLINK:
		loam_redis_key_add(args, &write->record);
		return;
	case VERB_HDEL:
	case VERB_ZREM:
	case VERB_SREM:
	case VERB_SADD:
		add_field(plan, step, args);
		return;
	case VERB_RPUSH:
	case VERB_RPUSHX:
		for (uint32_t i = 0, at = step->part;
		     i < LOAM_REDIS_GROUP_ARGS && at < write->data_bytes;
		     i++, at += LOAM_SLICE_BYTES)
			loam_resp_arg(args, (const uint8_t *)write->data + at, LOAM_SLICE_BYTES);
		return;
	case VERB_HINCRBY:
		add_field(plan, step, args);
		loam_resp_arg_format(args, "%lld", (long long)write->delta);
		return;
	case VERB_INCRBY:
		loam_resp_arg_format(args, "%lld", (long long)write->delta);
		return;
	case VERB_MSET:
		loam_redis_key_add(args, &write->record);
		loam_resp_arg(args, write->data, write->data_bytes);
		return;
	case VERB_HSET:
		if (step->target == TARGET_PAIR) {
			loam_assert(pair_at(write, step->part, &pair));
			loam_resp_arg(args, pair.name, pair.name_bytes);
			loam_resp_arg(args, pair.value, pair.value_bytes);
			return;
		}
		add_field(plan, step, args);
		loam_resp_arg(args, write->data, write->data_bytes);
		return;
	case VERB_ZADD:
		loam_resp_arg(args, write->data, write->data_bytes);
		add_field(plan, step, args);
		return;
	}
}

bool loam_redis_plan_next(struct loam_redis_plan *plan, struct loam_resp_args *args,
			  bool *out_has_result, int64_t **out_result)
{
	if (plan->next == plan->step_count)
		return false;
	const struct loam_redis_step *first = &plan->steps[plan->next];
	const struct verb_row *row = &verbs[first->verb];
	struct loam_write *write = &plan->writes[first->write];
	loam_resp_arg_word(args, row->word);
	if (row->has_key)
		add_key(plan, first, args);
	size_t words = 0;
	do {
		add_words(plan, &plan->steps[plan->next], args);
		words += row->words_each;
		plan->next++;
	} while (plan->next < plan->step_count && words < LOAM_REDIS_GROUP_ARGS &&
		 joins(first, &plan->steps[plan->next]));
	*out_has_result = row->has_result;
	*out_result = row->has_result && write->op != LOAM_WRITE_PUT ? &write->result : NULL;
	return true;
}
