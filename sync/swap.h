/*
 * The publish transaction: staged entries take the place of live ones, all at one instant.
 */
#ifndef LOAM_SYNC_SWAP_H
#define LOAM_SYNC_SWAP_H

#include "auth/auth.h"
#include "sync/changes.h"

#define LOAM_XATTR_TOTALS "trusted.loam.totals" /* "FILES BYTES" of the tree shown */

/* What a gate shows, as read before anything is built. */
struct loam_gate_state {
	uint64_t ino, namespace_ino;
	char name[LOAM_REPO_SEGMENT_BYTES_MAX + 1];
	struct loam_attr attr;
	char commit[65]; /* "" none */
	bool was_published;
	bool has_totals;
	uint64_t files, bytes;
};
/* NOT_FOUND without a gate. */
int loam_gate_state_read(const struct loam_tree *tree, const struct loam_repo *repo,
			 struct loam_gate_state *out, struct loam_err *err);

/* What it shall show. */
struct loam_gate_next {
	char commit[65]; /* "" nothing: the branch is gone */
	uint64_t files, bytes;
	uint64_t job_ino;
	uint64_t new_gate; /* staged as entry 0 of the job, for loam_swap_gate */
	uint32_t new_gate_nlink;
};

/* Both: CONFLICT when the gate no longer shows state->commit (or is gone): begin anew. */
int loam_swap_entries(struct loam_meta *meta, const struct loam_gate_state *state,
		      const struct loam_changes *changes, const struct loam_gate_next *next,
		      struct loam_err *err);
int loam_swap_gate(struct loam_meta *meta, const struct loam_gate_state *state,
		   const struct loam_gate_next *next, struct loam_err *err);

#endif
