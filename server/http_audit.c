/*
 * Refused requests in the audit log: one line each, whatever refused them (auth/audit.h).
 *
 * What changes something writes its own line, where it is done. This writes what is left: a request
 * that ended with a status from 400 on, or whose answer was cut because the right had gone, and
 * that nothing below has written down.
 */
#include "auth/audit.h"
#include "core/hash.h"
#include "server/http_internal.h"

#include "core/banned.h"

#include <string.h>

#define API_PREFIX   "/api/"
#define TARGET_BYTES 256

void loam_http_audit_begin(const struct http_exchange *exchange)
{
	loam_audit_begin(LOAM_DOOR_HTTP, exchange->web.peer, exchange->web.id);
}

void loam_http_audit_route(const struct http_exchange *exchange)
{
	const struct loam_web_route *route = exchange->web.route;
	if (route->errors == LOAM_ERRORS_LFS)
		loam_audit_set_door(LOAM_DOOR_LFS_HTTP);
	else if (strncmp(route->path, API_PREFIX, strlen(API_PREFIX)) == 0)
		loam_audit_set_door(LOAM_DOOR_API);
	else if (strchr(route->path, '{'))
		loam_audit_set_door(LOAM_DOOR_GIT_HTTP);
}

/* Is a broken answer a refusal? A client that went away, or a disk that failed, is none. */
static bool is_refusal(int code)
{
	return code == LOAM_E_UNAUTHENTICATED || code == LOAM_E_DENIED ||
	       code == LOAM_E_NOT_PERMITTED || code == LOAM_E_NOT_FOUND;
}

/* For refusals known by their status only: the first code that has it. */
static int code_of_status(int status)
{
	for (int code = LOAM_E_OK + 1; code < LOAM_E_COUNT; code++)
		if (loam_code_http(code) == status)
			return code;
	return status >= 500 ? LOAM_E_INTERNAL : LOAM_E_INVALID;
}

/* The repository of {repo}, or of {kind}, {ns} and {name}. */
static bool find_repo(const struct loam_web_request *web, struct loam_repo *out)
{
	struct loam_err ignored = { 0 };
	char text[LOAM_REPO_TEXT_BYTES];
	const char *repo = loam_web_param(web, "repo"), *kind = loam_web_param(web, "kind");
	const char *ns = loam_web_param(web, "ns"), *name = loam_web_param(web, "name");
	if (!repo && (!kind || !ns || !name))
		return false;
	int bytes = repo ? snprintf(text, sizeof(text), "%s", repo)
			 : snprintf(text, sizeof(text), "%s/%s/%s", kind, ns, name);
	return bytes < (int)sizeof(text) && loam_repo_parse(text, out, &ignored) == 0;
}

static const char *action_of(const struct loam_web_request *web)
{
	if (web->action)
		return web->action;
	if (!web->route)
		return "http";
	return web->route->handler->action ? web->route->handler->action : web->route->path;
}

void loam_http_audit_end(const struct http_exchange *exchange)
{
	const struct loam_web_request *web = &exchange->web;
	int status = exchange->sent_status;
	bool cut = status < 400 && is_refusal(exchange->refused);
	if ((status >= 400 || cut) && loam_audit_count() == 0) {
		struct loam_repo repo;
		char target[TARGET_BYTES] = "";
		const char *oid = loam_web_param(web, "oid");
		struct loam_err err = { 0 };
		int code = exchange->refused ? exchange->refused : code_of_status(status);
		loam_fail(&err, (enum loam_code)code, "%s", exchange->reason);
		if (!web->route)
			loam_http_log_redact(exchange->raw_target, target, sizeof(target));
		loam_audit(&(struct loam_audit_entry){ .action = action_of(web),
						       .detail = target,
						       .repo = find_repo(web, &repo) ? &repo : NULL,
						       .oid = oid && loam_oid_is_valid(oid) ? oid
											    : NULL,
						       .status = cut ? 0 : (unsigned)status },
			   -code, &err);
	}
	loam_audit_end();
}
