/*
 * The ACL rules of the volume, held in memory by id and by content.
 *
 * Rules are immutable and never deleted in the store, so what is here stays true; ids that were
 * looked for and not found are forgotten again. Beyond ACL_TABLE_MAX rules the table starts anew.
 *
 * Threads: any; no call to the store under the lock.
 * Source:  volume format document §2.7.
 */
#ifndef LOAM_FS_META_ACL_TABLE_H
#define LOAM_FS_META_ACL_TABLE_H

#include "fs/meta/meta.h"

#include <pthread.h>

struct loam_acl_row;
struct loam_acl_table {
	pthread_mutex_t lock;
	struct loam_acl_row *by_id, *by_rule; /* uthash */
	uint32_t known_max;		      /* ids up to here were all asked for */
};

void loam_acl_table_init(struct loam_acl_table *table);
void loam_acl_table_release(struct loam_acl_table *table);
/* Reads all rules of the volume. */
int loam_acl_table_load(struct loam_meta *meta, struct loam_err *err);

#endif
