/*
 * Questions on a terminal (core/terminal.h).
 */
#include "core/terminal.h"

#include "core/auto.h"

#include <stdbool.h>
#include <string.h>
#include <termios.h>

static int read_line(const char *what, char *out, size_t out_bytes, struct loam_err *err)
{
	if (!fgets(out, (int)out_bytes, stdin))
		return loam_fail(err, LOAM_E_INVALID, "no %s was given", what);
	size_t bytes = strlen(out);
	if (bytes > 0 && out[bytes - 1] == '\n')
		out[--bytes] = '\0';
	else if (bytes == out_bytes - 1)
		return loam_fail(err, LOAM_E_INVALID, "the %s is too long", what);
	return 0;
}

int loam_terminal_secret(const char *prompt, const char *what, char *out, size_t out_bytes,
			 struct loam_err *err)
{
	struct termios shown, hidden;
	bool terminal = tcgetattr(STDIN_FILENO, &shown) == 0;
	if (terminal) {
		fprintf(stderr, "%s", prompt);
		hidden = shown;
		hidden.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
	}
	int rc = read_line(what, out, out_bytes, err);
	if (terminal) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
		fprintf(stderr, "\n");
	}
	return rc;
}
