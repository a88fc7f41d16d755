/*
 * Operations that make history without Git on the user's side (auth/op.h): a directory is
 * published, a repository forked.
 */
#include "auth/account_store.h"
#include "auth/audit.h"
#include "core/auto.h"
#include "sync/commit_dir.h"
#include "sync/fork.h"
#include "sync/op_repo.h"

#include <ctype.h>
#include <string.h>

#define HOST_BYTES	64
#define NOTES_SHOWN_MAX 100

/* ---- publish --------------------------------------------------------------------------------- */

/* The name of this server, as clients call it, for addresses of authors. */
static void host_of(const char *base_url, char out[HOST_BYTES])
{
	const char *host = base_url ? strstr(base_url, "://") : NULL;
	size_t bytes = 0;
	for (host = host ? host + 3 : ""; bytes + 1 < HOST_BYTES; host++) {
		if (!isalnum((unsigned char)*host) && !strchr("-.", *host))
			break;
		if (*host == '\0')
			break;
		out[bytes++] = *host;
	}
	out[bytes] = '\0';
	if (bytes == 0)
		snprintf(out, HOST_BYTES, "loam");
}

static int check_email(const char *email, struct loam_err *err)
{
	size_t bytes = strlen(email);
	bool fine = bytes > 2 && bytes <= LOAM_COMMIT_EMAIL_BYTES_MAX && strchr(email, '@');
	for (const char *c = email; fine && *c; c++)
		fine = (unsigned char)*c > ' ' && *c != 0x7f && *c != '<' && *c != '>';
	return fine ? 0
		    : loam_fail(err, LOAM_E_UNPROCESSABLE, "'email' is no address of an author");
}

static int need_number(const struct loam_op_call *call, const char *name, uint64_t *out,
		       struct loam_err *err)
{
	int rc = loam_json_u64(call->body, name, out, err);
	if (rc == 0)
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "'%s' is missing", name);
	return rc < 0 ? rc : 0;
}

static int read_call(const struct loam_op_call *call, struct loam_commit_dir *out,
		     struct loam_err *err)
{
	uint64_t seconds = 0, nanoseconds = 0;
	int rc = need_number(call, "ino", &out->ino, err);
	if (rc == 0)
		rc = need_number(call, "changed_sec", &seconds, err);
	if (rc == 0)
		rc = need_number(call, "changed_nsec", &nanoseconds, err);
	if (rc == 0)
		rc = loam_op_need_text(call, "message", &out->message, err);
	if (rc == 0)
		rc = loam_json_text(call->body, "email", &out->email, err);
	if (rc == 1)
		rc = check_email(out->email, err);
	if (rc < 0)
		return rc;
	if (strlen(out->message) > LOAM_COMMIT_MESSAGE_BYTES_MAX ||
	    strspn(out->message, " \t\r\n") == strlen(out->message))
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "'message' has 1 to %d bytes",
				 LOAM_COMMIT_MESSAGE_BYTES_MAX);
	out->changed = (struct timespec){ .tv_sec = (time_t)seconds, .tv_nsec = (long)nanoseconds };
	return 0;
}

/* Lines are bytes of paths: those that are no UTF-8 are shown with '?'. */
static json_t *line_json(const char *line, size_t bytes)
{
	loam_auto_free char *text = loam_xstrndup(line, bytes);
	json_t *json = json_string(text);
	for (char *c = text; !json && *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	return json ? json : json_string(text);
}

static json_t *notes_json(const struct loam_buf *notes)
{
	json_t *array = json_array();
	const char *rest = loam_buf_text(notes);
	while (*rest && json_array_size(array) < NOTES_SHOWN_MAX) {
		size_t bytes = strcspn(rest, "\n");
		json_array_append_new(array, line_json(rest, bytes));
		rest += bytes + (rest[bytes] == '\n');
	}
	return array;
}

static json_t *committed_json(const struct loam_op_call *call,
			      const struct loam_committed_dir *committed)
{
	const struct loam_workspace_stats *stats = &committed->stats;
	const struct loam_published *published = &committed->published;
	return json_pack("{s:s, s:b, s:b, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
			 "repo", call->repo_text, "changed", committed->changed, "merged",
			 committed->merged, "commit", committed->commit, "branch",
			 committed->branch, "files", (json_int_t)published->files, "bytes",
			 (json_int_t)published->bytes, "known_files",
			 (json_int_t)stats->known_files, "hashed_files",
			 (json_int_t)stats->hashed_files, "hashed_bytes",
			 (json_int_t)stats->hashed_bytes, "small_files",
			 (json_int_t)stats->small_files, "small_bytes",
			 (json_int_t)stats->small_bytes, "ignored", (json_int_t)stats->ignored,
			 "notes", notes_json(&published->notes));
}

static int run_publish(struct loam_op_call *call, struct loam_err *err)
{
	char host[HOST_BYTES];
	struct loam_committed_dir committed;
	struct loam_commit_dir dir = {
		.auth = call->context->auth, .who = call->who, .repo = &call->repo, .host = host
	};
	if (!call->context->publisher)
		return loam_fail(err, LOAM_E_DENIED,
				 "a directory is published by a server, in the name of its reader: "
				 "run loam login");
	host_of(call->base_url, host);
	int rc = read_call(call, &dir, err);
	if (rc < 0)
		return rc;
	rc = loam_commit_dir(call->context->publisher, &dir, &committed, err);
	if (rc == -LOAM_E_AGAIN) { /* no refusal: the caller looks at the directory again */
		call->answer = json_pack("{s:s, s:b, s:b, s:s}", "repo", call->repo_text, "changed",
					 0, "again", 1, "message", err->text);
		loam_err_clear(err);
		return 0;
	}
	if (rc < 0 || committed.changed)
		loam_audit(&(struct loam_audit_entry){ .action = "repo.publish",
						       .repo = &call->repo,
						       .ref = rc == 0 ? committed.branch : NULL,
						       .new_id = rc == 0 ? committed.commit : NULL,
						       .count = rc == 0 ? committed.stats.files
									: 0 },
			   rc, err);
	if (rc < 0)
		return rc;
	call->answer = committed_json(call, &committed);
	loam_committed_dir_release(&committed);
	return 0;
}

const struct loam_op loam_op_repo_publish = {
	.name = "repo.publish",
	.method = LOAM_POST,
	.path = "/repos/{repo}/publish",
	.want = LOAM_WANT_WRITE,
	.members = "ino changed_sec changed_nsec message email",
	.status = 200,
	.run = run_publish,
};

/* ---- fork ------------------------------------------------------------------------------------ */

static int read_fork(struct loam_op_call *call, struct loam_fork *fork, struct loam_repo *to,
		     struct loam_err *err)
{
	const char *name, *visibility = "private";
	int rc = loam_op_need_text(call, "to", &name, err);
	if (rc == 0)
		rc = loam_repo_parse(name, to, err);
	if (rc == 0)
		rc = loam_json_text(call->body, "visibility", &visibility, err);
	if (rc >= 0)
		rc = loam_visibility_parse(visibility, &fork->visibility, err);
	return rc < 0 ? rc : loam_repo_choose_owner(call, to, &fork->owner, err);
}

/* Without a server's publisher (the administrator on the volume) one of its own. */
static int do_fork(struct loam_op_call *call, const struct loam_fork *fork,
		   struct loam_forked *forked, struct loam_err *err)
{
	const struct loam_op_context *context = call->context;
	struct loam_publisher *own = NULL;
	int rc = 0;
	if (!context->publisher)
		rc = loam_publisher_open(loam_auth_tree(context->auth), context->config, NULL,
					 context->repos, &own, err);
	if (rc == 0)
		rc = loam_repo_fork(context->publisher ? context->publisher : own, fork, forked,
				    err);
	loam_publisher_close(own);
	return rc;
}

static int may_still_read(void *arg, struct loam_err *err)
{
	const struct loam_op_call *call = arg;
	struct loam_auth *auth = call->context->auth;
	struct loam_principal who = *call->who;
	int rc = loam_auth_renew(auth, &who, err);
	return rc < 0 ? rc : loam_auth_check(auth, &who, &call->repo, LOAM_WANT_READ, NULL, err);
}

static int run_fork(struct loam_op_call *call, struct loam_err *err)
{
	char text[LOAM_REPO_TEXT_BYTES];
	struct loam_repo to;
	struct loam_forked forked;
	struct loam_fork fork = {
		.from = &call->repo, .to = &to, .allow = may_still_read, .allow_arg = call
	};
	int rc = read_fork(call, &fork, &to, err);
	if (rc < 0)
		return rc;
	loam_repo_text(&to, text);
	rc = do_fork(call, &fork, &forked, err);
	loam_audit(&(struct loam_audit_entry){ .action = "repo.fork",
					       .repo = &call->repo,
					       .detail = text },
		   rc, err);
	if (rc < 0)
		return rc;
	call->answer =
		json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "repo", text, "from",
			  call->repo_text, "visibility", loam_visibility_name(fork.visibility),
			  "commit", forked.published.commit, "refs", (json_int_t)forked.refs,
			  "objects", (json_int_t)forked.objects, "files",
			  (json_int_t)forked.published.files, "bytes",
			  (json_int_t)forked.published.bytes);
	loam_repo_add_urls(call, &to, call->answer);
	loam_forked_release(&forked);
	return 0;
}

const struct loam_op loam_op_repo_fork = {
	.name = "repo.fork",
	.method = LOAM_POST,
	.path = "/repos/{repo}/fork",
	.want = LOAM_WANT_READ,
	.members = "to visibility owner",
	.status = 201,
	.run = run_fork,
};
