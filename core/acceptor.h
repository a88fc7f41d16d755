/*
 * Connections of a listening socket, each on a thread of its own, so many at once and no more.
 *
 * Owner: the socket is the caller's; a connection's descriptor is closed here, behind `end`.
 * Threads: one accepts; open, stop, wait and free are called from one thread.
 */
#ifndef LOAM_CORE_ACCEPTOR_H
#define LOAM_CORE_ACCEPTOR_H

#include "core/err.h"

#include <stdint.h>

struct loam_acceptor_ops {
	/* On the accepting thread, at once: what the others are given; NULL: refused. */
	void *(*begin)(void *arg, int fd);
	/* On the connection's own thread. */
	void (*run)(void *talk);
	/* Frees talk. too_many: it has never run, since so many are there already. */
	void (*end)(void *talk, bool too_many);
};

struct loam_acceptor;

/* send_seconds: how long a write to a connection may stand still. BUSY without a thread. */
int loam_acceptor_open(int fd, unsigned most, unsigned send_seconds,
		       const struct loam_acceptor_ops *ops, void *arg,
		       struct loam_acceptor **out_acceptor, struct loam_err *err);
/* Nobody comes in any more. May be called again, and with NULL. */
void loam_acceptor_stop(struct loam_acceptor *acceptor);
/* true when all connections have ended within wait_ms; false also as soon as *now (may be NULL) is
 * set. */
bool loam_acceptor_wait(struct loam_acceptor *acceptor, uint64_t wait_ms, const volatile int *now);
/* Only when it was stopped and all connections have ended. */
void loam_acceptor_free(struct loam_acceptor *acceptor);

#endif
