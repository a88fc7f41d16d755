/*
 * Configuration files and Redis addresses. What is taken is within its bounds; no message shows a
 * password.
 */
#include "core/config.h"

#include "core/sys.h"
#include "fs/meta/redis_url.h"
#include "tests/fuzz/fuzz.h"

#include <git2.h>
#include <sys/mman.h>

#define SECRET "topsecret42"

static void url(const char *text)
{
	struct loam_err err = { 0 };
	struct loam_redis_url parsed;
	loam_auto_free char *secret = loam_xasprintf("redis://u:" SECRET "@%.200s", text);
	if (loam_redis_url_parse(text, &parsed, &err) == 0) {
		loam_assert(parsed.shown && (parsed.socket_path || parsed.host));
		loam_redis_url_release(&parsed);
	}
	loam_err_clear(&err);
	if (strstr(text, SECRET))
		return;
	if (loam_redis_url_parse(secret, &parsed, &err) == 0) {
		loam_assert(!strstr(parsed.shown, SECRET));
		loam_redis_url_release(&parsed);
	} else {
		loam_assert(!strstr(err.text, SECRET));
	}
}

static void file(const uint8_t *data, size_t bytes)
{
	static int fd = -1;
	struct loam_err err = { 0 };
	struct loam_config *config = NULL;
	char path[64];
	if (fd < 0) {
		git_libgit2_init(); /* stays: else each load starts and ends it */
		fd = memfd_create("loam.conf", MFD_CLOEXEC);
	}
	loam_assert(fd >= 0 && ftruncate(fd, 0) == 0);
	loam_assert(loam_sys_pwrite_all(fd, data, bytes, 0, &err) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (loam_config_load(path, &config, &err) < 0)
		return;
	loam_assert(config->server_workers >= 1 && config->server_workers <= 1024);
	loam_assert(config->cache_size_mib >= 64 && config->audit_keep >= 1);
	loam_assert(config->tree_root[0] == '/');
	loam_config_free(config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
	loam_auto_free char *text = fuzz_text(data, data_bytes);
	url(text);
	file(data, data_bytes);
	return 0;
}
