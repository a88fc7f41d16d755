/*
 * Rights of transfers in progress (auth/watch.h). Step 2 of a push, again and again.
 */
#include "auth/watch.h"

#include "core/clock.h"
#include "core/failpoint.h"

static int check(struct loam_watch *watch, uint64_t *out_gate_ino, struct loam_err *err)
{
	struct loam_gate gate;
	if (watch->want == 0)
		return 0;
	int rc = loam_auth_check(watch->auth, &watch->who, &watch->repo, watch->want, &gate, err);
	if (rc < 0)
		return rc;
	*out_gate_ino = gate.ino;
	loam_gate_release(&gate);
	return 0;
}

static int look_again(struct loam_watch *watch, struct loam_err *err)
{
	uint64_t gate_ino = 0;
	int rc = loam_failpoint("watch.ask", err);
	if (rc == 0)
		rc = loam_auth_renew(watch->auth, &watch->who, err);
	if (rc == 0)
		rc = check(watch, &gate_ino, err);
	if (rc < 0 || gate_ino == watch->gate_ino)
		return rc;
	return loam_fail(err, LOAM_E_NOT_FOUND, "the repository is not there any more");
}

int loam_watch_begin(struct loam_watch *out_watch, struct loam_auth *auth,
		     const struct loam_principal *who, const struct loam_repo *repo,
		     enum loam_want want, struct loam_err *err)
{
	*out_watch = (struct loam_watch){ .auth = auth, .who = *who, .want = want };
	if (repo)
		out_watch->repo = *repo;
	out_watch->asked_ms = loam_clock_ms();
	out_watch->good_ms = out_watch->asked_ms;
	int rc = check(out_watch, &out_watch->gate_ino, err);
	if (rc < 0)
		out_watch->refusal = *err;
	return rc;
}

int loam_watch_ask(struct loam_watch *watch, struct loam_err *err)
{
	uint64_t now = loam_clock_ms();
	if (watch->refusal.code != LOAM_E_OK)
		return loam_fail(err, watch->refusal.code, "%s", watch->refusal.text);
	if (now - watch->asked_ms < LOAM_WATCH_MS)
		return 0;
	watch->asked_ms = now;
	int rc = look_again(watch, err);
	if (rc == 0) {
		watch->good_ms = now;
		return 0;
	}
	if (loam_code_may_retry(rc) && loam_clock_ms() - watch->good_ms < LOAM_WATCH_BLIND_MS) {
		loam_err_clear(err);
		return 0;
	}
	watch->refusal = *err;
	return rc;
}
