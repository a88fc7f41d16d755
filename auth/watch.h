/*
 * A right while it is used: whoever began a transfer with it is asked again, and the transfer ends
 * once the right has gone. One for all doors.
 *
 *   begin ── bytes ── ask ── bytes ── ask: it has gone ── the transfer ends, nothing is committed
 *
 * Asking is free within LOAM_WATCH_MS of the last question; else it is the snapshot of the accounts
 * (at most LOAM_ACCOUNTS_LIFE_MS old) and one reading of the gate. The two together stay below two
 * seconds: that is how long a revocation takes to bind a transfer (reliability.md S03, acl-8).
 *
 * A volume that does not answer for a while ends nothing before LOAM_WATCH_BLIND_MS.
 *
 * Owner:   holds no memory.
 * Threads: one at a time per watch.
 */
#ifndef LOAM_AUTH_WATCH_H
#define LOAM_AUTH_WATCH_H

#include "auth/auth.h"

#define LOAM_WATCH_MS	    900
#define LOAM_WATCH_BLIND_MS 10000

struct loam_watch {
	struct loam_auth *auth;
	struct loam_principal who; /* as of the last answer */
	struct loam_repo repo;
	enum loam_want want;
	uint64_t gate_ino;	 /* of the repository it began on, not one made later */
	uint64_t asked_ms;	 /* when the last question was asked */
	uint64_t good_ms;	 /* when the last one with a good answer was */
	struct loam_err refusal; /* set: it has gone, for good */
};

/* May who do want on repo? Errors: as loam_auth_check; out_watch is set then too, and refuses. repo
 * NULL and want 0: only his credential is watched, which he has just shown. */
int loam_watch_begin(struct loam_watch *out_watch, struct loam_auth *auth,
		     const struct loam_principal *who, const struct loam_repo *repo,
		     enum loam_want want, struct loam_err *err);
/* May he still? Errors: UNAUTHENTICATED when the account, token, key or password that he came by is
 * no longer good; else as loam_auth_check. */
int loam_watch_ask(struct loam_watch *watch, struct loam_err *err);

#endif
