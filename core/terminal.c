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

size_t loam_terminal_odd(const char *text)
{
	const unsigned char *u = (const unsigned char *)text;
	if (u[0] == 0x7f || (u[0] > 0 && u[0] < ' ' && u[0] != '\n' && u[0] != '\t'))
		return 1;
	if ((u[0] == 0xc2 && u[1] >= 0x80 && u[1] <= 0x9f) || (u[0] == 0xd8 && u[1] == 0x9c))
		return 2;
	bool turns = u[0] == 0xe2 && ((u[1] == 0x80 && (u[2] == 0x8e || u[2] == 0x8f)) ||
				      (u[1] == 0x80 && u[2] >= 0xaa && u[2] <= 0xae) ||
				      (u[1] == 0x81 && u[2] >= 0xa6 && u[2] <= 0xa9));
	return turns ? 3 : 0;
}

void loam_terminal_plain(char *text)
{
	char *to = text;
	while (*text) {
		size_t odd = loam_terminal_odd(text);
		*to++ = odd ? '?' : *text;
		text += odd ? odd : 1;
	}
	*to = '\0';
}
