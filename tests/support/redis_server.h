/*
 * A private redis-server for one test program: Unix socket in a temporary folder, no port, no
 * persistence unless asked. Nothing is left behind after stop.
 */
#ifndef LOAM_TESTS_SUPPORT_REDIS_SERVER_H
#define LOAM_TESTS_SUPPORT_REDIS_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

#define LOAM_REDIS_SERVER_DATABASES 256

struct loam_redis_server {
	pid_t pid;
	char dir[64];
	char socket[96];
};

/* appendonly true: append-only file with everysec, as `loam up` runs it. False with *out_reason
 * when redis-server is missing or does not answer within five seconds. */
bool loam_redis_server_start(struct loam_redis_server *server, bool appendonly,
			     const char **out_reason);
/* Kills the server and starts it again on its data; it may still be loading them. */
void loam_redis_server_restart(struct loam_redis_server *server, bool appendonly);
/* Sends one command, words NULL-terminated, and asserts that the reply begins with expected. */
void loam_redis_server_tell(const struct loam_redis_server *server, const char *expected, ...)
	__attribute__((sentinel));
/* Also after a failed start. */
void loam_redis_server_stop(struct loam_redis_server *server);
/* unix:///…?db=N, free(). */
char *loam_redis_server_url(const struct loam_redis_server *server, int database);

#endif
