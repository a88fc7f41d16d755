/*
 * Commands from tables (core/cmd.h): finding the verb, parsing its options, printing its help.
 *
 * Input is taken literally: an option that the table does not have, a value that is missing or a
 * number that is not plain digits ends with status 2 before the command has done anything.
 */
#include "core/cmd.h"

#include "core/auto.h"
#include "core/log.h"
#include "core/terminal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define EXIT_FAILED  1
#define EXIT_MISUSED 2
#define HELP_COLUMN  34

/* For messages; of this thread, since sessions of others run beside one another. */
static _Thread_local const struct loam_cmd *current;
static _Thread_local const struct loam_cmd_session *session;

FILE *loam_cmd_in(void)
{
	return session ? session->in : stdin;
}

FILE *loam_cmd_out(void)
{
	return session ? session->out : stdout;
}

FILE *loam_cmd_err(void)
{
	return session ? session->err : stderr;
}

const void *loam_cmd_caller(void)
{
	return session ? session->caller : NULL;
}

int loam_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out,
		   struct loam_err *err)
{
	uint64_t value = 0;
	bool valid = *text != '\0';
	for (const char *at = text; valid && *at; at++) {
		valid = *at >= '0' && *at <= '9' &&
			!__builtin_mul_overflow(value, (uint64_t)10, &value) &&
			!__builtin_add_overflow(value, (uint64_t)(*at - '0'), &value);
	}
	if (!valid || value < min || value > max)
		return loam_fail(err, LOAM_E_INVALID,
				 "'%s' is not a whole number from %llu to %llu", text,
				 (unsigned long long)min, (unsigned long long)max);
	*out = value;
	return 0;
}

int loam_cmd_failed(const struct loam_err *err)
{
	const char *text = err->text[0] ? err->text : loam_code_meaning((int)err->code);
	loam_auto_free char *shown = loam_xstrdup(text); /* a server's words may be in it */
	loam_terminal_plain(shown);
	FILE *out = loam_cmd_err();
	fprintf(out, "%sloam%s%s: %s\n", out == stderr ? loam_log_priority(LOAM_LOG_ERROR) : "",
		current ? " " : "", current ? current->name : "", shown);
	return EXIT_FAILED;
}

static void print_usage(FILE *out)
{
	if (!current)
		fprintf(out, "usage: loam VERB [options] ...   (loam --help lists the verbs)\n");
	else
		fprintf(out, "usage: loam %s%s%s\n", current->name, *current->usage ? " " : "",
			current->usage);
}

int loam_cmd_misused(const char *fmt, ...)
{
	char text[LOAM_ERR_TEXT_MAX];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	for (char *at = text; *at; at++) /* what was typed is shown, not obeyed */
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = '?';
	fprintf(loam_cmd_err(), "loam%s%s: %s\n", current ? " " : "", current ? current->name : "",
		text);
	print_usage(loam_cmd_err());
	return EXIT_MISUSED;
}

static int finish_stdout(void)
{
	if (fflush(loam_cmd_out()) == 0 && !ferror(loam_cmd_out()))
		return 0;
	fprintf(loam_cmd_err(), "loam: write: %m\n");
	return EXIT_FAILED;
}

/* A paragraph behind a left column. */
static void print_row(FILE *out, const char *left, const char *right)
{
	if (strlen(left) < HELP_COLUMN)
		fprintf(out, "%-*s%s\n", HELP_COLUMN, left, right);
	else
		fprintf(out, "%s\n%-*s%s\n", left, HELP_COLUMN, "", right);
}

static void print_option(FILE *out, const struct loam_opt *opt)
{
	char letter[4] = "";
	if (opt->letter)
		snprintf(letter, sizeof(letter), "-%c,", opt->letter);
	loam_auto_free char *left = loam_xasprintf("  %-3s --%s%s%s", letter, opt->name,
						   opt->kind == LOAM_OPT_FLAG ? "" : " ",
						   opt->kind == LOAM_OPT_FLAG ? "" : opt->value);
	loam_auto_free char *bounds = NULL;
	if (opt->kind == LOAM_OPT_NUMBER)
		bounds = loam_xasprintf("%s (%llu to %llu)", opt->help,
					(unsigned long long)opt->min, (unsigned long long)opt->max);
	print_row(out, left, bounds ? bounds : opt->help);
}

static int print_help(void)
{
	print_usage(loam_cmd_out());
	fprintf(loam_cmd_out(), "\n%s\n\noptions:\n", current->summary);
	for (const struct loam_opt *opt = current->options; opt && opt->name; opt++)
		print_option(loam_cmd_out(), opt);
	print_row(loam_cmd_out(), "  -h, --help", "show this");
	if (current->details)
		fprintf(loam_cmd_out(), "\n%s\n", current->details);
	return finish_stdout();
}

static void list_commands(FILE *out, const struct loam_cmd *const *table, const char *first_word)
{
	size_t word_bytes = first_word ? strlen(first_word) : 0;
	fprintf(out, "usage: loam %s [options] ...\n\n", first_word ? first_word : "VERB");
	for (; *table; table++) {
		const char *name = (*table)->name;
		if (first_word && (strncmp(name, first_word, word_bytes) != 0 ||
				   (name[word_bytes] != ' ' && name[word_bytes] != '\0')))
			continue;
		loam_auto_free char *left = loam_xasprintf("  %s", name);
		print_row(out, left, (*table)->summary);
	}
	fprintf(out, "\nloam VERB --help tells more.\n");
}

/* How many arguments the command's words take, 0 when they do not match. */
static size_t match_words(const char *name, int argc, char **argv)
{
	size_t words = 0;
	const char *at = name;
	for (int i = 0; *at; i++, words++) {
		size_t word_bytes = strcspn(at, " ");
		if (i >= argc || strlen(argv[i]) != word_bytes ||
		    memcmp(argv[i], at, word_bytes) != 0)
			return 0;
		at += word_bytes;
		at += strspn(at, " ");
	}
	return words;
}

static const struct loam_cmd *find(const struct loam_cmd *const *table, int argc, char **argv,
				   size_t *out_words)
{
	const struct loam_cmd *best = NULL;
	size_t best_words = 0;
	for (; *table; table++) {
		size_t words = match_words((*table)->name, argc, argv);
		if (words > best_words) {
			best = *table;
			best_words = words;
		}
	}
	*out_words = best_words;
	return best;
}

static bool is_group(const struct loam_cmd *const *table, const char *word)
{
	size_t bytes = strlen(word);
	for (; bytes && *table; table++)
		if (strncmp((*table)->name, word, bytes) == 0 && (*table)->name[bytes] == ' ')
			return true;
	return false;
}

/* An option that was found on the command line. */
struct given {
	const struct loam_opt *opt;
	const char *value; /* behind "=" or the letter; NULL: the next argument */
	bool negated;	   /* --no-name */
};

static const struct loam_opt *find_name(const char *name, size_t name_bytes)
{
	for (const struct loam_opt *opt = current->options; opt && opt->name; opt++)
		if (strlen(opt->name) == name_bytes && memcmp(opt->name, name, name_bytes) == 0)
			return opt;
	return NULL;
}

static bool find_option(const char *arg, struct given *out)
{
	*out = (struct given){ 0 };
	if (arg[1] != '-') {
		for (const struct loam_opt *opt = current->options; opt && opt->name; opt++)
			if (opt->letter && opt->letter == arg[1])
				out->opt = opt;
		out->value = arg[1] && arg[2] ? arg + 2 : NULL;
		return out->opt != NULL;
	}
	const char *name = arg + 2;
	size_t name_bytes = strcspn(name, "=");
	out->value = name[name_bytes] ? name + name_bytes + 1 : NULL;
	out->opt = find_name(name, name_bytes);
	if (!out->opt && name_bytes > 3 && memcmp(name, "no-", 3) == 0) {
		out->opt = find_name(name + 3, name_bytes - 3);
		out->negated = true;
		if (out->opt && out->opt->kind != LOAM_OPT_FLAG)
			out->opt = NULL;
	}
	return out->opt != NULL;
}

/* 0, or the exit status. */
static int store(const struct given *given, void *opts)
{
	void *field = (char *)opts + given->opt->offset;
	if (given->opt->kind == LOAM_OPT_FLAG) {
		bool on = !given->negated;
		memcpy(field, &on, sizeof(on));
		return 0;
	}
	if (given->opt->kind == LOAM_OPT_TEXT) {
		memcpy(field, &given->value, sizeof(given->value));
		return 0;
	}
	if (given->opt->kind == LOAM_OPT_LIST) {
		struct loam_opt_list *list = field;
		if (list->count == LOAM_OPT_LIST_MAX)
			return loam_cmd_misused("--%s at most %d times", given->opt->name,
						LOAM_OPT_LIST_MAX);
		list->at[list->count++] = given->value;
		return 0;
	}
	struct loam_err err = { 0 };
	uint64_t number = 0;
	if (loam_parse_u64(given->value, given->opt->min, given->opt->max, &number, &err) < 0)
		return loam_cmd_misused("--%s: %s", given->opt->name, err.text);
	memcpy(field, &number, sizeof(number));
	return 0;
}

/* Sorts arguments into options and the rest. 0, an exit status, or -1 when help was asked for. */
static int parse(int argc, char **argv, void *opts, int *out_count, char **out_args)
{
	int count = 0;
	bool only_args = false;
	for (int i = 0; i < argc; i++) {
		const char *arg = argv[i];
		if (only_args || arg[0] != '-' || arg[1] == '\0') {
			out_args[count++] = argv[i];
			continue;
		}
		if (strcmp(arg, "--") == 0) {
			only_args = true;
			continue;
		}
		struct given given;
		if (!find_option(arg, &given)) {
			if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
				return -1;
			return loam_cmd_misused("unknown option '%s'", arg);
		}
		if (given.opt->kind == LOAM_OPT_FLAG && given.value)
			return loam_cmd_misused("'%s': --%s takes no value", arg, given.opt->name);
		if (given.opt->kind != LOAM_OPT_FLAG && !given.value) {
			if (i + 1 >= argc)
				return loam_cmd_misused("--%s needs a value", given.opt->name);
			given.value = argv[++i];
		}
		int status = store(&given, opts);
		if (status)
			return status;
	}
	out_args[count] = NULL;
	*out_count = count;
	return 0;
}

static int run(int argc, char **argv)
{
	loam_auto_free void *opts = loam_xcalloc(1, current->options_bytes);
	loam_auto_free char **args = loam_xcalloc((size_t)argc + 1, sizeof(*args));
	if (current->init)
		current->init(opts);
	int count = 0;
	int status = parse(argc, argv, opts, &count, args);
	if (status < 0)
		return print_help();
	if (status > 0)
		return status;
	if ((size_t)count < current->args_min)
		return loam_cmd_misused("an argument is missing");
	if ((size_t)count > current->args_max)
		return loam_cmd_misused("one argument too many: '%s'", args[current->args_max]);
	status = current->run(opts, count, args);
	int written = finish_stdout(); /* a result that nobody got is a failure */
	return status ? status : written;
}

int loam_cmd_main(const struct loam_cmd *const *table, int argc, char **argv)
{
	current = NULL;
	if (argc < 2) {
		list_commands(loam_cmd_err(), table, NULL);
		return EXIT_MISUSED;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		list_commands(loam_cmd_out(), table, NULL);
		return finish_stdout();
	}
	if (strcmp(argv[1], "--version") == 0) {
		fprintf(loam_cmd_out(), "loam %s\n", LOAM_VERSION);
		return finish_stdout();
	}
	size_t words = 0;
	current = find(table, argc - 1, argv + 1, &words);
	if (current)
		return run(argc - 1 - (int)words, argv + 1 + words);
	if (!is_group(table, argv[1]))
		return loam_cmd_misused("there is no verb '%s'", argv[1]);
	bool asked = argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0);
	list_commands(asked ? loam_cmd_out() : loam_cmd_err(), table, argv[1]);
	return asked ? finish_stdout() : EXIT_MISUSED;
}

int loam_cmd_run(const struct loam_cmd *const *table, int argc, char **argv,
		 const struct loam_cmd_session *in_session)
{
	session = in_session;
	int status = loam_cmd_main(table, argc, argv);
	fflush(in_session->err);
	session = NULL;
	current = NULL;
	return status;
}
