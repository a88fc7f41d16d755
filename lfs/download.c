/*
 * GET and HEAD /_lfs/…/OID: the bytes of an object that the repository holds (lfs/send.h). The link
 * is the authority.
 */
#include "core/auto.h"
#include "core/json.h"
#include "lfs/lfs_internal.h"
#include "lfs/range.h"
#include "lfs/send.h"

#include <inttypes.h>
#include <string.h>

struct download {
	struct loam_link link;
	struct loam_send *send;
	uint64_t bytes, offset, left;
};

static int64_t produce(void *arg, void *out, size_t out_bytes, struct loam_err *err)
{
	const struct download *download = arg;
	return loam_send_read(download->send, out, out_bytes, err);
}

static void answer_no_range(struct loam_web_request *request, const struct download *download)
{
	loam_auto_free char *range = loam_xasprintf("bytes */%" PRIu64, download->bytes);
	loam_auto_json json_t *answer =
		json_pack("{s:s,s:s}", "message", "the object has no such range", "request_id",
			  request->id);
	loam_web_answer_json(request, 416, LOAM_LFS_JSON_TYPE, answer);
	loam_web_set_header(request, "Content-Range", range);
}

/* A range counts only for the object that the client began with. */
static enum loam_range_answer choose_range(const struct loam_web_request *request,
					   struct download *download)
{
	const char *range = request->header(request, "Range");
	const char *condition = request->header(request, "If-Range");
	loam_auto_free char *tag = loam_xasprintf("\"%s\"", download->link.oid);
	if (condition && strcmp(condition, tag) != 0)
		range = NULL;
	return loam_range_parse(range, download->bytes, &download->offset, &download->left);
}

static void answer(struct loam_web_request *request, struct download *download)
{
	loam_auto_free char *tag = loam_xasprintf("\"%s\"", download->link.oid);
	enum loam_range_answer range = choose_range(request, download);
	loam_web_set_header(request, "Accept-Ranges", "bytes");
	loam_web_set_header(request, "ETag", tag);
	if (range == LOAM_RANGE_NONE) {
		answer_no_range(request, download);
		return;
	}
	loam_web_set_header(request, "Content-Type", "application/octet-stream");
	loam_web_set_header(request, "Cache-Control", "private, immutable");
	if (range == LOAM_RANGE_PART) {
		loam_auto_free char *text =
			loam_xasprintf("bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, download->offset,
				       download->offset + download->left - 1, download->bytes);
		loam_web_set_header(request, "Content-Range", text);
	}
	loam_send_part(download->send, download->offset, download->left);
	request->response.status = range == LOAM_RANGE_PART ? 206 : 200;
	request->response.length = download->left;
	request->response.source = produce;
	request->response.source_arg = download;
}

static int start(struct loam_web_request *request, struct download *download, struct loam_err *err)
{
	struct loam_lfs *lfs = loam_lfs_of(request);
	char counts_as[64];
	int rc = loam_lfs_link(request, &download->link, err);
	if (rc < 0)
		return rc;
	snprintf(request->user, sizeof(request->user), "%s", download->link.user);
	loam_lfs_link_counts_as(request, &download->link, counts_as);
	rc = loam_send_open(lfs, &download->link, request->method == LOAM_HEAD ? NULL : counts_as,
			    &download->send, err);
	if (rc == 0)
		download->bytes = loam_send_bytes(download->send);
	return rc;
}

static int finish(struct loam_web_request *request, struct loam_err *err)
{
	struct download *download = loam_xnew(struct download);
	request->state = download;
	int rc = start(request, download, err);
	if (rc < 0)
		return loam_lfs_transfer_error(err);
	answer(request, download);
	return 0;
}

static void end(struct loam_web_request *request)
{
	struct download *download = request->state;
	if (!download)
		return;
	loam_send_free(download->send);
	free(download);
	request->state = NULL;
}

const struct loam_web_handler loam_lfs_download = { .action = "lfs.download",
						    .finish = finish,
						    .end = end };
