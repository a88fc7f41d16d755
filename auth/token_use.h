/*
 * When tokens were last used, kept coarse: a line "ID:SECONDS" in /.loam/etc/token_use, written at
 * most once per token and hour, some seconds behind the use, by a thread of its own. A lost write
 * is no error, so nothing waits for it.
 *
 * Threads: any.
 */
#ifndef LOAM_AUTH_TOKEN_USE_H
#define LOAM_AUTH_TOKEN_USE_H

#include "auth/account_store.h"

struct loam_token_use;

/* store is borrowed. The thread begins with the first use. */
struct loam_token_use *loam_token_use_new(struct loam_account_store *store);
void loam_token_use_free(struct loam_token_use *use);
/* A request came with this token, now. */
void loam_token_use_note(struct loam_token_use *use, const char *id);
/* Writes what was noted; also what the thread does. */
int loam_token_use_write(struct loam_token_use *use, struct loam_err *err);

/* The file; empty when there is none. */
int loam_token_use_text(struct loam_account_store *store, struct loam_buf *out,
			struct loam_err *err);
/* Unix seconds; 0: not known. */
int64_t loam_token_use_of(const struct loam_buf *text, const char *id);

#endif
