/*
 * GET and HEAD /_lfs/…/OID: the bytes of an object that the repository holds.
 *
 * The link is the authority; the right is asked again when the transfer begins and every
 * RECHECK_MS while it runs. A whole object is hashed on its way out, and its last piece is held
 * back until the hash is right: damage ends in a cut connection, never in a clean end of the body
 * (L09). Read-ahead is the reader's (fs/data).
 */
#include "core/auto.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/log.h"
#include "lfs/lfs_internal.h"
#include "lfs/range.h"

#include <inttypes.h>
#include <string.h>

#define RECHECK_MS 5000

struct download {
	struct loam_lfs *lfs;
	struct loam_link link;
	char counts_as[64];
	bool counted;
	uint64_t ino, bytes;   /* of the object */
	uint64_t offset, left; /* of what is still to be sent */
	uint64_t recheck_at_ms;
	struct loam_reader *reader;
	struct loam_sha256 *hash; /* of a whole transfer */
};

/* ---- sending --------------------------------------------------------------------------------- */

static int check_right(struct download *download, struct loam_err *err)
{
	uint64_t now = loam_clock_ms();
	if (now < download->recheck_at_ms)
		return 0;
	int rc = loam_lfs_link_may(download->lfs->auth, &download->link, LOAM_WANT_READ, NULL, err);
	download->recheck_at_ms = now + RECHECK_MS;
	return rc;
}

static int check_hash(struct download *download, struct loam_err *err)
{
	uint8_t digest[LOAM_SHA256_BYTES];
	char hex[LOAM_SHA256_HEX + 1];
	loam_sha256_end(download->hash, digest);
	loam_hex(digest, sizeof(digest), hex);
	if (strcmp(hex, download->link.oid) == 0)
		return 0;
	return loam_fail(err, LOAM_E_CORRUPT, "object %s has other bytes than its name says",
			 download->link.oid);
}

static int64_t produce(void *arg, void *out, size_t out_bytes, struct loam_err *err)
{
	struct download *download = arg;
	size_t step = download->left < out_bytes ? (size_t)download->left : out_bytes;
	size_t got = 0;
	if (step == 0)
		return 0;
	int rc = check_right(download, err);
	if (rc == 0 && !download->reader)
		rc = loam_reader_new(download->lfs->tree->volume->data, download->ino,
				     download->bytes, &download->reader, err);
	if (rc == 0)
		rc = loam_reader_read(download->reader, download->offset, out, step, &got, err);
	if (rc < 0)
		return rc;
	if (got == 0)
		return loam_fail(err, LOAM_E_CORRUPT, "object %s ends before its size",
				 download->link.oid);
	download->offset += got;
	download->left -= got;
	if (download->hash) {
		loam_sha256_add(download->hash, out, got);
		rc = download->left == 0 ? check_hash(download, err) : 0;
	}
	return rc < 0 ? rc : (int64_t)got;
}

/* ---- answering ------------------------------------------------------------------------------- */

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
	if (download->left == download->bytes && request->method != LOAM_HEAD)
		download->hash = loam_sha256_new();
	request->response.status = range == LOAM_RANGE_PART ? 206 : 200;
	request->response.length = download->left;
	request->response.source = produce;
	request->response.source_arg = download;
}

static int start(struct loam_web_request *request, struct download *download, struct loam_err *err)
{
	struct loam_lfs *lfs = download->lfs;
	int rc = loam_link_check(lfs->keys, request, &download->link, err);
	if (rc < 0)
		return rc;
	snprintf(request->user, sizeof(request->user), "%s", download->link.user);
	rc = check_right(download, err);
	if (rc < 0)
		return rc;
	loam_lfs_link_counts_as(request, &download->link, download->counts_as);
	if (request->method != LOAM_HEAD)
		rc = loam_transfers_enter(lfs->transfers, download->counts_as, err);
	if (rc < 0)
		return rc;
	download->counted = request->method != LOAM_HEAD;
	int found = loam_lfs_holds(lfs->tree, &download->link.repo, download->link.oid,
				   &download->ino, &download->bytes, err);
	if (found < 0)
		return found;
	if (!found)
		return loam_fail(err, LOAM_E_NOT_FOUND, "Object does not exist");
	return 0;
}

static int finish(struct loam_web_request *request, struct loam_err *err)
{
	struct download *download = loam_xnew(struct download);
	request->state = download;
	download->lfs = loam_lfs_of(request);
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
	if (download->counted)
		loam_transfers_leave(download->lfs->transfers, download->counts_as);
	loam_reader_free(download->reader);
	loam_sha256_free(download->hash);
	free(download);
	request->state = NULL;
}

const struct loam_web_handler loam_lfs_download = { .finish = finish, .end = end };
