/*
 * Transfers under way by principal (lfs/transfers.h). Step 3 of a push.
 */
#include "lfs/transfers.h"

#include "core/auto.h"
#include "core/limits.h"

#include <string.h>
#include <uthash.h>

#define WHO_BYTES 64

struct mover {
	char who[WHO_BYTES];
	size_t count;
	UT_hash_handle hh;
};

struct loam_transfers {
	pthread_mutex_t lock;
	struct mover *movers; /* those with at least one */
};

struct loam_transfers *loam_transfers_new(void)
{
	struct loam_transfers *transfers = loam_xnew(struct loam_transfers);
	pthread_mutex_init(&transfers->lock, NULL);
	return transfers;
}

void loam_transfers_free(struct loam_transfers *transfers)
{
	if (!transfers)
		return;
	loam_assert(transfers->movers == NULL);
	pthread_mutex_destroy(&transfers->lock);
	free(transfers);
}

/* Under the lock. key is who, cut. */
static struct mover *find(struct loam_transfers *transfers, const char *who, char key[WHO_BYTES])
{
	struct mover *mover = NULL;
	snprintf(key, WHO_BYTES, "%s", who);
	HASH_FIND_STR(transfers->movers, key, mover);
	return mover;
}

int loam_transfers_enter(struct loam_transfers *transfers, const char *who, struct loam_err *err)
{
	char key[WHO_BYTES];
	loam_guard(&transfers->lock);
	struct mover *mover = find(transfers, who, key);
	if (mover && mover->count == LOAM_LFS_TRANSFERS_MAX)
		return loam_fail(err, LOAM_E_LIMITED, "%d transfers of yours are under way already",
				 LOAM_LFS_TRANSFERS_MAX);
	if (!mover) {
		mover = loam_xnew(struct mover);
		memcpy(mover->who, key, sizeof(key));
		HASH_ADD_STR(transfers->movers, who, mover);
	}
	mover->count++;
	return 0;
}

void loam_transfers_leave(struct loam_transfers *transfers, const char *who)
{
	char key[WHO_BYTES];
	loam_guard(&transfers->lock);
	struct mover *mover = find(transfers, who, key);
	loam_assert(mover != NULL);
	if (--mover->count > 0)
		return;
	HASH_DEL(transfers->movers, mover);
	free(mover);
}
