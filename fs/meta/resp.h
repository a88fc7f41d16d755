/*
 * Redis' protocol (RESP2) on one connection: replies, batches of commands, send and receive.
 *
 * Commands are encoded by hiredis' formatter and replies parsed by its reader, over core/stream.
 * A reply is bounded in depth, elements and bytes; after any protocol error, or a deadline that
 * passed with a reply outstanding, the connection is broken and must be closed: replies never
 * shift to another request.
 */
#ifndef LOAM_FS_META_RESP_H
#define LOAM_FS_META_RESP_H

#include "core/auto.h"
#include "core/buf.h"
#include "core/stream.h"

#include <stdarg.h>

#define LOAM_RESP_BYTES_MAX	  (64u << 20) /* of one bulk string, and of one whole reply */
#define LOAM_RESP_ELEMENTS_MAX	  (1u << 20)  /* of one whole reply */
#define LOAM_RESP_LINE_BYTES_MAX  (64u << 10) /* of a status, error or number */
#define LOAM_RESP_BATCH_BYTES_MAX (256u << 20)

enum loam_resp_type {
	LOAM_RESP_NIL,
	LOAM_RESP_STATUS,
	LOAM_RESP_ERROR,
	LOAM_RESP_INTEGER,
	LOAM_RESP_STRING,
	LOAM_RESP_ARRAY
};

struct loam_resp_reply {
	enum loam_resp_type type;
	int64_t integer;
	size_t bytes; /* STATUS, ERROR, STRING: of data, which a NUL follows */
	char *data;
	size_t count; /* ARRAY */
	struct loam_resp_reply **items;
};
void loam_resp_reply_free(struct loam_resp_reply *reply); /* NULL is fine */
/* STATUS, ERROR and STRING as text, else "". */
const char *loam_resp_text(const struct loam_resp_reply *reply);
bool loam_resp_is_error(const struct loam_resp_reply *reply, const char *prefix);

/* The replies of a batch, in order; NULL-safe release. */
struct loam_resp_replies {
	struct loam_resp_reply **items;
	size_t count;
};
void loam_resp_replies_release(struct loam_resp_replies *replies);
#define loam_auto_replies __attribute__((cleanup(loam_resp_replies_release)))

/* The arguments of one command. Borrowed ones must live until it is added to a batch. */
struct loam_resp_args {
	const char **values;
	size_t *sizes;
	size_t count, capacity;
	struct loam_resp_text *texts; /* memory of copied and formatted arguments */
};
void loam_resp_args_release(struct loam_resp_args *args);
void loam_resp_args_clear(struct loam_resp_args *args);
#define loam_auto_args __attribute__((cleanup(loam_resp_args_release)))
void loam_resp_arg(struct loam_resp_args *args, const void *data, size_t data_bytes);
void loam_resp_arg_word(struct loam_resp_args *args, const char *text);
void loam_resp_arg_format(struct loam_resp_args *args, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Sets an argument given before to a number: a count that is known only afterwards. */
void loam_resp_arg_set_number(struct loam_resp_args *args, size_t index, uint64_t number);

/* Encoded commands, sent together. */
struct loam_resp_batch {
	struct loam_buf bytes;
	size_t count;
};
#define LOAM_RESP_BATCH                                      \
	{                                                    \
		.bytes = LOAM_BUF(LOAM_RESP_BATCH_BYTES_MAX) \
	}
void loam_resp_batch_release(struct loam_resp_batch *batch);
void loam_resp_batch_clear(struct loam_resp_batch *batch);
#define loam_auto_batch __attribute__((cleanup(loam_resp_batch_release)))
/* Errors: TOO_LARGE, BUSY (no memory). */
int loam_resp_batch_add(struct loam_resp_batch *batch, const struct loam_resp_args *args,
			struct loam_err *err);
/* words: NULL-terminated. */
int loam_resp_batch_words(struct loam_resp_batch *batch, struct loam_err *err, ...)
	__attribute__((sentinel));

/*
 * Owner:   loam_resp_new takes the stream.
 * Errors:  UNAVAILABLE (deadline, peer gone, protocol broken), BUSY (no memory); the connection is
 *          broken after each of them. An error reply is a reply, not an error.
 * Threads: one at a time per connection.
 */
struct loam_resp;
struct loam_resp *loam_resp_new(struct loam_stream *stream);
void loam_resp_free(struct loam_resp *resp);
int loam_resp_send(struct loam_resp *resp, const struct loam_resp_batch *batch,
		   struct loam_deadline deadline, struct loam_err *err);
int loam_resp_receive(struct loam_resp *resp, struct loam_deadline deadline,
		      struct loam_resp_reply **out_reply, struct loam_err *err);
/* Sends the batch and receives one reply for each of its commands. */
int loam_resp_ask(struct loam_resp *resp, const struct loam_resp_batch *batch,
		  struct loam_deadline deadline, struct loam_resp_replies *out_replies,
		  struct loam_err *err);
/* False once broken, or when an idle connection was closed (or spoke) meanwhile: one poll(2). */
bool loam_resp_is_usable(const struct loam_resp *resp);
bool loam_resp_is_broken(const struct loam_resp *resp);
int loam_resp_fd(const struct loam_resp *resp);

#endif
