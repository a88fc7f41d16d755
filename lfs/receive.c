/*
 * Objects on their way in (lfs/receive.h). Steps 3 and 4 of a push.
 */
#include "lfs/receive.h"

#include "auth/audit.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/log.h"
#include "lfs/lfs_internal.h"

#include <inttypes.h>
#include <string.h>

struct loam_receive {
	struct loam_lfs *lfs;
	struct loam_link link;
	char counts_as[64];
	bool counted;
	struct loam_watch watch;
	bool held; /* by this repository, when the upload began: nothing is stored */
	uint64_t got, started_ms;
	struct loam_sha256 *hash; /* of what is held and not stored; else the writer's */
	struct loam_job *job;
	struct loam_writer *writer;
};

/* ---- beginning ------------------------------------------------------------------------------- */

static int allow(void *arg, uint64_t *out_gate_ino, struct loam_err *err)
{
	const struct loam_receive *receive = arg;
	struct loam_watch watch;
	int rc =
		loam_lfs_link_may(receive->lfs->auth, &receive->link, LOAM_WANT_WRITE, &watch, err);
	if (rc == 0)
		*out_gate_ino = watch.gate_ino;
	return rc;
}

static int check_space(const struct loam_receive *receive, struct loam_err *err)
{
	struct loam_statfs space;
	int rc = loam_meta_statfs(receive->lfs->tree->volume->meta, &space, err);
	if (rc < 0)
		return rc;
	if (space.avail_inodes == 0 || space.avail_bytes < receive->link.bytes)
		return loam_fail(err, LOAM_E_NO_SPACE,
				 "the volume's capacity leaves %" PRIu64 " bytes and %" PRIu64
				 " files",
				 space.avail_bytes, space.avail_inodes);
	return 0;
}

/* 1 the repository holds it, 0 not. */
static int is_held(const struct loam_receive *receive, struct loam_err *err)
{
	uint64_t ino, bytes;
	int found = loam_lfs_holds(receive->lfs->tree, &receive->link.repo, receive->link.oid, &ino,
				   &bytes, err);
	if (found == 1 && bytes != receive->link.bytes)
		return loam_fail(err, LOAM_E_INVALID, "the object is here with %" PRIu64 " bytes",
				 bytes);
	return found;
}

static int make_room(struct loam_receive *receive, struct loam_err *err)
{
	int rc = check_space(receive, err);
	if (rc == 0)
		rc = loam_job_new_file(receive->lfs->staging, &receive->job, err);
	if (rc == 0)
		rc = loam_writer_new(receive->lfs->tree->volume->data, loam_job_ino(receive->job),
				     &receive->writer, err);
	if (rc == 0)
		loam_writer_hash(receive->writer);
	return rc < 0 ? rc : loam_failpoint("lfs.upload.staged", err);
}

static int start(struct loam_receive *receive, struct loam_err *err)
{
	int rc = loam_lfs_link_may(receive->lfs->auth, &receive->link, LOAM_WANT_WRITE,
				   &receive->watch, err);
	if (rc == 0)
		rc = loam_transfers_enter(receive->lfs->transfers, receive->counts_as, err);
	if (rc < 0)
		return rc;
	receive->counted = true;
	rc = is_held(receive, err);
	if (rc < 0)
		return rc;
	receive->held = rc == 1;
	if (!receive->held)
		return make_room(receive, err);
	receive->hash = loam_sha256_new();
	return 0;
}

int loam_receive_begin(struct loam_lfs *lfs, const struct loam_link *link, const char *counts_as,
		       struct loam_receive **out_receive, struct loam_err *err)
{
	struct loam_receive *receive = loam_xnew(struct loam_receive);
	receive->lfs = lfs;
	receive->link = *link;
	receive->started_ms = loam_clock_ms();
	snprintf(receive->counts_as, sizeof(receive->counts_as), "%s", counts_as);
	int rc = start(receive, err);
	if (rc < 0)
		loam_receive_free(receive);
	else
		*out_receive = receive;
	return rc;
}

/* ---- the bytes ------------------------------------------------------------------------------- */

int loam_receive_add(struct loam_receive *receive, const void *data, size_t data_bytes,
		     struct loam_err *err)
{
	bool is_first = receive->got == 0;
	if (data_bytes > receive->link.bytes - receive->got)
		return loam_fail(err, LOAM_E_INVALID,
				 "the body is longer than the object's %" PRIu64 " bytes",
				 receive->link.bytes);
	int rc = loam_lfs_link_still(&receive->watch, err);
	if (rc < 0)
		return rc;
	if (receive->writer)
		rc = loam_writer_add(receive->writer, data, data_bytes, err);
	else
		loam_sha256_add(receive->hash, data, data_bytes);
	receive->got += data_bytes;
	if (rc == 0 && is_first)
		rc = loam_failpoint("lfs.upload.first_block", err);
	return rc;
}

/* ---- the end --------------------------------------------------------------------------------- */

static int check_bytes(struct loam_receive *receive, struct loam_err *err)
{
	uint8_t digest[LOAM_SHA256_BYTES];
	char hex[LOAM_SHA256_HEX + 1];
	if (receive->got != receive->link.bytes)
		return loam_fail(err, LOAM_E_INVALID,
				 "the body ended after %" PRIu64 " of the object's %" PRIu64
				 " bytes",
				 receive->got, receive->link.bytes);
	if (receive->writer)
		loam_writer_digest(receive->writer, digest);
	else
		loam_sha256_end(receive->hash, digest);
	loam_hex(digest, sizeof(digest), hex);
	if (strcmp(hex, receive->link.oid) != 0)
		return loam_fail(err, LOAM_E_INVALID, "the bytes have the SHA-256 %s, not %s", hex,
				 receive->link.oid);
	return 0;
}

/* Nothing was stored: it must still be here, and the right too. */
static int confirm(struct loam_receive *receive, struct loam_err *err)
{
	uint64_t gate_ino;
	int rc = allow(receive, &gate_ino, err);
	if (rc == 0)
		rc = is_held(receive, err);
	if (rc == 0)
		return loam_fail(err, LOAM_E_UNAVAILABLE,
				 "the object was removed during its receive; upload it again");
	return rc < 0 ? rc : 0;
}

static int commit(struct loam_receive *receive, const char **out_how, struct loam_err *err)
{
	static const char *const how[] = { [LOAM_ADOPTED_NEW] = "new",
					   [LOAM_ADOPTED_SHARED] = "linked",
					   [LOAM_ADOPTED_HELD] = "held" };
	struct loam_adoption adoption = { .repo = &receive->link.repo,
					  .oid = receive->link.oid,
					  .bytes = receive->link.bytes,
					  .gate_ino = receive->watch.gate_ino,
					  .allow = allow,
					  .allow_arg = receive };
	enum loam_adopted adopted = LOAM_ADOPTED_HELD;
	int rc = loam_failpoint("lfs.upload.before_commit", err);
	if (rc == 0 && receive->held)
		rc = confirm(receive, err);
	else if (rc == 0)
		rc = loam_objects_adopt(receive->lfs->objects, receive->job, &adoption, &adopted,
					err);
	if (rc < 0)
		return rc;
	receive->job = NULL;
	*out_how = how[adopted];
	if (adopted != LOAM_ADOPTED_HELD)
		loam_audit(&(struct loam_audit_entry){ .action = "lfs.upload",
						       .repo = &receive->link.repo,
						       .oid = receive->link.oid,
						       .detail = *out_how },
			   0, NULL);
	rc = loam_failpoint("lfs.upload.after_commit", err);
	if (rc == 0)
		rc = loam_meta_barrier(receive->lfs->tree->volume->meta, err);
	return rc < 0 ? rc : loam_failpoint("lfs.upload.before_answer", err);
}

int loam_receive_finish(struct loam_receive *receive, struct loam_err *err)
{
	const char *how = NULL;
	int rc = check_bytes(receive, err);
	if (rc == 0 && receive->writer)
		rc = loam_writer_finish(receive->writer, err);
	if (rc == 0 && receive->writer)
		rc = loam_failpoint("lfs.upload.blocks", err);
	if (rc == 0)
		rc = commit(receive, &how, err);
	if (rc < 0)
		return rc;
	char repo[LOAM_REPO_TEXT_BYTES];
	loam_repo_text(&receive->link.repo, repo);
	loam_info("lfs.upload", "repo=%s oid=%s bytes=%" PRIu64 " how=%s ms=%" PRIu64, repo,
		  receive->link.oid, receive->got, how, loam_clock_ms() - receive->started_ms);
	return 0;
}

void loam_receive_free(struct loam_receive *receive)
{
	if (!receive)
		return;
	loam_writer_free(receive->writer);
	loam_job_free(receive->job);
	loam_sha256_free(receive->hash);
	if (receive->counted)
		loam_transfers_leave(receive->lfs->transfers, receive->counts_as);
	free(receive);
}
