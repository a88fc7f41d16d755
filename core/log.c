/*
 * Log lines (core/log.h). The format is walked here, one conversion at a time, because each %s
 * value is quoted by itself: a value from a user can neither start a new field nor a new line.
 *
 * Invariant: a line is built whole in a buffer on the stack and leaves in one write(2), so lines of
 * threads and processes that share stderr never mix.
 */
#include "core/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCOPE_BYTES_MAX 32
#define SPEC_BYTES_MAX	32
#define CUT_MARK	"..."

static const char *const level_names[] = { "debug", "info", "warn", "error" };
static const char *const priorities[] = { "<7>", "<6>", "<4>", "<3>" };
static unsigned long long journal_device, journal_inode; /* 0, 0: no journal */
static pthread_once_t level_once = PTHREAD_ONCE_INIT;
static int lowest_level = LOAM_LOG_INFO; /* read and written atomically */
static _Thread_local char scope[SCOPE_BYTES_MAX + 1];

/* The line being built; room for the mark of a cut and the newline is always kept. */
struct line {
	char text[LOAM_LOG_LINE_MAX];
	size_t bytes;
	bool cut;
};
#define LINE_TEXT_MAX (LOAM_LOG_LINE_MAX - sizeof(CUT_MARK "\n"))

/* One conversion of the format: "%-8.3lld" */
struct spec {
	char text[SPEC_BYTES_MAX]; /* as printf takes it, widths from arguments already put in */
	int precision;		   /* -1: none */
	char length;		   /* 'H' for hh, 'h', 'l', 'L' for ll, 'z', 'j', 't', 0 for none */
	char kind;		   /* 'd', 's', … 0 at a broken end */
};

static void read_level(void)
{
	const char *debug = getenv("LOAM_DEBUG");
	if (debug && strcmp(debug, "1") == 0)
		__atomic_store_n(&lowest_level, LOAM_LOG_DEBUG, __ATOMIC_RELAXED);
	const char *journal = getenv("JOURNAL_STREAM");
	if (!journal || sscanf(journal, "%llu:%llu", &journal_device, &journal_inode) != 2)
		journal_device = journal_inode = 0;
}

/* Looked at each time: `mount -d` puts a file in the place of stderr. */
const char *loam_log_priority(enum loam_log_level level)
{
	struct stat st;
	pthread_once(&level_once, read_level);
	if (journal_inode == 0 || fstat(STDERR_FILENO, &st) < 0 || st.st_dev != journal_device ||
	    st.st_ino != journal_inode)
		return "";
	return priorities[level];
}

void loam_log_set_level(enum loam_log_level level)
{
	pthread_once(&level_once, read_level);
	__atomic_store_n(&lowest_level, (int)level, __ATOMIC_RELAXED);
}

bool loam_log_enabled(enum loam_log_level level)
{
	pthread_once(&level_once, read_level);
	return (int)level >= __atomic_load_n(&lowest_level, __ATOMIC_RELAXED);
}

void loam_log_scope(const char *request_id)
{
	snprintf(scope, sizeof(scope), "%s", request_id ? request_id : "");
}

const char *loam_log_scope_id(void)
{
	return scope;
}

static void add(struct line *line, const char *text, size_t bytes)
{
	size_t room = LINE_TEXT_MAX - line->bytes;
	if (bytes > room) {
		bytes = room;
		line->cut = true;
	}
	memcpy(line->text + line->bytes, text, bytes);
	line->bytes += bytes;
}

static bool needs_quotes(const char *value, size_t bytes)
{
	if (bytes == 0)
		return true;
	for (size_t i = 0; i < bytes; i++) {
		unsigned char c = (unsigned char)value[i];
		if (c <= ' ' || c == '"' || c == '\\' || c == '=' || c == 0x7f)
			return true;
	}
	return false;
}

static void add_value(struct line *line, const char *value, size_t bytes)
{
	if (!needs_quotes(value, bytes)) {
		add(line, value, bytes);
		return;
	}
	add(line, "\"", 1);
	for (size_t i = 0; i < bytes; i++) {
		unsigned char c = (unsigned char)value[i];
		char escaped[8];
		if (c == '"' || c == '\\')
			snprintf(escaped, sizeof(escaped), "\\%c", c);
		else if (c == '\n')
			snprintf(escaped, sizeof(escaped), "\\n");
		else if (c < ' ' || c == 0x7f)
			snprintf(escaped, sizeof(escaped), "\\x%02x", c);
		else
			snprintf(escaped, sizeof(escaped), "%c", c);
		add(line, escaped, strlen(escaped));
	}
	add(line, "\"", 1);
}

static void spec_add(struct spec *spec, char c)
{
	size_t used = strlen(spec->text);
	if (used + 1 < sizeof(spec->text)) {
		spec->text[used] = c;
		spec->text[used + 1] = '\0';
	}
}

static void spec_add_number(struct spec *spec, int number)
{
	size_t used = strlen(spec->text);
	snprintf(spec->text + used, sizeof(spec->text) - used, "%d", number);
}

/* Digits, or '*' whose value is the next argument. Returns the number, -1 for none. */
static int read_number(const char **at, struct spec *spec, va_list *args)
{
	int number = -1;
	if (**at == '*') {
		(*at)++;
		number = va_arg(*args, int);
		spec_add_number(spec, number);
		return number;
	}
	while (**at >= '0' && **at <= '9') {
		number = (number < 0 ? 0 : number) * 10 + (**at - '0');
		spec_add(spec, *(*at)++);
	}
	return number;
}

/* at stands behind the '%'; returns the place behind the conversion. */
static const char *read_spec(const char *at, struct spec *spec, va_list *args)
{
	*spec = (struct spec){ .text = "%", .precision = -1 };
	while (*at && strchr("-+ #0'", *at))
		spec_add(spec, *at++);
	read_number(&at, spec, args);
	if (*at == '.') {
		spec_add(spec, *at++);
		spec->precision = read_number(&at, spec, args);
		if (spec->precision < 0)
			spec->precision = 0;
	}
	while (*at && strchr("hlzjtL", *at)) {
		bool twice = spec->length == *at;
		spec->length = twice ? (*at == 'l' ? 'L' : 'H') : *at;
		spec_add(spec, *at++);
	}
	spec->kind = *at;
	if (*at)
		spec_add(spec, *at++);
	return at;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* spec->text is one checked conversion */
static void add_integer(struct line *line, const struct spec *spec, va_list *args)
{
	char text[128];
	switch (spec->length) {
	case 'l':
		snprintf(text, sizeof(text), spec->text, va_arg(*args, long));
		break;
	case 'L':
		snprintf(text, sizeof(text), spec->text, va_arg(*args, long long));
		break;
	case 'z':
		snprintf(text, sizeof(text), spec->text, va_arg(*args, size_t));
		break;
	case 'j':
		snprintf(text, sizeof(text), spec->text, va_arg(*args, intmax_t));
		break;
	case 't':
		snprintf(text, sizeof(text), spec->text, va_arg(*args, ptrdiff_t));
		break;
	default: /* char and short arrive as int */
		snprintf(text, sizeof(text), spec->text, va_arg(*args, int));
		break;
	}
	add(line, text, strlen(text));
}

static void add_double(struct line *line, const struct spec *spec, va_list *args)
{
	char text[400];
	if (spec->length == 'L')
		snprintf(text, sizeof(text), spec->text, va_arg(*args, long double));
	else
		snprintf(text, sizeof(text), spec->text, va_arg(*args, double));
	add(line, text, strlen(text));
}
#pragma GCC diagnostic pop

/* Takes the conversion's argument and adds its text. false: a kind that cannot be walked over. */
static bool add_conversion(struct line *line, const struct spec *spec, va_list *args)
{
	char text[32];
	switch (spec->kind) {
	case '%':
		add(line, "%", 1);
		return true;
	case 's': {
		const char *value = va_arg(*args, const char *);
		if (!value)
			value = "(null)";
		size_t bytes = spec->precision >= 0 ? strnlen(value, (size_t)spec->precision)
						    : strlen(value);
		add_value(line, value, bytes);
		return true;
	}
	case 'c':
		text[0] = (char)va_arg(*args, int);
		add_value(line, text, 1);
		return true;
	case 'p':
		snprintf(text, sizeof(text), "%p", va_arg(*args, void *));
		add(line, text, strlen(text));
		return true;
	default:
		break;
	}
	if (spec->kind && strchr("diuxXo", spec->kind))
		add_integer(line, spec, args);
	else if (spec->kind && strchr("fFeEgGaA", spec->kind))
		add_double(line, spec, args);
	else
		return false;
	return true;
}

static void add_fields(struct line *line, const char *fields, va_list *args)
{
	const char *at = fields;
	while (*at) {
		const char *percent = strchrnul(at, '%');
		add(line, at, (size_t)(percent - at));
		if (!*percent)
			return;
		struct spec spec;
		at = read_spec(percent + 1, &spec, args);
		if (!add_conversion(line, &spec, args)) {
			add(line, "?", 1);
			return;
		}
	}
}

void loam_log(enum loam_log_level level, const char *event, const char *fields, ...)
{
	if (!loam_log_enabled(level))
		return;
	int saved_errno = errno;
	struct line line;
	line.bytes = 0;
	line.cut = false;
	const char *priority = loam_log_priority(level);
	add(&line, priority, strlen(priority));
	add(&line, level_names[level], strlen(level_names[level]));
	add(&line, " ", 1);
	add(&line, event, strlen(event));
	if (scope[0]) {
		add(&line, " req=", 5);
		add_value(&line, scope, strlen(scope));
	}
	fields += strspn(fields, " ");
	if (*fields) {
		add(&line, " ", 1);
		va_list args;
		va_start(args, fields);
		add_fields(&line, fields, &args);
		va_end(args);
	}
	if (line.cut) {
		memcpy(line.text + line.bytes, CUT_MARK, strlen(CUT_MARK));
		line.bytes += strlen(CUT_MARK);
	}
	line.text[line.bytes++] = '\n';
	/* A log that cannot be written has nobody to be told. */
	ssize_t written = write(STDERR_FILENO, line.text, line.bytes);
	(void)written;
	errno = saved_errno;
}
