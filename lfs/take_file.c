/*
 * Taking files of the volume into the pool (lfs/take_file.h).
 *
 *   1 its oid by hearsay (user.loam.oid), held by the repository, same slices    done
 *   2 a staging file with the same slices                                       frozen
 *   3 the frozen one is read once and hashed                                    into the pool
 *
 * user.loam.oid can be set by anybody: it says where to look, the slices decide. Objects of other
 * repositories are not looked at: whoever names an oid would learn by the time it takes whether the
 * pool has it (L05). A file with holes is written out in 3, since every byte of a pool file is a
 * byte of a slice.
 */
#include "lfs/take_file.h"

#include "auth/gate.h"
#include "core/auto.h"
#include "fs/meta/same_content.h"
#include "lfs/lfs.h"

#include <string.h>

#define READ_BYTES (4u << 20)

/* user.loam.oid, or "" */
static int hearsay(const struct loam_tree *tree, uint64_t ino, char out_oid[LOAM_SHA256_HEX + 1],
		   struct loam_err *err)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(LOAM_XATTR_VALUE_BYTES_MAX);
	out_oid[0] = '\0';
	int rc = loam_meta_getxattr(tree->volume->meta, ino, LOAM_XATTR_OID, &text, err);
	if (rc == -LOAM_E_NO_DATA) {
		loam_err_clear(err);
		return 0;
	}
	if (rc == 0 && loam_oid_is_valid(loam_buf_text(&text)))
		memcpy(out_oid, loam_buf_text(&text), LOAM_SHA256_HEX + 1);
	return rc;
}

/* 1 when the repository holds oid in these very slices. */
static int is_held(const struct loam_take_file *into, uint64_t ino, const char *oid,
		   uint64_t length, struct loam_err *err)
{
	uint64_t pool_ino, pool_bytes;
	int found = loam_lfs_holds(into->tree, into->repo, oid, &pool_ino, &pool_bytes, err);
	if (found <= 0 || pool_bytes != length)
		return found < 0 ? found : 0;
	return loam_meta_same_content(into->tree->volume->meta, ino, pool_ino, length, err);
}

/* ---- freezing -------------------------------------------------------------------------------- */

/* A job whose file names the slices of ino as they are now. */
static int freeze(const struct loam_take_file *into, uint64_t ino, struct loam_job **out_job,
		  uint64_t *out_bytes, struct loam_err *err)
{
	struct loam_meta *meta = into->tree->volume->meta;
	struct loam_job *job = NULL;
	struct loam_attr attr = { 0 };
	uint64_t offset = 0, copied = 0;
	int rc = loam_job_new_file(into->staging, &job, err);
	if (rc < 0)
		return rc;
	do {
		rc = loam_meta_copy_range(meta, &loam_who_root, ino, offset, loam_job_ino(job),
					  offset, UINT64_MAX / 2, &copied, &attr, err);
		offset += rc == 0 ? copied : 0;
	} while (rc == 0 && copied > 0);
	if (rc == 0 && attr.length == 0)
		rc = loam_fail(err, LOAM_E_INVALID, "the file was emptied meanwhile");
	if (rc < 0) {
		loam_job_free(job);
		return rc;
	}
	*out_job = job;
	*out_bytes = attr.length;
	return 0;
}

/* Every byte of ino into the hash, and into the writer if there is one. */
static int pass(const struct loam_take_file *into, uint64_t ino, uint64_t bytes,
		struct loam_writer *writer, char out_oid[LOAM_SHA256_HEX + 1], struct loam_err *err)
{
	struct loam_reader *reader = NULL;
	loam_auto_free uint8_t *buffer = loam_xcalloc(1, READ_BYTES);
	uint8_t digest[LOAM_SHA256_BYTES];
	int rc = loam_reader_new(into->tree->volume->data, ino, bytes, &reader, err);
	if (rc < 0)
		return rc;
	struct loam_sha256 *hash = loam_sha256_new();
	size_t got = 1;
	for (uint64_t at = 0; rc == 0 && at < bytes && got > 0; at += got) {
		rc = loam_reader_read(reader, at, buffer, READ_BYTES, &got, err);
		if (rc == 0)
			loam_sha256_add(hash, buffer, got);
		if (rc == 0 && writer)
			rc = loam_writer_add(writer, buffer, got, err);
		if (rc == 0 && got == 0)
			rc = loam_fail(err, LOAM_E_CORRUPT, "the file ends before its length");
	}
	loam_sha256_end(hash, digest);
	loam_hex(digest, sizeof(digest), out_oid);
	loam_sha256_free(hash);
	loam_reader_free(reader);
	return rc;
}

/* The frozen file has holes: another one with all its bytes takes its place. */
static int write_out(const struct loam_take_file *into, struct loam_job **job, uint64_t bytes,
		     char out_oid[LOAM_SHA256_HEX + 1], struct loam_err *err)
{
	struct loam_job *whole = NULL;
	struct loam_writer *writer = NULL;
	int rc = loam_job_new_file(into->staging, &whole, err);
	if (rc == 0)
		rc = loam_writer_new(into->tree->volume->data, loam_job_ino(whole), &writer, err);
	if (rc == 0)
		rc = pass(into, loam_job_ino(*job), bytes, writer, out_oid, err);
	if (rc == 0)
		rc = loam_writer_finish(writer, err);
	loam_writer_free(writer);
	if (rc < 0) {
		loam_job_free(whole);
		return rc;
	}
	loam_job_free(*job);
	*job = whole;
	return 0;
}

static int hash(const struct loam_take_file *into, struct loam_job **job,
		struct loam_taken_file *out, struct loam_err *err)
{
	uint64_t ino = loam_job_ino(*job);
	int holes = loam_meta_has_holes(into->tree->volume->meta, ino, out->bytes, err);
	out->was_read = true;
	if (holes < 0)
		return holes;
	return holes ? write_out(into, job, out->bytes, out->oid, err)
		     : pass(into, ino, out->bytes, NULL, out->oid, err);
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Hashed, then into the pool. */
static int take_frozen(const struct loam_take_file *into, struct loam_job **job,
		       struct loam_taken_file *out, struct loam_err *err)
{
	int rc = hash(into, job, out, err);
	if (rc < 0)
		return rc;
	struct loam_adoption adoption = { .repo = into->repo,
					  .oid = out->oid,
					  .bytes = out->bytes,
					  .gate_ino = into->gate_ino,
					  .allow = into->allow,
					  .allow_arg = into->allow_arg };
	enum loam_adopted adopted;
	rc = loam_objects_adopt(into->objects, *job, &adoption, &adopted, err);
	if (rc == 0)
		*job = NULL;
	return rc;
}

int loam_take_file(const struct loam_take_file *into, uint64_t ino, struct loam_taken_file *out,
		   struct loam_err *err)
{
	struct loam_taken_file taken = { 0 };
	struct loam_job *job = NULL;
	struct loam_attr attr;
	char oid[LOAM_SHA256_HEX + 1];
	int rc = loam_meta_getattr(into->tree->volume->meta, ino, &attr, err);
	if (rc == 0)
		rc = hearsay(into->tree, ino, oid, err);
	int held = rc == 0 && oid[0] ? is_held(into, ino, oid, attr.length, err) : rc;
	if (held < 0)
		return held;
	if (held) {
		memcpy(taken.oid, oid, sizeof(oid));
		taken.bytes = attr.length;
		*out = taken;
		return 0;
	}
	rc = freeze(into, ino, &job, &taken.bytes, err);
	if (rc == 0)
		rc = take_frozen(into, &job, &taken, err);
	loam_job_free(job);
	if (rc == 0)
		*out = taken;
	return rc;
}
