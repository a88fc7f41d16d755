/*
 * How many of a thing each principal has at once: git children (LOAM_GIT_CHILDREN_MAX), sessions of
 * SSH (LOAM_SSH_SESSIONS_EACH).
 *
 * Threads: any. A caller over the bound waits for a while; who is still over it then is refused.
 */
#ifndef LOAM_SERVER_GIT_SLOTS_H
#define LOAM_SERVER_GIT_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

struct loam_git_slots;

#define LOAM_GIT_SLOT_BYTES 72 /* of a key */

struct loam_git_slots *loam_git_slots_new(unsigned max_each);
void loam_git_slots_free(struct loam_git_slots *slots);
/* key: "u:20001", "k:ID" of a deploy key, or "a:ADDRESS" of an anonymous caller.
 * false: none came free within wait_ms. */
bool loam_git_slots_take(struct loam_git_slots *slots, const char *key, uint64_t wait_ms);
void loam_git_slots_give(struct loam_git_slots *slots, const char *key);

#endif
