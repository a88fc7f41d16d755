/*
 * The session of this process on the volume: announced, refreshed, watched, cleaned.
 *
 * Shape:   SESSION_LIFE <sid> = expiry (unix seconds, five heartbeats ahead), SESSION_INFO <sid> =
 *          JSON {Version, HostName, IPAddrs, MountPoint, MountTime, ProcessID}.
 * Threads: one heartbeat thread; the flags are read by all.
 * Source:  volume format document §8.
 */
#ifndef LOAM_FS_META_SESSION_H
#define LOAM_FS_META_SESSION_H

#include "fs/meta/meta.h"

#include <pthread.h>
#include <stdatomic.h>

struct loam_session {
	uint64_t sid; /* 0 without one */
	char *info;   /* its JSON, as first written */
	uint32_t heartbeat_seconds;
	bool running; /* thread started */
	pthread_t thread;
	pthread_mutex_t lock; /* stopping */
	pthread_cond_t wake;
	bool stopping;
	_Atomic bool dead;   /* setting gone, another volume, or counters went back: for good */
	_Atomic bool frozen; /* setting asks for what is not built: no changes while it does */
};

void loam_session_init(struct loam_session *session);
void loam_session_release(struct loam_session *session);
/* Announces the session where the options ask for one and starts the heartbeat. */
int loam_session_start(struct loam_meta *meta, struct loam_err *err);
/* Ends the heartbeat, then cleans the own session as others would (locks, sustained inodes). */
void loam_session_stop(struct loam_meta *meta);
/* What the thread does each time; tests call it to have it at once. */
int loam_session_beat(struct loam_meta *meta, struct loam_err *err);

/* Gives back what a session holds, then removes its records. Idempotent; any number of cleaners. */
int loam_session_clean(struct loam_meta *meta, uint64_t sid, struct loam_err *err);
/* Cleans sessions whose time is over, unless another client did this within the last heartbeat. */
int loam_session_clean_stale(struct loam_meta *meta, struct loam_err *err);
/*
 * Election of the cooperative jobs: 1 when `counter` (unix seconds of the last run) is older than
 * interval_seconds and now names this run, 0 when somebody ran it since.
 */
int loam_session_elect(struct loam_meta *meta, const char *counter, uint32_t interval_seconds,
		       struct loam_err *err);

#endif
