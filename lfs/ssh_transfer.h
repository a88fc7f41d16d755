/*
 * git-lfs-transfer, version 1: the pure SSH protocol of git-lfs (steps 3 and 4 of a push over SSH).
 *
 *   server: "version=1" "locking" flush
 *   client: command LF, argument LF …, [delimiter, data or lines …], flush
 *   server: "status NNN" LF, argument LF …, [delimiter, data or lines …], flush
 *
 * Objects come in and go out by the code of the HTTP doors (lfs/receive.h, lfs/send.h): hashed,
 * streamed, one commit, the right asked for again. An error is answered behind a delimiter, after
 * what belongs to the request has been read. Locks: lfs/ssh_locks.
 *
 * Source: protocols.md A.8; git-lfs docs/proposals/ssh_adapter.md.
 */
#ifndef LOAM_LFS_SSH_TRANSFER_H
#define LOAM_LFS_SSH_TRANSFER_H

#include "lfs/lfs.h"
#include "lfs/pkt_line.h"

struct loam_ssh_transfer {
	struct loam_lfs *lfs;
	const struct loam_principal *who; /* has the right that upload means */
	const struct loam_repo *repo;
	bool upload; /* the session's operation; download else */
	struct loam_pkt_io io;
};

/* Serves until quit or the end of input. Errors: the conversation could not go on; nothing that was
 * acknowledged is lost. */
int loam_ssh_transfer_run(const struct loam_ssh_transfer *transfer, struct loam_err *err);

#endif
