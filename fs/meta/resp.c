/*
 * One connection to Redis (see resp.h). Serves every step that touches metadata.
 *
 * hiredis' reader keeps what it has received until a reply is whole. It checks numbers, types and
 * nesting, but neither sizes nor the CRLF behind a bulk string: our object functions check the
 * latter and count elements and bytes, and after each piece fed pending_is_sane() looks at the
 * announced size of the unfinished bulk, so that "$99999999999" ends the connection at once
 * instead of after the bytes have come.
 */
#include "fs/meta/resp.h"

#include <hiredis/hiredis.h>
#include <hiredis/read.h>
#include <poll.h>

#define READ_BYTES (64u << 10)

struct loam_resp {
	struct loam_stream *stream;
	redisReader *reader;
	size_t element_count; /* of the reply being parsed */
	size_t bytes;
	bool broken;
	char input[READ_BYTES];
};

void loam_resp_reply_free(struct loam_resp_reply *reply)
{
	if (!reply)
		return;
	for (size_t i = 0; i < reply->count; i++)
		loam_resp_reply_free(reply->items[i]); /* depth is bounded by the reader */
	free(reply->items);
	free(reply->data);
	free(reply);
}

const char *loam_resp_text(const struct loam_resp_reply *reply)
{
	return reply && reply->data ? reply->data : "";
}

bool loam_resp_is_error(const struct loam_resp_reply *reply, const char *prefix)
{
	return reply->type == LOAM_RESP_ERROR &&
	       strncmp(loam_resp_text(reply), prefix, strlen(prefix)) == 0;
}

void loam_resp_replies_release(struct loam_resp_replies *replies)
{
	for (size_t i = 0; i < replies->count; i++)
		loam_resp_reply_free(replies->items[i]);
	free(replies->items);
	*replies = (struct loam_resp_replies){ 0 };
}

/* --- the reader's object functions: NULL makes the reader fail, and us break the connection */

static struct loam_resp_reply *reply_new(const redisReadTask *task, enum loam_resp_type type)
{
	struct loam_resp *resp = task->privdata;
	if (++resp->element_count > LOAM_RESP_ELEMENTS_MAX)
		return NULL;
	struct loam_resp_reply *reply = calloc(1, sizeof(*reply));
	if (!reply)
		return NULL;
	reply->type = type;
	return reply;
}

static void *attach(const redisReadTask *task, struct loam_resp_reply *reply)
{
	if (reply && task->parent) {
		struct loam_resp_reply *parent = task->parent->obj;
		parent->items[task->idx] = reply;
	}
	return reply;
}

static void *create_string(const redisReadTask *task, char *text, size_t text_bytes)
{
	struct loam_resp *resp = task->privdata;
	resp->bytes += text_bytes;
	if (resp->bytes > LOAM_RESP_BYTES_MAX || text[text_bytes] != '\r' ||
	    text[text_bytes + 1] != '\n')
		return NULL;
	enum loam_resp_type type = task->type == REDIS_REPLY_ERROR    ? LOAM_RESP_ERROR
				   : task->type == REDIS_REPLY_STATUS ? LOAM_RESP_STATUS
								      : LOAM_RESP_STRING;
	struct loam_resp_reply *reply = reply_new(task, type);
	if (!reply)
		return NULL;
	reply->data = malloc(text_bytes + 1);
	if (!reply->data) {
		free(reply);
		return NULL;
	}
	memcpy(reply->data, text, text_bytes);
	reply->data[text_bytes] = '\0';
	reply->bytes = text_bytes;
	return attach(task, reply);
}

static void *create_array(const redisReadTask *task, int count)
{
	struct loam_resp *resp = task->privdata;
	if (count < 0 || (size_t)count > LOAM_RESP_ELEMENTS_MAX - resp->element_count)
		return NULL;
	struct loam_resp_reply *reply = reply_new(task, LOAM_RESP_ARRAY);
	if (!reply || count == 0)
		return attach(task, reply);
	reply->items = calloc((size_t)count, sizeof(struct loam_resp_reply *));
	if (!reply->items) {
		free(reply);
		return NULL;
	}
	reply->count = (size_t)count;
	return attach(task, reply);
}

static void *create_integer(const redisReadTask *task, long long value)
{
	struct loam_resp_reply *reply = reply_new(task, LOAM_RESP_INTEGER);
	if (reply)
		reply->integer = value;
	return attach(task, reply);
}

static void *create_nil(const redisReadTask *task)
{
	return attach(task, reply_new(task, LOAM_RESP_NIL));
}

static void free_object(void *reply)
{
	loam_resp_reply_free(reply);
}

static redisReplyObjectFunctions functions = { create_string, create_array, create_integer,
					       create_nil, free_object };

/* --- the connection */

struct loam_resp *loam_resp_new(struct loam_stream *stream)
{
	struct loam_resp *resp = loam_xnew(struct loam_resp);
	resp->stream = stream;
	resp->reader = redisReaderCreateWithFunctions(&functions);
	loam_assert(resp->reader);
	resp->reader->privdata = resp;
	return resp;
}

void loam_resp_free(struct loam_resp *resp)
{
	if (!resp)
		return;
	if (resp->reader)
		redisReaderFree(resp->reader);
	loam_stream_close(resp->stream);
	free(resp);
}

bool loam_resp_is_usable(const struct loam_resp *resp)
{
	if (resp->broken || resp->reader->len != resp->reader->pos)
		return false;
	struct pollfd idle = { .fd = loam_stream_fd(resp->stream), .events = POLLIN };
	return poll(&idle, 1, 0) == 0;
}

int loam_resp_fd(const struct loam_resp *resp)
{
	return loam_stream_fd(resp->stream);
}

bool loam_resp_is_broken(const struct loam_resp *resp)
{
	return resp->broken;
}

int loam_resp_send(struct loam_resp *resp, const struct loam_resp_batch *batch,
		   struct loam_deadline deadline, struct loam_err *err)
{
	if (resp->broken)
		return loam_fail(err, LOAM_E_UNAVAILABLE, "the connection is broken");
	int rc = loam_stream_write(resp->stream, batch->bytes.data, batch->bytes.bytes, deadline,
				   err);
	if (rc < 0)
		resp->broken = true;
	return rc;
}

/* Is what waits in the reader the beginning of something that may become a reply? */
static bool pending_is_sane(const redisReader *reader)
{
	size_t pending = reader->len - reader->pos;
	if (reader->ridx < 0 || pending == 0)
		return true;
	const char *at = reader->buf + reader->pos;
	int type = reader->rstack[reader->ridx].type;
	if (type < 0) /* the type byte itself is refused by the reader */
		return true;
	const char *end = memchr(at, '\n', pending);
	if (!end)
		return pending <= LOAM_RESP_LINE_BYTES_MAX &&
		       (type != REDIS_REPLY_STRING || pending <= 32);
	if (type != REDIS_REPLY_STRING)
		return end > at && end[-1] == '\r';
	char *stop;
	long long announced = strtoll(at, &stop, 10);
	return stop != at && *stop == '\r' && announced >= -1 && announced <= LOAM_RESP_BYTES_MAX;
}

static int break_off(struct loam_resp *resp, const char *why, struct loam_err *err)
{
	resp->broken = true;
	return loam_fail(err, LOAM_E_UNAVAILABLE, "redis: broken reply: %s", why);
}

int loam_resp_receive(struct loam_resp *resp, struct loam_deadline deadline,
		      struct loam_resp_reply **out_reply, struct loam_err *err)
{
	if (resp->broken)
		return loam_fail(err, LOAM_E_UNAVAILABLE, "the connection is broken");
	resp->element_count = 0;
	resp->bytes = 0;
	for (;;) {
		void *reply = NULL;
		if (redisReaderGetReply(resp->reader, &reply) != REDIS_OK)
			return break_off(resp, resp->reader->errstr, err);
		if (reply) {
			*out_reply = reply;
			return 0;
		}
		if (!pending_is_sane(resp->reader))
			return break_off(resp, "a size or line over its limit", err);

		size_t got = 0;
		int rc = loam_stream_read(resp->stream, resp->input, sizeof(resp->input), &got,
					  deadline, err);
		if (rc < 0) {
			resp->broken = true;
			return rc;
		}
		if (redisReaderFeed(resp->reader, resp->input, got) != REDIS_OK)
			return break_off(resp, "no memory", err);
	}
}

int loam_resp_ask(struct loam_resp *resp, const struct loam_resp_batch *batch,
		  struct loam_deadline deadline, struct loam_resp_replies *out_replies,
		  struct loam_err *err)
{
	int rc = loam_resp_send(resp, batch, deadline, err);
	if (rc < 0)
		return rc;
	loam_auto_replies struct loam_resp_replies replies = {
		.items = loam_xcalloc(batch->count, sizeof(struct loam_resp_reply *)),
	};
	for (size_t i = 0; i < batch->count; i++) {
		rc = loam_resp_receive(resp, deadline, &replies.items[i], err);
		if (rc < 0)
			return rc;
		replies.count++;
	}
	*out_replies = replies;
	replies = (struct loam_resp_replies){ 0 };
	return 0;
}
