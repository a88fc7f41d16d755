/*
 * Git smart HTTP, versions 0 to 2, both directions. Steps 1, 2 and 5 of a push.
 *
 *   GET  REPO/info/refs?service=git-upload-pack|git-receive-pack      what there is
 *   POST REPO/git-upload-pack                                         fetch
 *   POST REPO/git-receive-pack                                        push
 *
 * Each request is one git child (server/git_run.h) whose right was asked for before the first byte
 * of the body was read, and is asked again while it runs (auth/watch.h). The dumb protocol has no
 * route. Answers follow what git clients do with a status (protocols.md A.6): 401 only asks for
 * credentials, and a push is refused at info/refs, where the client still shows why.
 */
#include "core/auto.h"
#include "server/git_env.h"
#include "server/git_service.h"
#include "server/http.h"

#include "core/banned.h"

#include <string.h>
#include <strings.h>

static const struct {
	const char *name;   /* of service= and the route */
	const char *action; /* in the audit log */
	enum loam_want want;
	const char *request_type, *result_type, *refs_type;
	const char *refs_line;
} services[] = {
	[LOAM_UPLOAD_PACK] = { "git-upload-pack", "git.fetch", LOAM_WANT_READ,
			       "application/x-git-upload-pack-request",
			       "application/x-git-upload-pack-result",
			       "application/x-git-upload-pack-advertisement",
			       "001e# service=git-upload-pack\n0000" },
	[LOAM_RECEIVE_PACK] = { "git-receive-pack", "git.push", LOAM_WANT_WRITE,
				"application/x-git-receive-pack-request",
				"application/x-git-receive-pack-result",
				"application/x-git-receive-pack-advertisement",
				"001f# service=git-receive-pack\n0000" },
};

struct git_request {
	struct loam_git_service service;
	bool repo_is_valid;
	struct loam_git_commands commands;
	struct loam_watch watch;
};

/* ---- who, where, whether --------------------------------------------------------------------- */

static int check_rights(struct loam_web_request *request, struct loam_err *err)
{
	struct git_request *git = request->state;
	struct loam_git_service *service = &git->service;
	int rc = service->server->authorize(service->server, request,
					    git->repo_is_valid ? &service->repo : NULL,
					    services[service->kind].want, &git->watch, err);
	if (rc == 0)
		service->who = git->watch.who;
	return rc;
}

/* Never 401: the client would ask its user, and send all of it again. */
static int still(void *arg, struct loam_err *err)
{
	struct loam_web_request *request = arg;
	struct git_request *git = request->state;
	int rc = git->service.server->still(&git->watch, err);
	if (rc == -LOAM_E_UNAUTHENTICATED)
		err->code = LOAM_E_DENIED;
	return rc < 0 ? -(int)err->code : 0;
}

static struct git_request *new_request(struct loam_web_request *request, enum loam_git_kind kind)
{
	struct git_request *git = loam_xnew(struct git_request);
	struct loam_err ignored = { 0 };
	git->service.kind = kind;
	git->service.server = request->context;
	git->repo_is_valid =
		loam_repo_parse(loam_web_param(request, "repo"), &git->service.repo, &ignored) == 0;
	request->state = git;
	return git;
}

/* false: answered 429. */
static bool take_slot(struct loam_web_request *request)
{
	struct git_request *git = request->state;
	if (loam_git_service_enter(&git->service, request->peer))
		return true;
	loam_web_answer_text(request, 429,
			     "too many Git operations of yours run already; try again\n");
	loam_web_set_header(request, "Retry-After", "5");
	return false;
}

static bool is_gone(void *arg)
{
	return loam_http_client_gone(arg);
}

/* ---- the child ------------------------------------------------------------------------------- */

static int start_child(struct loam_web_request *request, bool advertise, struct loam_err *err)
{
	struct git_request *git = request->state;
	const char *protocol = request->header(request, "Git-Protocol");
	const char *const words[] = { advertise ? "--http-backend-info-refs" : "--stateless-rpc",
				      NULL };
	const struct loam_git_start start = {
		.door = "http",
		.peer = request->peer,
		.protocol = protocol && loam_git_protocol_is_valid(protocol) ? protocol : NULL,
		.words = words,
		.changes = git->service.kind == LOAM_RECEIVE_PACK && !advertise,
		.has_input = !advertise,
		.still = still,
		.is_gone = is_gone,
		.still_arg = request,
	};
	return loam_git_service_start(&git->service, &start, err);
}

static int64_t source_git(void *arg, void *out, size_t out_bytes, struct loam_err *err)
{
	struct loam_web_request *request = arg;
	struct git_request *git = request->state;
	int rc = still(request, err);
	return rc < 0 ? rc : loam_git_run_read(git->service.run, out, out_bytes, err);
}

static int answer_stream(struct loam_web_request *request, const char *type, struct loam_err *err)
{
	struct git_request *git = request->state;
	int rc = loam_git_run_begin_output(git->service.run, err);
	if (rc < 0)
		return rc;
	request->response.status = 200;
	request->response.source = source_git;
	request->response.source_arg = request;
	loam_web_set_header(request, "Content-Type", type);
	loam_web_set_header(request, "Expires", "Fri, 01 Jan 1980 00:00:00 GMT");
	loam_web_set_header(request, "Pragma", "no-cache");
	loam_web_set_header(request, "Cache-Control", "no-cache, max-age=0, must-revalidate");
	return 0;
}

static void end_git(struct loam_web_request *request)
{
	struct git_request *git = request->state;
	if (!git)
		return;
	/* A push that was refused here has its line; of any other the hooks have told, or git's
	 * refusal is told by its end. */
	if (request->response.status < 400)
		git->service.asked = git->commands.count;
	loam_git_service_end(&git->service);
	free(git);
	request->state = NULL;
}

/* ---- info/refs ------------------------------------------------------------------------------- */

static int begin_refs(struct loam_web_request *request, struct loam_err *err)
{
	loam_auto_free char *name = loam_web_query(request, "service");
	if (!name)
		return loam_fail(err, LOAM_E_NOT_FOUND,
				 "this server speaks Git's smart HTTP protocol only");
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(services); i++) {
		if (strcmp(name, services[i].name) != 0)
			continue;
		new_request(request, (enum loam_git_kind)i);
		request->action = services[i].action;
		int rc = check_rights(request, err);
		if (rc == 0 && take_slot(request))
			rc = start_child(request, true, err);
		return rc;
	}
	return loam_fail(err, LOAM_E_DENIED, "this service is not offered here");
}

static int finish_refs(struct loam_web_request *request, struct loam_err *err)
{
	struct git_request *git = request->state;
	const char *line = services[git->service.kind].refs_line;
	bool is_v2 = git->service.kind == LOAM_UPLOAD_PACK &&
		     loam_git_protocol_is_v2(request->header(request, "Git-Protocol"));
	int rc = loam_git_run_begin_output(git->service.run, err);
	if (rc == 0)
		return loam_fail(err, LOAM_E_IO, "git advertised nothing");
	if (rc == 1)
		rc = answer_stream(request, services[git->service.kind].refs_type, err);
	if (rc == 0 && !is_v2)
		rc = loam_git_run_preface(git->service.run, line, strlen(line), err);
	return rc;
}

/* ---- the two services ------------------------------------------------------------------------ */

static int begin_service(struct loam_web_request *request, enum loam_git_kind kind,
			 struct loam_err *err)
{
	const char *type = request->header(request, "Content-Type");
	new_request(request, kind);
	request->action = services[kind].action;
	int rc = check_rights(request, err);
	if (rc < 0)
		return rc;
	if (!type || strcmp(type, services[kind].request_type) != 0) {
		loam_web_answer_text(request, 415, "this Content-Type is not Git's\n");
		return 0;
	}
	return take_slot(request) ? start_child(request, false, err) : 0;
}

static int begin_upload_pack(struct loam_web_request *request, struct loam_err *err)
{
	return begin_service(request, LOAM_UPLOAD_PACK, err);
}

static int begin_receive_pack(struct loam_web_request *request, struct loam_err *err)
{
	return begin_service(request, LOAM_RECEIVE_PACK, err);
}

static int sink_git(struct loam_web_request *request, const void *data, size_t data_bytes,
		    struct loam_err *err)
{
	struct git_request *git = request->state;
	int rc = still(request, err);
	if (rc == 0 && git->service.kind == LOAM_RECEIVE_PACK)
		rc = loam_git_commands_count(&git->commands, data, data_bytes, err);
	return rc < 0 ? rc : loam_git_run_feed(git->service.run, data, data_bytes, err);
}

static int finish_service(struct loam_web_request *request, struct loam_err *err)
{
	struct git_request *git = request->state;
	loam_git_run_end_input(git->service.run);
	return answer_stream(request, services[git->service.kind].result_type, err);
}

static const struct loam_web_handler refs = { .begin = begin_refs,
					      .finish = finish_refs,
					      .end = end_git };
static const struct loam_web_handler upload_pack = {
	.begin = begin_upload_pack, .sink = sink_git, .finish = finish_service, .end = end_git
};
static const struct loam_web_handler receive_pack = {
	.begin = begin_receive_pack, .sink = sink_git, .finish = finish_service, .end = end_git
};

static const struct loam_web_route rows[] = {
	{ LOAM_GET, "/{repo}/info/refs", 0, LOAM_ERRORS_TEXT, &refs },
	{ LOAM_POST, "/{repo}/git-upload-pack", LOAM_GIT_REQUEST_BYTES_MAX, LOAM_ERRORS_TEXT,
	  &upload_pack },
	{ LOAM_POST, "/{repo}/git-receive-pack", LOAM_GIT_PUSH_BYTES_MAX, LOAM_ERRORS_TEXT,
	  &receive_pack },
};
const struct loam_route_table loam_git_routes = { rows, LOAM_ARRAY_COUNT(rows) };
