/*
 * PUT /_lfs/…/OID: the bytes of an object, streamed (steps 3 and 4 of a push; lfs/receive.h).
 *
 * Whatever is wrong with the bytes is 400: clients take 422 for success and repeat 401 for ever.
 */
#include "core/auto.h"
#include "core/json.h"
#include "lfs/lfs_internal.h"
#include "lfs/receive.h"

#include <inttypes.h>
#include <string.h>

static int check_headers(const struct loam_web_request *request, const struct loam_link *link,
			 struct loam_err *err)
{
	if (request->header(request, "Content-Range"))
		return loam_fail(err, LOAM_E_INVALID,
				 "an object is uploaded whole: Content-Range is not served");
	if (request->body_length != LOAM_WEB_UNKNOWN_LENGTH && request->body_length != link->bytes)
		return loam_fail(err, LOAM_E_INVALID,
				 "the body is announced with %" PRIu64 " bytes, the object has "
				 "%" PRIu64,
				 request->body_length, link->bytes);
	return 0;
}

static int start(struct loam_web_request *request, struct loam_err *err)
{
	struct loam_lfs *lfs = loam_lfs_of(request);
	struct loam_link link;
	char counts_as[64];
	int rc = loam_lfs_link(request, &link, err);
	if (rc < 0)
		return rc;
	snprintf(request->user, sizeof(request->user), "%s", link.user);
	rc = check_headers(request, &link, err);
	if (rc < 0)
		return rc;
	struct loam_receive *receive = NULL;
	loam_lfs_link_counts_as(request, &link, counts_as);
	rc = loam_receive_begin(lfs, &link, counts_as, &receive, err);
	request->state = receive;
	return rc;
}

static int begin(struct loam_web_request *request, struct loam_err *err)
{
	return start(request, err) < 0 ? loam_lfs_transfer_error(err) : 0;
}

static int sink(struct loam_web_request *request, const void *data, size_t data_bytes,
		struct loam_err *err)
{
	int rc = loam_receive_add(request->state, data, data_bytes, err);
	return rc < 0 ? loam_lfs_transfer_error(err) : 0;
}

static int finish(struct loam_web_request *request, struct loam_err *err)
{
	if (loam_receive_finish(request->state, err) < 0)
		return loam_lfs_transfer_error(err);
	loam_auto_json json_t *answer = json_object();
	loam_web_answer_json(request, 200, LOAM_LFS_JSON_TYPE, answer);
	return 0;
}

static void end(struct loam_web_request *request)
{
	loam_receive_free(request->state);
	request->state = NULL;
}

const struct loam_web_handler loam_lfs_upload = {
	.action = "lfs.upload", .begin = begin, .sink = sink, .finish = finish, .end = end
};
