/*
 * One request of git-lfs-transfer, and what its commands share (lfs/ssh_transfer.h).
 */
#ifndef LOAM_LFS_SSH_REQUEST_H
#define LOAM_LFS_SSH_REQUEST_H

#include "lfs/lfs_internal.h"
#include "lfs/ssh_transfer.h"

#define LOAM_SSH_ARGS_MAX 32

struct loam_ssh_request {
	const struct loam_ssh_transfer *transfer;
	struct loam_pkt *pkt;
	char *command;		       /* "put-object" */
	char *operand;		       /* "4d7a…", or NULL */
	char *args[LOAM_SSH_ARGS_MAX]; /* "size=5" */
	size_t arg_count;
	bool has_data; /* a delimiter came: data packets follow, up to a flush */
	bool is_over;  /* quit */
};

/* Value of "name=…", or NULL. */
const char *loam_ssh_request_arg(const struct loam_ssh_request *request, const char *name);
/* Reads what is left of the request up to its flush. */
int loam_ssh_request_drain(struct loam_ssh_request *request, struct loam_err *err);
/* "status N", a delimiter, the message, flush. */
int loam_ssh_request_refuse(struct loam_ssh_request *request, int status, const char *message,
			    struct loam_err *err);
/* The same for a failure, which is then handled; one of the conversation itself is returned. */
int loam_ssh_request_failed(struct loam_ssh_request *request, struct loam_err *failure,
			    struct loam_err *err);
/* Asks for the right as of now. */
int loam_ssh_request_may(const struct loam_ssh_request *request, enum loam_want want,
			 struct loam_err *err);

/* ssh_locks.c */
int loam_ssh_lock(struct loam_ssh_request *request, struct loam_err *err);
int loam_ssh_list_lock(struct loam_ssh_request *request, struct loam_err *err);
int loam_ssh_unlock(struct loam_ssh_request *request, struct loam_err *err);

#endif
