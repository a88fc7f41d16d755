/*
 * Commands and their options as tables: `loam <verb> --help` is generated from them.
 *
 * Each command file begins with its entry (struct loam_cmd); server/main.c lists them. Results for
 * scripts go to stdout, all else to stderr. Exit status: 0 done, 1 failed, 2 wrong usage.
 */
#ifndef LOAM_CORE_CMD_H
#define LOAM_CORE_CMD_H

#include "core/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum loam_opt_kind {
	LOAM_OPT_FLAG,	 /* bool: --name, and --no-name sets it to false */
	LOAM_OPT_TEXT,	 /* const char *: --name VALUE or --name=VALUE */
	LOAM_OPT_NUMBER, /* uint64_t within [min, max]: decimal digits only */
	LOAM_OPT_LIST	 /* struct loam_opt_list: may be given again and again */
};

#define LOAM_OPT_LIST_MAX 64
struct loam_opt_list {
	const char *at[LOAM_OPT_LIST_MAX];
	size_t count;
};

struct loam_opt {
	const char *name; /* "listen": --listen; NULL ends a table */
	char letter;	  /* 'd': -d, or 0 */
	enum loam_opt_kind kind;
	size_t offset;	   /* of the field in the command's option struct */
	const char *value; /* shown in help: "ADDR:PORT" */
	const char *help;
	uint64_t min, max;
};
#define LOAM_OPT(type, field, name_, letter_, kind_, value_, help_, ...)                         \
	{                                                                                        \
		.name = (name_), .letter = (letter_), .kind = (kind_),                           \
		.offset = offsetof(type, field), .value = (value_), .help = (help_), __VA_ARGS__ \
	}
#define LOAM_OPT_END         \
	{                    \
		.name = NULL \
	}

struct loam_cmd {
	const char *name;    /* "mount", or "user add": words joined by a blank */
	const char *usage;   /* "[options] [META] DIR" */
	const char *summary; /* one line, lower case, no full stop */
	const char *details; /* paragraphs under the options, or NULL */
	const struct loam_opt *options;
	size_t options_bytes;	   /* size of the option struct, zeroed by the caller */
	size_t args_min, args_max; /* positional arguments */
	/* opts: the option struct, defaults set by `init` if given. Returns the exit status. */
	void (*init)(void *opts);
	int (*run)(const void *opts, int argc, char **argv);
};

/*
 * Finds the command in a NULL-terminated table by its longest matching words, parses options
 * (anywhere before "--"), answers --help, and runs it. Returns the exit status. Of an option given
 * twice the last counts, but of a list. `loam`, `loam user`, `loam --help` list commands.
 *
 * Threads: one command at a time per thread.
 */
int loam_cmd_main(const struct loam_cmd *const *table, int argc, char **argv);

/* Whom a command speaks with: the process's own streams, or those of somebody who sent the command
 * to a server (SSH). Commands that can be sent print to loam_cmd_out() and loam_cmd_err(). */
struct loam_cmd_session {
	FILE *in, *out, *err;
	const void *caller; /* auth/ask.h: in whose name; never NULL */
};
/* loam_cmd_main within a session. argv[0] is skipped. */
int loam_cmd_run(const struct loam_cmd *const *table, int argc, char **argv,
		 const struct loam_cmd_session *session);
FILE *loam_cmd_in(void);
FILE *loam_cmd_out(void);
FILE *loam_cmd_err(void);
const void *loam_cmd_caller(void); /* NULL outside of a session */
/* "loam VERB: message" on stderr, from the err; returns 1. */
int loam_cmd_failed(const struct loam_err *err);
/* Wrong usage found by the command itself: message and usage line on stderr; returns 2. */
int loam_cmd_misused(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Strict number: decimal digits only, no sign, no overflow, within [min, max]. */
int loam_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out,
		   struct loam_err *err);

#endif
