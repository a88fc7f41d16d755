/*
 * Operations on SSH keys (auth/op.h): those of an account, and the deploy keys of a repository.
 */
#include "auth/op.h"

#include "auth/account_store.h"
#include "auth/ssh_key.h"
#include "core/auto.h"
#include "core/clock.h"

#include <string.h>

/* ---- list ------------------------------------------------------------------------------------ */

static json_t *key_json(const struct loam_ssh_key *key)
{
	char fingerprint[LOAM_SSH_KEY_FINGERPRINT_BYTES];
	loam_ssh_key_fingerprint(key, fingerprint);
	json_t *row = json_pack("{s:s, s:s, s:s, s:I, s:s, s:s}", "id", key->id, "type", key->type,
				"fingerprint", fingerprint, "created", (json_int_t)key->created,
				"label", key->label, "maker", key->maker);
	if (!key->user[0])
		json_object_set_new(row, "scope",
				    json_string(key->scope & LOAM_SCOPE_WRITE ? "write" : "read"));
	return row;
}

static int compare_keys(const void *a, const void *b)
{
	const struct loam_ssh_key *const *left = a, *const *right = b;
	if ((*left)->created != (*right)->created)
		return (*left)->created < (*right)->created ? -1 : 1;
	return strcmp((*left)->id, (*right)->id);
}

/* Of holder, sorted by their making. */
static json_t *keys_json(const struct loam_accounts *accounts, const char *holder)
{
	const struct loam_ssh_key *keys[LOAM_SSH_KEYS_MAX];
	size_t count = 0;
	struct loam_ssh_key_row *row, *next;
	HASH_ITER (by_id, accounts->keys_by_id, row, next) {
		const struct loam_ssh_key *key = &row->key;
		if (count < LOAM_SSH_KEYS_MAX &&
		    strcmp(key->user[0] ? key->user : key->repo, holder) == 0)
			keys[count++] = key;
	}
	qsort(keys, count, sizeof(keys[0]), compare_keys);
	json_t *array = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, key_json(keys[i]));
	return array;
}

static int list(struct loam_op_call *call, const char *holder, bool is_user, struct loam_err *err)
{
	struct loam_account_store *store = loam_auth_accounts(call->context->auth);
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	if (is_user && !loam_accounts_by_name(accounts, holder))
		rc = loam_fail(err, LOAM_E_NOT_FOUND, "no user '%.40s'", holder);
	else
		call->answer = keys_json(accounts, holder);
	loam_account_store_put(store, accounts);
	return rc;
}

static int run_list(struct loam_op_call *call, struct loam_err *err)
{
	return list(call, loam_op_word(call, "user"), true, err);
}

static int run_deploy_list(struct loam_op_call *call, struct loam_err *err)
{
	return list(call, call->repo_text, false, err);
}

const struct loam_op loam_op_key_list = {
	.name = "key.list",
	.method = LOAM_GET,
	.path = "/users/{user}/keys",
	.want = LOAM_WANT_READ,
	.status = 200,
	.run = run_list,
};

const struct loam_op loam_op_deploy_key_list = {
	.name = "deployKey.list",
	.method = LOAM_GET,
	.path = "/repos/{repo}/keys",
	.want = LOAM_WANT_ADMIN,
	.status = 200,
	.run = run_deploy_list,
};

/* ---- add ------------------------------------------------------------------------------------- */

/* The members "key" and "label". */
static int read_key(const struct loam_op_call *call, struct loam_ssh_key *out, struct loam_err *err)
{
	const char *text, *label = "";
	int rc = loam_auth_check_first_hand(call->who, err);
	if (rc == 0)
		rc = loam_op_need_text(call, "key", &text, err);
	if (rc == 0)
		rc = loam_ssh_key_read(text, strlen(text), out, err);
	if (rc == 0)
		rc = loam_json_text(call->body, "label", &label, err);
	if (rc < 0)
		return rc;
	if (strlen(label) >= sizeof(out->label))
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "a label has at most %zu bytes",
				 sizeof(out->label) - 1);
	snprintf(out->label, sizeof(out->label), "%s", label);
	out->created = loam_clock_now().tv_sec;
	if (call->who->kind == LOAM_TOKEN)
		snprintf(out->maker, sizeof(out->maker), "%s", call->who->token_id);
	return 0;
}

static int add(struct loam_op_call *call, const struct loam_ssh_key *key, struct loam_err *err)
{
	int rc = loam_account_store_add_key(loam_auth_accounts(call->context->auth), key, err);
	if (rc == 0)
		call->answer = key_json(key);
	return rc;
}

static int run_add(struct loam_op_call *call, struct loam_err *err)
{
	struct loam_ssh_key key;
	const char *user = loam_op_word(call, "user");
	int rc = read_key(call, &key, err);
	if (rc < 0)
		return rc;
	if (strlen(user) >= sizeof(key.user))
		return loam_fail(err, LOAM_E_NOT_FOUND, "no user '%.40s'", user);
	snprintf(key.user, sizeof(key.user), "%s", user);
	return add(call, &key, err);
}

static int run_deploy_add(struct loam_op_call *call, struct loam_err *err)
{
	struct loam_ssh_key key;
	bool write = false;
	int rc = read_key(call, &key, err);
	if (rc == 0)
		rc = loam_json_bool(call->body, "write", &write, err);
	if (rc < 0)
		return rc;
	memcpy(key.repo, call->repo_text, sizeof(key.repo));
	key.scope = LOAM_SCOPE_READ | (write ? (unsigned)LOAM_SCOPE_WRITE : 0);
	return add(call, &key, err);
}

const struct loam_op loam_op_key_add = {
	.name = "key.add",
	.method = LOAM_POST,
	.path = "/users/{user}/keys",
	.want = LOAM_WANT_ADMIN,
	.members = "key label",
	.status = 201,
	.run = run_add,
};

const struct loam_op loam_op_deploy_key_add = {
	.name = "deployKey.add",
	.method = LOAM_POST,
	.path = "/repos/{repo}/keys",
	.want = LOAM_WANT_ADMIN,
	.members = "key label write",
	.status = 201,
	.run = run_deploy_add,
};

/* ---- remove ---------------------------------------------------------------------------------- */

static int remove_of(struct loam_op_call *call, const char *holder, struct loam_err *err)
{
	int rc = loam_auth_check_first_hand(call->who, err);
	return rc < 0 ? rc
		      : loam_account_store_remove_key(loam_auth_accounts(call->context->auth),
						      holder, loam_op_word(call, "id"), err);
}

static int run_remove(struct loam_op_call *call, struct loam_err *err)
{
	return remove_of(call, loam_op_word(call, "user"), err);
}

static int run_deploy_remove(struct loam_op_call *call, struct loam_err *err)
{
	return remove_of(call, call->repo_text, err);
}

const struct loam_op loam_op_key_remove = {
	.name = "key.remove",
	.method = LOAM_DELETE,
	.path = "/users/{user}/keys/{id}",
	.want = LOAM_WANT_ADMIN,
	.status = 204,
	.run = run_remove,
};

const struct loam_op loam_op_deploy_key_remove = {
	.name = "deployKey.remove",
	.method = LOAM_DELETE,
	.path = "/repos/{repo}/keys/{id}",
	.want = LOAM_WANT_ADMIN,
	.status = 204,
	.run = run_deploy_remove,
};
