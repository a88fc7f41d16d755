/*
 * Named failpoints (core/failpoint.h). The environment is read at the first arrival; when it names
 * none and no log, an arrival costs one atomic read. Compiled out of releases.
 */
#include "core/failpoint.h"

#ifdef LOAM_FAILPOINTS

#include "core/auto.h"
#include "core/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define POINTS_MAX 32
#define LOGGED_MAX 1024
#define ERRNO_MAX  133

enum action { ACT_KILL, ACT_ERROR, ACT_DELAY, ACT_PAUSE, ACT_SHORT };

struct point {
	char *name;
	enum action action;
	uint64_t value; /* errno, milliseconds or bytes */
	uint64_t at;	/* acts at this arrival only; 0: at each */
	uint64_t arrivals;
};

/* All under `lock`, but `state`. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int state; /* 0 unread, 1 nothing to do ever, 2 active; atomic */
static struct point points[POINTS_MAX];
static size_t point_count;
static char *logged[LOGGED_MAX];
static size_t logged_count;
static char *log_path;

static const struct {
	const char *word;
	enum action action;
	bool has_value;
} actions[] = {
	{ "kill", ACT_KILL, false },   { "error", ACT_ERROR, true }, { "delay", ACT_DELAY, true },
	{ "pause", ACT_PAUSE, false }, { "short", ACT_SHORT, true },
};

static _Noreturn void die_of_syntax(const char *item)
{
	fprintf(stderr, "loam: LOAM_FAILPOINT: '%s' is not name:action[:value][:n]\n", item);
	abort();
}

static bool read_number(const char *text, uint64_t *out)
{
	char *end = NULL;
	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0';
}

static bool read_errno(const char *text, uint64_t *out)
{
	for (int number = 1; text && number <= ERRNO_MAX; number++) {
		const char *name = strerrorname_np(number);
		if (name && strcmp(name, text) == 0) {
			*out = (uint64_t)number;
			return true;
		}
	}
	return read_number(text, out) && *out > 0 && *out <= ERRNO_MAX;
}

/* item is changed: the colons become ends of text. */
static void read_point(char *item, struct point *out)
{
	loam_auto_free char *whole = loam_xstrdup(item);
	char *rest = item;
	char *name = strsep(&rest, ":");
	char *word = strsep(&rest, ":");
	size_t found = 0;
	while (word && found < LOAM_ARRAY_COUNT(actions) && strcmp(actions[found].word, word))
		found++;
	if (!word || !*name || found == LOAM_ARRAY_COUNT(actions))
		die_of_syntax(whole);

	*out = (struct point){ .action = actions[found].action };
	if (actions[found].has_value) {
		char *value = strsep(&rest, ":");
		bool valid = out->action == ACT_ERROR ? read_errno(value, &out->value)
						      : read_number(value, &out->value);
		if (!valid)
			die_of_syntax(whole);
	}
	if (rest && (!read_number(rest, &out->at) || out->at == 0))
		die_of_syntax(whole);
	out->name = loam_xstrdup(name);
}

static void read_environment(void)
{
	const char *list = getenv("LOAM_FAILPOINT");
	const char *path = getenv("LOAM_FAILPOINT_LOG");
	loam_auto_free char *copy = loam_xstrdup(list ? list : "");
	char *rest = *copy ? copy : NULL;
	while (rest) {
		loam_assert(point_count < POINTS_MAX);
		read_point(strsep(&rest, ","), &points[point_count]);
		point_count++;
	}
	if (path && *path)
		log_path = loam_xstrdup(path);
	int found = point_count > 0 || log_path ? 2 : 1;
	__atomic_store_n(&state, found, __ATOMIC_RELEASE);
}

static void note_reached(const char *name)
{
	if (!log_path || logged_count == LOGGED_MAX)
		return;
	for (size_t i = 0; i < logged_count; i++)
		if (strcmp(logged[i], name) == 0)
			return;
	logged[logged_count++] = loam_xstrdup(name);

	loam_auto_free char *line = loam_xasprintf("%s\n", name);
	loam_auto_fd int fd = open(log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, line, strlen(line)) < 0)
		fprintf(stderr, "loam: LOAM_FAILPOINT_LOG %s: %m\n", log_path);
}

/* Counts this arrival; true when a point acts now. cuts: only `short` counts, else all others. */
static bool arrive(const char *name, bool cuts, struct point *out)
{
	if (__atomic_load_n(&state, __ATOMIC_ACQUIRE) == 1)
		return false;
	loam_guard(&lock);
	if (state == 0)
		read_environment();
	if (!cuts)
		note_reached(name);
	bool acts = false;
	for (size_t i = 0; i < point_count; i++) {
		struct point *point = &points[i];
		if ((point->action == ACT_SHORT) != cuts || strcmp(point->name, name) != 0)
			continue;
		point->arrivals++;
		if (!acts && (point->at == 0 || point->at == point->arrivals)) {
			*out = *point;
			acts = true;
		}
	}
	return acts;
}

int loam_failpoint(const char *name, struct loam_err *err)
{
	struct point point;
	if (!arrive(name, false, &point))
		return 0;
	switch (point.action) {
	case ACT_KILL:
		kill(getpid(), SIGKILL);
		break;
	case ACT_PAUSE:
		raise(SIGSTOP); /* by way of this thread: it goes no step further */
		break;
	case ACT_DELAY:
		loam_clock_sleep_ms(point.value);
		break;
	case ACT_ERROR:
		errno = (int)point.value;
		return loam_fail_errno(err, "failpoint %s", name);
	case ACT_SHORT:
		break;
	}
	return 0;
}

size_t loam_failpoint_short(const char *name, size_t bytes)
{
	struct point point;
	if (bytes == 0 || !arrive(name, true, &point) || point.value >= bytes)
		return bytes;
	return point.value > 0 ? (size_t)point.value : 1;
}

void loam_failpoint_reset(void)
{
	loam_guard(&lock);
	for (size_t i = 0; i < point_count; i++)
		free(points[i].name);
	for (size_t i = 0; i < logged_count; i++)
		free(logged[i]);
	free(log_path);
	log_path = NULL;
	point_count = 0;
	logged_count = 0;
	__atomic_store_n(&state, 0, __ATOMIC_RELEASE);
}

#endif
