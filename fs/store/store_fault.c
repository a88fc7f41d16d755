/*
 * A block store that fails on purpose, around another one, so that any test and any server can run
 * on a store whose third put meets a full disk.
 *
 * Rules: "operation:when:what" joined by commas. operation: put sync get size remove list open;
 * when: a number n (the n-th call of that operation since these rules were read) or "every"; what:
 * the name of an error code, or delay=MS (waits, then goes on). Several rules may meet one call;
 * they act in their order. "@path": the rules stand in that file, which is read again at each call;
 * when its text has changed, calls count from one again; a missing file means no rules.
 */
#include "core/auto.h"
#include "core/clock.h"
#include "fs/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define RULES_BYTES_MAX 4096
#define RULES_MAX	32
#define DELAY_MS_MAX	600000

enum op { OP_PUT, OP_SYNC, OP_GET, OP_SIZE, OP_REMOVE, OP_LIST, OP_OPEN, OP_COUNT };

static const char *const op_names[OP_COUNT] = { "put",	  "sync", "get", "size",
						"remove", "list", "open" };

static const char *const code_names[LOAM_E_COUNT] = {
#define X(name, posix, http, retry, text) [LOAM_E_##name] = #name,
	LOAM_CODES(X)
#undef X
};

struct rule {
	enum op op;
	uint64_t at;	     /* 0: every call */
	enum loam_code code; /* OK: only the delay */
	uint64_t delay_ms;
};

struct store_fault {
	struct loam_store base;
	struct loam_store *inner;
	char *path;	      /* of the rule file, or NULL */
	pthread_mutex_t lock; /* all below */
	char text[RULES_BYTES_MAX];
	struct rule rules[RULES_MAX];
	size_t rule_count;
	uint64_t calls[OP_COUNT];
};

static const struct loam_store_ops fault_ops;

static struct store_fault *store_fault(struct loam_store *store)
{
	loam_assert(store->ops == &fault_ops);
	return (struct store_fault *)store;
}

static bool read_count(const char *text, uint64_t max, uint64_t *out)
{
	char *end;
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0' && *out <= max;
}

static bool parse_rule(char *text, struct rule *out)
{
	char *op = strsep(&text, ":");
	char *when = strsep(&text, ":");
	char *what = text;
	if (!when || !what)
		return false;
	*out = (struct rule){ .op = OP_COUNT };
	for (size_t i = 0; i < OP_COUNT; i++)
		if (strcmp(op, op_names[i]) == 0)
			out->op = (enum op)i;
	if (out->op == OP_COUNT)
		return false;
	if (strcmp(when, "every") != 0 && (!read_count(when, UINT64_MAX, &out->at) || !out->at))
		return false;
	if (strncmp(what, "delay=", 6) == 0)
		return read_count(what + 6, DELAY_MS_MAX, &out->delay_ms);
	for (size_t i = LOAM_E_OK + 1; i < LOAM_E_COUNT; i++)
		if (strcmp(what, code_names[i]) == 0)
			out->code = (enum loam_code)i;
	return out->code != LOAM_E_OK;
}

/* Takes the rules over and counts from one; a line break behind the last is no matter. */
static int take_rules(struct store_fault *fault, const char *rules, struct loam_err *err)
{
	char copy[RULES_BYTES_MAX];
	if (strlen(rules) >= sizeof(copy))
		return loam_fail(err, LOAM_E_TOO_LARGE, "fault rules over %d bytes",
				 RULES_BYTES_MAX);
	snprintf(copy, sizeof(copy), "%s", rules);
	copy[strcspn(copy, "\r\n")] = '\0';
	fault->rule_count = 0;
	memset(fault->calls, 0, sizeof(fault->calls));

	char *rest = *copy ? copy : NULL;
	while (rest) {
		char *one = strsep(&rest, ",");
		if (fault->rule_count == RULES_MAX ||
		    !parse_rule(one, &fault->rules[fault->rule_count])) {
			fault->rule_count = 0;
			return loam_fail(err, LOAM_E_INVALID, "fault rules '%s'", rules);
		}
		fault->rule_count++;
	}
	return 0;
}

static int read_rule_file(struct store_fault *fault, struct loam_err *err)
{
	char text[RULES_BYTES_MAX] = "";
	loam_auto_fd int fd = open(fault->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT)
		return loam_fail_errno(err, "open %s", fault->path);
	ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (got < 0)
		return loam_fail_errno(err, "read %s", fault->path);
	text[got] = '\0';
	if (strcmp(text, fault->text) == 0)
		return 0;
	snprintf(fault->text, sizeof(fault->text), "%s", text);
	return take_rules(fault, text, err);
}

/* Counts the call; says what it shall suffer. */
static int judge(struct store_fault *fault, enum op op, uint64_t *out_delay_ms,
		 enum loam_code *out_code, struct loam_err *err)
{
	loam_guard(&fault->lock);
	if (fault->path) {
		int rc = read_rule_file(fault, err);
		if (rc < 0)
			return rc;
	}
	uint64_t call = ++fault->calls[op];
	for (size_t i = 0; i < fault->rule_count; i++) {
		const struct rule *rule = &fault->rules[i];
		if (rule->op != op || (rule->at != 0 && rule->at != call))
			continue;
		*out_delay_ms += rule->delay_ms;
		if (*out_code == LOAM_E_OK)
			*out_code = rule->code;
	}
	return 0;
}

static int suffer(struct store_fault *fault, enum op op, const char *key, struct loam_err *err)
{
	uint64_t delay_ms = 0;
	enum loam_code code = LOAM_E_OK;
	int rc = judge(fault, op, &delay_ms, &code, err);
	if (rc < 0)
		return rc;
	if (delay_ms > 0)
		loam_clock_sleep_ms(delay_ms);
	if (code != LOAM_E_OK)
		return loam_fail(err, code, "fault on purpose: %s %s", op_names[op], key);
	return 0;
}

static int fault_put(struct loam_store *store, const char *key, const void *data, size_t data_bytes,
		     struct loam_err *err)
{
	struct store_fault *fault = store_fault(store);
	int rc = suffer(fault, OP_PUT, key, err);
	return rc < 0 ? rc : fault->inner->ops->put(fault->inner, key, data, data_bytes, err);
}

static int fault_sync(struct loam_store *store, const char *const *keys, size_t key_count,
		      struct loam_err *err)
{
	struct store_fault *fault = store_fault(store);
	int rc = suffer(fault, OP_SYNC, key_count ? keys[0] : "", err);
	return rc < 0 ? rc : fault->inner->ops->sync(fault->inner, keys, key_count, err);
}

static int fault_get(struct loam_store *store, const char *key, uint64_t offset, void *out,
		     size_t out_bytes, struct loam_err *err)
{
	struct store_fault *fault = store_fault(store);
	int rc = suffer(fault, OP_GET, key, err);
	return rc < 0 ? rc : fault->inner->ops->get(fault->inner, key, offset, out, out_bytes, err);
}

static int fault_size(struct loam_store *store, const char *key, uint64_t *out_bytes,
		      struct loam_err *err)
{
	struct store_fault *fault = store_fault(store);
	int rc = suffer(fault, OP_SIZE, key, err);
	return rc < 0 ? rc : fault->inner->ops->size(fault->inner, key, out_bytes, err);
}

static int fault_remove(struct loam_store *store, const char *key, struct loam_err *err)
{
	struct store_fault *fault = store_fault(store);
	int rc = suffer(fault, OP_REMOVE, key, err);
	return rc < 0 ? rc : fault->inner->ops->remove(fault->inner, key, err);
}

static int fault_list(struct loam_store *store, const char *prefix, loam_store_seen_fn *seen,
		      void *arg, struct loam_err *err)
{
	struct store_fault *fault = store_fault(store);
	int rc = suffer(fault, OP_LIST, prefix, err);
	return rc < 0 ? rc : fault->inner->ops->list(fault->inner, prefix, seen, arg, err);
}

static int fault_open_local(struct loam_store *store, const char *key, int *out_fd,
			    struct loam_err *err)
{
	struct store_fault *fault = store_fault(store);
	if (!fault->inner->ops->open_local) {
		*out_fd = -1;
		return 0;
	}
	int rc = suffer(fault, OP_OPEN, key, err);
	return rc < 0 ? rc : fault->inner->ops->open_local(fault->inner, key, out_fd, err);
}

static void fault_free(struct loam_store *store)
{
	struct store_fault *fault = store_fault(store);
	fault->inner->ops->free(fault->inner);
	pthread_mutex_destroy(&fault->lock);
	free(fault->path);
	free(fault);
}

static const struct loam_store_ops fault_ops = {
	.name = "fault",
	.put = fault_put,
	.sync = fault_sync,
	.get = fault_get,
	.size = fault_size,
	.remove = fault_remove,
	.list = fault_list,
	.open_local = fault_open_local,
	.free = fault_free,
};

int loam_store_fault_open(struct loam_store *inner, const char *rules,
			  struct loam_store **out_store, struct loam_err *err)
{
	struct store_fault *fault = loam_xnew(struct store_fault);
	fault->base.ops = &fault_ops;
	fault->inner = inner;
	pthread_mutex_init(&fault->lock, NULL);
	int rc = 0;
	if (*rules == '@')
		fault->path = loam_xstrdup(rules + 1);
	else
		rc = take_rules(fault, rules, err);
	if (rc < 0) {
		fault_free(&fault->base);
		return rc;
	}
	*out_store = &fault->base;
	return 0;
}
