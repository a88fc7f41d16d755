/*
 * POST /_lfs/…/OID/verify: is what was uploaded there (step 3 of a push)?
 *
 * 200 when this repository holds the object with this size, 404 when it does not, 422 when the size
 * differs. The link is the authority; refusals are those of a transfer, but this door speaks JSON,
 * so 422 harms nobody here.
 */
#include "core/auto.h"
#include "core/json.h"
#include "lfs/lfs_internal.h"

#include <inttypes.h>
#include <string.h>

static int begin(struct loam_web_request *request, struct loam_err *err)
{
	struct loam_lfs *lfs = loam_lfs_of(request);
	struct loam_link *link = loam_xnew(struct loam_link);
	struct loam_watch watch;
	request->state = link;
	int rc = loam_lfs_link(request, link, err);
	if (rc < 0)
		return rc;
	snprintf(request->user, sizeof(request->user), "%s", link->user);
	rc = loam_lfs_link_may(lfs->auth, link, LOAM_WANT_WRITE, &watch, err);
	return rc < 0 ? loam_lfs_transfer_error(err) : 0;
}

static int finish(struct loam_web_request *request, struct loam_err *err)
{
	const struct loam_link *link = request->state;
	struct loam_watch watch;
	loam_auto_json json_t *call = NULL;
	const char *oid = NULL;
	uint64_t bytes, ino, held_bytes;
	if (loam_lfs_link_may(loam_lfs_of(request)->auth, link, LOAM_WANT_WRITE, &watch, err) < 0)
		return loam_lfs_transfer_error(err);
	int rc = loam_json_parse(request->body.data, request->body.bytes, &call, err);
	if (rc < 0)
		return rc;
	int has_oid = loam_json_text(call, "oid", &oid, err);
	int has_size = has_oid < 0 ? has_oid : loam_json_u64(call, "size", &bytes, err);
	if (has_size < 0)
		return has_size;
	if (!has_oid || !has_size || strcmp(oid, link->oid) != 0)
		return loam_fail(err, LOAM_E_UNPROCESSABLE,
				 "the call does not name the link's object and a size");
	int found = loam_lfs_holds(loam_lfs_of(request)->tree, &link->repo, oid, &ino, &held_bytes,
				   err);
	if (found < 0)
		return found;
	if (!found)
		return loam_fail(err, LOAM_E_NOT_FOUND, "Object does not exist");
	if (held_bytes != bytes)
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "the object has %" PRIu64 " bytes",
				 held_bytes);
	loam_auto_json json_t *answer = json_object();
	loam_web_answer_json(request, 200, LOAM_LFS_JSON_TYPE, answer);
	return 0;
}

static void end(struct loam_web_request *request)
{
	free(request->state);
	request->state = NULL;
}

const struct loam_web_handler loam_lfs_verify = {
	.action = "lfs.verify", .begin = begin, .finish = finish, .end = end
};
