/*
 * Secrets and answers from a terminal, or from stdin where there is none.
 */
#ifndef LOAM_CORE_TERMINAL_H
#define LOAM_CORE_TERMINAL_H

#include "core/err.h"

#include <stddef.h>

/* One line without its newline; from a terminal behind prompt and without echo, else the next line
 * of stdin, without a prompt. what: "password", for the message. INVALID when there is none, or it
 * does not fit. */
int loam_terminal_secret(const char *prompt, const char *what, char *out, size_t out_bytes,
			 struct loam_err *err);

/*
 * Bytes of what begins at text and is obeyed by a terminal instead of shown: control bytes but tab
 * and newline, the controls of UTF-8 (U+0080 to 009F), and the marks that turn the text behind them
 * round (U+061C, 200E, 200F, 202A to 202E, 2066 to 2069). 0: it is shown.
 */
size_t loam_terminal_odd(const char *text);
/* Each of them becomes '?'. */
void loam_terminal_plain(char *text);

#endif
