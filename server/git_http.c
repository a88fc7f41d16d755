/*
 * Git smart HTTP, versions 0 to 2, both directions. Steps 1, 2 and 5 of a push.
 *
 *   GET  REPO/info/refs?service=git-upload-pack|git-receive-pack      what there is
 *   POST REPO/git-upload-pack                                         fetch
 *   POST REPO/git-receive-pack                                        push
 *
 * Each request is one git child (server/git_run.h) whose right was asked for before the first byte
 * of the body was read, and is asked again every RECHECK_MS while it runs. The dumb protocol has no
 * route. Answers follow what git clients do with a status (protocols.md A.6): 401 only asks for
 * credentials, and a push is refused at info/refs, where the client still shows why.
 */
#include "core/auto.h"
#include "core/clock.h"
#include "server/git_env.h"
#include "server/git_run.h"
#include "server/git_slots.h"
#include "server/http.h"
#include "server/server.h"
#include "sync/git_push.h"
#include "sync/publish.h"

#include "core/banned.h"

#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define SLOT_WAIT_MS 20000
#define RECHECK_MS   5000
#define PKT_HEAD     4

enum service { UPLOAD_PACK, RECEIVE_PACK };

static const struct {
	const char *name;    /* of service= and the route */
	const char *command; /* git's */
	enum loam_want want;
	const char *request_type, *result_type, *refs_type;
	const char *refs_line;
} services[] = {
	[UPLOAD_PACK] = { "git-upload-pack", "upload-pack", LOAM_WANT_READ,
			  "application/x-git-upload-pack-request",
			  "application/x-git-upload-pack-result",
			  "application/x-git-upload-pack-advertisement",
			  "001e# service=git-upload-pack\n0000" },
	[RECEIVE_PACK] = { "git-receive-pack", "receive-pack", LOAM_WANT_WRITE,
			   "application/x-git-receive-pack-request",
			   "application/x-git-receive-pack-result",
			   "application/x-git-receive-pack-advertisement",
			   "001f# service=git-receive-pack\n0000" },
};

/* The commands of a push, counted as they stream by: pkt-lines up to the first flush. */
struct commands {
	char head[PKT_HEAD];
	size_t head_bytes;
	size_t left; /* of the present packet */
	size_t count;
	bool over; /* the flush has passed, or git will refuse what this is */
};

struct git_request {
	enum service service;
	struct loam_server *server;
	struct loam_repo repo;
	bool repo_is_valid;
	struct loam_principal who;
	char slot[LOAM_GIT_SLOT_BYTES];
	char ticket[LOAM_TICKET_BYTES];
	struct loam_git_run *run;
	struct commands commands;
	uint64_t checked_ms;
};

/* ---- who, where, whether --------------------------------------------------------------------- */

static int check_rights(struct loam_web_request *request, struct loam_err *err)
{
	struct git_request *git = request->state;
	int rc =
		git->server->authorize(git->server, request, git->repo_is_valid ? &git->repo : NULL,
				       services[git->service].want, &git->who, err);
	git->checked_ms = loam_clock_ms();
	return rc;
}

static int check_rights_again(struct loam_web_request *request, struct loam_err *err)
{
	const struct git_request *git = request->state;
	if (loam_clock_ms() - git->checked_ms < RECHECK_MS)
		return 0;
	return check_rights(request, err);
}

static struct git_request *new_request(struct loam_web_request *request, enum service service)
{
	struct git_request *git = loam_xnew(struct git_request);
	struct loam_err ignored = { 0 };
	git->service = service;
	git->server = request->context;
	git->repo_is_valid =
		loam_repo_parse(loam_web_param(request, "repo"), &git->repo, &ignored) == 0;
	request->state = git;
	return git;
}

static int find_dir(struct git_request *git, char out[LOAM_PATH_BYTES_MAX], struct loam_err *err)
{
	struct loam_server *server = git->server;
	if (server->git_dir)
		return server->git_dir(server, &git->repo, out, err);
	snprintf(out, LOAM_PATH_BYTES_MAX, "%s/%s/%s/%s.git", server->repos,
		 loam_kind_name(git->repo.kind), git->repo.ns, git->repo.name);
	struct stat there;
	if (stat(out, &there) < 0 || !S_ISDIR(there.st_mode))
		return loam_fail(err, LOAM_E_NOT_FOUND, "this repository has no Git data here");
	return 0;
}

/* false: answered 429. */
static bool take_slot(struct loam_web_request *request)
{
	struct git_request *git = request->state;
	char slot[LOAM_GIT_SLOT_BYTES];
	if (git->who.kind == LOAM_ANONYMOUS)
		snprintf(slot, sizeof(slot), "a:%s", request->peer);
	else
		snprintf(slot, sizeof(slot), "u:%u", git->who.uid);
	if (loam_git_slots_take(git->server->git_slots, slot, SLOT_WAIT_MS)) {
		memcpy(git->slot, slot, sizeof(slot));
		return true;
	}
	loam_web_answer_text(request, 429,
			     "too many Git operations of yours run already; try again\n");
	loam_web_set_header(request, "Retry-After", "5");
	return false;
}

static bool is_over(void *arg)
{
	struct loam_web_request *request = arg;
	struct loam_err err = { 0 };
	return loam_http_client_gone(request) || check_rights_again(request, &err) < 0;
}

/* ---- the child ------------------------------------------------------------------------------- */

/* The lock that the push holds, unless the repository is another server's, and its ticket. */
static int begin_push(struct git_request *git, const char *dir, int *out_fd, struct loam_err *err)
{
	struct loam_server *server = git->server;
	size_t repos_bytes = strlen(server->repos);
	int rc = 0;
	if (strncmp(dir, server->repos, repos_bytes) == 0 && dir[repos_bytes] == '/')
		rc = loam_git_push_enter(dir, out_fd, err);
	if (rc == 0 && server->ticket_new)
		rc = server->ticket_new(server, &git->repo, &git->who, git->ticket, err);
	return rc;
}

static int start_child(struct loam_web_request *request, bool advertise, struct loam_err *err)
{
	struct git_request *git = request->state;
	struct loam_server *server = git->server;
	char dir[LOAM_PATH_BYTES_MAX], repo[LOAM_REPO_TEXT_BYTES];
	loam_auto_fd int push_fd = -1;
	int rc = find_dir(git, dir, err);
	if (rc == 0 && git->service == RECEIVE_PACK && !advertise)
		rc = begin_push(git, dir, &push_fd, err);
	if (rc < 0)
		return rc;
	loam_repo_text(&git->repo, repo);
	const char *protocol = request->header(request, "Git-Protocol");
	struct loam_git_env_spec env_spec = {
		.dir = dir,
		.home = server->repos,
		.protocol = protocol && loam_git_protocol_is_valid(protocol) ? protocol : NULL,
		.user = request->user,
		.peer = request->peer,
		.repo = repo,
		.hook_socket = server->hook_socket,
		.hook_ticket = git->ticket[0] ? git->ticket : NULL,
		.hooks_dir = git->ticket[0] ? server->hooks_dir : NULL,
	};
	struct loam_git_env env;
	loam_git_env_init(&env, &env_spec);
	const char *const argv[] = { "git", services[git->service].command,
				     advertise ? "--http-backend-info-refs" : "--stateless-rpc",
				     ".", NULL };
	struct loam_git_run_spec spec = { .argv = argv,
					  .env = env.env,
					  .dir = dir,
					  .spool_dir = server->repos,
					  .has_input = !advertise,
					  .keep_fd = push_fd < 0 ? 0 : push_fd,
					  .is_over = is_over,
					  .is_over_arg = request };
	rc = loam_git_run_start(&spec, &git->run, err);
	loam_git_env_release(&env);
	return rc;
}

static int64_t source_git(void *arg, void *out, size_t out_bytes, struct loam_err *err)
{
	struct loam_web_request *request = arg;
	struct git_request *git = request->state;
	int rc = check_rights_again(request, err);
	return rc < 0 ? rc : loam_git_run_read(git->run, out, out_bytes, err);
}

static int answer_stream(struct loam_web_request *request, const char *type, struct loam_err *err)
{
	struct git_request *git = request->state;
	int rc = loam_git_run_begin_output(git->run, err);
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
	bool unsure = git->ticket[0] && git->run && !loam_git_run_went_well(git->run);
	loam_git_run_free(git->run);
	if (unsure && git->server->publisher)
		loam_publish_soon(git->server->publisher, &git->repo);
	if (git->slot[0])
		loam_git_slots_give(git->server->git_slots, git->slot);
	if (git->ticket[0] && git->server->ticket_end)
		git->server->ticket_end(git->server, git->ticket);
	explicit_bzero(git->ticket, sizeof(git->ticket));
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
		new_request(request, (enum service)i);
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
	const char *line = services[git->service].refs_line;
	bool is_v2 = git->service == UPLOAD_PACK &&
		     loam_git_protocol_is_v2(request->header(request, "Git-Protocol"));
	int rc = loam_git_run_begin_output(git->run, err);
	if (rc == 0)
		return loam_fail(err, LOAM_E_IO, "git advertised nothing");
	if (rc == 1)
		rc = answer_stream(request, services[git->service].refs_type, err);
	if (rc == 0 && !is_v2)
		rc = loam_git_run_preface(git->run, line, strlen(line), err);
	return rc;
}

/* ---- the two services ------------------------------------------------------------------------ */

static int begin_service(struct loam_web_request *request, enum service service,
			 struct loam_err *err)
{
	const char *type = request->header(request, "Content-Type");
	new_request(request, service);
	int rc = check_rights(request, err);
	if (rc < 0)
		return rc;
	if (!type || strcmp(type, services[service].request_type) != 0) {
		loam_web_answer_text(request, 415, "this Content-Type is not Git's\n");
		return 0;
	}
	return take_slot(request) ? start_child(request, false, err) : 0;
}

static int begin_upload_pack(struct loam_web_request *request, struct loam_err *err)
{
	return begin_service(request, UPLOAD_PACK, err);
}

static int begin_receive_pack(struct loam_web_request *request, struct loam_err *err)
{
	return begin_service(request, RECEIVE_PACK, err);
}

static int hex_value(const char head[PKT_HEAD])
{
	int value = 0;
	for (int i = 0; i < PKT_HEAD; i++) {
		const char *digits = "0123456789abcdef";
		const char *at =
			head[i] ? strchr(digits, head[i] | (head[i] > '9' ? 0x20 : 0)) : NULL;
		if (!at)
			return -1;
		value = value * 16 + (int)(at - digits);
	}
	return value;
}

static int count_commands(struct commands *commands, const uint8_t *data, size_t bytes,
			  struct loam_err *err)
{
	while (bytes > 0 && !commands->over) {
		if (commands->left > 0) {
			size_t take = bytes < commands->left ? bytes : commands->left;
			commands->left -= take;
			data += take;
			bytes -= take;
			continue;
		}
		commands->head[commands->head_bytes++] = (char)*data++;
		bytes--;
		if (commands->head_bytes < PKT_HEAD)
			continue;
		commands->head_bytes = 0;
		int value = hex_value(commands->head);
		commands->over = value <= PKT_HEAD;
		if (commands->over)
			return 0;
		commands->left = (size_t)value - PKT_HEAD;
		if (++commands->count > LOAM_GIT_PUSH_REFS_MAX)
			return loam_fail(err, LOAM_E_TOO_LARGE, "a push may change at most %d refs",
					 LOAM_GIT_PUSH_REFS_MAX);
	}
	return 0;
}

static int sink_git(struct loam_web_request *request, const void *data, size_t data_bytes,
		    struct loam_err *err)
{
	struct git_request *git = request->state;
	int rc = check_rights_again(request, err);
	if (rc == 0 && git->service == RECEIVE_PACK)
		rc = count_commands(&git->commands, data, data_bytes, err);
	return rc < 0 ? rc : loam_git_run_feed(git->run, data, data_bytes, err);
}

static int finish_service(struct loam_web_request *request, struct loam_err *err)
{
	struct git_request *git = request->state;
	loam_git_run_end_input(git->run);
	return answer_stream(request, services[git->service].result_type, err);
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
