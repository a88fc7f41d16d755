/*
 * The private sshd (server/ssh_server.h). Step 1 of a push over SSH.
 *
 * What it may do is little: public keys only, whose owner serve knows; a forced command, no
 * terminal, no forwarding, no environment but GIT_PROTOCOL; few tries, few unproven connections.
 */
#include "server/ssh_server.h"

#include "auth/ssh_door.h"
#include "auth/tree.h"
#include "core/atomic_file.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/process.h"
#include "core/stream.h"
#include "core/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pwd.h>
#include <shadow.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define PRIVSEP_DIR "/run/sshd" /* compiled into Debian's sshd */
#define TOOL_MS	    60000
#define ANSWER_MS   2000
#define PWD_BYTES   16384

static const char *const tool_env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL };

/* ---- may it run here? ------------------------------------------------------------------------ */

bool loam_ssh_path_is_plain(const char *text)
{
	return text[0] != '\0' &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			    "/._+-") == strlen(text);
}

/* Whether a password field locks an account for sshd: "*" does not, "!…" does. */
static bool is_locked(const char *user)
{
	struct spwd entry, *found = NULL;
	char buffer[PWD_BYTES];
	return getspnam_r(user, &entry, buffer, sizeof(buffer), &found) == 0 && found &&
	       entry.sp_pwdp[0] == '!';
}

int loam_ssh_account_check(const char *user, struct loam_err *err)
{
	struct passwd entry, *found = NULL;
	char buffer[PWD_BYTES];
	if (getpwnam_r(user, &entry, buffer, sizeof(buffer), &found) != 0 || !found)
		return loam_fail(err, LOAM_E_INVALID, "this host has no account '%s'; as root: %s",
				 user,
				 strcmp(user, LOAM_SERVICE_NAME) == 0 ? LOAM_SSH_ACCOUNT_COMMAND
								      : "useradd it");
	const char *slash = strrchr(entry.pw_shell, '/');
	const char *shell = slash ? slash + 1 : entry.pw_shell;
	if (strcmp(shell, "nologin") == 0 || strcmp(shell, "false") == 0)
		return loam_fail(
			err, LOAM_E_INVALID,
			"sshd starts a forced command by the account's shell, and '%s' has "
			"%s: usermod --shell /bin/sh %s",
			user, entry.pw_shell, user);
	if (is_locked(user))
		return loam_fail(err, LOAM_E_INVALID,
				 "the account '%s' is locked: usermod --password '*' %s (no "
				 "password fits it)",
				 user, user);
	return 0;
}

/* Root reads its configuration there, so nobody else may put one there. */
static int check_owner(const char *dir, struct loam_err *err)
{
	struct stat st;
	if (stat(dir, &st) < 0)
		return loam_fail_errno(err, "look at %s", dir);
	if (st.st_uid != 0 || st.st_mode & 022)
		return loam_fail(err, LOAM_E_INVALID,
				 "%s must belong to root and to nobody else, sshd reads it as root",
				 dir);
	return 0;
}

static int check_host(const struct loam_ssh_server *server, const char *dir,
		      const struct loam_config *config, struct loam_err *err)
{
	struct passwd entry, *found = NULL;
	char buffer[PWD_BYTES];
	if (geteuid() != 0)
		return loam_fail(err, LOAM_E_INVALID, "only root can run sshd");
	if (access(LOAM_SSHD, X_OK) < 0)
		return loam_fail(err, LOAM_E_INVALID,
				 LOAM_SSHD " is missing: apt-get install openssh-server");
	if (!loam_ssh_path_is_plain(dir))
		return loam_fail(err, LOAM_E_INVALID,
				 "%s must be of letters, digits and /._+- to stand in sshd's "
				 "configuration",
				 dir);
	int rc = check_owner(dir, err);
	if (rc == 0)
		rc = loam_ssh_account_check(config->ssh_user, err);
	if (rc < 0)
		return rc;
	if (getpwnam_r(config->ssh_keys_user, &entry, buffer, sizeof(buffer), &found) != 0 ||
	    !found)
		return loam_fail(err, LOAM_E_INVALID,
				 "this host has no account '%s' (ssh.keysUser)",
				 config->ssh_keys_user);
	return 0;
}

/* ---- the port -------------------------------------------------------------------------------- */

/* "[::1]:8422" → "::1", "8422" */
static bool split_address(const char *text, char host[128], const char **out_port)
{
	const char *colon = strrchr(text, ':');
	if (!colon || colon == text || (size_t)(colon - text) >= 128)
		return false;
	size_t skip = text[0] == '[' && colon[-1] == ']';
	snprintf(host, 128, "%.*s", (int)((size_t)(colon - text) - 2 * skip), text + skip);
	*out_port = colon + 1;
	return true;
}

static int bind_once(const struct addrinfo *address, const char *listen, struct loam_err *err)
{
	loam_auto_fd int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;
	if (fd < 0)
		return loam_fail_errno(err, "make a socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, address->ai_addr, address->ai_addrlen) == 0)
		return 0;
	if (errno == EADDRINUSE)
		return loam_fail(err, LOAM_E_EXISTS,
				 "%s, where SSH is to be served, is in use: --ssh-listen ADDR:PORT "
				 "or ssh.listen chooses another, --ssh-listen off none",
				 listen);
	return loam_fail_errno(err, "listen at %s", listen);
}

static int check_port(const char *listen, struct loam_err *err)
{
	char host[128];
	const char *port;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE };
	struct addrinfo *found = NULL;
	if (!split_address(listen, host, &port) || getaddrinfo(host, port, &hints, &found) != 0)
		return loam_fail(err, LOAM_E_INVALID,
				 "'%s' is no ADDR:PORT for SSH (--ssh-listen, ssh.listen)", listen);
	int rc = bind_once(found, listen, err);
	freeaddrinfo(found);
	return rc;
}

/* ---- DIR/ssh --------------------------------------------------------------------------------- */

int loam_ssh_tool(const char *const *argv, struct loam_buf *out, struct loam_err *err)
{
	struct loam_process_spec spec = { .argv = argv, .env = tool_env, .stdin_fd = -1 };
	return loam_process_run(&spec, NULL, 0, out, TOOL_MS, err);
}

static int run_tool(const char *const *argv, struct loam_err *err)
{
	loam_auto_buf struct loam_buf out = LOAM_BUF(65536);
	return loam_ssh_tool(argv, &out, err);
}

static int make_host_key(const char *path, struct loam_err *err)
{
	if (access(path, F_OK) == 0)
		return 0;
	const char *const argv[] = { "ssh-keygen", "-q",   "-t", "ed25519", "-N", "",
				     "-C",	   "loam", "-f", path,	    NULL };
	return run_tool(argv, err);
}

static int copy_bytes(int from, int to, struct loam_err *err)
{
	char step[64u << 10];
	for (uint64_t offset = 0;;) {
		size_t got = 0;
		int rc = loam_sys_pread(from, step, sizeof(step), offset, &got, err);
		if (rc < 0 || got == 0)
			return rc;
		rc = loam_sys_write_all(to, step, got, err);
		if (rc < 0)
			return rc;
		offset += got;
	}
}

/* This program stands anywhere, often where the accounts of the door cannot reach it. */
static int copy_program(const char *path, struct loam_err *err)
{
	loam_auto_free char *fresh = loam_xasprintf("%s.new", path);
	loam_auto_fd int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (from < 0)
		return loam_fail_errno(err, "open this program");
	if (unlink(fresh) < 0 && errno != ENOENT)
		return loam_fail_errno(err, "remove %s", fresh);
	loam_auto_fd int to = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	if (to < 0)
		return loam_fail_errno(err, "make %s", fresh);
	int rc = copy_bytes(from, to, err);
	if (rc == 0 && fchmod(to, 0755) < 0)
		rc = loam_fail_errno(err, "chmod %s", fresh);
	if (rc == 0)
		rc = loam_sys_fsync(to, err);
	return rc < 0 ? rc : loam_sys_renameat(AT_FDCWD, fresh, AT_FDCWD, path, err);
}

/*
 * av[0] of AuthorizedKeysCommand must stand in directories that only root may write, all the way
 * up; DIR may lie in /tmp. env stands well, and the program it starts is root's own copy.
 *
 * Connections that have proven nothing: one address holds 15, and sshd begins to drop others' by
 * chance at 60, which takes four such addresses. A /64 of IPv6 is one address, as in auth/guess.
 */
static char *config_text(const struct loam_ssh_server *server, const struct loam_config *config,
			 const char *host_key, const char *program)
{
	loam_auto_free char *socket = loam_ssh_socket_path(config);
	char host[128];
	const char *port = "";
	split_address(server->listen, host, &port);
	return loam_xasprintf("# Written by loam up at each start.\n"
			      "Port %s\n"
			      "ListenAddress %s\n"
			      "HostKey %s\n"
			      "PidFile none\n"
			      "UsePAM no\n"
			      "AllowUsers %s\n"
			      "AuthenticationMethods publickey\n"
			      "PubkeyAuthentication yes\n"
			      "PasswordAuthentication no\n"
			      "KbdInteractiveAuthentication no\n"
			      "PermitRootLogin no\n"
			      "AuthorizedKeysFile none\n"
			      "AuthorizedKeysCommand /usr/bin/env %s ssh-keys --socket %s "
			      "%%u %%t %%k\n"
			      "AuthorizedKeysCommandUser %s\n"
			      "AcceptEnv GIT_PROTOCOL\n"
			      "DisableForwarding yes\n"
			      "PermitTTY no\n"
			      "PermitTunnel no\n"
			      "PermitUserRC no\n"
			      "PermitUserEnvironment no\n"
			      "PrintMotd no\n"
			      "PrintLastLog no\n"
			      "UseDNS no\n"
			      "MaxAuthTries 6\n"
			      "MaxSessions 16\n"
			      "MaxStartups 60:50:120\n"
			      "PerSourceMaxStartups 15\n"
			      "PerSourceNetBlockSize 32:64\n"
			      "LoginGraceTime 30\n"
			      "ClientAliveInterval 10\n"
			      "ClientAliveCountMax 2\n",
			      port, host, host_key, config->ssh_user, program, socket,
			      config->ssh_keys_user);
}

static int check_config(const char *path, struct loam_err *err)
{
	const char *const argv[] = { LOAM_SSHD, "-t", "-f", path, NULL };
	if (mkdir(PRIVSEP_DIR, 0755) < 0 && errno != EEXIST)
		return loam_fail_errno(err, "make " PRIVSEP_DIR);
	return run_tool(argv, err);
}

static int fill_dir(struct loam_ssh_server *server, const struct loam_config *config,
		    struct loam_err *err)
{
	loam_auto_free char *host_key = loam_path_join(server->dir, "host_ed25519");
	loam_auto_free char *program = loam_path_join(server->dir, "loam");
	int rc = loam_mkdir_all(server->dir, 0711, err);
	if (rc == 0 && chmod(server->dir, 0711) < 0) /* whatever the umask was */
		rc = loam_fail_errno(err, "chmod %s", server->dir);
	if (rc == 0)
		rc = check_owner(server->dir, err);
	if (rc == 0)
		rc = make_host_key(host_key, err);
	if (rc == 0)
		rc = copy_program(program, err);
	if (rc < 0)
		return rc;
	loam_auto_free char *text = config_text(server, config, host_key, program);
	rc = loam_atomic_file_put(server->config_path, 0600, text, strlen(text), err);
	return rc < 0 ? rc : check_config(server->config_path, err);
}

/* ---- the door -------------------------------------------------------------------------------- */

static int prepare(struct loam_ssh_server *server, const char *dir,
		   const struct loam_config *config, struct loam_err *err)
{
	char host[128];
	const char *port = NULL;
	int rc = check_port(server->listen, err);
	if (rc < 0)
		return rc;
	server->dir = loam_path_join(dir, "ssh");
	server->config_path = loam_path_join(server->dir, "sshd_config");
	server->address_path = loam_ssh_address_path(config);
	rc = fill_dir(server, config, err);
	if (rc < 0)
		return loam_context(err, "SSH");
	bool any = strncmp(server->listen, "0.0.0.0:", 8) == 0 ||
		   strncmp(server->listen, "[::]:", 5) == 0;
	split_address(server->listen, host, &port);
	snprintf(server->url, sizeof(server->url), "ssh://%s@%s%s", config->ssh_user,
		 any ? "127.0.0.1:" : server->listen, any ? port : "");
	const char *argv[] = { LOAM_SSHD, "-D", "-e", "-f", server->config_path, NULL };
	memcpy(server->argv, argv, sizeof(argv));
	server->open = true;
	return 0;
}

int loam_ssh_server_prepare(struct loam_ssh_server *server, const char *dir,
			    const struct loam_config *config, const char *listen,
			    struct loam_err *err)
{
	*server = (struct loam_ssh_server){ .open = false };
	snprintf(server->listen, sizeof(server->listen), "%s",
		 listen ? listen : config->ssh_listen);
	if (strcmp(server->listen, "off") == 0)
		return 0;
	struct loam_err closed = { 0 };
	if (check_host(server, dir, config, &closed) < 0) {
		fprintf(stderr, "loam: the SSH door stays closed: %s\n", closed.text);
		return 0;
	}
	return prepare(server, dir, config, err);
}

static bool answers(const char *url)
{
	char host[128];
	const char *port, *address = strchr(url, '@') + 1;
	struct loam_err ignored = { 0 };
	struct loam_deadline deadline = loam_deadline_in(ANSWER_MS);
	struct loam_stream *stream = NULL;
	if (!split_address(address, host, &port) ||
	    loam_stream_connect_tcp(host, port, false, deadline, &stream, &ignored) < 0)
		return false;
	char reply[64] = "";
	size_t got = 0;
	bool good =
		loam_stream_read(stream, reply, sizeof(reply) - 1, &got, deadline, &ignored) == 0 &&
		strncmp(reply, "SSH-2.0-", 8) == 0;
	loam_stream_close(stream);
	return good;
}

bool loam_ssh_server_is_up(struct loam_ssh_server *server)
{
	if (!server->open)
		return true;
	if (!answers(server->url))
		return false;
	loam_auto_free char *text = loam_xasprintf("%s\n", server->url);
	struct loam_err ignored = { 0 };
	return loam_atomic_file_put(server->address_path, 0644, text, strlen(text), &ignored) == 0;
}

void loam_ssh_server_release(struct loam_ssh_server *server)
{
	if (server->address_path)
		unlink(server->address_path);
	free(loam_steal(&server->dir));
	free(loam_steal(&server->config_path));
	free(loam_steal(&server->address_path));
}
