/*
 * `ssh HOST loam VERB …`: the verbs that users have, run inside serve in the name of the key's
 * account, on the descriptors of his session.
 *
 * They are the commands of the command line with the same words, output and exit status; each asks
 * for an operation (auth/op.h), which asks for the right. Only what stands in the table here can be
 * sent: no verb that opens a volume, reads a file of the server or starts anything.
 */
#ifndef LOAM_SERVER_SSH_LOAM_H
#define LOAM_SERVER_SSH_LOAM_H

#include "server/ssh_session.h"

/* words[count] is NULL. For struct loam_server's ssh_loam. The exit status of the session. */
int loam_ssh_loam_run(struct loam_ssh_session *session, char **words, size_t count);

#endif
