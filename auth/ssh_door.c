/*
 * The SSH door as others see it (auth/ssh_door.h).
 */
#include "auth/ssh_door.h"

#include "core/auto.h"
#include "core/sys.h"

#include <string.h>

#define URL_BYTES_MAX 512

static char *beside_config(const struct loam_config *config, const char *name)
{
	const char *slash = config->path ? strrchr(config->path, '/') : NULL;
	if (!slash)
		return loam_path_join(config->server_repos, name);
	loam_auto_free char *dir = loam_xstrndup(config->path, (size_t)(slash - config->path));
	return loam_path_join(dir[0] ? dir : "/", name);
}

char *loam_ssh_socket_path(const struct loam_config *config)
{
	return beside_config(config, "ssh.sock");
}

char *loam_ssh_address_path(const struct loam_config *config)
{
	return beside_config(config, "ssh/address");
}

char *loam_ssh_url(const struct loam_config *config)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(URL_BYTES_MAX);
	loam_auto_free char *path = loam_ssh_address_path(config);
	struct loam_err closed = { 0 };
	const char *url = config->ssh_url;
	if (!url[0] && loam_path_read_all(path, &text, &closed) == 0)
		url = loam_buf_text(&text);
	size_t bytes = strcspn(url, "\n");
	while (bytes > 0 && url[bytes - 1] == '/')
		bytes--;
	return bytes ? loam_xstrndup(url, bytes) : NULL;
}
