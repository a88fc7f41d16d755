/*
 * Where the SSH door stands: its socket, and the URL that users clone from.
 */
#ifndef LOAM_AUTH_SSH_DOOR_H
#define LOAM_AUTH_SSH_DOOR_H

#include "core/config.h"

/* ssh.sock: beside the configuration file, else in server.repos. free() */
char *loam_ssh_socket_path(const struct loam_config *config);
/* A file beside the configuration in which `loam up` says where its sshd listens while it does:
 * "ssh://loam@127.0.0.1:8422\n". free() */
char *loam_ssh_address_path(const struct loam_config *config);
/* ssh.url, else what stands in that file, without a slash at its end; NULL: the door is closed.
 * free() */
char *loam_ssh_url(const struct loam_config *config);

#endif
