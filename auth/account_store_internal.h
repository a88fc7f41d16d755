/*
 * What the files that change accounts share (account_store.c, account_numbers.c, account_many.c,
 * account_users.c, account_tokens.c, groups.c). Nothing outside auth/ includes this.
 */
#ifndef LOAM_AUTH_ACCOUNT_STORE_INTERNAL_H
#define LOAM_AUTH_ACCOUNT_STORE_INTERNAL_H

#include "auth/account_store.h"

/* Turns the old text of a file into the new one; may refuse. Run again when somebody was faster. */
typedef int loam_account_change_fn(void *arg, const struct loam_buf *old, struct loam_buf *out,
				   struct loam_err *err);

/* name: below /.loam/, "etc/passwd". A missing file reads as empty. */
int loam_account_store_change(struct loam_account_store *store, const char *name,
			      loam_account_change_fn *change, void *arg, struct loam_err *err);
int loam_account_store_change_file(struct loam_account_store *store, enum loam_account_file file,
				   loam_account_change_fn *change, void *arg, struct loam_err *err);
/* The whole file as it stands; missing: empty. */
int loam_account_store_read(struct loam_account_store *store, const char *name,
			    struct loam_buf *out, struct loam_err *err);
/* Replaces the line whose first field is name; NULL removes it. *out_had may be NULL. */
int loam_account_store_put_line(struct loam_account_store *store, enum loam_account_file file,
				const char *name, const char *line, bool *out_had,
				struct loam_err *err);
/* The end of every change: our own snapshot is read again, and what rc 0 says is durable. */
int loam_account_store_settle(struct loam_account_store *store, int rc, struct loam_err *err);
/* The same for changes of users and groups, of which mounts are told first. */
int loam_account_store_finish(struct loam_account_store *store, int rc, struct loam_err *err);
const struct loam_tree *loam_account_store_tree(const struct loam_account_store *store);
int64_t loam_account_today(void); /* days since 1970 */

/* The next numbers of the one counter; none of reserved, which are sorted. */
int loam_account_numbers_take(struct loam_account_store *store, const uint32_t *reserved,
			      size_t reserved_count, uint32_t *out_numbers, size_t count,
			      struct loam_err *err);
int loam_account_number_take(struct loam_account_store *store, uint32_t *out_number,
			     struct loam_err *err);
/* UNPROCESSABLE for a chosen number that no account or group may have, EXISTS for one of a removed
 * one. */
int loam_account_number_check(struct loam_account_store *store, uint32_t number,
			      struct loam_err *err);
/* The numbers that were given and taken back, for many questions at once. */
int loam_account_numbers_retired(struct loam_account_store *store, struct loam_buf *out,
				 struct loam_err *err);
bool loam_account_number_is_retired(const struct loam_buf *retired, uint64_t number);
/* Never to be given again. */
int loam_account_number_retire(struct loam_account_store *store, uint32_t number, bool is_group,
			       struct loam_err *err);

/* All tokens of that name. */
int loam_account_drop_tokens(struct loam_account_store *store, const char *user,
			     struct loam_err *err);
/* All tokens and keys of that name: of who goes, or of somebody who bore it before. */
bool loam_account_has_credentials(const struct loam_accounts *accounts, const char *name);
int loam_account_drop_credentials(struct loam_account_store *store, const char *name,
				  struct loam_err *err);

/* Renames path to .removed-LABEL-NUMBER beside it, root's and 0700. Missing is success. */
int loam_account_dir_set_aside(struct loam_account_store *store, const char *path,
			       const char *label, uint32_t number, struct loam_err *err);

#endif
