/*
 * A public key from a file, as the command line takes it.
 */
#ifndef LOAM_AUTH_KEY_FILE_H
#define LOAM_AUTH_KEY_FILE_H

#include "auth/ssh_key.h"

/* path "-": what the command is given on stdin; over SSH only that, other names would be files of
 * the server. Fills id, type, base64 and created. */
int loam_key_file_read(const char *path, struct loam_ssh_key *out_key, struct loam_err *err);

#endif
