/*
 * Objects on their way out (lfs/send.h).
 */
#include "lfs/send.h"

#include "core/auto.h"
#include "lfs/lfs_internal.h"

#include <string.h>

struct loam_send {
	struct loam_lfs *lfs;
	struct loam_link link;
	char counts_as[64];
	bool counted;
	uint64_t ino, bytes;   /* of the object */
	uint64_t offset, left; /* of what is still to be sent */
	struct loam_watch watch;
	struct loam_reader *reader;
	struct loam_sha256 *hash; /* of a whole transfer */
};

static int check_hash(struct loam_send *send, struct loam_err *err)
{
	uint8_t digest[LOAM_SHA256_BYTES];
	char hex[LOAM_SHA256_HEX + 1];
	loam_sha256_end(send->hash, digest);
	loam_hex(digest, sizeof(digest), hex);
	if (strcmp(hex, send->link.oid) == 0)
		return 0;
	return loam_fail(err, LOAM_E_CORRUPT, "object %s has other bytes than its name says",
			 send->link.oid);
}

int64_t loam_send_read(struct loam_send *send, void *out, size_t out_bytes, struct loam_err *err)
{
	size_t step = send->left < out_bytes ? (size_t)send->left : out_bytes;
	size_t got = 0;
	if (step == 0)
		return 0;
	int rc = loam_lfs_link_still(&send->watch, err);
	if (rc == 0 && !send->reader)
		rc = loam_reader_new(send->lfs->tree->volume->data, send->ino, send->bytes,
				     &send->reader, err);
	if (rc == 0)
		rc = loam_reader_read(send->reader, send->offset, out, step, &got, err);
	if (rc < 0)
		return rc;
	if (got == 0)
		return loam_fail(err, LOAM_E_CORRUPT, "object %s ends before its size",
				 send->link.oid);
	send->offset += got;
	send->left -= got;
	if (send->hash) {
		loam_sha256_add(send->hash, out, got);
		rc = send->left == 0 ? check_hash(send, err) : 0;
	}
	return rc < 0 ? rc : (int64_t)got;
}

static int start(struct loam_send *send, bool counted, struct loam_err *err)
{
	int rc = loam_lfs_link_may(send->lfs->auth, &send->link, LOAM_WANT_READ, &send->watch, err);
	if (rc == 0 && counted)
		rc = loam_transfers_enter(send->lfs->transfers, send->counts_as, err);
	if (rc < 0)
		return rc;
	send->counted = counted;
	int found = loam_lfs_holds(send->lfs->tree, &send->link.repo, send->link.oid, &send->ino,
				   &send->bytes, err);
	if (found < 0)
		return found;
	if (!found)
		return loam_fail(err, LOAM_E_NOT_FOUND, "Object does not exist");
	loam_send_part(send, 0, send->bytes);
	return 0;
}

int loam_send_open(struct loam_lfs *lfs, const struct loam_link *link, const char *counts_as,
		   struct loam_send **out_send, struct loam_err *err)
{
	struct loam_send *send = loam_xnew(struct loam_send);
	send->lfs = lfs;
	send->link = *link;
	snprintf(send->counts_as, sizeof(send->counts_as), "%s", counts_as ? counts_as : "");
	int rc = start(send, counts_as != NULL, err);
	if (rc < 0)
		loam_send_free(send);
	else
		*out_send = send;
	return rc;
}

uint64_t loam_send_bytes(const struct loam_send *send)
{
	return send->bytes;
}

void loam_send_part(struct loam_send *send, uint64_t offset, uint64_t bytes)
{
	send->offset = offset;
	send->left = bytes;
	loam_sha256_free(send->hash);
	send->hash = bytes == send->bytes ? loam_sha256_new() : NULL;
}

void loam_send_free(struct loam_send *send)
{
	if (!send)
		return;
	if (send->counted)
		loam_transfers_leave(send->lfs->transfers, send->counts_as);
	loam_reader_free(send->reader);
	loam_sha256_free(send->hash);
	free(send);
}
