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

#endif
