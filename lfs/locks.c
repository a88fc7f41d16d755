/*
 * …/info/lfs/locks: there are no locks here yet, and the answers say so truthfully (step 3 of a
 * push).
 *
 * The list and the check before a push answer 200 with nothing in them: a 404 would make every
 * clone switch its check off for good. Taking a lock is 501; no id names one, so giving one back is
 * 404. Source: protocols.md B.8.
 */
#include "core/auto.h"
#include "core/json.h"
#include "core/limits.h"
#include "lfs/lfs_internal.h"
#include "lfs/ref.h"

#include <string.h>

static int answer(struct loam_web_request *request, json_t *json, struct loam_err *err)
{
	loam_auto_json json_t *owned = json;
	loam_web_set_header(request, "Cache-Control", "no-store");
	loam_web_answer_json(request, 200, LOAM_LFS_JSON_TYPE, owned);
	return 0;
}

static int begin_read(struct loam_web_request *request, struct loam_err *err)
{
	struct loam_lfs_caller caller;
	return loam_lfs_caller(request, LOAM_WANT_READ, &caller, err);
}

static int begin_write(struct loam_web_request *request, struct loam_err *err)
{
	struct loam_lfs_caller caller;
	return loam_lfs_caller(request, LOAM_WANT_WRITE, &caller, err);
}

/* A cursor was never given out. */
static int check_page(const char *limit, const char *cursor, struct loam_err *err)
{
	if (limit && (limit[0] == '\0' || strspn(limit, "0123456789") != strlen(limit)))
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "'limit' is no whole number from 0");
	if (cursor && cursor[0])
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "'cursor' is not of this list");
	return 0;
}

static int finish_list(struct loam_web_request *request, struct loam_err *err)
{
	loam_auto_free char *limit = loam_web_query(request, "limit");
	loam_auto_free char *cursor = loam_web_query(request, "cursor");
	int rc = check_page(limit, cursor, err);
	return rc < 0 ? rc : answer(request, json_pack("{s:[]}", "locks"), err);
}

static int finish_verify(struct loam_web_request *request, struct loam_err *err)
{
	loam_auto_json json_t *call = NULL;
	const char *cursor = NULL;
	uint64_t limit;
	int rc = 0;
	if (request->body.bytes > 0)
		rc = loam_json_parse(request->body.data, request->body.bytes, &call, err);
	if (rc == 0 && call)
		rc = loam_json_u64(call, "limit", &limit, err);
	if (rc >= 0 && call)
		rc = loam_json_text(call, "cursor", &cursor, err);
	if (rc >= 0)
		rc = check_page(NULL, cursor, err);
	if (rc == 0 && call)
		rc = loam_lfs_ref_check(call, err);
	return rc < 0 ? rc : answer(request, json_pack("{s:[],s:[]}", "ours", "theirs"), err);
}

static int finish_create(struct loam_web_request *request, struct loam_err *err)
{
	return loam_fail(err, LOAM_E_UNSUPPORTED, "this server keeps no file locks");
}

static int finish_unlock(struct loam_web_request *request, struct loam_err *err)
{
	return loam_fail(err, LOAM_E_NOT_FOUND, "there is no such lock");
}

const struct loam_web_handler loam_lfs_locks_list = { .begin = begin_read, .finish = finish_list };
const struct loam_web_handler loam_lfs_locks_verify = { .begin = begin_write,
							.finish = finish_verify };
const struct loam_web_handler loam_lfs_locks_create = { .begin = begin_write,
							.finish = finish_create };
const struct loam_web_handler loam_lfs_locks_unlock = { .begin = begin_write,
							.finish = finish_unlock };
