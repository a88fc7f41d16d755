/*
 * The bytes of one object on their way out, by whichever door they go.
 *
 * The right is asked for when it is opened, and again while it runs (auth/watch.h). A whole object
 * is hashed on its way, and its last piece is held back until the hash is right: damage ends in a
 * failure, never in a clean end (L09). Read-ahead is the reader's (fs/data).
 *
 * Threads: one at a time per object.
 */
#ifndef LOAM_LFS_SEND_H
#define LOAM_LFS_SEND_H

#include "lfs/link.h"

struct loam_lfs;
struct loam_send;

/* link: repository, oid, and whose right it is. counts_as NULL: no bytes will be asked for.
 * NOT_FOUND when the repository does not hold the object. */
int loam_send_open(struct loam_lfs *lfs, const struct loam_link *link, const char *counts_as,
		   struct loam_send **out_send, struct loam_err *err);
uint64_t loam_send_bytes(const struct loam_send *send); /* of the object */
/* Which part is to be sent; before the first read. Whole is what it begins with. */
void loam_send_part(struct loam_send *send, uint64_t offset, uint64_t bytes);
/* >0 bytes at out, 0 the end, -code cut it. */
int64_t loam_send_read(struct loam_send *send, void *out, size_t out_bytes, struct loam_err *err);
/* Accepts NULL. */
void loam_send_free(struct loam_send *send);

#endif
