/*
 * Answering hooks (server/hook_socket.h).
 *
 * The socket is 0600 until a repository of another server is met, whose hooks run under other
 * accounts: then everybody on this host who may enter its directory can reach it. What counts is
 * the ticket or key in each message (docs/decisions/0001-hook-socket.md).
 */
#include "server/hook_socket.h"

#include "auth/audit.h"
#include "auth/gate.h"
#include "core/acceptor.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/hash.h"
#include "core/log.h"
#include "core/stream.h"
#include "githook/channel.h"
#include "lfs/lfs.h"
#include "lfs/lock_store.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <uthash.h>

#define HOOKS_MAX    64
#define TICKETS_MAX  4096
#define IDLE_MS	     120000 /* between two messages of a hook */
#define FIRST_MS     10000  /* until the first one, ticket or key in it, is whole */
#define SEND_SECONDS 30
#define TEXT_MAX     1024
#define NOTES_SHOWN  20

struct ticket {
	char text[LOAM_TICKET_BYTES];
	struct loam_repo repo;
	struct loam_principal who;
	struct loam_audit_scope scope; /* of the request that pushes */
	bool spoken, refused;	       /* its hooks: came here; said that the push is refused */
	size_t moved;		       /* refs that they told of */
	UT_hash_handle hh;
};

struct loam_hook_socket {
	struct loam_auth *auth;
	struct loam_publisher *publisher;
	char *path;
	int fd;
	struct loam_acceptor *acceptor;
	pthread_mutex_t lock; /* tickets */
	struct ticket *tickets;
};

struct conversation {
	struct loam_hook_socket *socket;
	int fd;
	bool has_spoken;
	struct loam_buf received;
};

/* ---- tickets --------------------------------------------------------------------------------- */

int loam_hook_ticket_new(struct loam_hook_socket *socket, const struct loam_repo *repo,
			 const struct loam_principal *who, char out_ticket[LOAM_TICKET_BYTES],
			 struct loam_err *err)
{
	loam_guard(&socket->lock);
	if (HASH_COUNT(socket->tickets) >= TICKETS_MAX)
		return loam_fail(err, LOAM_E_BUSY, "too many pushes at once");
	struct ticket *ticket = loam_xnew(struct ticket);
	loam_random_base62(ticket->text, LOAM_TICKET_BYTES - 1);
	ticket->repo = *repo;
	ticket->who = *who;
	ticket->scope = loam_audit_scope_copy();
	HASH_ADD_STR(socket->tickets, text, ticket);
	memcpy(out_ticket, ticket->text, LOAM_TICKET_BYTES);
	return 0;
}

/* What git refused by itself (objects, a ref that moved, a hidden ref) or what broke off. */
static void audit_end(const struct ticket *ticket, size_t asked)
{
	struct loam_err err = { 0 };
	bool nothing_came = asked == 0 && (!ticket->spoken || ticket->moved > 0);
	if (ticket->refused || nothing_came || (asked > 0 && ticket->moved >= asked))
		return;
	const struct loam_audit_scope own = loam_audit_scope_copy();
	loam_audit_scope_resume(&ticket->scope);
	loam_fail(&err, LOAM_E_INVALID, "git refused it, or the push broke off");
	loam_audit(&(struct loam_audit_entry){ .action = "git.push",
					       .repo = &ticket->repo,
					       .count = asked > ticket->moved
								? asked - ticket->moved
								: 0 },
		   -LOAM_E_INVALID, &err);
	loam_audit_scope_resume(&own);
}

void loam_hook_ticket_end(struct loam_hook_socket *socket, const char *text, size_t asked)
{
	pthread_mutex_lock(&socket->lock);
	struct ticket *ticket;
	HASH_FIND_STR(socket->tickets, text, ticket);
	if (ticket)
		HASH_DEL(socket->tickets, ticket);
	pthread_mutex_unlock(&socket->lock);
	if (ticket)
		audit_end(ticket, asked);
	free(ticket);
}

/* A hook's news for the ticket's end: refs that moved, or that the push is refused. false: it was
 * told before. */
static bool note_ticket(struct loam_hook_socket *socket, const char *text, size_t moved,
			bool refused)
{
	loam_guard(&socket->lock);
	struct ticket *ticket;
	HASH_FIND_STR(socket->tickets, text, ticket);
	if (!ticket)
		return true;
	bool told = ticket->refused;
	ticket->moved += moved;
	ticket->refused |= refused;
	return !told;
}

static int find_ticket(struct loam_hook_socket *socket, const char *text, struct loam_repo *repo,
		       struct loam_principal *who, struct loam_err *err)
{
	loam_guard(&socket->lock);
	struct ticket *ticket;
	HASH_FIND_STR(socket->tickets, text, ticket);
	if (!ticket)
		return loam_fail(err, LOAM_E_DENIED, "this push is over: its ticket is unknown");
	ticket->spoken = true;
	loam_audit_scope_resume(&ticket->scope);
	*repo = ticket->repo;
	*who = ticket->who;
	return 0;
}

/* An installed hook: the gate holds the hash of its key. The other server has decided the rights.
 */
static int check_key(struct loam_hook_socket *socket, const char *repo_text, const char *key,
		     struct loam_repo *repo, struct loam_principal *who, struct loam_err *err)
{
	const struct loam_tree *tree = loam_auth_tree(socket->auth);
	struct loam_gate gate;
	int rc = loam_repo_parse(repo_text, repo, err);
	if (rc == 0)
		rc = loam_gate_read(tree, repo, &gate, err);
	if (rc < 0)
		return rc;
	uint64_t ino = rc == 1 ? gate.ino : 0;
	if (rc == 1)
		loam_gate_release(&gate);
	char hash[LOAM_SHA256_HEX + 1];
	uint8_t digest[LOAM_SHA256_BYTES];
	loam_sha256_of(key, strlen(key), digest);
	loam_hex(digest, sizeof(digest), hash);
	loam_auto_buf struct loam_buf held = LOAM_BUF(LOAM_SHA256_HEX);
	struct loam_err ignored = { 0 };
	if (ino == 0 ||
	    loam_meta_getxattr(tree->volume->meta, ino, LOAM_XATTR_HOOK, &held, &ignored) < 0 ||
	    held.bytes != LOAM_SHA256_HEX || !loam_equal_secret(held.data, hash, LOAM_SHA256_HEX))
		return loam_fail(err, LOAM_E_DENIED,
				 "the key of this hook is not valid: run loam hook install again");
	*who = (struct loam_principal){ .kind = LOAM_ADMIN };
	return 0;
}

/* Who speaks for which repository. */
static int identify(struct loam_hook_socket *socket, const json_t *message, struct loam_repo *repo,
		    struct loam_principal *who, struct loam_err *err)
{
	const char *ticket = NULL, *repo_text = NULL, *key = NULL;
	loam_audit_begin(LOAM_DOOR_HOOK, NULL, NULL);
	int rc = loam_json_text(message, "ticket", &ticket, err);
	if (rc == 1)
		rc = find_ticket(socket, ticket, repo, who, err);
	else if (rc == 0 && (rc = loam_json_text(message, "repo", &repo_text, err)) == 1 &&
		 (rc = loam_json_text(message, "key", &key, err)) == 1)
		rc = check_key(socket, repo_text, key, repo, who, err);
	else if (rc == 0)
		rc = loam_fail(err, LOAM_E_DENIED, "a message without ticket or key");
	return rc;
}

/* The right to push, as of now: the account may be disabled, the token revoked since it began. */
static int check_right(struct loam_hook_socket *socket, struct loam_principal *who,
		       const struct loam_repo *repo, struct loam_err *err)
{
	int rc = loam_auth_renew(socket->auth, who, err);
	return rc < 0 ? rc : loam_auth_check(socket->auth, who, repo, LOAM_WANT_WRITE, NULL, err);
}

/* ---- answers --------------------------------------------------------------------------------- */

static int send_json(struct conversation *talk, json_t *message, struct loam_err *err)
{
	loam_auto_json json_t *owned = message;
	loam_auto_buf struct loam_buf line = LOAM_BUF(LOAM_HOOK_LINE_BYTES_MAX);
	int rc = loam_json_print(owned, &line, err);
	if (rc == 0)
		rc = loam_buf_add(&line, "\n", 1, err);
	for (size_t sent = 0; rc == 0 && sent < line.bytes;) {
		ssize_t n = send(talk->fd, line.data + sent, line.bytes - sent, MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			return loam_fail_errno(err, "answer a hook");
		sent += n > 0 ? (size_t)n : 0;
	}
	return rc;
}

/* {key: text}. Names in a tree are bytes; JSON takes UTF-8 only, a terminal no control bytes. */
static int send_text(struct conversation *talk, const char *key, const char *text,
		     struct loam_err *err)
{
	char shown[TEXT_MAX];
	snprintf(shown, sizeof(shown), "%s", text);
	for (char *c = shown; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7F)
			*c = '?';
	json_t *value = json_string(shown);
	for (char *c = shown; !value && *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	return send_json(talk, json_pack("{s:o}", key, value ? value : json_string(shown)), err);
}

static int send_line(struct conversation *talk, const char *text, struct loam_err *err)
{
	return send_text(talk, "line", text, err);
}

/* One (oid, size): into missing or wrong_size when the repository does not hold it so. */
static int check_object(struct conversation *talk, const struct loam_repo *repo, json_t *object,
			json_t *missing, json_t *wrong_size, struct loam_err *err)
{
	const char *oid = NULL;
	uint64_t size = 0, ino = 0, held = 0;
	if (loam_json_text(object, "oid", &oid, err) != 1 ||
	    loam_json_u64(object, "size", &size, err) != 1 || !loam_oid_is_valid(oid)) {
		loam_err_clear(err);
		return loam_fail(err, LOAM_E_INVALID, "an object without oid and size");
	}
	int rc = loam_lfs_holds(loam_auth_tree(talk->socket->auth), repo, oid, &ino, &held, err);
	if (rc < 0)
		return rc;
	if (rc == 0)
		json_array_append_new(missing, json_string(oid));
	else if (held != size)
		json_array_append_new(wrong_size, json_string(oid));
	return 0;
}

static int answer_holds(struct conversation *talk, const struct loam_repo *repo,
			const struct loam_principal *who, const json_t *message,
			struct loam_err *err)
{
	const json_t *objects = json_object_get(message, "objects");
	if (!json_is_array(objects) || json_array_size(objects) > LOAM_HOOK_PAIRS_MAX)
		return loam_fail(err, LOAM_E_INVALID, "at most %d objects a message",
				 LOAM_HOOK_PAIRS_MAX);
	loam_auto_json json_t *missing = json_array();
	loam_auto_json json_t *wrong_size = json_array();
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < json_array_size(objects); i++)
		rc = check_object(talk, repo, json_array_get(objects, i), missing, wrong_size, err);
	if (rc < 0)
		return rc;
	return send_json(talk,
			 json_pack("{s:O, s:O}", "missing", missing, "wrong_size", wrong_size),
			 err);
}

/* Those of others. A key says nothing about who pushes: no locks then (docs/known-limits.md). */
static int answer_locks(struct conversation *talk, const struct loam_repo *repo,
			const struct loam_principal *who, const json_t *message,
			struct loam_err *err)
{
	struct loam_lock_query query = { 0 };
	struct loam_lock_page page = { 0 };
	int rc = loam_json_text(message, "cursor", &query.cursor, err);
	if (rc >= 0 && who->kind != LOAM_ADMIN)
		rc = loam_lock_store_list(loam_auth_tree(talk->socket->auth), repo, &query, &page,
					  err);
	if (rc < 0)
		return rc;
	json_t *locks = json_array();
	for (size_t i = 0; i < page.count; i++)
		if (!who->user[0] || page.locks[i].uid != who->uid)
			json_array_append_new(locks, loam_lock_to_json(&page.locks[i]));
	json_t *answer = json_pack("{s:o}", "locks", locks);
	if (page.next_cursor[0])
		json_object_set_new(answer, "next_cursor", json_string(page.next_cursor));
	loam_lock_page_release(&page);
	return send_json(talk, answer, err);
}

static void human_bytes(uint64_t bytes, char out[32])
{
	static const char *const units[] = { "B", "KB", "MB", "GB", "TB", "PB" };
	double value = (double)bytes;
	size_t unit = 0;
	for (; value >= 1000 && unit + 1 < LOAM_ARRAY_COUNT(units); unit++)
		value /= 1000;
	snprintf(out, 32, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

static int report(struct conversation *talk, const struct loam_repo *repo,
		  const struct loam_published *published, struct loam_err *err)
{
	char text[LOAM_REPO_TEXT_BYTES], bytes[32], line[512];
	loam_repo_text(repo, text);
	int rc = 0;
	const char *rest = loam_buf_text(&published->notes);
	for (int shown = 0; rc == 0 && *rest && shown < NOTES_SHOWN; shown++) {
		size_t length = strcspn(rest, "\n");
		snprintf(line, sizeof(line), "%.*s", (int)length, rest);
		rc = send_line(talk, line, err);
		rest += length + (rest[length] == '\n');
	}
	if (rc == 0 && *rest)
		rc = send_line(talk, "and more of the same", err);
	human_bytes(published->bytes, bytes);
	if (published->commit[0] == '\0')
		snprintf(line, sizeof(line), "%s is empty on the mount: its branch is gone", text);
	else
		snprintf(line, sizeof(line), "%s@%.7s is on the mount: %llu file%s, %s, %llu ms",
			 text, published->commit, (unsigned long long)published->files,
			 published->files == 1 ? "" : "s", bytes,
			 (unsigned long long)published->ms);
	return rc < 0 ? rc : send_line(talk, line, err);
}

static int answer_publish(struct conversation *talk, const struct loam_repo *repo,
			  const struct loam_principal *who, const json_t *message,
			  struct loam_err *err)
{
	const char *first = NULL;
	struct loam_published published;
	loam_json_text(message, "first", &first, err);
	loam_err_clear(err);
	int rc = loam_publish_first(talk->socket->publisher, repo, first && first[0] ? first : NULL,
				    &published, err);
	if (rc < 0)
		return rc;
	rc = report(talk, repo, &published, err);
	loam_published_release(&published);
	return rc < 0 ? rc : send_json(talk, json_pack("{s:b}", "done", 1), err);
}

/* ---- the audit log --------------------------------------------------------------------------- */

/* [ref, old, new] of each ref that has moved: it is done, whatever the rights are by now. */
static int answer_updated(struct conversation *talk, const struct loam_repo *repo,
			  const struct loam_principal *who, const json_t *message,
			  struct loam_err *err)
{
	const json_t *updates = json_object_get(message, "updates"), *update;
	const char *ticket = json_string_value(json_object_get(message, "ticket"));
	size_t i;
	if (!json_is_array(updates) || json_array_size(updates) > LOAM_HOOK_UPDATES_MAX)
		return loam_fail(err, LOAM_E_INVALID, "at most %d refs a message",
				 LOAM_HOOK_UPDATES_MAX);
	json_array_foreach (updates, i, update) {
		const struct loam_audit_entry entry = {
			.action = "git.push",
			.repo = repo,
			.ref = json_string_value(json_array_get(update, 0)),
			.old_id = json_string_value(json_array_get(update, 1)),
			.new_id = json_string_value(json_array_get(update, 2)),
		};
		loam_audit(&entry, 0, NULL);
	}
	if (ticket)
		note_ticket(talk->socket, ticket, json_array_size(updates), false);
	return send_json(talk, json_pack("{s:b}", "done", 1), err);
}

static void audit_refusal(struct conversation *talk, const struct loam_repo *repo,
			  const json_t *message, const struct loam_err *why)
{
	const char *ticket = json_string_value(json_object_get(message, "ticket"));
	if (!ticket || note_ticket(talk->socket, ticket, 0, true))
		loam_audit(&(struct loam_audit_entry){ .action = "git.push", .repo = repo },
			   -(int)why->code, why);
}

/* pre-receive has decided. */
static int answer_refused(struct conversation *talk, const struct loam_repo *repo,
			  const struct loam_principal *who, const json_t *message,
			  struct loam_err *err)
{
	struct loam_err why = { 0 };
	const char *reason = json_string_value(json_object_get(message, "reason"));
	loam_fail(&why, LOAM_E_DENIED, "%s", reason ? reason : "");
	audit_refusal(talk, repo, message, &why);
	return send_json(talk, json_pack("{s:b}", "done", 1), err);
}

/* ---- operations ------------------------------------------------------------------------------ */

static const struct operation {
	const char *name;
	bool needs_right; /* to push, as of now */
	int (*answer)(struct conversation *talk, const struct loam_repo *repo,
		      const struct loam_principal *who, const json_t *message,
		      struct loam_err *err);
} operations[] = {
	{ "holds", true, answer_holds },      { "locks", true, answer_locks },
	{ "publish", true, answer_publish },  { "updated", false, answer_updated },
	{ "refused", false, answer_refused },
};

static const struct operation *find_operation(const json_t *message)
{
	const char *name = json_string_value(json_object_get(message, "op"));
	for (size_t i = 0; name && i < LOAM_ARRAY_COUNT(operations); i++)
		if (strcmp(operations[i].name, name) == 0)
			return &operations[i];
	return NULL;
}

static int answer(struct conversation *talk, const json_t *message, struct loam_err *err)
{
	const struct operation *operation = find_operation(message);
	struct loam_repo repo;
	struct loam_principal who;
	int rc = identify(talk->socket, message, &repo, &who, err);
	bool known = rc == 0;
	if (rc == 0 && !operation)
		rc = loam_fail(err, LOAM_E_INVALID, "an operation that hooks do not have");
	if (rc == 0 && operation->needs_right)
		rc = check_right(talk->socket, &who, &repo, err);
	if (rc == 0)
		rc = operation->answer(talk, &repo, &who, message, err);
	if (rc < 0)
		audit_refusal(talk, known ? &repo : NULL, message, err);
	loam_audit_end();
	return rc;
}

/* ---- connections ----------------------------------------------------------------------------- */

/* 1 message, 0 the hook is gone or silent. */
static int next_message(struct conversation *talk, json_t **out, struct loam_err *err)
{
	struct loam_deadline deadline = loam_deadline_in(talk->has_spoken ? IDLE_MS : FIRST_MS);
	for (;;) {
		int rc = loam_channel_take(&talk->received, out, err);
		if (rc != 0)
			return rc;
		struct pollfd ready = { .fd = talk->fd, .events = POLLIN };
		char piece[65536];
		if (poll(&ready, 1, loam_deadline_left_ms(deadline)) <= 0)
			return 0;
		ssize_t got = recv(talk->fd, piece, sizeof(piece), 0);
		if (got <= 0)
			return 0;
		rc = loam_buf_add(&talk->received, piece, (size_t)got, err);
		if (rc < 0)
			return rc;
	}
}

static void *begin(void *arg, int fd)
{
	struct conversation *talk = loam_xnew(struct conversation);
	*talk = (struct conversation){ .socket = arg,
				       .fd = fd,
				       .received = LOAM_BUF(LOAM_HOOK_LINE_BYTES_MAX) };
	return talk;
}

static void converse(void *arg)
{
	struct conversation *talk = arg;
	for (;;) {
		struct loam_err err = { 0 }, unsent = { 0 };
		loam_auto_json json_t *message = NULL;
		int rc = next_message(talk, &message, &err);
		if (rc == 0)
			break;
		if (rc == 1)
			rc = answer(talk, message, &err);
		if (rc < 0) {
			loam_info("hook.refused", "error=%s", err.text);
			send_text(talk, "error", err.text, &unsent);
			break;
		}
		talk->has_spoken = true;
	}
}

static void end(void *arg, bool too_many)
{
	struct conversation *talk = arg;
	if (too_many)
		loam_info("hook.refused", "error=too many hooks");
	loam_buf_release(&talk->received);
	free(talk);
}

static const struct loam_acceptor_ops hook_talks = { begin, converse, end };

int loam_hook_socket_listen(const char *path, int *out_fd, struct loam_err *err)
{
	return loam_stream_listen_unix(path, 0600, HOOKS_MAX, out_fd, err);
}

void loam_hook_socket_open_to_all(struct loam_hook_socket *socket)
{
	if (chmod(socket->path, 0666) < 0)
		loam_warn("hook.socket", "path=%s error=%s", socket->path, strerror(errno));
}

int loam_hook_socket_open(const char *path, int fd, struct loam_auth *auth,
			  struct loam_publisher *publisher, struct loam_hook_socket **out_socket,
			  struct loam_err *err)
{
	struct loam_hook_socket *socket = loam_xnew(struct loam_hook_socket);
	*socket = (struct loam_hook_socket){
		.auth = auth, .publisher = publisher, .path = loam_xstrdup(path), .fd = fd
	};
	pthread_mutex_init(&socket->lock, NULL);
	int rc = loam_acceptor_open(fd, HOOKS_MAX, SEND_SECONDS, &hook_talks, socket,
				    &socket->acceptor, err);
	if (rc < 0) {
		pthread_mutex_destroy(&socket->lock);
		free(socket->path);
		free(socket);
		return loam_context(err, "hooks");
	}
	*out_socket = socket;
	return 0;
}

bool loam_hook_socket_close(struct loam_hook_socket *socket, uint64_t wait_ms)
{
	if (!socket)
		return true;
	loam_acceptor_stop(socket->acceptor);
	if (!loam_acceptor_wait(socket->acceptor, wait_ms, NULL))
		return false;
	loam_acceptor_free(socket->acceptor);
	unlink(socket->path); /* when its directory is ours; else the next server replaces it */
	close(socket->fd);
	struct ticket *ticket, *next;
	HASH_ITER (hh, socket->tickets, ticket, next) {
		HASH_DEL(socket->tickets, ticket);
		free(ticket);
	}
	pthread_mutex_destroy(&socket->lock);
	free(socket->path);
	free(socket);
	return true;
}
