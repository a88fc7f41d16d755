/*
 * Public keys from files (auth/key_file.h).
 */
#include "auth/key_file.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/cmd.h"
#include "core/sys.h"

#include <string.h>

#define FILE_BYTES_MAX 8192

static int read_input(struct loam_buf *out, struct loam_err *err)
{
	char piece[1024];
	size_t got;
	while ((got = fread(piece, 1, sizeof(piece), loam_cmd_in())) > 0) {
		int rc = loam_buf_add(out, piece, got, err);
		if (rc < 0)
			return rc;
	}
	return ferror(loam_cmd_in()) ? loam_fail(err, LOAM_E_IO, "it cannot be read") : 0;
}

int loam_key_file_read(const char *path, struct loam_ssh_key *out_key, struct loam_err *err)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(FILE_BYTES_MAX);
	bool is_stdin = strcmp(path, "-") == 0;
	if (loam_cmd_caller() && !is_stdin)
		return loam_fail(err, LOAM_E_INVALID,
				 "over SSH the key comes on stdin: '-' in the place of its file");
	int rc = is_stdin ? read_input(&text, err) : loam_path_read_all(path, &text, err);
	if (rc < 0)
		return is_stdin ? loam_context(err, "stdin") : rc;
	if (strncmp(loam_buf_text(&text), "-----BEGIN", 10) == 0)
		return loam_fail(err, LOAM_E_UNPROCESSABLE,
				 "%s is a private key: keep it to yourself and give the .pub file",
				 path);
	rc = loam_ssh_key_read(loam_buf_text(&text), text.bytes, out_key, err);
	if (rc < 0)
		return loam_context(err, "%s", is_stdin ? "stdin" : path);
	out_key->created = loam_clock_now().tv_sec;
	return 0;
}
