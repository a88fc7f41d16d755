/*
 * Command lines of SSH sessions (server/ssh_command.h). Step 1 of a push over SSH.
 */
#include "server/ssh_command.h"

#include "core/auto.h"

#include <string.h>

#define SHOWN_BYTES 200
#define OID_CHARS   64

/* ---- words ----------------------------------------------------------------------------------- */

static bool is_bare(unsigned char c)
{
	return c > ' ' && c != 0x7F && !strchr("'\"\\$`;&|<>()*?[]{}!#", c);
}

/* Moves *at behind a quoted part, its bytes to *to. false: the quote is never closed. */
static bool take_quoted(const char **at, char **to)
{
	const char *close = strchr(*at + 1, '\'');
	if (!close)
		return false;
	size_t bytes = (size_t)(close - *at) - 1;
	memmove(*to, *at + 1, bytes);
	*to += bytes;
	*at = close + 1;
	return true;
}

/* One word from *at to *to, NUL behind it. */
static int take_word(const char **at, char **to, struct loam_err *err)
{
	while (**at && **at != ' ') {
		const char *c = *at;
		if (*c == '\'') {
			if (!take_quoted(at, to))
				return loam_fail(err, LOAM_E_INVALID, "a quote is not closed");
		} else if (*c == '\\' && (c[1] == '\'' || c[1] == '!')) {
			*(*to)++ = c[1];
			*at += 2;
		} else if (is_bare((unsigned char)*c)) {
			*(*to)++ = *c;
			(*at)++;
		} else {
			return loam_fail(err, LOAM_E_INVALID,
					 "the command holds a character that only a shell takes");
		}
	}
	*(*to)++ = '\0';
	return 0;
}

static int split(const char *text, struct loam_ssh_command *out, struct loam_err *err)
{
	/* A word never grows, and each of its NULs has a blank or the end of text before it. */
	char *to = out->text;
	while (*text == ' ')
		text++;
	while (*text) {
		if (out->word_count == LOAM_SSH_WORDS_MAX)
			return loam_fail(err, LOAM_E_INVALID, "the command has more than %d words",
					 LOAM_SSH_WORDS_MAX);
		out->words[out->word_count++] = to;
		int rc = take_word(&text, &to, err);
		if (rc < 0)
			return rc;
		while (*text == ' ')
			text++;
	}
	return 0;
}

void loam_ssh_shown(const char *text, char *out, size_t out_bytes)
{
	size_t bytes = 0;
	for (; *text && bytes + 1 < out_bytes; text++) {
		unsigned char c = (unsigned char)*text;
		if (c == 0x1B && text[1] == '[') { /* an escape sequence goes whole */
			size_t rest = strspn(text + 2, "0123456789;?<=>!\"#$%&'()*+,-./ ");
			text += 1 + rest + (text[2 + rest] != '\0');
		} else if (c >= ' ' && c < 0x7F) {
			out[bytes++] = (char)c;
		}
	}
	out[bytes] = '\0';
}

/* ---- verbs ----------------------------------------------------------------------------------- */

static const struct verb {
	const char *name; /* "git-x" is "git x" too */
	enum loam_ssh_verb verb;
	bool is_lfs;
} verbs[] = {
	{ "git-upload-pack", LOAM_SSH_UPLOAD_PACK, false },
	{ "git-receive-pack", LOAM_SSH_RECEIVE_PACK, false },
	{ "git-upload-archive", LOAM_SSH_UPLOAD_ARCHIVE, false },
	{ "git-lfs-authenticate", LOAM_SSH_LFS_AUTHENTICATE, true },
	{ "git-lfs-transfer", LOAM_SSH_LFS_TRANSFER, true },
};

/* What people try, and what they get told. */
static const char *const copiers[] = { "scp", "sftp", "sftp-server", "internal-sftp", "rsync" };

static const struct verb *find_verb(const char *first, const char *second)
{
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(verbs); i++) {
		if (strcmp(first, verbs[i].name) == 0)
			return &verbs[i];
		if (strcmp(first, "git") == 0 && second &&
		    strcmp(second, verbs[i].name + strlen("git-")) == 0)
			return &verbs[i];
	}
	return NULL;
}

static int refuse_unknown(const char *word, struct loam_err *err)
{
	char shown[SHOWN_BYTES];
	const char *slash = strrchr(word, '/');
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(copiers); i++)
		if (strcmp(slash ? slash + 1 : word, copiers[i]) == 0)
			return loam_fail(err, LOAM_E_INVALID,
					 "files are not copied by %s here: use git, git-lfs or the "
					 "mount",
					 copiers[i]);
	loam_ssh_shown(word, shown, sizeof(shown));
	return loam_fail(err, LOAM_E_NOT_FOUND, "command not found: %s", shown);
}

/* One leading and one trailing slash more than loam_repo_parse takes. */
static int parse_path(char *path, struct loam_ssh_command *out, struct loam_err *err)
{
	size_t bytes = strlen(path);
	struct loam_err invalid = { 0 };
	if (path[0] == '-')
		return loam_fail(err, LOAM_E_INVALID,
				 "an option stands where the repository is expected");
	if (bytes > 1 && path[bytes - 1] == '/')
		path[bytes - 1] = '\0';
	out->repo_is_valid = loam_repo_parse(path, &out->repo, &invalid) == 0;
	return 0;
}

static bool is_oid(const char *text)
{
	return strlen(text) == OID_CHARS && strspn(text, "0123456789abcdef") == OID_CHARS;
}

static int parse_operation(char *const *words, size_t count, struct loam_ssh_command *out,
			   struct loam_err *err)
{
	out->upload = count > 0 && strcmp(words[0], "upload") == 0;
	bool known = out->upload || (count > 0 && strcmp(words[0], "download") == 0);
	bool may_name = out->verb == LOAM_SSH_LFS_AUTHENTICATE;
	if (!known || count > (may_name ? 2 : 1) || (count == 2 && !is_oid(words[1])))
		return loam_fail(err, LOAM_E_INVALID,
				 "expected behind the repository: upload or download");
	return 0;
}

static int parse_words(struct loam_ssh_command *out, struct loam_err *err)
{
	const struct verb *verb = find_verb(out->words[0], out->words[1]);
	if (!verb)
		return refuse_unknown(out->words[0], err);
	size_t path = strcmp(out->words[0], verb->name) == 0 ? 1 : 2;
	out->verb = verb->verb;
	if (out->word_count <= path)
		return loam_fail(err, LOAM_E_INVALID, "%s needs a repository", verb->name);
	int rc = parse_path(out->words[path], out, err);
	if (rc == 0 && verb->is_lfs)
		rc = parse_operation(out->words + path + 1, out->word_count - path - 1, out, err);
	else if (rc == 0 && out->word_count > path + 1)
		rc = loam_fail(err, LOAM_E_INVALID, "%s takes a repository and nothing else",
			       verb->name);
	return rc;
}

int loam_ssh_command_parse(const char *text, struct loam_ssh_command *out, struct loam_err *err)
{
	memset(out, 0, sizeof(*out));
	if (!text || text[strspn(text, " ")] == '\0')
		return loam_fail(err, LOAM_E_INVALID,
				 "there is no shell here: this server speaks git and git-lfs");
	if (strlen(text) >= sizeof(out->text))
		return loam_fail(err, LOAM_E_INVALID, "the command has more than %zu bytes",
				 sizeof(out->text) - 1);
	int rc = split(text, out, err);
	if (rc < 0)
		return rc;
	if (strcmp(out->words[0], "loam") == 0) {
		out->verb = LOAM_SSH_LOAM;
		return 0;
	}
	return parse_words(out, err);
}
