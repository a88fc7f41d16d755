/*
 * The command line of an SSH session, and public keys as people hand them in.
 */
#include "server/ssh_command.h"

#include "auth/ssh_key.h"
#include "tests/fuzz/fuzz.h"

static void command(const char *text)
{
	static struct loam_ssh_command parsed; /* large */
	struct loam_err err = { 0 };
	char shown[64];
	int rc = loam_ssh_command_parse(text, &parsed, &err);
	loam_ssh_shown(text, shown, sizeof(shown));
	for (const char *c = shown; *c; c++)
		loam_assert(*c >= ' ' && *c < 0x7f);
	for (const char *c = err.text; *c; c++)
		loam_assert((unsigned char)*c >= ' ');
	if (rc < 0) {
		loam_assert(err.code == LOAM_E_INVALID || err.code == LOAM_E_NOT_FOUND);
		return;
	}
	loam_assert(parsed.word_count > 0 && parsed.word_count <= LOAM_SSH_WORDS_MAX);
	loam_assert(parsed.words[parsed.word_count] == NULL);
	if (parsed.verb == LOAM_SSH_LOAM || !parsed.repo_is_valid)
		return;
	char repo[LOAM_REPO_TEXT_BYTES];
	loam_repo_text(&parsed.repo, repo);
	loam_assert(repo[0] != '-' && !strstr(repo, "..") && !strpbrk(repo, " '\"\\;&|$`\n"));
}

static void key(const uint8_t *data, size_t bytes)
{
	struct loam_err err = { 0 };
	struct loam_ssh_key read, again;
	char fingerprint[LOAM_SSH_KEY_FINGERPRINT_BYTES];
	if (loam_ssh_key_read((const char *)data, bytes, &read, &err) < 0)
		return;
	loam_assert(!strpbrk(read.type, ": \n") && !strpbrk(read.base64, ": \n"));
	loam_ssh_key_fingerprint(&read, fingerprint);
	loam_assert(strncmp(fingerprint, "SHA256:", 7) == 0);
	loam_auto_free char *line = loam_xasprintf("%s %s", read.type, read.base64);
	loam_assert(loam_ssh_key_read(line, strlen(line), &again, &err) == 0);
	loam_assert(strcmp(read.base64, again.base64) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
	loam_auto_free char *text = fuzz_text(data, data_bytes);
	struct loam_err err = { 0 };
	struct loam_ssh_key line;
	command(text);
	key(data, data_bytes);
	loam_ssh_key_parse(text, strlen(text), &line, &err);
	return 0;
}
