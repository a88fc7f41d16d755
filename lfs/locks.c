/*
 * …/info/lfs/locks: locks over HTTP (step 3 of a push). Kept by lfs/lock_store.
 *
 * Locks are not kept by branch: "ref" is checked and has no effect, "refspec" is ignored. A lock in
 * `theirs` always has an owner, clients crash without one. Source: protocols.md B.8.
 */
#include "core/auto.h"
#include "core/clock.h"
#include "core/cmd.h"
#include "core/json.h"
#include "core/limits.h"
#include "lfs/lfs_internal.h"
#include "lfs/lock_store.h"
#include "lfs/ref.h"

#include <string.h>

static int begin(struct loam_web_request *request, enum loam_want want, struct loam_err *err)
{
	struct loam_lfs_caller *caller = loam_xnew(struct loam_lfs_caller);
	request->state = caller;
	return loam_lfs_caller(request, want, caller, err);
}

static int begin_read(struct loam_web_request *request, struct loam_err *err)
{
	return begin(request, LOAM_WANT_READ, err);
}

static int begin_write(struct loam_web_request *request, struct loam_err *err)
{
	return begin(request, LOAM_WANT_WRITE, err);
}

static void end(struct loam_web_request *request)
{
	free(request->state);
}

static const struct loam_tree *tree_of(const struct loam_web_request *request)
{
	return loam_lfs_of(request)->tree;
}

/* json is taken over. */
static int answer(struct loam_web_request *request, int status, json_t *json)
{
	loam_auto_json json_t *owned = json;
	loam_web_set_header(request, "Cache-Control", "no-store");
	loam_web_answer_json(request, status, LOAM_LFS_JSON_TYPE, owned);
	return 0;
}

static json_t *lock_json(const struct loam_lock *lock)
{
	char when[LOAM_CLOCK_TEXT_BYTES];
	loam_clock_format((time_t)lock->locked_at, when);
	return json_pack("{s:s, s:s, s:s, s:{s:s}}", "id", lock->id, "path", lock->path,
			 "locked_at", when, "owner", "name", lock->owner);
}

/* {"lock": …}; the lock is released. */
static json_t *one_lock(struct loam_lock *lock)
{
	json_t *json = json_pack("{s:o}", "lock", lock_json(lock));
	loam_lock_release(lock);
	return json;
}

/* The body: an object, or nothing, which counts as {}. May the caller still, behind it? */
static int parse_call(const struct loam_web_request *request, json_t **out_call,
		      struct loam_err *err)
{
	int rc = loam_lfs_caller_may_still(request, request->state, LOAM_WANT_WRITE, err);
	if (rc < 0)
		return rc;
	if (request->body.bytes == 0) {
		*out_call = json_object();
		return 0;
	}
	rc = loam_json_parse(request->body.data, request->body.bytes, out_call, err);
	if (rc == 0 && !json_is_object(*out_call))
		rc = loam_fail(err, LOAM_E_UNPROCESSABLE, "the call is no JSON object");
	return rc < 0 ? rc : loam_lfs_ref_check(*out_call, err);
}

/* ---- lists ----------------------------------------------------------------------------------- */

static int read_limit(const char *text, size_t *out_limit, struct loam_err *err)
{
	uint64_t limit = 0;
	if (!text)
		return 0;
	if (loam_parse_u64(text, 0, UINT64_MAX, &limit, err) < 0) {
		loam_err_clear(err);
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "'limit' is no whole number from 0");
	}
	*out_limit = limit > LOAM_LFS_LOCKS_PAGE ? LOAM_LFS_LOCKS_PAGE : (size_t)limit;
	return 0;
}

static void add_cursor(json_t *json, const struct loam_lock_page *page)
{
	if (page->next_cursor[0])
		json_object_set_new(json, "next_cursor", json_string(page->next_cursor));
}

static int finish_list(struct loam_web_request *request, struct loam_err *err)
{
	const struct loam_lfs_caller *caller = request->state;
	loam_auto_free char *path = loam_web_query(request, "path");
	loam_auto_free char *id = loam_web_query(request, "id");
	loam_auto_free char *cursor = loam_web_query(request, "cursor");
	loam_auto_free char *limit = loam_web_query(request, "limit");
	struct loam_lock_query query = { .cursor = cursor };
	struct loam_lock_page page;
	query.path = path && path[0] ? path : NULL;
	query.id = id && id[0] ? id : NULL;
	int rc = read_limit(limit, &query.limit, err);
	if (rc == 0)
		rc = loam_lock_store_list(tree_of(request), &caller->repo, &query, &page, err);
	if (rc < 0)
		return rc;
	json_t *locks = json_array();
	for (size_t i = 0; i < page.count; i++)
		json_array_append_new(locks, lock_json(&page.locks[i]));
	json_t *json = json_pack("{s:o}", "locks", locks);
	add_cursor(json, &page);
	loam_lock_page_release(&page);
	return answer(request, 200, json);
}

static int finish_verify(struct loam_web_request *request, struct loam_err *err)
{
	const struct loam_lfs_caller *caller = request->state;
	loam_auto_json json_t *call = NULL;
	struct loam_lock_query query = { 0 };
	struct loam_lock_page page;
	uint64_t limit = 0;
	int rc = parse_call(request, &call, err);
	if (rc == 0)
		rc = loam_json_u64(call, "limit", &limit, err);
	if (rc >= 0)
		rc = loam_json_text(call, "cursor", &query.cursor, err);
	query.limit = limit > LOAM_LFS_LOCKS_PAGE ? LOAM_LFS_LOCKS_PAGE : (size_t)limit;
	if (rc >= 0)
		rc = loam_lock_store_list(tree_of(request), &caller->repo, &query, &page, err);
	if (rc < 0)
		return rc;
	json_t *ours = json_array(), *theirs = json_array();
	for (size_t i = 0; i < page.count; i++) {
		bool is_ours = caller->who.user[0] && page.locks[i].uid == caller->who.uid;
		json_array_append_new(is_ours ? ours : theirs, lock_json(&page.locks[i]));
	}
	json_t *json = json_pack("{s:o, s:o}", "ours", ours, "theirs", theirs);
	add_cursor(json, &page);
	loam_lock_page_release(&page);
	return answer(request, 200, json);
}

/* ---- taking and giving back ------------------------------------------------------------------ */

static int finish_create(struct loam_web_request *request, struct loam_err *err)
{
	const struct loam_lfs_caller *caller = request->state;
	loam_auto_json json_t *call = NULL;
	const char *path = NULL;
	struct loam_lock lock;
	int rc = parse_call(request, &call, err);
	if (rc == 0)
		rc = loam_json_text(call, "path", &path, err);
	if (rc == 0)
		rc = loam_fail(err, LOAM_E_UNPROCESSABLE, "'path' is missing");
	if (rc > 0)
		rc = loam_lock_store_take(tree_of(request), &caller->repo, path, strlen(path),
					  &caller->who, &lock, err);
	if (rc < 0)
		return rc;
	json_t *json = one_lock(&lock);
	if (rc == 1)
		return answer(request, 201, json);
	json_object_set_new(json, "message", json_string("already created lock"));
	return answer(request, 409, json);
}

/* An admin's force counts; anybody else's is as if he had not said so: `git lfs unlock --force` is
 * also how the owner gives back a file with changes in it. */
static int may_force(const struct loam_web_request *request, bool asked, bool *out_force,
		     struct loam_err *err)
{
	*out_force = false;
	int rc = asked ? loam_lfs_caller_may(request, request->state, LOAM_WANT_ADMIN, err)
		       : -LOAM_E_DENIED;
	if (rc == -LOAM_E_DENIED) {
		loam_err_clear(err);
		return 0;
	}
	*out_force = rc == 0;
	return rc;
}

static int finish_unlock(struct loam_web_request *request, struct loam_err *err)
{
	const struct loam_lfs_caller *caller = request->state;
	loam_auto_json json_t *call = NULL;
	bool asked = false, force;
	struct loam_lock lock;
	int rc = parse_call(request, &call, err);
	if (rc == 0)
		rc = loam_json_bool(call, "force", &asked, err);
	if (rc >= 0)
		rc = may_force(request, asked, &force, err);
	if (rc == 0)
		rc = loam_lock_store_give_back(tree_of(request), &caller->repo,
					       loam_web_param(request, "id"), &caller->who, force,
					       &lock, err);
	return rc < 0 ? rc : answer(request, 200, one_lock(&lock));
}

const struct loam_web_handler loam_lfs_locks_list = {
	.action = "lock.list", .begin = begin_read, .finish = finish_list, .end = end
};
const struct loam_web_handler loam_lfs_locks_verify = {
	.action = "lock.verify", .begin = begin_write, .finish = finish_verify, .end = end
};
const struct loam_web_handler loam_lfs_locks_create = {
	.action = "lock.take", .begin = begin_write, .finish = finish_create, .end = end
};
const struct loam_web_handler loam_lfs_locks_unlock = {
	.action = "lock.give", .begin = begin_write, .finish = finish_unlock, .end = end
};
