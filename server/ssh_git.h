/*
 * Git's own services in an SSH session.
 */
#ifndef LOAM_SERVER_SSH_GIT_H
#define LOAM_SERVER_SSH_GIT_H

#include "server/git_service.h"
#include "server/ssh_session.h"

/* Runs the service to its end; *out_status is git's exit status. The right has been asked for. */
int loam_ssh_git_run(struct loam_ssh_session *session, enum loam_git_kind kind, int *out_status,
		     struct loam_err *err);

#endif
