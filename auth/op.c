/*
 * Checking and running operations (auth/op.h).
 */
#include "auth/op.h"

#include "auth/groups.h"
#include "core/auto.h"

#include <string.h>

const struct loam_op *const loam_auth_ops[] = {
	&loam_op_user_self,
	&loam_op_user_show,
	&loam_op_token_list,
	&loam_op_token_create,
	&loam_op_token_revoke,
	&loam_op_key_list,
	&loam_op_key_add,
	&loam_op_key_remove,
	&loam_op_deploy_key_list,
	&loam_op_deploy_key_add,
	&loam_op_deploy_key_remove,
	&loam_op_group_list,
	&loam_op_group_show,
	&loam_op_member_set,
	&loam_op_member_remove,
	&loam_op_grant_set,
	&loam_op_grant_revoke,
	&loam_op_namespace_list,
	&loam_op_namespace_show,
	&loam_op_namespace_owner,
	&loam_op_namespace_grant,
	&loam_op_namespace_revoke,
	NULL,
};

char *loam_op_base_url(const struct loam_config *config)
{
	bool tls = config->server_tls_cert[0] != '\0';
	char *base = config->server_url[0] ? loam_xstrdup(config->server_url)
					   : loam_xasprintf("%s://%s", tls ? "https" : "http",
							    config->server_listen);
	size_t bytes = strlen(base);
	if (bytes > 0 && base[bytes - 1] == '/')
		base[bytes - 1] = '\0';
	return base;
}

const char *loam_op_word(const struct loam_op_call *call, const char *name)
{
	for (size_t i = 0; i < call->word_count; i++)
		if (strcmp(call->words[i].name, name) == 0)
			return call->words[i].value;
	return NULL;
}

/* A name that cannot be one is answered like one that is not there; the administrator is told what
 * is wrong with it. */
static int bad_name(const struct loam_op_call *call, const char *what, const char *text,
		    struct loam_err *err)
{
	if (call->who->kind == LOAM_ADMIN)
		return -(int)err->code;
	loam_err_clear(err);
	if (call->who->kind == LOAM_ANONYMOUS)
		return loam_fail(err, LOAM_E_UNAUTHENTICATED, "log in to use this server");
	return loam_fail(err, LOAM_E_NOT_FOUND, "no %s '%s'", what, text);
}

static int check_repo(const struct loam_op *op, struct loam_op_call *call, const char *text,
		      struct loam_err *err)
{
	if (loam_repo_parse(text, &call->repo, err) < 0)
		return bad_name(call, "repository", text, err);
	loam_repo_text(&call->repo, call->repo_text);
	return loam_auth_check(call->context->auth, call->who, &call->repo, op->want, NULL, err);
}

static int check_namespace(const struct loam_op *op, struct loam_op_call *call, const char *ns,
			   struct loam_err *err)
{
	const char *kind = loam_op_word(call, "kind");
	loam_auto_free char *text = loam_xasprintf("%s/%s/", kind ? kind : "", ns);
	if (loam_ns_parse(text, &call->ns, err) < 0)
		return bad_name(call, "namespace", text, err);
	loam_ns_text(&call->ns, call->ns_text);
	return loam_auth_check_namespace(call->context->auth, call->who, &call->ns, op->want, err);
}

int loam_op_check(const struct loam_op *op, struct loam_op_call *call, struct loam_err *err)
{
	const char *repo = loam_op_word(call, "repo"), *ns = loam_op_word(call, "ns");
	const char *group = loam_op_word(call, "group");
	if (repo)
		return check_repo(op, call, repo, err);
	if (ns)
		return check_namespace(op, call, ns, err);
	if (group && op->want == LOAM_WANT_ADMIN)
		return loam_auth_check_group(call->context->auth, call->who, group, err);
	if (op->want == 0)
		return 0;
	return loam_auth_check_account(call->who, loam_op_word(call, "user"), op->want, err);
}

/* Is name one of the words of list? */
static bool is_listed(const char *list, const char *name)
{
	size_t bytes = strlen(name);
	for (const char *at = list; *at;) {
		size_t word_bytes = strcspn(at, " ");
		if (word_bytes == bytes && memcmp(at, name, bytes) == 0)
			return true;
		at += word_bytes;
		at += strspn(at, " ");
	}
	return false;
}

int loam_op_check_body(const struct loam_op *op, const struct loam_op_call *call,
		       struct loam_err *err)
{
	const char *name;
	json_t *value;
	if (!op->members)
		return call->body ? loam_fail(err, LOAM_E_INVALID, "this call takes no body") : 0;
	if (!json_is_object(call->body))
		return loam_fail(err, LOAM_E_INVALID, "send a JSON object with: %s", op->members);
	json_object_foreach ((json_t *)call->body, name, value) {
		if (!is_listed(op->members, name))
			return loam_fail(err, LOAM_E_UNPROCESSABLE,
					 "'%.40s' is not among the members: %s", name, op->members);
	}
	return 0;
}

int loam_op_run(const struct loam_op *op, struct loam_op_call *call, struct loam_err *err)
{
	int rc = loam_op_check(op, call, err);
	if (rc == 0)
		rc = loam_op_check_body(op, call, err);
	return rc < 0 ? rc : op->run(call, err);
}

int loam_op_need_text(const struct loam_op_call *call, const char *name, const char **out_text,
		      struct loam_err *err)
{
	int found = loam_json_text(call->body, name, out_text, err);
	if (found == 0)
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "'%s' is missing", name);
	return found < 0 ? found : 0;
}
