/*
 * Where hook.sock stands: beside the configuration file, else in server.repos.
 */
#ifndef LOAM_GITHOOK_SOCKET_PATH_H
#define LOAM_GITHOOK_SOCKET_PATH_H

#include "core/config.h"

/* free() */
char *loam_hook_socket_path(const struct loam_config *config);

#endif
