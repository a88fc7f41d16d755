/*
 * What operations on names share: guesses about an entry and the inode behind it.
 */
#ifndef LOAM_FS_META_NAMESPACE_H
#define LOAM_FS_META_NAMESPACE_H

#include "fs/meta/meta.h"
#include "fs/meta/txn.h"

/* Wants the parent's attr, the entry and, where the record cache knows the entry, the attr of its
 * inode: all in one trip. */
void loam_namespace_want(struct loam_txn *txn, uint64_t parent, struct loam_name name);
/* Before a transaction that needs entry and inode: when the entry is unknown here, both come in one
 * trip of the engine's lookup, so that the transaction guesses right. A failure costs a trip later.
 */
void loam_namespace_prime(struct loam_meta *meta, uint64_t parent, struct loam_name name);
/* A number in a value ("42"); 0 for anything else. */
int64_t loam_meta_value_number(const struct loam_value *value);

#endif
