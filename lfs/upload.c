/*
 * PUT /_lfs/…/OID: the bytes of an object, streamed (steps 3 and 4 of a push).
 *
 *   socket ─► writer ─► SHA-256 ─► blocks in the store, slices of a file in /.loam/staging
 *                           length and hash right? right still there? ─► one transaction into the
 *                           pool and the repository ─► barrier ─► 200 {}
 *
 * This thread only receives: blocks are hashed and stored by the data layer's threads while more
 * bytes arrive; memory is its write buffer, whatever the size of the object.
 *
 * The body is always read and hashed, also when the pool has the object: that is the proof of
 * possession, and it takes as long as a new object would (protocols.md B.9). Only what this very
 * repository holds already is hashed, by this thread, without being stored.
 *
 * Whatever is wrong with the bytes is 400: clients take 422 for success and repeat 401 for ever.
 */
#include "core/auto.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/json.h"
#include "core/log.h"
#include "lfs/lfs_internal.h"

#include <inttypes.h>
#include <string.h>

struct upload {
	struct loam_lfs *lfs;
	struct loam_link link;
	char counts_as[64];
	bool counted;
	uint64_t gate_ino;
	bool held; /* by this repository, when the upload began: nothing is stored */
	uint64_t got, started_ms;
	struct loam_sha256 *hash; /* of what is held and not stored; else the writer's */
	struct loam_job *job;
	struct loam_writer *writer;
};

/* ---- beginning ------------------------------------------------------------------------------- */

static int check_headers(const struct loam_web_request *request, const struct upload *upload,
			 struct loam_err *err)
{
	if (request->header(request, "Content-Range"))
		return loam_fail(err, LOAM_E_INVALID,
				 "an object is uploaded whole: Content-Range is not served");
	if (request->body_length != LOAM_WEB_UNKNOWN_LENGTH &&
	    request->body_length != upload->link.bytes)
		return loam_fail(err, LOAM_E_INVALID,
				 "the body is announced with %" PRIu64 " bytes, the object has "
				 "%" PRIu64,
				 request->body_length, upload->link.bytes);
	return 0;
}

static int allow(void *arg, uint64_t *out_gate_ino, struct loam_err *err)
{
	const struct upload *upload = arg;
	return loam_lfs_link_may(upload->lfs->auth, &upload->link, LOAM_WANT_WRITE, out_gate_ino,
				 err);
}

static int check_space(const struct upload *upload, struct loam_err *err)
{
	struct loam_statfs space;
	int rc = loam_meta_statfs(upload->lfs->tree->volume->meta, &space, err);
	if (rc < 0)
		return rc;
	if (space.avail_inodes == 0 || space.avail_bytes < upload->link.bytes)
		return loam_fail(err, LOAM_E_NO_SPACE,
				 "the volume's capacity leaves %" PRIu64 " bytes and %" PRIu64
				 " files",
				 space.avail_bytes, space.avail_inodes);
	return 0;
}

/* 1 the repository holds it, 0 not. */
static int is_held(const struct upload *upload, struct loam_err *err)
{
	uint64_t ino, bytes;
	int found = loam_lfs_holds(upload->lfs->tree, &upload->link.repo, upload->link.oid, &ino,
				   &bytes, err);
	if (found == 1 && bytes != upload->link.bytes)
		return loam_fail(err, LOAM_E_INVALID, "the object is here with %" PRIu64 " bytes",
				 bytes);
	return found;
}

static int make_room(struct upload *upload, struct loam_err *err)
{
	int rc = check_space(upload, err);
	if (rc == 0)
		rc = loam_job_new_file(upload->lfs->staging, &upload->job, err);
	if (rc == 0)
		rc = loam_writer_new(upload->lfs->tree->volume->data, loam_job_ino(upload->job),
				     &upload->writer, err);
	if (rc == 0)
		loam_writer_hash(upload->writer);
	return rc < 0 ? rc : loam_failpoint("lfs.upload.staged", err);
}

static int start(struct loam_web_request *request, struct upload *upload, struct loam_err *err)
{
	int rc = loam_link_check(upload->lfs->keys, request, &upload->link, err);
	if (rc < 0)
		return rc;
	snprintf(request->user, sizeof(request->user), "%s", upload->link.user);
	rc = allow(upload, &upload->gate_ino, err);
	if (rc == 0)
		rc = check_headers(request, upload, err);
	if (rc < 0)
		return rc;
	loam_lfs_link_counts_as(request, &upload->link, upload->counts_as);
	rc = loam_transfers_enter(upload->lfs->transfers, upload->counts_as, err);
	if (rc < 0)
		return rc;
	upload->counted = true;
	rc = is_held(upload, err);
	if (rc < 0)
		return rc;
	upload->held = rc == 1;
	if (!upload->held)
		return make_room(upload, err);
	upload->hash = loam_sha256_new();
	return 0;
}

static int begin(struct loam_web_request *request, struct loam_err *err)
{
	struct upload *upload = loam_xnew(struct upload);
	request->state = upload;
	upload->lfs = loam_lfs_of(request);
	upload->started_ms = loam_clock_ms();
	return start(request, upload, err) < 0 ? loam_lfs_transfer_error(err) : 0;
}

/* ---- the body -------------------------------------------------------------------------------- */

static int take(struct upload *upload, const void *data, size_t data_bytes, struct loam_err *err)
{
	bool is_first = upload->got == 0;
	if (data_bytes > upload->link.bytes - upload->got)
		return loam_fail(err, LOAM_E_INVALID,
				 "the body is longer than the object's %" PRIu64 " bytes",
				 upload->link.bytes);
	int rc = 0;
	if (upload->writer)
		rc = loam_writer_add(upload->writer, data, data_bytes, err);
	else
		loam_sha256_add(upload->hash, data, data_bytes);
	upload->got += data_bytes;
	if (rc == 0 && is_first)
		rc = loam_failpoint("lfs.upload.first_block", err);
	return rc;
}

static int sink(struct loam_web_request *request, const void *data, size_t data_bytes,
		struct loam_err *err)
{
	return take(request->state, data, data_bytes, err) < 0 ? loam_lfs_transfer_error(err) : 0;
}

/* ---- the end --------------------------------------------------------------------------------- */

static int check_bytes(struct upload *upload, struct loam_err *err)
{
	uint8_t digest[LOAM_SHA256_BYTES];
	char hex[LOAM_SHA256_HEX + 1];
	if (upload->got != upload->link.bytes)
		return loam_fail(err, LOAM_E_INVALID,
				 "the body ended after %" PRIu64 " of the object's %" PRIu64
				 " bytes",
				 upload->got, upload->link.bytes);
	if (upload->writer)
		loam_writer_digest(upload->writer, digest);
	else
		loam_sha256_end(upload->hash, digest);
	loam_hex(digest, sizeof(digest), hex);
	if (strcmp(hex, upload->link.oid) != 0)
		return loam_fail(err, LOAM_E_INVALID, "the bytes have the SHA-256 %s, not %s", hex,
				 upload->link.oid);
	return 0;
}

/* Nothing was stored: it must still be here, and the right too. */
static int confirm(struct upload *upload, struct loam_err *err)
{
	uint64_t gate_ino;
	int rc = allow(upload, &gate_ino, err);
	if (rc == 0)
		rc = is_held(upload, err);
	if (rc == 0)
		return loam_fail(err, LOAM_E_UNAVAILABLE,
				 "the object was removed during its upload; upload it again");
	return rc < 0 ? rc : 0;
}

static int commit(struct upload *upload, const char **out_how, struct loam_err *err)
{
	static const char *const how[] = { [LOAM_ADOPTED_NEW] = "new",
					   [LOAM_ADOPTED_SHARED] = "linked",
					   [LOAM_ADOPTED_HELD] = "held" };
	struct loam_adoption adoption = { .repo = &upload->link.repo,
					  .oid = upload->link.oid,
					  .bytes = upload->link.bytes,
					  .gate_ino = upload->gate_ino,
					  .allow = allow,
					  .allow_arg = upload };
	enum loam_adopted adopted = LOAM_ADOPTED_HELD;
	int rc = loam_failpoint("lfs.upload.before_commit", err);
	if (rc == 0 && upload->held)
		rc = confirm(upload, err);
	else if (rc == 0)
		rc = loam_objects_adopt(upload->lfs->objects, upload->job, &adoption, &adopted,
					err);
	if (rc < 0)
		return rc;
	upload->job = NULL;
	*out_how = how[adopted];
	rc = loam_failpoint("lfs.upload.after_commit", err);
	if (rc == 0)
		rc = loam_meta_barrier(upload->lfs->tree->volume->meta, err);
	return rc < 0 ? rc : loam_failpoint("lfs.upload.before_answer", err);
}

static int complete(struct loam_web_request *request, struct upload *upload, struct loam_err *err)
{
	const char *how = NULL;
	int rc = check_bytes(upload, err);
	if (rc == 0 && upload->writer)
		rc = loam_writer_finish(upload->writer, err);
	if (rc == 0 && upload->writer)
		rc = loam_failpoint("lfs.upload.blocks", err);
	if (rc == 0)
		rc = commit(upload, &how, err);
	if (rc < 0)
		return rc;
	char repo[LOAM_REPO_TEXT_BYTES];
	loam_repo_text(&upload->link.repo, repo);
	loam_info("lfs.upload", "repo=%s oid=%s bytes=%" PRIu64 " how=%s ms=%" PRIu64, repo,
		  upload->link.oid, upload->got, how, loam_clock_ms() - upload->started_ms);
	loam_auto_json json_t *answer = json_object();
	loam_web_answer_json(request, 200, LOAM_LFS_JSON_TYPE, answer);
	return 0;
}

static int finish(struct loam_web_request *request, struct loam_err *err)
{
	return complete(request, request->state, err) < 0 ? loam_lfs_transfer_error(err) : 0;
}

static void end(struct loam_web_request *request)
{
	struct upload *upload = request->state;
	if (!upload)
		return;
	loam_writer_free(upload->writer);
	loam_job_free(upload->job);
	loam_sha256_free(upload->hash);
	if (upload->counted)
		loam_transfers_leave(upload->lfs->transfers, upload->counts_as);
	free(upload);
	request->state = NULL;
}

const struct loam_web_handler loam_lfs_upload = {
	.begin = begin, .sink = sink, .finish = finish, .end = end
};
