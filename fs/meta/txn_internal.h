/*
 * What txn.c (the view a function has) and txn_run.c (runs, checks, commits) share.
 */
#ifndef LOAM_FS_META_TXN_INTERNAL_H
#define LOAM_FS_META_TXN_INTERNAL_H

#include "fs/meta/meta_internal.h"

#include <uthash.h>

/*
 * One record the transaction has to do with. The upper half lives as long as the transaction, so
 * that a later run knows what an earlier one learned; the lower half belongs to one run.
 */
struct loam_txn_item {
	UT_hash_handle hh;
	struct loam_record record; /* name points into key */
	bool is_known;		   /* seen holds its value */
	bool is_guess;		   /* … from the cache, not yet compared with the store */
	struct loam_value seen;

	bool is_wanted;	  /* goes along with the next trip */
	bool is_used;	  /* the function has seen the value */
	bool is_checked;  /* it must be unchanged at the commit */
	bool is_expected; /* it must be `expected` at the commit */
	struct loam_value expected;
	struct loam_value shown; /* seen with the run's own writes */
	size_t write_count, last_write;
	uint8_t key[];
};

struct loam_txn_callback {
	void (*after)(void *arg, const struct loam_freed_slice *freed, size_t freed_count);
	void *arg;
};

struct loam_txn_result {
	struct loam_txn_item *item;
	int64_t *out;
};

struct loam_txn {
	struct loam_meta *meta;
	unsigned flags;
	bool may_guess;
	struct loam_txn_item *items;

	/* of one run */
	bool is_stale;		   /* a value the function used has turned out different */
	bool has_failed;	   /* the engine did not answer: no other run will help */
	bool has_whole_deletes;	   /* DIR, XATTRS or PARENTS: writes are not folded any more */
	struct loam_write *writes; /* data is owned */
	struct loam_txn_item **write_items;
	size_t write_count, write_max;
	struct loam_txn_callback callbacks[LOAM_TXN_CALLBACKS_MAX];
	size_t callback_count;
	struct loam_txn_result *results;
	size_t result_count, result_max;
};

/* Reads in one trip: needed (may be NULL), what is wanted and not known, and every guess in use. */
int loam_txn_fetch(struct loam_txn *txn, struct loam_txn_item *needed, struct loam_err *err);

#endif
