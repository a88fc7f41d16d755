/*
 * server/ssh_command: what an SSH session may ask for, and what is refused before anything runs
 * (reliability.md ssh-1, ssh-2, ssh-3, ssh-10, ssh-11).
 */
#include "server/ssh_command.h"

#include "core/auto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/volume.h"

static struct loam_ssh_command command;

static void what_clients_send_is_understood(void **state)
{
	static const struct {
		const char *line;
		enum loam_ssh_verb verb;
		const char *ns, *name;
		bool upload;
	} lines[] = {
		{ "git-upload-pack 'qwen/tiny.git'", LOAM_SSH_UPLOAD_PACK, "qwen", "tiny", false },
		{ "git-upload-pack '/qwen/tiny.git'", LOAM_SSH_UPLOAD_PACK, "qwen", "tiny", false },
		{ "git upload-pack '/qwen/tiny'", LOAM_SSH_UPLOAD_PACK, "qwen", "tiny", false },
		{ "git-receive-pack '/models/qwen/tiny/'", LOAM_SSH_RECEIVE_PACK, "qwen", "tiny",
		  false },
		{ "git-receive-pack qwen/tiny.git", LOAM_SSH_RECEIVE_PACK, "qwen", "tiny", false },
		{ "git-upload-archive 'qwen/tiny.git'", LOAM_SSH_UPLOAD_ARCHIVE, "qwen", "tiny",
		  false },
		{ "git-lfs-authenticate qwen/tiny.git upload", LOAM_SSH_LFS_AUTHENTICATE, "qwen",
		  "tiny", true },
		{ "git-lfs-authenticate '/qwen/tiny.git' download", LOAM_SSH_LFS_AUTHENTICATE,
		  "qwen", "tiny", false },
		{ "git-lfs-authenticate qwen/tiny.git download "
		  "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393",
		  LOAM_SSH_LFS_AUTHENTICATE, "qwen", "tiny", false },
		{ "git-lfs-transfer qwen/tiny.git download", LOAM_SSH_LFS_TRANSFER, "qwen", "tiny",
		  false },
		{ "  git-lfs-transfer   /qwen/tiny.git  upload ", LOAM_SSH_LFS_TRANSFER, "qwen",
		  "tiny", true },
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(lines); i++) {
		assert_ok(loam_ssh_command_parse(lines[i].line, &command, &err));
		assert_int_equal(command.verb, lines[i].verb);
		assert_true(command.repo_is_valid);
		assert_string_equal(command.repo.ns, lines[i].ns);
		assert_string_equal(command.repo.name, lines[i].name);
		assert_int_equal(command.upload, lines[i].upload);
	}
}

static void refuse(const char *line, int code, const char *in_text)
{
	struct loam_err err = { 0 };
	int rc = loam_ssh_command_parse(line, &command, &err);
	if (rc != code || !strstr(err.text, in_text))
		print_error("'%.100s' gave %d: %s\n", line ? line : "", rc, err.text);
	assert_int_equal(rc, code);
	assert_non_null(strstr(err.text, in_text));
}

static void options_never_stand_for_a_repository(void **state)
{
	static const char *const lines[] = {
		"git-upload-pack '--help'",
		"git-upload-pack '-x'",
		"git-upload-pack '--upload-pack=touch x'",
		"git-upload-pack --strict",
		"git upload-pack --help",
		"git-lfs-authenticate --help upload",
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(lines); i++)
		refuse(lines[i], -LOAM_E_INVALID, "an option stands where");
	refuse("git-upload-pack --strict 'a/b'", -LOAM_E_INVALID, "an option");
	refuse("git-upload-pack 'a/b' --strict", -LOAM_E_INVALID, "nothing else");
	refuse("git --exec-path=/x upload-pack 'a/b'", -LOAM_E_NOT_FOUND, "command not found: git");
	refuse("git -c core.sshCommand=x upload-pack 'a/b'", -LOAM_E_NOT_FOUND, "not found: git");
}

static void what_only_a_shell_understands_is_refused(void **state)
{
	static const char *const lines[] = {
		"git-upload-pack 'a/b",	     "git-upload-pack a/b'",
		"git-upload-pack 'a/b'; id", "git-upload-pack 'a/b' && id",
		"git-upload-pack $(id)",     "git-upload-pack `id`",
		"git-upload-pack \"a/b\"",   "git-upload-pack a\\ b",
		"git-upload-pack a/b > x",   "git-upload-pack a/*",
		"git-upload-pack {a/b,c}",   "git-upload-pack a/b\nid",
		"git-upload-pack\ta/b",	     "git-upload-pack a/b #",
		"git-upload-pack ~/a|b",
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(lines); i++)
		refuse(lines[i], -LOAM_E_INVALID, "");
}

static void quoting_is_that_of_git(void **state)
{
	assert_ok(loam_ssh_command_parse("loam 'it'\\''s' 'wow'\\!'' x", &command, &err));
	assert_int_equal(command.verb, LOAM_SSH_LOAM);
	assert_int_equal(command.word_count, 4);
	assert_string_equal(command.words[1], "it's");
	assert_string_equal(command.words[2], "wow!");
	assert_string_equal(command.words[3], "x");
	assert_null(command.words[4]);
	assert_ok(loam_ssh_command_parse("loam '' ''", &command, &err));
	assert_int_equal(command.word_count, 3);
	assert_string_equal(command.words[2], "");
}

static void no_shell_and_no_copying(void **state)
{
	refuse(NULL, -LOAM_E_INVALID, "there is no shell here");
	refuse("", -LOAM_E_INVALID, "there is no shell here");
	refuse("   ", -LOAM_E_INVALID, "there is no shell here");
	refuse("scp -t x", -LOAM_E_INVALID, "not copied by scp");
	refuse("/usr/lib/openssh/sftp-server", -LOAM_E_INVALID, "not copied by sftp-server");
	refuse("rsync --server -vlogDtpre.iLsfxC . x", -LOAM_E_INVALID, "not copied by rsync");
	refuse("bash", -LOAM_E_NOT_FOUND, "command not found: bash");
	refuse("git", -LOAM_E_NOT_FOUND, "command not found: git");
	refuse("git-shell", -LOAM_E_NOT_FOUND, "command not found: git-shell");
	refuse("git-lfs-authenticate2 a/b upload", -LOAM_E_NOT_FOUND, "command not found");
	refuse("''", -LOAM_E_NOT_FOUND, "command not found: ");
}

static void lfs_verbs_take_their_operation_only(void **state)
{
	static const char *const lines[] = {
		"git-lfs-authenticate a/b",
		"git-lfs-authenticate a/b delete",
		"git-lfs-authenticate a/b upload x",
		"git-lfs-authenticate a/b upload ../../x",
		"git-lfs-transfer a/b",
		"git-lfs-transfer a/b Upload",
		"git-lfs-transfer a/b upload upload",
		"git-lfs-transfer",
		"git-lfs-transfer a/b download --all",
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(lines); i++)
		refuse(lines[i], -LOAM_E_INVALID, "");
}

static void long_lines_are_refused(void **state)
{
	size_t bytes = 64u << 10;
	loam_auto_free char *line = loam_xcalloc(1, bytes + 1);
	memset(line, 'a', bytes);
	refuse(line, -LOAM_E_INVALID, "more than");
	for (size_t i = 0; i < bytes; i += 2)
		line[i] = ' ';
	line[8000] = '\0';
	refuse(line, -LOAM_E_INVALID, "words");
	memset(line, 'a', bytes);
	line[LOAM_SSH_COMMAND_BYTES_MAX] = '\0';
	refuse(line, -LOAM_E_INVALID, "more than");
	line[LOAM_SSH_COMMAND_BYTES_MAX - 1] = '\0';
	refuse(line, -LOAM_E_NOT_FOUND, "command not found");
	/* the most words that fit are words */
	loam_auto_buf struct loam_buf words = LOAM_BUF(4096);
	assert_ok(loam_buf_add_text(&words, "loam", &err));
	for (size_t i = 1; i < LOAM_SSH_WORDS_MAX; i++)
		assert_ok(loam_buf_add_text(&words, " a", &err));
	assert_ok(loam_ssh_command_parse(loam_buf_text(&words), &command, &err));
	assert_int_equal(command.word_count, LOAM_SSH_WORDS_MAX);
}

/* ssh-10: a repository has two parts; a single word is none, whatever it says. */
static void a_repository_name_is_no_command(void **state)
{
	static const char *const names[] = {
		"admin", "true", "--all", "user1", "../../x", "/~alice/x",   "a/b/c/d",
		"a//b",	 "a/..", "",	  "/",	   "api/x",   "models/a/b/", "A/\xE2\x80\xAEgpj"
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(names); i++) {
		loam_auto_free char *line = loam_xasprintf("git-upload-pack '%s'", names[i]);
		struct loam_err ignored = { 0 };
		int rc = loam_ssh_command_parse(line, &command, &ignored);
		if (names[i][0] == '-')
			assert_int_equal(rc, -LOAM_E_INVALID);
		else
			assert_int_equal(rc, 0);
		assert_int_equal(rc == 0 && command.repo_is_valid,
				 strcmp(names[i], "models/a/b/") == 0);
	}
}

static void what_is_echoed_cannot_move_a_cursor(void **state)
{
	char shown[64];
	loam_ssh_shown("a\x1B[31mb\x1B[2;5Hc\xE2\x80\xAE"
		       "d\r\n\x07"
		       "e\x7F",
		       shown, sizeof(shown));
	assert_string_equal(shown, "abcde");
	loam_ssh_shown("\x1B[", shown, sizeof(shown));
	assert_string_equal(shown, "");
	loam_ssh_shown("0123456789", shown, 5);
	assert_string_equal(shown, "0123");
	refuse("\x1B[2Jxx", -LOAM_E_INVALID, "");
	refuse("'\x1B[2Jxx\xE2\x80\xAE'", -LOAM_E_NOT_FOUND, "command not found: xx");
}

/* Any bytes: an answer, and words that lie within the text. */
static void random_lines_do_no_harm(void **state)
{
	static const char alphabet[] = "git-upload-pack 'a/b'\\!\" \t\n\x1B\xFF-loam;";
	unsigned seed = 12345;
	for (int round = 0; round < 200000; round++) {
		char line[64];
		size_t bytes = (size_t)rand_r(&seed) % (sizeof(line) - 1);
		for (size_t i = 0; i < bytes; i++)
			line[i] = alphabet[(size_t)rand_r(&seed) % (sizeof(alphabet) - 1)];
		line[bytes] = '\0';
		struct loam_err ignored = { 0 };
		int rc = loam_ssh_command_parse(line, &command, &ignored);
		assert_true(rc == 0 || rc == -LOAM_E_INVALID || rc == -LOAM_E_NOT_FOUND);
		for (size_t i = 0; i < command.word_count; i++)
			assert_in_range((uintptr_t)command.words[i], (uintptr_t)command.text,
					(uintptr_t)command.text + sizeof(command.text) - 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_clients_send_is_understood),
		cmocka_unit_test(options_never_stand_for_a_repository),
		cmocka_unit_test(what_only_a_shell_understands_is_refused),
		cmocka_unit_test(quoting_is_that_of_git),
		cmocka_unit_test(no_shell_and_no_copying),
		cmocka_unit_test(lfs_verbs_take_their_operation_only),
		cmocka_unit_test(long_lines_are_refused),
		cmocka_unit_test(a_repository_name_is_no_command),
		cmocka_unit_test(what_is_echoed_cannot_move_a_cursor),
		cmocka_unit_test(random_lines_do_no_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
