/*
 * The sshd of `loam up`: OpenSSH on a port and a configuration of its own, in DIR/ssh.
 *
 *   DIR/ssh/{host_ed25519, host_ed25519.pub, sshd_config, loam, address}
 *
 * loam is a copy of this program that the accounts of the door may run; address tells other
 * commands where the door is while it is open. All of it is root's: sshd reads it as root.
 * Source: docs/decisions/0005-ssh-door.md; sshd_config(5).
 */
#ifndef LOAM_SERVER_SSH_SERVER_H
#define LOAM_SERVER_SSH_SERVER_H

#include "core/buf.h"
#include "core/config.h"
#include "core/err.h"

#include <stdbool.h>

#define LOAM_SSHD "/usr/sbin/sshd"
/* A group of that number: `useradd --system --user-group` alone would give it another one. */
#define LOAM_SSH_ACCOUNT_COMMAND                                                \
	"groupadd --gid 20000 loam && useradd --system --uid 20000 --gid loam " \
	"--no-create-home --home-dir / --shell /bin/sh --password '*' loam"

struct loam_ssh_server {
	bool open;
	char listen[128]; /* "127.0.0.1:8422" */
	char url[192];	  /* "ssh://loam@127.0.0.1:8422" */
	char *dir, *config_path, *address_path;
	const char *argv[8]; /* of the child */
};

/*
 * Makes DIR/ssh ready. listen NULL: as the configuration says. Where the door must stay closed
 * (off, not root, no sshd, no account) open is false and one line on stderr says why.
 * Errors: EXISTS for a port in use; INVALID for an address that is none.
 */
int loam_ssh_server_prepare(struct loam_ssh_server *server, const char *dir,
			    const struct loam_config *config, const char *listen,
			    struct loam_err *err);
/* Does it answer as an SSH server? Once it does, the address file says so. */
bool loam_ssh_server_is_up(struct loam_ssh_server *server);
void loam_ssh_server_release(struct loam_ssh_server *server);

/* May the account run forced commands? Not when it is missing, locked or without a shell: INVALID
 * with the command that mends it. Shared with `loam ssh enable`. */
int loam_ssh_account_check(const char *user, struct loam_err *err);
/* Runs a program of the system to its end, with an environment of nothing but a PATH. */
int loam_ssh_tool(const char *const *argv, struct loam_buf *out, struct loam_err *err);
/* May this stand unquoted in a configuration of sshd and on the line of a forced command? */
bool loam_ssh_path_is_plain(const char *text);

#endif
