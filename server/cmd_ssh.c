/*
 * loam ssh enable, disable, status: the SSH door of the host's own sshd, as one file in
 * /etc/ssh/sshd_config.d that concerns the account of ssh.user and nobody else, but for one line:
 * how many unproven connections an address may hold, where the host has no such limit. (`loam up`
 * has an sshd of its own: server/ssh_server.)
 *
 * The file is checked by sshd before it counts: what sshd refuses is taken back at once.
 */
#include "auth/ssh_door.h"
#include "core/atomic_file.h"
#include "core/auto.h"
#include "core/cmd.h"
#include "core/json.h"
#include "core/sys.h"
#include "server/commands.h"
#include "server/ssh_server.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SNIPPET	     "/etc/ssh/sshd_config.d/loam.conf"
#define SSHD_PID     "/run/sshd.pid"
#define MARK	     "# Written by loam ssh enable; loam ssh disable removes it.\n"
#define TEXT_BYTES   65536
#define PLACES_WORD  "PerSourceMaxStartups"
#define PLACES_MAX   8u /* MaxStartups begins to drop at 10, unless told otherwise */
#define PLACES_BYTES 128

struct ssh_opts {
	bool dry_run, json;
};

/* ---- the file -------------------------------------------------------------------------------- */

static char *snippet_text(const struct loam_config *config, const char *program, const char *socket,
			  const char *places)
{
	return loam_xasprintf(MARK "%s"
				   "Match User %s\n"
				   "\tAuthenticationMethods publickey\n"
				   "\tPubkeyAuthentication yes\n"
				   "\tPasswordAuthentication no\n"
				   "\tKbdInteractiveAuthentication no\n"
				   "\tAuthorizedKeysFile none\n"
				   "\tAuthorizedKeysCommand %s ssh-keys --socket %s %%u %%t %%k\n"
				   "\tAuthorizedKeysCommandUser %s\n"
				   "\tAcceptEnv GIT_PROTOCOL\n"
				   "\tDisableForwarding yes\n"
				   "\tPermitTTY no\n"
				   "\tPermitTunnel no\n"
				   "\tPermitUserRC no\n"
				   "\tMaxAuthTries 6\n"
				   "\tMaxSessions 16\n"
				   "\tClientAliveInterval 10\n"
				   "\tClientAliveCountMax 2\n",
			      places, config->ssh_user, program, socket, config->ssh_keys_user);
}

/* 1 ours, 0 there is none; EXISTS for a file that somebody else wrote. */
static int read_snippet(struct loam_buf *out, struct loam_err *err)
{
	if (access(SNIPPET, F_OK) < 0 && errno == ENOENT)
		return 0;
	int rc = loam_path_read_all(SNIPPET, out, err);
	if (rc < 0)
		return rc;
	if (strncmp(loam_buf_text(out), MARK, strlen(MARK)) != 0)
		return loam_fail(err, LOAM_E_EXISTS,
				 SNIPPET " was not written by loam ssh enable: move it away first");
	return 1;
}

static int remove_snippet(struct loam_err *err)
{
	return unlink(SNIPPET) < 0 ? loam_fail_errno(err, "remove " SNIPPET) : 0;
}

/* ---- what sshd demands ----------------------------------------------------------------------- */

/* sshd runs it only when nobody but root could have changed it, all the way up. */
static int check_program(const char *program, struct loam_err *err)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s", program);
	for (;;) {
		struct stat st;
		const char *at = path[0] ? path : "/";
		if (stat(at, &st) < 0)
			return loam_fail_errno(err, "look at %s", at);
		if (st.st_uid != 0 || st.st_mode & 022 || !(st.st_mode & 001))
			return loam_fail(err, LOAM_E_INVALID,
					 "sshd would not run %s: %s must be root's, writable by "
					 "nobody else and open to all; install -m 755 %s "
					 "/usr/local/bin/loam and run that",
					 program, at, program);
		if (path[0] == '\0')
			return 0;
		*strrchr(path, '/') = '\0';
	}
}

static int check_config(struct loam_err *err)
{
	static const char *const argv[] = { LOAM_SSHD, "-t", NULL };
	loam_auto_buf struct loam_buf out = LOAM_BUF(TEXT_BYTES);
	return loam_ssh_tool(argv, &out, err);
}

/* Does sshd_config include the folder? */
static int check_effect(const struct loam_config *config, const char *program, struct loam_err *err)
{
	loam_auto_free char *who =
		loam_xasprintf("user=%s,host=localhost,addr=127.0.0.1", config->ssh_user);
	const char *const argv[] = { LOAM_SSHD, "-T", "-C", who, NULL };
	loam_auto_buf struct loam_buf out = LOAM_BUF(TEXT_BYTES);
	loam_auto_free char *wanted = loam_xasprintf("\nauthorizedkeyscommand %s ", program);
	int rc = loam_ssh_tool(argv, &out, err);
	if (rc == 0 && !strstr(loam_buf_text(&out), wanted))
		return loam_fail(err, LOAM_E_INVALID,
				 "sshd does not read " SNIPPET
				 ": /etc/ssh/sshd_config needs, above its first Match, the line "
				 "Include /etc/ssh/sshd_config.d/*.conf");
	return rc;
}

/* ---- unproven connections -------------------------------------------------------------------- */

/* The number behind a word of sshd -T; 0: it is not there, or no number. */
static unsigned number_behind(const char *text, const char *word)
{
	const char *at = strstr(text, word);
	return at ? (unsigned)strtoul(at + strlen(word), NULL, 10) : 0;
}

/*
 * Without a limit for each address, one that opens connections and proves nothing takes all places
 * of MaxStartups, and nobody else comes in. Ours stays below the number from which sshd drops by
 * chance. "" where the administrator has set one, or sshd knows none (before 8.5).
 */
static int choose_places(char out[PLACES_BYTES], struct loam_err *err)
{
	static const char *const argv[] = { LOAM_SSHD, "-T", NULL };
	loam_auto_buf struct loam_buf before = LOAM_BUF(TEXT_BYTES);
	loam_auto_buf struct loam_buf present = LOAM_BUF(TEXT_BYTES);
	int had = read_snippet(&before, err);
	int rc = had < 0 ? had : loam_ssh_tool(argv, &present, err);
	if (rc < 0)
		return rc;
	bool ours = had && strstr(loam_buf_text(&before), PLACES_WORD);
	unsigned start = number_behind(loam_buf_text(&present), "\nmaxstartups ");
	out[0] = '\0';
	if (start > 1 && (ours || strstr(loam_buf_text(&present), "\npersourcemaxstartups none\n")))
		snprintf(out, PLACES_BYTES, PLACES_WORD " %u\nPerSourceNetBlockSize 32:64\n",
			 start > PLACES_MAX ? PLACES_MAX : start - 1);
	return 0;
}

/* ---- the running sshd ------------------------------------------------------------------------ */

static bool is_sshd(pid_t pid)
{
	char link[64], path[PATH_MAX];
	snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
	ssize_t bytes = readlink(link, path, sizeof(path) - 1);
	if (bytes < 0)
		return false;
	path[bytes] = '\0';
	return strncmp(path, LOAM_SSHD, strlen(LOAM_SSHD)) == 0;
}

/* How it was told, for the user. */
static const char *reload(void)
{
	static const char *const systemctl[] = { "systemctl", "reload", "ssh", NULL };
	struct loam_err ignored = { 0 };
	loam_auto_buf struct loam_buf out = LOAM_BUF(TEXT_BYTES);
	loam_auto_buf struct loam_buf text = LOAM_BUF(64);
	if (access("/run/systemd/system", F_OK) == 0)
		return loam_ssh_tool(systemctl, &out, &ignored) == 0
			       ? "sshd has read it (systemctl reload ssh)"
			       : "sshd has not read it yet: systemctl reload ssh failed";
	uint64_t pid = 0;
	if (loam_path_read_all(SSHD_PID, &text, &ignored) == 0) {
		loam_auto_free char *number =
			loam_xstrndup(loam_buf_text(&text), strcspn(loam_buf_text(&text), "\n"));
		if (loam_parse_u64(number, 2, INT32_MAX, &pid, &ignored) == 0 &&
		    is_sshd((pid_t)pid) && kill((pid_t)pid, SIGHUP) == 0)
			return "sshd reads it now (SIGHUP)";
	}
	return "sshd does not run, or elsewhere: it reads it when it starts";
}

/* ---- enable ---------------------------------------------------------------------------------- */

static int check_host(const struct loam_config *config, const char *program, const char *socket,
		      struct loam_err *err)
{
	if (geteuid() != 0)
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "only root may change sshd");
	if (access(LOAM_SSHD, X_OK) < 0)
		return loam_fail(err, LOAM_E_NOT_FOUND,
				 LOAM_SSHD " is missing: apt-get install openssh-server");
	if (!loam_ssh_path_is_plain(program) || !loam_ssh_path_is_plain(socket) || socket[0] != '/')
		return loam_fail(err, LOAM_E_INVALID,
				 "%s and %s must be absolute, of letters, digits and /._+-",
				 program, socket);
	int rc = check_program(program, err);
	return rc < 0 ? rc : loam_ssh_account_check(config->ssh_user, err);
}

static int install(const struct loam_config *config, const char *program, const char *text,
		   struct loam_err *err)
{
	loam_auto_buf struct loam_buf before = LOAM_BUF(TEXT_BYTES);
	int had = read_snippet(&before, err);
	if (had < 0)
		return had;
	int rc = loam_mkdir_all("/etc/ssh/sshd_config.d", 0755, err);
	if (rc == 0)
		rc = loam_atomic_file_put(SNIPPET, 0644, text, strlen(text), err);
	if (rc < 0)
		return rc;
	rc = check_config(err);
	if (rc == 0)
		rc = check_effect(config, program, err);
	if (rc == 0)
		return 0;
	struct loam_err undo = { 0 };
	int undone = had ? loam_atomic_file_put(SNIPPET, 0644, before.data, before.bytes, &undo)
			 : remove_snippet(&undo);
	return loam_context(err, "%s", undone < 0 ? undo.text : "nothing is changed");
}

static int find_program(char out[PATH_MAX], struct loam_err *err)
{
	ssize_t bytes = readlink("/proc/self/exe", out, PATH_MAX - 1);
	if (bytes < 0)
		return loam_fail_errno(err, "find this program");
	out[bytes] = '\0';
	return 0;
}

static int enable(const struct ssh_opts *opts, const struct loam_config *config,
		  struct loam_err *err)
{
	char program[PATH_MAX], places[PLACES_BYTES];
	loam_auto_free char *socket = loam_ssh_socket_path(config);
	int rc = find_program(program, err);
	if (rc == 0)
		rc = check_host(config, program, socket, err);
	if (rc == 0)
		rc = choose_places(places, err);
	if (rc < 0)
		return rc;
	loam_auto_free char *text = snippet_text(config, program, socket, places);
	if (opts->dry_run) {
		fprintf(stderr, "loam: would write " SNIPPET ":\n");
		printf("%s", text);
		return 0;
	}
	rc = install(config, program, text, err);
	if (rc < 0)
		return rc;
	fprintf(stderr,
		"loam: " SNIPPET " written, sshd -t found it good\n"
		"loam: %s\n"
		"%s"
		"loam: clients use ssh://%s@HOST/NS/NAME.git; ssh.url = ssh://%s@HOST in the "
		"configuration makes repo create print it\n",
		reload(),
		places[0] ? "loam: it also limits what one address may hold of this sshd before it "
			    "has proven a key (" PLACES_WORD "), for all accounts\n"
			  : "",
		config->ssh_user, config->ssh_user);
	return 0;
}

static int with_config(const void *options,
		       int (*run)(const struct ssh_opts *opts, const struct loam_config *config,
				  struct loam_err *err))
{
	struct loam_err err = { 0 };
	struct loam_config *config = NULL;
	int rc = loam_config_load(NULL, &config, &err);
	if (rc == 0)
		rc = run(options, config, &err);
	loam_config_free(config);
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

static int run_enable(const void *options, int argc, char **argv)
{
	return with_config(options, enable);
}

#define DRY_RUN_OPT \
	LOAM_OPT(struct ssh_opts, dry_run, "dry-run", 0, LOAM_OPT_FLAG, NULL, "change nothing")

const struct loam_cmd loam_cmd_ssh_enable = {
	.name = "ssh enable",
	.usage = "[options]",
	.summary = "let this host's sshd take Git and LFS sessions for loam serve",
	.details = "Writes " SNIPPET ", which concerns the account of ssh.user\n"
		   "only, has sshd check it, and makes sshd read it. --dry-run prints it. Where\n"
		   "sshd has no limit for one address (" PLACES_WORD "), it gets one.",
	.options = (const struct loam_opt[]){ DRY_RUN_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct ssh_opts),
	.run = run_enable,
};

/* ---- disable, status ------------------------------------------------------------------------- */

static int disable(const struct ssh_opts *opts, const struct loam_config *config,
		   struct loam_err *err)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(TEXT_BYTES);
	int had = read_snippet(&text, err);
	if (had < 0)
		return had;
	if (!had)
		fprintf(stderr, "loam: it was not enabled: there is no " SNIPPET "\n");
	else if (opts->dry_run)
		fprintf(stderr, "loam: would remove " SNIPPET "\n");
	if (!had || opts->dry_run)
		return 0;
	int rc = remove_snippet(err);
	if (rc == 0)
		rc = check_config(err);
	if (rc == 0)
		fprintf(stderr, "loam: " SNIPPET " removed\nloam: %s\n", reload());
	return rc;
}

static int run_disable(const void *options, int argc, char **argv)
{
	return with_config(options, disable);
}

const struct loam_cmd loam_cmd_ssh_disable = {
	.name = "ssh disable",
	.usage = "[options]",
	.summary = "take back what ssh enable did",
	.options = (const struct loam_opt[]){ DRY_RUN_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct ssh_opts),
	.run = run_disable,
};

static int status(const struct ssh_opts *opts, const struct loam_config *config,
		  struct loam_err *err)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(TEXT_BYTES);
	loam_auto_free char *socket = loam_ssh_socket_path(config);
	loam_auto_free char *url = loam_ssh_url(config);
	struct loam_err closed = { 0 }, foreign = { 0 };
	bool account = loam_ssh_account_check(config->ssh_user, &closed) == 0;
	bool enabled = read_snippet(&text, &foreign) == 1;
	struct stat st;
	bool served = stat(socket, &st) == 0 && S_ISSOCK(st.st_mode);
	if (!opts->json) {
		printf("this host's sshd   %s\n", enabled ? "enabled" : "not enabled");
		printf("account %-10s %s\n", config->ssh_user, account ? "ready" : closed.text);
		printf("loam serve         %s\n", served ? socket : "is not running");
		printf("URL                %s\n", url ? url : "none (ssh.url)");
		return 0;
	}
	loam_auto_json json_t *answer =
		json_pack("{s:b, s:b, s:b, s:s}", "enabled", enabled, "account", account, "served",
			  served, "url", url ? url : "");
	loam_auto_buf struct loam_buf out = LOAM_BUF(TEXT_BYTES);
	int rc = loam_json_print(answer, &out, err);
	if (rc == 0)
		printf("%s\n", loam_buf_text(&out));
	return rc;
}

static int run_status(const void *options, int argc, char **argv)
{
	return with_config(options, status);
}

const struct loam_cmd loam_cmd_ssh_status = {
	.name = "ssh status",
	.usage = "[options]",
	.summary = "print whether the SSH door is open, and what it lacks",
	.options = (const struct loam_opt[]){ LOAM_OPT(struct ssh_opts, json, "json", 0,
						       LOAM_OPT_FLAG, NULL, "print JSON"),
					      LOAM_OPT_END },
	.options_bytes = sizeof(struct ssh_opts),
	.run = run_status,
};
