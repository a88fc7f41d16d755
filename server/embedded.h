/*
 * The folder of `loam up`: a private Redis, blocks, repositories, cache, mount point, logs,
 * configuration.
 *
 *   DIR/{redis/,redis.sock,hook.sock,blocks/,git/,cache/,mnt/,log/,loam.conf}
 *
 * DIR is 0711, all in it but mnt/ 0700 or 0600. Loam's own commands reach it by
 * LOAM_CONFIG=DIR/loam.conf.
 *
 * Owner, when root runs it: DIR, loam.conf, cache/ (the mount's) and mnt/ are root's; redis/,
 * blocks/, git/ and log/ the service account's, under which Redis and serve run. Redis cannot make
 * its socket in DIR, so redis.sock is a link to redis/sock. docs/security.md.
 */
#ifndef LOAM_SERVER_EMBEDDED_H
#define LOAM_SERVER_EMBEDDED_H

#include "core/config.h"
#include "core/err.h"
#include "core/limits.h"
#include "core/privileges.h"

#include <stdbool.h>
#include <stdint.h>

struct loam_embedded {
	char dir[1024]; /* absolute */
	char mount[1024];
	char listen[128];
	bool with_mount;
	struct loam_identity who; /* of Redis and serve */
	int lock_fd;		  /* held while `up` runs; its file names the pid */
};

/* Decides who Redis and serve run as (server.runAs of DIR/loam.conf) and gives them what is
 * theirs; a folder that root used alone before is handed over once, which is said. */
int loam_embedded_hand_over(struct loam_embedded *embedded, const struct loam_config *config,
			    struct loam_err *err);
/* Makes the folder where it is missing and takes its lock. EXISTS with the holder's pid. */
int loam_embedded_open(const char *dir, struct loam_embedded *out, struct loam_err *err);
void loam_embedded_close(struct loam_embedded *embedded);
/* Writes loam.conf (kept when it is there, but for listen when given) and redis.conf. */
int loam_embedded_configure(const struct loam_embedded *embedded, struct loam_err *err);
/* Path below the folder; free(). */
char *loam_embedded_path(const struct loam_embedded *embedded, const char *rest);
/* Waits until the private Redis answers on its socket. UNAVAILABLE after wait_ms. */
int loam_embedded_wait_redis(const struct loam_embedded *embedded, uint64_t wait_ms,
			     struct loam_err *err);
/* 1 formatted, 0 empty. */
int loam_embedded_is_formatted(const struct loam_embedded *embedded, struct loam_err *err);

#endif
