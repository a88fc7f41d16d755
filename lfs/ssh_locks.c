/*
 * Locks in git-lfs-transfer (lfs/ssh_transfer.h), kept by lfs/lock_store. Source: protocols.md A.8.
 */
#include "core/auto.h"
#include "core/clock.h"
#include "core/cmd.h"
#include "lfs/lock_store.h"
#include "lfs/ssh_request.h"

#include <string.h>

/* The four arguments that a client needs all of. */
static int put_lock(struct loam_ssh_request *request, const struct loam_lock *lock,
		    struct loam_err *err)
{
	char when[LOAM_CLOCK_TEXT_BYTES];
	loam_clock_format((time_t)lock->locked_at, when);
	int rc = loam_pkt_line(request->pkt, err, "id=%s", lock->id);
	if (rc == 0)
		rc = loam_pkt_line(request->pkt, err, "path=%s", lock->path);
	if (rc == 0)
		rc = loam_pkt_line(request->pkt, err, "locked-at=%s", when);
	return rc < 0 ? rc : loam_pkt_line(request->pkt, err, "ownername=%s", lock->owner);
}

static int answer_lock(struct loam_ssh_request *request, int status, const struct loam_lock *lock,
		       struct loam_err *err)
{
	int rc = loam_pkt_line(request->pkt, err, "status %d", status);
	if (rc == 0)
		rc = put_lock(request, lock, err);
	if (rc == 0 && status == 409)
		rc = loam_pkt_delim(request->pkt, err);
	if (rc == 0 && status == 409)
		rc = loam_pkt_line(request->pkt, err, "already created lock");
	return rc < 0 ? rc : loam_pkt_flush(request->pkt, err);
}

int loam_ssh_lock(struct loam_ssh_request *request, struct loam_err *err)
{
	const struct loam_ssh_transfer *transfer = request->transfer;
	const char *path = loam_ssh_request_arg(request, "path");
	struct loam_err failure = { 0 };
	struct loam_lock lock;
	int rc = loam_ssh_request_drain(request, err);
	if (rc < 0)
		return rc;
	rc = path ? loam_ssh_request_may(request, LOAM_WANT_WRITE, &failure)
		  : loam_fail(&failure, LOAM_E_INVALID, "lock without path");
	if (rc == 0)
		rc = loam_lock_store_take(transfer->lfs->tree, transfer->repo, path, strlen(path),
					  transfer->who, &lock, &failure);
	if (rc < 0)
		return loam_ssh_request_failed(request, &failure, err);
	rc = answer_lock(request, rc == 1 ? 201 : 409, &lock, err);
	loam_lock_release(&lock);
	return rc;
}

/* Lines of one lock, in the order in which clients read them. */
static int list_one(struct loam_ssh_request *request, const struct loam_lock *lock,
		    struct loam_err *err)
{
	const struct loam_ssh_transfer *transfer = request->transfer;
	char when[LOAM_CLOCK_TEXT_BYTES];
	bool ours = transfer->who->user[0] && lock->uid == transfer->who->uid;
	loam_clock_format((time_t)lock->locked_at, when);
	int rc = loam_pkt_line(request->pkt, err, "lock %s", lock->id);
	if (rc == 0)
		rc = loam_pkt_line(request->pkt, err, "path %s %s", lock->id, lock->path);
	if (rc == 0)
		rc = loam_pkt_line(request->pkt, err, "locked-at %s %s", lock->id, when);
	if (rc == 0)
		rc = loam_pkt_line(request->pkt, err, "ownername %s %s", lock->id, lock->owner);
	if (rc == 0 && transfer->upload)
		rc = loam_pkt_line(request->pkt, err, "owner %s %s", lock->id,
				   ours ? "ours" : "theirs");
	return rc;
}

static int answer_page(struct loam_ssh_request *request, const struct loam_lock_page *page,
		       struct loam_err *err)
{
	int rc = loam_pkt_line(request->pkt, err, "status 200");
	if (rc == 0 && page->next_cursor[0])
		rc = loam_pkt_line(request->pkt, err, "next-cursor=%s", page->next_cursor);
	if (rc == 0)
		rc = loam_pkt_delim(request->pkt, err);
	for (size_t i = 0; rc == 0 && i < page->count; i++)
		rc = list_one(request, &page->locks[i], err);
	return rc < 0 ? rc : loam_pkt_flush(request->pkt, err);
}

static int read_limit(const char *text, size_t *out_limit, struct loam_err *err)
{
	uint64_t limit = 0;
	int rc = text ? loam_parse_u64(text, 1, UINT64_MAX, &limit, err) : 0;
	*out_limit = limit > LOAM_LFS_LOCKS_PAGE ? LOAM_LFS_LOCKS_PAGE : (size_t)limit;
	return rc;
}

int loam_ssh_list_lock(struct loam_ssh_request *request, struct loam_err *err)
{
	const struct loam_ssh_transfer *transfer = request->transfer;
	struct loam_lock_query query = { .path = loam_ssh_request_arg(request, "path"),
					 .id = loam_ssh_request_arg(request, "id"),
					 .cursor = loam_ssh_request_arg(request, "cursor") };
	struct loam_err failure = { 0 };
	struct loam_lock_page page;
	int rc = loam_ssh_request_drain(request, err);
	if (rc < 0)
		return rc;
	rc = read_limit(loam_ssh_request_arg(request, "limit"), &query.limit, &failure);
	if (rc == 0)
		rc = loam_ssh_request_may(request, LOAM_WANT_READ, &failure);
	if (rc == 0)
		rc = loam_lock_store_list(transfer->lfs->tree, transfer->repo, &query, &page,
					  &failure);
	if (rc < 0)
		return loam_ssh_request_failed(request, &failure, err);
	rc = answer_page(request, &page, err);
	loam_lock_page_release(&page);
	return rc;
}

/* As over HTTP: an admin's force counts, anybody else's is as if he had not said so. */
static int may_unlock(const struct loam_ssh_request *request, bool *out_force, struct loam_err *err)
{
	const char *force = loam_ssh_request_arg(request, "force");
	*out_force = false;
	int rc = loam_ssh_request_may(request, LOAM_WANT_WRITE, err);
	if (rc < 0 || !force || strcmp(force, "true") != 0)
		return rc;
	rc = loam_ssh_request_may(request, LOAM_WANT_ADMIN, err);
	*out_force = rc == 0;
	if (rc == -LOAM_E_DENIED) {
		loam_err_clear(err);
		return 0;
	}
	return rc;
}

int loam_ssh_unlock(struct loam_ssh_request *request, struct loam_err *err)
{
	const struct loam_ssh_transfer *transfer = request->transfer;
	struct loam_err failure = { 0 };
	struct loam_lock lock;
	bool force = false;
	int rc = loam_ssh_request_drain(request, err);
	if (rc < 0)
		return rc;
	rc = request->operand ? may_unlock(request, &force, &failure)
			      : loam_fail(&failure, LOAM_E_INVALID, "unlock without an id");
	if (rc == 0)
		rc = loam_lock_store_give_back(transfer->lfs->tree, transfer->repo,
					       request->operand, transfer->who, force, &lock,
					       &failure);
	if (rc < 0)
		return loam_ssh_request_failed(request, &failure, err);
	rc = answer_lock(request, 200, &lock, err);
	loam_lock_release(&lock);
	return rc;
}
