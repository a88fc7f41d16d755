/*
 * The node table of a mount: which inode a kernel node id stands for, how often the kernel holds
 * it, what was last seen of its attributes, and in which mode it is open.
 *
 * Shape:   a node id is (inode, version). Version 0 has the inode's own number as id; a later one
 * has bit 63 set and a running number. An open that does not fit the mode of its node raises the
 *          version and gets STALE: the kernel looks the name up again and finds a fresh node, with
 * the same st_ino. Threads: any; one lock, held for table work only. Source:  design.md §4
 * (passthrough), prototype passthrough_versions.c.
 */
#ifndef LOAM_FS_MOUNT_NODE_H
#define LOAM_FS_MOUNT_NODE_H

#include "fs/meta/meta_format.h"

#include <stdbool.h>
#include <stdint.h>

struct loam_nodes;

/* What is kept of an inode between requests. */
struct loam_node_info {
	uint64_t ino;
	uint64_t parent; /* directory it was last found in, or the one its attribute names */
	uint32_t uid, gid, access_acl, default_acl;
	uint16_t mode;
	uint8_t type, flags;
	uint64_t asked_ns; /* when these attributes were asked for (loam_clock_ns) */
};

/* The kernel's root (node id 1) stands for root_ino. */
struct loam_nodes *loam_nodes_new(uint64_t root_ino);
void loam_nodes_free(struct loam_nodes *nodes);
size_t loam_nodes_count(struct loam_nodes *nodes);

/* One more lookup by the kernel. Returns the id of the inode's present version. asked_ns: taken
 * before the attributes were read. */
uint64_t loam_nodes_ref(struct loam_nodes *nodes, uint64_t ino, uint64_t parent,
			const struct loam_attr *attr, uint64_t asked_ns);
void loam_nodes_forget(struct loam_nodes *nodes, uint64_t id, uint64_t count);
/* False: no such node (the caller answers STALE). */
bool loam_nodes_find(struct loam_nodes *nodes, uint64_t id, struct loam_node_info *out);
/* The same by inode number. */
bool loam_nodes_peek(struct loam_nodes *nodes, uint64_t ino, struct loam_node_info *out);
/* Newer attributes of an inode. What was asked for before the present ones is ignored, so that a
 * slow answer never undoes our own change: a change is noted with the time after its commit. */
void loam_nodes_saw(struct loam_nodes *nodes, uint64_t ino, const struct loam_attr *attr,
		    uint64_t asked_ns);
/* Full attributes that were asked for at most max_age_ns ago, of one of the inodes met last: OPEN
 * follows a LOOKUP closely and needs no trip of its own. */
bool loam_nodes_recent(struct loam_nodes *nodes, uint64_t ino, uint64_t max_age_ns,
		       struct loam_attr *out_attr);
/*
 * The kernel holds, or will hold, two nodes of this inode. What it keeps of one is not corrected by
 * what is done through the other, so it may keep the attributes of neither.
 */
bool loam_nodes_split(struct loam_nodes *nodes, uint64_t ino);
/* Own change of times, length or link count whose result is not known. */
void loam_nodes_changed(struct loam_nodes *nodes, uint64_t ino);

/*
 * Enters an open. *backing: NULL for an ordinary open, else the identity of the passthrough file;
 * it comes back as NULL where the open is to be ordinary all the same, because the inode is being
 * written or was just opened for that. *out_keep: the kernel's pages are still right (same length
 * and mtime as at the last open). Errors: STALE when id is not the present version, or is open in a
 * mode that this open cannot join; the version has then been raised, and the same open of the fresh
 * node succeeds. Every success is paired with loam_nodes_close().
 */
int loam_nodes_open(struct loam_nodes *nodes, uint64_t id, const void **backing, bool writes,
		    const struct loam_attr *attr, bool *out_keep, struct loam_err *err);
void loam_nodes_close(struct loam_nodes *nodes, uint64_t id, bool writes);
/* Full attributes of an open node not older than max_age_ns; false when there are none. */
bool loam_nodes_open_attr(struct loam_nodes *nodes, uint64_t id, uint64_t max_age_ns,
			  struct loam_attr *out_attr, uint64_t *out_asked_ns);

#endif
