/*
 * Gates: the top directories of published repositories, whose ACL is their permissions for all
 * doors.
 *
 * A gate is a directory <tree.root>/<kind>/<namespace>/<name> whose kind directory (models,
 * datasets, code) belongs to the service. It is found by the parents the node table remembers.
 *
 * Threads: any. Source: design.md §2.2.
 */
#ifndef LOAM_FS_MOUNT_GATE_H
#define LOAM_FS_MOUNT_GATE_H

#include "fs/mount/caller.h"
#include "fs/mount/node.h"
#include "fs/mount/roster.h"

struct loam_gates;

/* tree_root: path in the volume, "/" for the root; need not exist yet. meta and nodes are borrowed.
 */
struct loam_gates *loam_gates_new(struct loam_meta *meta, struct loam_nodes *nodes,
				  const char *tree_root, uint32_t service_uid,
				  uint64_t attr_age_ns);
void loam_gates_free(struct loam_gates *gates);
/* Groups that the roster does not leave somebody count no more. Borrowed; before the first
 * check. */
void loam_gates_use(struct loam_gates *gates, struct loam_roster *roster);

/* Told of every name found in a directory: that is how the kind directories become known. */
void loam_gates_saw(struct loam_gates *gates, uint64_t parent, struct loam_name name, uint64_t ino,
		    const struct loam_attr *attr);
/* The gate at or above ino: 1, 0 none, -code. */
int loam_gates_find(struct loam_gates *gates, uint64_t ino, uint64_t *out_gate,
		    struct loam_err *err);
/* May the caller pass the gate above ino? 0 yes (or no gate); DENIED. No trip while the gate's
 * attributes are fresh. */
int loam_gates_check(struct loam_gates *gates, uint64_t ino, struct loam_caller *caller,
		     struct loam_err *err);

/* The gate's own rule for what is set on it: nobody but its owner writes on the mount. */
void loam_gate_mask_acl(struct loam_acl *acl);
uint16_t loam_gate_mask_mode(uint16_t mode);

enum loam_gate_answer { LOAM_GATE_DENY, LOAM_GATE_ALLOW, LOAM_GATE_ASK_GROUPS };
/* What a rule answers by uid and primary group alone. */
enum loam_gate_answer loam_gate_decide(const struct loam_acl *acl, uint32_t owner_uid,
				       uint32_t owner_gid, uint32_t uid, uint32_t gid,
				       unsigned want);

#endif
