/*
 * Locks on the paths of a repository: who keeps others from pushing a change to a file.
 *
 * Shape:   /.loam/repos/KIND/NS/NAME/locks/HASH, an empty file of the service, 0400; HASH is the
 *          first 32 hex digits of the SHA-256 of the path. Its xattr trusted.loam.lock holds
 *          {"id":…,"path":…,"owner":…,"uid":…,"locked_at":SECONDS}. An id is HASH and 16 random hex
 *          digits, so an id of an earlier lock, or of another repository, names nothing.
 *          A path is UTF-8 of 1 to 4096 bytes, relative, without control bytes and without empty,
 *          "." or ".." parts; it is kept as it came.
 * Threads: any. Every change is one transaction: a path has at most one lock (L07), and only what
 *          was looked at is removed.
 * Durable: changes return behind the metadata barrier.
 * Source:  protocols.md B.8; reliability.md L07.
 */
#ifndef LOAM_LFS_LOCK_STORE_H
#define LOAM_LFS_LOCK_STORE_H

#include "auth/auth.h"
#include "core/json.h"

#define LOAM_XATTR_LOCK	       "trusted.loam.lock"
#define LOAM_LOCK_NAME_BYTES   32 /* of the file */
#define LOAM_LOCK_ID_BYTES     48
#define LOAM_LOCK_RECORD_BYTES 16384

struct loam_lock {
	char id[LOAM_LOCK_ID_BYTES + 1];
	char *path;
	char owner[LOAM_USER_NAME_BYTES_MAX + 1]; /* as the account was called then */
	uint32_t uid;				  /* who it is */
	int64_t locked_at;			  /* Unix seconds */
};
void loam_lock_release(struct loam_lock *lock);

/* UNPROCESSABLE with what is wrong. */
int loam_lock_path_check(const char *path, size_t path_bytes, struct loam_err *err);
/* As it is stored, and as hooks get it. json_decref. */
json_t *loam_lock_to_json(const struct loam_lock *lock);
/* CORRUPT for anything that loam_lock_to_json does not make. */
int loam_lock_from_json(const json_t *json, struct loam_lock *out_lock, struct loam_err *err);

/*
 * Locks path for who. 1 with the new lock, 0 with the one that is there already (who's own too).
 * The caller has asked for the right to write. Errors: UNPROCESSABLE for the path; DENIED when who
 * has no uid; TOO_LARGE at LOAM_LFS_LOCKS_MAX locks (callers at the same moment may pass it by one
 * each); NOT_FOUND when the repository is being removed.
 */
int loam_lock_store_take(const struct loam_tree *tree, const struct loam_repo *repo,
			 const char *path, size_t path_bytes, const struct loam_principal *who,
			 struct loam_lock *out_lock, struct loam_err *err);
/*
 * Removes the lock and hands it out. force: whoever owns it; the caller has asked for the right of
 * an admin then, else for the right to write. Errors: NOT_FOUND for an id that names no lock of
 * this repository; DENIED for a lock of somebody else without force.
 */
int loam_lock_store_give_back(const struct loam_tree *tree, const struct loam_repo *repo,
			      const char *id, const struct loam_principal *who, bool force,
			      struct loam_lock *out_lock, struct loam_err *err);

struct loam_lock_query {
	const char *path;   /* NULL: any */
	const char *id;	    /* NULL: any */
	const char *cursor; /* NULL or "": from the first; else as an earlier page said */
	size_t limit;	    /* 0 and all above LOAM_LFS_LOCKS_PAGE: LOAM_LFS_LOCKS_PAGE */
};
struct loam_lock_page {
	struct loam_lock *locks;
	size_t count;				    /* may be 0 although more pages follow */
	char next_cursor[LOAM_LOCK_NAME_BYTES + 1]; /* "": this was the last page */
};
/* One page, in an order that stays. Errors: UNPROCESSABLE for a cursor that was never given out. */
int loam_lock_store_list(const struct loam_tree *tree, const struct loam_repo *repo,
			 const struct loam_lock_query *query, struct loam_lock_page *out_page,
			 struct loam_err *err);
void loam_lock_page_release(struct loam_lock_page *page);

/* For fsck: does the file of this name say what it locks? 1, 0, -code (NOT_FOUND: it has gone). */
int loam_lock_store_is_sound(const struct loam_tree *tree, uint64_t ino, struct loam_name name,
			     struct loam_err *err);

#endif
