/*
 * The API door (server/api.h): a request becomes a call of an operation, its answer JSON.
 *
 * Before the body is read: who asks, how often, and may he? Behind it, which may be minutes later:
 * may he still? The body's members, and the operation itself. An operation's row and its route have
 * the same number.
 */
#include "server/api.h"

#include "core/auto.h"
#include "core/clock.h"
#include "server/api_rate.h"
#include "server/server.h"
#include "sync/op_repo.h"

#include "core/banned.h"

#include <string.h>

#define OPS_MAX	      64
#define QUERY_WORDS   4
#define WHO_BYTES     80
#define VERSION_LEVEL 1

struct loam_api {
	const struct loam_op_context *context;
	struct loam_api_rate *rate;
	struct loam_web_route routes[OPS_MAX];
	size_t count;
};

/* What a request keeps between its callbacks. */
struct call_state {
	struct loam_op_call call;
	struct loam_principal who;
	const struct loam_op *op;
	char *query[QUERY_WORDS];
	size_t query_count;
	json_t *body;
};

/* ---- the server's own operation -------------------------------------------------------------- */

static int run_version(struct loam_op_call *call, struct loam_err *err)
{
	call->answer = json_pack("{s:s, s:s, s:i}", "name", "loam", "version", LOAM_VERSION, "api",
				 VERSION_LEVEL);
	return 0;
}

static const struct loam_op op_version = {
	.name = "server.version",
	.method = LOAM_GET,
	.path = "/version",
	.status = 200,
	.run = run_version,
};
static const struct loam_op *const server_ops[] = { &op_version, NULL };

const struct loam_op *loam_api_op(size_t index)
{
	const struct loam_op *const *const tables[] = { server_ops, loam_auth_ops, loam_sync_ops };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(tables); i++)
		for (const struct loam_op *const *op = tables[i]; *op; op++)
			if (index-- == 0)
				return *op;
	return NULL;
}

/* ---- one request ----------------------------------------------------------------------------- */

static struct loam_api *api_of(const struct loam_web_request *request)
{
	const struct loam_server *server = request->context;
	return server->api;
}

int loam_api_count(struct loam_api *api, const struct loam_principal *who, const char *peer,
		   struct loam_err *err)
{
	char name[WHO_BYTES];
	bool nobody = who->kind == LOAM_ANONYMOUS;
	snprintf(name, sizeof(name), "%s%s", nobody ? "@" : "", nobody ? peer : who->user);
	return loam_api_rate_count(api->rate, name, loam_clock_ms(), err);
}

static int know_caller(struct loam_web_request *request, struct loam_api *api,
		       struct loam_principal *out_who, struct loam_err *err)
{
	int rc = loam_auth_header(api->context->auth, request->header(request, "Authorization"),
				  request->peer, out_who, err);
	if (rc < 0)
		return rc;
	snprintf(request->user, sizeof(request->user), "%s", out_who->user);
	rc = loam_api_count(api, out_who, request->peer, err);
	if (rc < 0)
		return rc;
	if (out_who->kind != LOAM_ANONYMOUS && out_who->kind != LOAM_USER &&
	    out_who->kind != LOAM_TOKEN)
		return loam_fail(err, LOAM_E_DENIED, "this credential is not for the API");
	return 0;
}

/* The row's query values, decoded. */
static void take_query(const struct loam_web_request *request, struct call_state *state)
{
	for (const char *const *name = state->op->query; name && *name; name++) {
		char *value = loam_web_query(request, *name);
		if (!value)
			continue;
		loam_assert(state->query_count < QUERY_WORDS);
		loam_assert(state->call.word_count < LOAM_OP_WORDS_MAX);
		state->query[state->query_count++] = value;
		state->call.words[state->call.word_count++] = (struct loam_op_word){ *name, value };
	}
}

static int begin_call(struct loam_web_request *request, struct loam_err *err)
{
	struct loam_api *api = api_of(request);
	struct call_state *state = loam_xnew(struct call_state);
	request->state = state;
	state->op = loam_api_op((size_t)(request->route - api->routes));
	request->action = state->op->name;
	state->call.context = api->context;
	state->call.who = &state->who;
	state->call.base_url = request->base_url;
	int rc = know_caller(request, api, &state->who, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < request->param_count; i++) {
		loam_assert(state->call.word_count < LOAM_OP_WORDS_MAX);
		state->call.words[state->call.word_count++] =
			(struct loam_op_word){ request->params[i].name, request->params[i].value };
	}
	take_query(request, state);
	return loam_op_check(state->op, &state->call, err);
}

/* Who holds back his body keeps no right by it. */
static int may_still(struct call_state *state, struct loam_err *err)
{
	int rc = loam_auth_renew(state->call.context->auth, &state->who, err);
	return rc < 0 ? rc : loam_op_check(state->op, &state->call, err);
}

static int finish_call(struct loam_web_request *request, struct loam_err *err)
{
	struct call_state *state = request->state;
	struct loam_op_call *call = &state->call;
	int rc = state->op->members ? may_still(state, err) : 0;
	if (rc == 0 && request->body.bytes > 0)
		rc = loam_json_parse(request->body.data, request->body.bytes, &state->body, err);
	call->body = state->body;
	if (rc == 0)
		rc = loam_op_check_body(state->op, call, err);
	if (rc == 0)
		rc = state->op->run(call, err);
	if (rc < 0)
		return rc;
	loam_web_set_header(request, "Cache-Control", "no-store");
	if (call->answer)
		loam_web_answer_json(request, state->op->status, NULL, call->answer);
	else
		request->response.status = state->op->status;
	return 0;
}

static void end_call(struct loam_web_request *request)
{
	struct call_state *state = request->state;
	if (!state)
		return;
	json_decref(state->call.answer);
	json_decref(state->body);
	for (size_t i = 0; i < state->query_count; i++)
		free(state->query[i]);
	free(state);
	request->state = NULL;
}

static const struct loam_web_handler handler = { .begin = begin_call,
						 .finish = finish_call,
						 .end = end_call };

/* ---- the table ------------------------------------------------------------------------------- */

struct loam_api *loam_api_new(const struct loam_op_context *context)
{
	struct loam_api *api = loam_xnew(struct loam_api);
	api->context = context;
	api->rate = loam_api_rate_new();
	for (const struct loam_op *op; (op = loam_api_op(api->count)); api->count++) {
		loam_assert(api->count < OPS_MAX);
		api->routes[api->count] = (struct loam_web_route){
			.methods = op->method,
			.path = loam_xasprintf("%s%s", LOAM_API_PREFIX, op->path),
			.body_max = op->members ? LOAM_JSON_BYTES_MAX : 0,
			.errors = LOAM_ERRORS_API,
			.handler = &handler,
		};
	}
	return api;
}

void loam_api_free(struct loam_api *api)
{
	if (!api)
		return;
	for (size_t i = 0; i < api->count; i++)
		free((char *)api->routes[i].path);
	loam_api_rate_free(api->rate);
	free(api);
}

struct loam_route_table loam_api_routes(const struct loam_api *api)
{
	return (struct loam_route_table){ .routes = api->routes, .count = api->count };
}

const struct loam_op_context *loam_api_context(const struct loam_api *api)
{
	return api->context;
}
