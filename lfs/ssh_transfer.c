/*
 * git-lfs-transfer (lfs/ssh_transfer.h). Steps 3 and 4 of a push over SSH.
 *
 * A command answers what is wrong with itself by a status and returns 0; it returns an error only
 * when the conversation cannot go on.
 */
#include "lfs/ssh_transfer.h"

#include "core/auto.h"
#include "core/cmd.h"
#include "lfs/receive.h"
#include "lfs/send.h"
#include "lfs/ssh_request.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define OVERSHOOT_MAX (64u << 20) /* read behind what an object may have, then the end */

/* ---- requests -------------------------------------------------------------------------------- */

const char *loam_ssh_request_arg(const struct loam_ssh_request *request, const char *name)
{
	size_t bytes = strlen(name);
	for (size_t i = 0; i < request->arg_count; i++)
		if (strncmp(request->args[i], name, bytes) == 0 && request->args[i][bytes] == '=')
			return request->args[i] + bytes + 1;
	return NULL;
}

int loam_ssh_request_drain(struct loam_ssh_request *request, struct loam_err *err)
{
	const uint8_t *data;
	size_t bytes;
	while (request->has_data) {
		int kind = loam_pkt_read(request->pkt, &data, &bytes, err);
		if (kind < 0)
			return kind;
		if (kind == LOAM_PKT_END)
			return loam_fail(err, LOAM_E_INVALID, "the client ended within a request");
		request->has_data = kind != LOAM_PKT_FLUSH;
	}
	return 0;
}

int loam_ssh_request_refuse(struct loam_ssh_request *request, int status, const char *message,
			    struct loam_err *err)
{
	int rc = loam_ssh_request_drain(request, err);
	if (rc == 0)
		rc = loam_pkt_line(request->pkt, err, "status %d", status);
	if (rc == 0)
		rc = loam_pkt_delim(request->pkt, err);
	if (rc == 0)
		rc = loam_pkt_line(request->pkt, err, "%s", message);
	return rc < 0 ? rc : loam_pkt_flush(request->pkt, err);
}

int loam_ssh_request_failed(struct loam_ssh_request *request, struct loam_err *failure,
			    struct loam_err *err)
{
	if (failure->code == LOAM_E_INTERRUPTED) {
		*err = *failure;
		return -LOAM_E_INTERRUPTED;
	}
	loam_lfs_transfer_error(failure); /* never 401 or 422, as over HTTP */
	return loam_ssh_request_refuse(request, loam_code_http((int)failure->code), failure->text,
				       err);
}

static struct loam_link link_of(const struct loam_ssh_request *request, const char *oid,
				uint64_t bytes)
{
	const struct loam_ssh_transfer *transfer = request->transfer;
	struct loam_link link = { .repo = *transfer->repo, .bytes = bytes };
	snprintf(link.oid, sizeof(link.oid), "%s", oid);
	snprintf(link.user, sizeof(link.user), "%s", transfer->who->user);
	snprintf(link.token_id, sizeof(link.token_id), "%s", transfer->who->token_id);
	return link;
}

int loam_ssh_request_may(const struct loam_ssh_request *request, enum loam_want want,
			 struct loam_err *err)
{
	struct loam_link link = link_of(request, "", 0);
	struct loam_watch watch;
	return loam_lfs_link_may(request->transfer->lfs->auth, &link, want, &watch, err);
}

/* ---- version, quit --------------------------------------------------------------------------- */

static int answer_ok(struct loam_ssh_request *request, struct loam_err *err)
{
	int rc = loam_ssh_request_drain(request, err);
	if (rc == 0)
		rc = loam_pkt_line(request->pkt, err, "status 200");
	return rc < 0 ? rc : loam_pkt_flush(request->pkt, err);
}

static int run_version(struct loam_ssh_request *request, struct loam_err *err)
{
	if (request->operand && strcmp(request->operand, "1") == 0)
		return answer_ok(request, err);
	return loam_ssh_request_refuse(request, 400, "only version 1 is spoken here", err);
}

static int run_quit(struct loam_ssh_request *request, struct loam_err *err)
{
	request->is_over = true;
	return answer_ok(request, err);
}

/* ---- batch ----------------------------------------------------------------------------------- */

struct batch {
	struct loam_object *objects;
	char (*oids)[LOAM_SHA256_HEX + 1];
	size_t count;
};

static void release_batch(struct batch *batch)
{
	free(batch->objects);
	free(batch->oids);
}

/* "OID SIZE" */
static int read_object(const uint8_t *data, size_t bytes, struct batch *batch, struct loam_err *err)
{
	char line[128];
	if (bytes > 0 && data[bytes - 1] == '\n')
		bytes--;
	if (bytes >= sizeof(line) || memchr(data, '\0', bytes))
		return loam_fail(err, LOAM_E_INVALID, "a line of a batch is no \"OID SIZE\"");
	memcpy(line, data, bytes);
	line[bytes] = '\0';
	char *space = strchr(line, ' ');
	uint64_t size;
	if (space)
		*space = '\0';
	if (!space || !loam_oid_is_valid(line) ||
	    loam_parse_u64(space + 1, 0, LOAM_LFS_OBJECT_BYTES_MAX, &size, err) < 0) {
		loam_err_clear(err);
		return loam_fail(err, LOAM_E_INVALID, "a line of a batch is no \"OID SIZE\"");
	}
	if (batch->count == LOAM_LFS_BATCH_OBJECTS_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE, "over %d objects in one batch",
				 LOAM_LFS_BATCH_OBJECTS_MAX);
	memcpy(batch->oids[batch->count], line, LOAM_SHA256_HEX + 1);
	batch->objects[batch->count] =
		(struct loam_object){ .oid = batch->oids[batch->count], .bytes = size };
	batch->count++;
	return 0;
}

/* All lines are read; what is wrong is in failure. */
static int read_batch(struct loam_ssh_request *request, struct batch *batch,
		      struct loam_err *failure, struct loam_err *err)
{
	const uint8_t *data;
	size_t bytes;
	while (request->has_data) {
		int kind = loam_pkt_read(request->pkt, &data, &bytes, err);
		if (kind < 0)
			return kind;
		if (kind == LOAM_PKT_END)
			return loam_fail(err, LOAM_E_INVALID, "the client ended within a request");
		request->has_data = kind != LOAM_PKT_FLUSH;
		if (kind == LOAM_PKT_DATA && failure->code == LOAM_E_OK)
			read_object(data, bytes, batch, failure);
	}
	return 0;
}

/* Only what this repository holds is there, whatever the pool has (protocols.md B.9). */
static int answer_batch(struct loam_ssh_request *request, const struct batch *batch,
			const uint64_t *sizes, struct loam_err *err)
{
	bool upload = request->transfer->upload;
	int rc = loam_pkt_line(request->pkt, err, "status 200");
	if (rc == 0)
		rc = loam_pkt_delim(request->pkt, err);
	for (size_t i = 0; rc == 0 && i < batch->count; i++) {
		const struct loam_object *object = &batch->objects[i];
		bool same = object->held && object->bytes == sizes[i];
		const char *action = upload	    ? same ? "noop" : "upload"
				     : object->held ? "download"
						    : "noop";
		rc = loam_pkt_line(request->pkt, err, "%s %" PRIu64 " %s", object->oid,
				   object->held && !upload ? object->bytes : sizes[i], action);
	}
	return rc < 0 ? rc : loam_pkt_flush(request->pkt, err);
}

static int decide_batch(struct loam_ssh_request *request, struct batch *batch, struct loam_err *err)
{
	const struct loam_ssh_transfer *transfer = request->transfer;
	loam_auto_free uint64_t *sizes = loam_xcalloc(batch->count + 1, sizeof(*sizes));
	struct loam_err failure = { 0 };
	for (size_t i = 0; i < batch->count; i++)
		sizes[i] = batch->objects[i].bytes;
	const char *algorithm = loam_ssh_request_arg(request, "hash-algo");
	if (algorithm && strcmp(algorithm, "sha256") != 0)
		return loam_ssh_request_refuse(request, 405, "objects are named by sha256 here",
					       err);
	int rc = loam_ssh_request_may(request, transfer->upload ? LOAM_WANT_WRITE : LOAM_WANT_READ,
				      &failure);
	if (rc == 0 && batch->count > 0)
		rc = loam_objects_find(transfer->lfs->tree, transfer->repo, batch->objects,
				       batch->count, &failure);
	return rc < 0 ? loam_ssh_request_failed(request, &failure, err)
		      : answer_batch(request, batch, sizes, err);
}

static int run_batch(struct loam_ssh_request *request, struct loam_err *err)
{
	struct batch batch = {
		.objects = loam_xcalloc(LOAM_LFS_BATCH_OBJECTS_MAX, sizeof(*batch.objects)),
		.oids = loam_xcalloc(LOAM_LFS_BATCH_OBJECTS_MAX, sizeof(*batch.oids)),
	};
	struct loam_err failure = { 0 };
	int rc = read_batch(request, &batch, &failure, err);
	if (rc == 0 && failure.code != LOAM_E_OK)
		rc = loam_ssh_request_failed(request, &failure, err);
	else if (rc == 0)
		rc = decide_batch(request, &batch, err);
	release_batch(&batch);
	return rc;
}

/* ---- objects --------------------------------------------------------------------------------- */

/* The operand, and size= where it is given (or must be). */
static int read_names(const struct loam_ssh_request *request, bool need_size, uint64_t *out_size,
		      struct loam_err *err)
{
	const char *size = loam_ssh_request_arg(request, "size");
	if (!request->operand || !loam_oid_is_valid(request->operand))
		return loam_fail(err, LOAM_E_INVALID, "%s names no object", request->command);
	if (!size && need_size)
		return loam_fail(err, LOAM_E_INVALID, "%s has no size", request->command);
	*out_size = UINT64_MAX;
	return size ? loam_parse_u64(size, 0, LOAM_LFS_OBJECT_BYTES_MAX, out_size, err) : 0;
}

/* All of the body is read; what is wrong is in failure. */
static int take_body(struct loam_ssh_request *request, struct loam_receive *receive, uint64_t size,
		     struct loam_err *failure, struct loam_err *err)
{
	const uint8_t *data;
	size_t bytes;
	uint64_t got = 0;
	while (request->has_data) {
		int kind = loam_pkt_read(request->pkt, &data, &bytes, err);
		if (kind < 0)
			return kind;
		if (kind == LOAM_PKT_END)
			return loam_fail(err, LOAM_E_INVALID, "the client ended within an object");
		request->has_data = kind != LOAM_PKT_FLUSH;
		if (kind != LOAM_PKT_DATA)
			continue;
		got += bytes;
		if (receive && failure->code == LOAM_E_OK && bytes > 0)
			loam_receive_add(receive, data, bytes, failure);
		if (got > size && got - size > OVERSHOOT_MAX)
			return loam_fail(err, LOAM_E_INVALID,
					 "the object is far longer than its size");
	}
	return 0;
}

static int run_put(struct loam_ssh_request *request, struct loam_err *err)
{
	const struct loam_ssh_transfer *transfer = request->transfer;
	struct loam_receive *receive = NULL;
	struct loam_err failure = { 0 };
	uint64_t size = 0;
	char counts_as[64];
	if (!transfer->upload)
		return loam_ssh_request_refuse(request, 403, "this session downloads", err);
	int rc = read_names(request, true, &size, &failure);
	if (rc == 0) {
		struct loam_link link = link_of(request, request->operand, size);
		snprintf(counts_as, sizeof(counts_as), "%s", loam_principal_name(transfer->who));
		loam_receive_begin(transfer->lfs, &link, counts_as, &receive, &failure);
	}
	rc = take_body(request, receive, size, &failure, err);
	if (rc == 0 && failure.code == LOAM_E_OK)
		loam_receive_finish(receive, &failure);
	loam_receive_free(receive);
	if (rc < 0)
		return rc;
	return failure.code ? loam_ssh_request_failed(request, &failure, err)
			    : answer_ok(request, err);
}

/* Nothing ends a body but its end: a failure behind the status cuts the session. */
static int send_body(struct loam_ssh_request *request, struct loam_send *send, struct loam_err *err)
{
	loam_auto_free uint8_t *frame = loam_xcalloc(1, LOAM_PKT_BYTES_MAX);
	int rc = loam_pkt_line(request->pkt, err, "status 200");
	if (rc == 0)
		rc = loam_pkt_line(request->pkt, err, "size=%" PRIu64, loam_send_bytes(send));
	if (rc == 0)
		rc = loam_pkt_delim(request->pkt, err);
	while (rc == 0) {
		int64_t got =
			loam_send_read(send, frame + (LOAM_PKT_BYTES_MAX - LOAM_PKT_PAYLOAD_MAX),
				       LOAM_PKT_PAYLOAD_MAX, err);
		if (got < 0)
			return (int)got;
		if (got == 0)
			return loam_pkt_flush(request->pkt, err);
		rc = loam_pkt_send(request->pkt, frame, (size_t)got, err);
	}
	return rc;
}

static int run_get(struct loam_ssh_request *request, struct loam_err *err)
{
	const struct loam_ssh_transfer *transfer = request->transfer;
	struct loam_send *send = NULL;
	struct loam_err failure = { 0 };
	uint64_t size;
	int rc = loam_ssh_request_drain(request, err);
	if (rc < 0)
		return rc;
	rc = read_names(request, false, &size, &failure);
	if (rc == 0) {
		struct loam_link link = link_of(request, request->operand, 0);
		rc = loam_send_open(transfer->lfs, &link, loam_principal_name(transfer->who), &send,
				    &failure);
	}
	if (rc == 0 && size != UINT64_MAX && size != loam_send_bytes(send))
		rc = loam_fail(&failure, LOAM_E_INVALID, "the object has %" PRIu64 " bytes",
			       loam_send_bytes(send));
	rc = rc < 0 ? loam_ssh_request_failed(request, &failure, err)
		    : send_body(request, send, err);
	loam_send_free(send);
	return rc;
}

static int verify(const struct loam_ssh_request *request, int *out_status, struct loam_err *err)
{
	const struct loam_ssh_transfer *transfer = request->transfer;
	uint64_t size, ino, bytes;
	int rc = read_names(request, true, &size, err);
	if (rc == 0)
		rc = loam_ssh_request_may(request, LOAM_WANT_WRITE, err);
	if (rc < 0)
		return rc;
	rc = loam_lfs_holds(transfer->lfs->tree, transfer->repo, request->operand, &ino, &bytes,
			    err);
	if (rc >= 0)
		*out_status = !rc ? 404 : bytes != size ? 409 : 200;
	return rc < 0 ? rc : 0;
}

static int run_verify(struct loam_ssh_request *request, struct loam_err *err)
{
	struct loam_err failure = { 0 };
	int status = 0;
	if (!request->transfer->upload)
		return loam_ssh_request_refuse(request, 403, "this session downloads", err);
	if (verify(request, &status, &failure) < 0)
		return loam_ssh_request_failed(request, &failure, err);
	if (status == 200)
		return answer_ok(request, err);
	return loam_ssh_request_refuse(request, status,
				       status == 404 ? "Object does not exist"
						     : "the object has another size",
				       err);
}

/* ---- the conversation ------------------------------------------------------------------------ */

static const struct {
	const char *name;
	int (*run)(struct loam_ssh_request *request, struct loam_err *err);
} commands[] = {
	{ "version", run_version },
	{ "batch", run_batch },
	{ "put-object", run_put },
	{ "get-object", run_get },
	{ "verify-object", run_verify },
	{ "lock", loam_ssh_lock },
	{ "list-lock", loam_ssh_list_lock },
	{ "list-locks", loam_ssh_list_lock }, /* how git-lfs spells it */
	{ "unlock", loam_ssh_unlock },
	{ "quit", run_quit },
};

static void release_request(struct loam_ssh_request *request)
{
	free(request->command);
	for (size_t i = 0; i < request->arg_count; i++)
		free(request->args[i]);
}

static int take_line(struct loam_ssh_request *request, const uint8_t *data, size_t bytes,
		     struct loam_err *err)
{
	if (bytes > 0 && data[bytes - 1] == '\n')
		bytes--;
	if (memchr(data, '\0', bytes) || memchr(data, '\n', bytes))
		return loam_fail(err, LOAM_E_INVALID, "a line of the client is no text");
	char *line = loam_xstrndup((const char *)data, bytes);
	if (!request->command) {
		request->command = line;
		request->operand = strchr(line, ' ');
		if (request->operand)
			*request->operand++ = '\0';
		return 0;
	}
	if (request->arg_count == LOAM_SSH_ARGS_MAX) {
		free(line);
		return loam_fail(err, LOAM_E_INVALID, "a request with over %d arguments",
				 LOAM_SSH_ARGS_MAX);
	}
	request->args[request->arg_count++] = line;
	return 0;
}

/* 1 a request, 0 the client has ended between two. */
static int read_request(struct loam_ssh_request *request, struct loam_err *err)
{
	for (;;) {
		const uint8_t *data;
		size_t bytes;
		int kind = loam_pkt_read(request->pkt, &data, &bytes, err);
		if (kind < 0)
			return kind;
		if (kind == LOAM_PKT_END && !request->command)
			return 0;
		if (kind == LOAM_PKT_END)
			return loam_fail(err, LOAM_E_INVALID, "the client ended within a request");
		if (kind != LOAM_PKT_DATA) {
			request->has_data = kind == LOAM_PKT_DELIM;
			return 1;
		}
		int rc = take_line(request, data, bytes, err);
		if (rc < 0)
			return rc;
	}
}

static int run_request(struct loam_ssh_request *request, struct loam_err *err)
{
	for (size_t i = 0; request->command && i < LOAM_ARRAY_COUNT(commands); i++)
		if (strcmp(request->command, commands[i].name) == 0)
			return commands[i].run(request, err);
	return loam_ssh_request_refuse(request, 400, "no such command", err);
}

static int announce(struct loam_pkt *pkt, struct loam_err *err)
{
	int rc = loam_pkt_line(pkt, err, "version=1");
	if (rc == 0)
		rc = loam_pkt_line(pkt, err, "locking");
	return rc < 0 ? rc : loam_pkt_flush(pkt, err);
}

int loam_ssh_transfer_run(const struct loam_ssh_transfer *transfer, struct loam_err *err)
{
	struct loam_pkt *pkt = loam_pkt_new(&transfer->io);
	int rc = announce(pkt, err);
	bool over = false;
	while (rc == 0 && !over) {
		struct loam_ssh_request request = { .transfer = transfer, .pkt = pkt };
		int got = read_request(&request, err);
		rc = got > 0 ? run_request(&request, err) : got;
		over = got <= 0 || request.is_over;
		release_request(&request);
	}
	loam_pkt_free(pkt);
	return rc;
}
