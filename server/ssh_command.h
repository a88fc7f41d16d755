/*
 * The command line of an SSH session, as it arrives in SSH_ORIGINAL_COMMAND: read by our own strict
 * grammar, never by a shell.
 *
 *   line    := word (" " word)*                      one blank or more between words
 *   word    := (quoted | "\'" | "\!" | bare)+
 *   quoted  := "'" any byte but "'" and NUL "'"
 *   bare    := a byte above " " that means nothing to a shell
 *
 *   git-upload-pack PATH | git upload-pack PATH      and so receive-pack, upload-archive
 *   git-lfs-authenticate PATH upload|download [OID]
 *   git-lfs-transfer PATH upload|download
 *   loam WORD ...                                    the verbs of `loam` for users
 *
 * Source: protocols.md A.8; git quote.c writes PATH; reliability.md ssh-1 to ssh-3, ssh-10, ssh-11.
 */
#ifndef LOAM_SERVER_SSH_COMMAND_H
#define LOAM_SERVER_SSH_COMMAND_H

#include "auth/tree.h"

enum loam_ssh_verb {
	LOAM_SSH_UPLOAD_PACK,
	LOAM_SSH_RECEIVE_PACK,
	LOAM_SSH_UPLOAD_ARCHIVE,
	LOAM_SSH_LFS_AUTHENTICATE,
	LOAM_SSH_LFS_TRANSFER,
	LOAM_SSH_LOAM
};

struct loam_ssh_command {
	enum loam_ssh_verb verb;
	struct loam_repo repo;		     /* all but LOAM */
	bool repo_is_valid;		     /* false: a name that no repository can have */
	bool upload;			     /* of the LFS verbs */
	char *words[LOAM_SSH_WORDS_MAX + 1]; /* NULL-ended, borrowed from text */
	size_t word_count;
	char text[LOAM_SSH_COMMAND_BYTES_MAX];
};

/* Exit status for a line that is not served. */
#define LOAM_SSH_EXIT_REFUSED	1
#define LOAM_SSH_EXIT_NOT_FOUND 127

/* text NULL or "": a shell was asked for. Errors: INVALID for what is refused (exit 1), NOT_FOUND
 * "command not found: X" (exit 127). out is large: not on small stacks. */
int loam_ssh_command_parse(const char *text, struct loam_ssh_command *out, struct loam_err *err);

/* What somebody else wrote, for a terminal: printable ASCII, no more; cut at out_bytes. */
void loam_ssh_shown(const char *text, char *out, size_t out_bytes);

#endif
