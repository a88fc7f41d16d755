/*
 * git-lfs in an SSH session.
 */
#ifndef LOAM_SERVER_SSH_LFS_H
#define LOAM_SERVER_SSH_LFS_H

#include "server/ssh_session.h"

/* Both: the right that upload means has been asked for. */
int loam_ssh_lfs_authenticate(struct loam_ssh_session *session, bool upload, struct loam_err *err);
int loam_ssh_lfs_transfer(struct loam_ssh_session *session, bool upload, struct loam_err *err);

#endif
