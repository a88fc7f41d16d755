/*
 * The place of hook.sock (githook/socket_path.h).
 */
#include "githook/socket_path.h"

#include "core/auto.h"
#include "core/sys.h"

#include <string.h>

char *loam_hook_socket_path(const struct loam_config *config)
{
	const char *slash = config->path ? strrchr(config->path, '/') : NULL;
	if (!slash)
		return loam_path_join(config->server_repos, "hook.sock");
	loam_auto_free char *dir = loam_xstrndup(config->path, (size_t)(slash - config->path));
	return loam_path_join(dir[0] ? dir : "/", "hook.sock");
}
