/*
 * A node that knows the names of a volume: what `loam node enroll` sets up, a mount keeps current
 * and `loam node remove` undoes.
 *
 * Files, below `root` ("" on a node, a folder in tests and images):
 *   /var/lib/extrausers/passwd group shadow    what libnss-extrausers answers from
 *   /etc/nsswitch.conf                         `extrausers` behind `files`
 *   /var/lib/loam-node/node.json               which volume, where it is seen, which shell
 *   /var/lib/loam-node/nsswitch.before .after  what stood there, and what we made of it
 *   /var/lib/loam-node/left-out                names that the node has for others, one a line
 *   /var/lib/loam-node/lock                    held while any of these is changed; its time is the
 *                                              last look of a mount
 * Durable: each file is replaced whole.
 * Threads, processes: several mounts of a node may do this; the lock keeps them apart.
 */
#ifndef LOAM_AUTH_NODE_H
#define LOAM_AUTH_NODE_H

#include "auth/account.h"
#include "core/limits.h"

#include <time.h>

#define LOAM_NODE_TEXT_BYTES 1024

struct loam_node {
	char root[LOAM_NODE_TEXT_BYTES]; /* "" or an absolute path without slash at its end */
	char uuid[64];			 /* of the volume */
	char volume[64];		 /* its name, for people */
	char mount[LOAM_NODE_TEXT_BYTES];
	char shell[LOAM_NODE_TEXT_BYTES];
};

/* 1 enrolled (*out_node filled, its root too), 0 not, -code. */
int loam_node_load(const char *root, struct loam_node *out_node, struct loam_err *err);
/*
 * Enrolls, or enrolls again with another mount or shell. Errors: NOT_FOUND without
 * libnss-extrausers (with the command that installs it); EXISTS when the node belongs to another
 * volume, or /var/lib/extrausers to somebody else; INVALID for a mount or shell that no line holds.
 */
int loam_node_enroll(const struct loam_node *node, const struct loam_accounts *accounts,
		     struct loam_err *err);

struct loam_node_look_result {
	bool enrolled; /* for this volume; else nothing was done */
	bool changed;  /* a file was written */
	size_t users, groups, left_out;
};
/* What a mount of `uuid` does every few seconds: writes the files that differ. */
int loam_node_refresh(const char *root, const char *uuid, const struct loam_accounts *accounts,
		      struct loam_node_look_result *out, struct loam_err *err);

/* Undoes it. *out_edited: somebody changed nsswitch.conf meanwhile, so that only our word was taken
 * out. NOT_FOUND when the node is not enrolled. */
int loam_node_remove(const char *root, bool *out_edited, struct loam_err *err);

struct loam_node_status {
	size_t users, groups;	  /* lines that are served */
	struct loam_buf left_out; /* loam_buf_release */
	time_t looked;		  /* of a mount, 0: never */
	bool in_switch;		  /* nsswitch.conf names extrausers for passwd and group */
	bool has_library;
};
int loam_node_status(const struct loam_node *node, struct loam_node_status *out,
		     struct loam_err *err);

#endif
