/*
 * A proxy before a Redis socket that does harm to commits: requests with EVALSHA, EVAL or EXEC.
 *
 * Every `period`-th commit meets the next of the harms in turn; everything else passes.
 */
#ifndef LOAM_TESTS_SUPPORT_RESP_PROXY_H
#define LOAM_TESTS_SUPPORT_RESP_PROXY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum loam_resp_harm {
	LOAM_HARM_CUT_REQUEST = 1 << 0, /* closed before the server has the request */
	LOAM_HARM_CUT_REPLY = 1 << 1,	/* the server has done it, the reply is thrown away */
	LOAM_HARM_STALL = 1 << 2,	/* the request waits stall_ms, then it is delivered */
	LOAM_HARM_SPLIT = 1 << 3	/* the reply comes byte by byte */
};

struct loam_resp_proxy {
	char socket[96];
	const char *upstream;
	_Atomic unsigned harms; /* set of enum loam_resp_harm */
	_Atomic unsigned period;
	_Atomic unsigned stall_ms;
	_Atomic unsigned done;	  /* harms done */
	_Atomic unsigned counted; /* commits seen */
	_Atomic unsigned pumps;	  /* threads at work */
	_Atomic bool ending;
	int listen_fd;
	pthread_t thread;
};

/* dir: a folder for the proxy's socket. */
void loam_resp_proxy_start(struct loam_resp_proxy *proxy, const char *dir, const char *upstream);
/* All clients must be gone. */
void loam_resp_proxy_stop(struct loam_resp_proxy *proxy);

#endif
