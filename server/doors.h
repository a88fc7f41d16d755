/*
 * What serve takes as root before it becomes an ordinary account: ports, TLS key, hook.sock,
 * ssh.sock, the directory of bare repositories. Afterwards the process has the account of
 * server.runAs, no capability, and no way to get one.
 *
 * Owner:   loam_doors_release gives back what nobody took over (a taken member is -1 or NULL).
 * Threads: before the process has a second one.
 */
#ifndef LOAM_SERVER_DOORS_H
#define LOAM_SERVER_DOORS_H

#include "core/config.h"
#include "core/privileges.h"
#include "server/http.h"

struct loam_doors {
	struct loam_identity who;
	char *repos; /* absolute; its owner is `who` */
	struct loam_http_listener *http;
	const char *listen; /* of the options or the configuration */
	bool tls;
	char *hook_path, *ssh_path;
	int hook_fd, ssh_fd, lock_fd;
};
#define LOAM_DOORS                                          \
	{                                                   \
		.hook_fd = -1, .ssh_fd = -1, .lock_fd = -1, \
	}

/* Options of the command line; NULL: the configuration decides. */
struct loam_doors_options {
	const char *listen, *repos, *tls_cert, *tls_key;
};

int loam_doors_open(const struct loam_doors_options *options, const struct loam_config *config,
		    struct loam_doors *doors, struct loam_err *err);
void loam_doors_release(struct loam_doors *doors);

/* Who serve runs as: server.runAs, else the service account when we are root, else who we are. */
int loam_doors_identity(const struct loam_config *config, struct loam_identity *out,
			struct loam_err *err);

#endif
