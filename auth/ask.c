/*
 * Commands on the volume or through a server (auth/ask.h).
 */
#include "auth/ask.h"

#include "auth/logins.h"
#include "core/auto.h"
#include "core/cmd.h"
#include "core/fetch.h"

#include <string.h>

#define PAGE_ROWS     1000
#define PAGES_MAX     10000
#define REQUEST_BYTES (1u << 20)
#define PAGE_TEXT     "1000"

struct loam_ask {
	const struct loam_ask_caller *caller; /* an SSH session */
	struct loam_instance *instance;	      /* the administrator */
	struct loam_principal admin;
	struct loam_op_context context;
	char *base_url;
	struct loam_login login; /* else */
};

/* ---- the decision ---------------------------------------------------------------------------- */

/* Does the configuration name a volume? One that may not be read is the administrator's. */
static int names_volume(struct loam_err *err)
{
	const char *meta = getenv("LOAM_META");
	if (meta && meta[0])
		return 1;
	struct loam_config *config = NULL;
	int rc = loam_config_load(NULL, &config, err);
	if (rc == -LOAM_E_DENIED) {
		loam_err_clear(err);
		return 0;
	}
	if (rc < 0)
		return rc;
	rc = config->meta_url[0] != '\0';
	loam_config_free(config);
	return rc;
}

static int open_volume(struct loam_ask *ask, const struct loam_ask_options *options,
		       struct loam_err *err)
{
	const struct loam_instance_options instance = { .meta_url = options->meta };
	int rc = loam_instance_open(&instance, &ask->instance, err);
	if (rc < 0)
		return rc;
	const struct loam_config *config = ask->instance->config;
	ask->admin = (struct loam_principal){ .kind = LOAM_ADMIN };
	ask->context = (struct loam_op_context){ .auth = ask->instance->auth,
						 .config = config,
						 .repos = config->server_repos };
	ask->base_url = loam_op_base_url(config);
	return 0;
}

static int open_server(struct loam_ask *ask, const char *url, struct loam_err *err)
{
	char server[LOAM_FETCH_URL_BYTES];
	int rc = url ? loam_fetch_server(url, server, err) : 0;
	if (rc == 0)
		rc = loam_logins_find(url ? server : NULL, &ask->login, err);
	if (rc < 0)
		return rc;
	if (rc == 0 && url)
		return loam_fail(err, LOAM_E_UNAUTHENTICATED, "log in first: loam login %s",
				 server);
	if (rc == 0)
		return loam_fail(err, LOAM_E_INVALID,
				 "no volume is named and nobody is logged in: loam login URL (as "
				 "administrator: --meta, LOAM_META, or meta.url in the "
				 "configuration)");
	return 0;
}

int loam_ask_open(const struct loam_ask_options *options, struct loam_ask **out_ask,
		  struct loam_err *err)
{
	loam_auto_ask struct loam_ask *ask = loam_xnew(struct loam_ask);
	ask->caller = loam_cmd_caller();
	if (ask->caller && (options->meta || options->server))
		return loam_fail(err, LOAM_E_INVALID,
				 "--meta and --server are not for commands "
				 "that are sent to a server");
	if (options->meta && options->server)
		return loam_fail(err, LOAM_E_INVALID, "--meta and --server exclude one another");
	int rc = 0;
	if (!ask->caller) {
		int volume = options->server ? 0 : options->meta ? 1 : names_volume(err);
		if (volume < 0)
			return volume;
		rc = volume ? open_volume(ask, options, err)
			    : open_server(ask, options->server, err);
	}
	if (rc == 0)
		*out_ask = loam_steal(&ask);
	return rc;
}

void loam_ask_close(struct loam_ask *ask)
{
	if (!ask)
		return;
	loam_instance_close(ask->instance);
	free(ask->base_url);
	explicit_bzero(&ask->login, sizeof(ask->login));
	free(ask);
}

const char *loam_ask_user(const struct loam_ask *ask)
{
	if (ask->caller)
		return ask->caller->who->user;
	return ask->instance ? NULL : ask->login.user;
}

struct loam_instance *loam_ask_instance(const struct loam_ask *ask)
{
	return ask->instance;
}

const char *loam_ask_server(const struct loam_ask *ask)
{
	return ask->caller ? ask->caller->base_url : ask->login.server;
}

/* ---- in this process ------------------------------------------------------------------------- */

static int run_here(struct loam_ask *ask, const struct loam_op *op,
		    const struct loam_op_word *words, const json_t *body, json_t **out_answer,
		    struct loam_err *err)
{
	const struct loam_ask_caller *caller = ask->caller;
	struct loam_principal who = caller ? *caller->who : ask->admin;
	struct loam_op_call call = { .context = caller ? caller->context : &ask->context,
				     .who = &who,
				     .base_url = caller ? caller->base_url : ask->base_url,
				     .body = body };
	int rc = loam_auth_renew(call.context->auth, &who, err); /* stdin may have come slowly */
	if (rc < 0)
		return rc;
	for (; words && words->name; words++) {
		if (!words->value)
			continue;
		loam_assert(call.word_count < LOAM_OP_WORDS_MAX);
		call.words[call.word_count++] = *words;
	}
	rc = loam_op_run(op, &call, err);
	if (rc < 0)
		json_decref(call.answer);
	else
		*out_answer = call.answer;
	return rc;
}

/* ---- over HTTP ------------------------------------------------------------------------------- */

static const struct loam_op_word *find_word(const struct loam_op_word *words, const char *name,
					    size_t name_bytes)
{
	for (; words && words->name; words++)
		if (strlen(words->name) == name_bytes && memcmp(words->name, name, name_bytes) == 0)
			return words->value ? words : NULL;
	return NULL;
}

/* A word in its place of the path. A repository keeps its slashes: it was parsed, or it will be
 * refused by the server as the path that it makes. */
static int add_word(struct loam_buf *url, const struct loam_op_word *word, struct loam_err *err)
{
	struct loam_repo repo;
	char text[LOAM_REPO_TEXT_BYTES];
	if (strcmp(word->name, "repo") == 0) {
		int rc = loam_repo_parse(word->value, &repo, err);
		if (rc < 0)
			return rc;
		loam_repo_text(&repo, text);
		return loam_buf_add_text(url, text, err);
	}
	if (!word->value[0] || strcmp(word->value, ".") == 0 || strcmp(word->value, "..") == 0 ||
	    strpbrk(word->value, "/\\%"))
		return loam_fail(err, LOAM_E_INVALID, "'%.100s' is no name", word->value);
	loam_auto_free char *segment = loam_fetch_segment(word->value);
	return loam_buf_add_text(url, segment, err);
}

static int make_url(const struct loam_login *login, const struct loam_op *op,
		    const struct loam_op_word *words, struct loam_buf *url, struct loam_err *err)
{
	int rc = loam_buf_printf(url, err, "%s%s", login->server, LOAM_API_PREFIX);
	for (const char *at = op->path; rc == 0 && *at;) {
		size_t bytes = strcspn(at, "{");
		rc = loam_buf_add(url, at, bytes, err);
		at += bytes;
		if (rc < 0 || !*at)
			break;
		size_t name_bytes = strcspn(at + 1, "}");
		const struct loam_op_word *word = find_word(words, at + 1, name_bytes);
		loam_assert(word != NULL);
		rc = add_word(url, word, err);
		at += name_bytes + 2;
	}
	const char *mark = "?";
	for (const char *const *name = op->query; rc == 0 && name && *name; name++) {
		const struct loam_op_word *word = find_word(words, *name, strlen(*name));
		if (!word)
			continue;
		loam_auto_free char *value = loam_fetch_segment(word->value);
		rc = loam_buf_printf(url, err, "%s%s=%s", mark, word->name, value);
		mark = "&";
	}
	return rc;
}

static const char *method_name(unsigned method)
{
	switch (method) {
	case LOAM_POST:
		return "POST";
	case LOAM_PUT:
		return "PUT";
	case LOAM_DELETE:
		return "DELETE";
	default:
		return "GET";
	}
}

static enum loam_code code_of_status(int status)
{
	switch (status) {
	case 400:
		return LOAM_E_INVALID;
	case 401:
		return LOAM_E_UNAUTHENTICATED;
	case 403:
		return LOAM_E_DENIED;
	case 404:
		return LOAM_E_NOT_FOUND;
	case 409:
		return LOAM_E_EXISTS;
	case 413:
		return LOAM_E_TOO_LARGE;
	case 422:
		return LOAM_E_UNPROCESSABLE;
	case 429:
		return LOAM_E_LIMITED;
	case 501:
		return LOAM_E_UNSUPPORTED;
	case 503:
		return LOAM_E_UNAVAILABLE;
	case 507:
		return LOAM_E_NO_SPACE;
	default:
		return LOAM_E_IO;
	}
}

static int refused(const struct loam_login *login, int status, const json_t *answer,
		   struct loam_err *err)
{
	const char *message = json_string_value(json_object_get(answer, "message"));
	if (status == 401)
		return loam_fail(err, LOAM_E_UNAUTHENTICATED,
				 "%s does not know this login any more: loam login %s",
				 login->server, login->server);
	if (!message)
		return loam_fail(err, code_of_status(status),
				 "%s answered %d, not as a Loam server does", login->server,
				 status);
	return loam_fail(err, code_of_status(status), "%s", message);
}

static int read_answer(const struct loam_login *login, const struct loam_fetched *fetched,
		       json_t **out_answer, struct loam_err *err)
{
	loam_auto_json json_t *answer = NULL;
	bool good = fetched->status >= 200 && fetched->status < 300;
	if (fetched->status != 204 &&
	    loam_json_parse(fetched->body.data, fetched->body.bytes, &answer, err) < 0) {
		if (good)
			return loam_context(err, "%s", login->server);
		loam_err_clear(err);
	}
	if (!good)
		return refused(login, fetched->status, answer, err);
	*out_answer = loam_steal(&answer);
	return 0;
}

static int run_there(struct loam_ask *ask, const struct loam_op *op,
		     const struct loam_op_word *words, const json_t *body, json_t **out_answer,
		     struct loam_err *err)
{
	const struct loam_login *login = &ask->login;
	loam_auto_buf struct loam_buf url = LOAM_BUF(LOAM_HTTP_LINE_BYTES_MAX);
	loam_auto_buf struct loam_buf text = LOAM_BUF(REQUEST_BYTES);
	if (!login->plain && !loam_fetch_is_private(login->server))
		return loam_fail(err, LOAM_E_DENIED,
				 "%s is plain HTTP to another host: log in there with --plain-http",
				 login->server);
	int rc = make_url(login, op, words, &url, err);
	if (rc == 0 && body)
		rc = loam_json_print(body, &text, err);
	if (rc < 0)
		return rc;
	const struct loam_fetch fetch = { .method = method_name(op->method),
					  .url = loam_buf_text(&url),
					  .token = login->token,
					  .body = body ? text.data : NULL,
					  .body_bytes = text.bytes };
	struct loam_fetched fetched;
	rc = loam_fetch_run(&fetch, &fetched, err);
	if (rc < 0)
		return rc;
	rc = read_answer(login, &fetched, out_answer, err);
	loam_fetched_release(&fetched);
	return rc;
}

int loam_ask_op(struct loam_ask *ask, const struct loam_op *op, const struct loam_op_word *words,
		const json_t *body, json_t **out_answer, struct loam_err *err)
{
	*out_answer = NULL;
	if (ask->caller || ask->instance)
		return run_here(ask, op, words, body, out_answer, err);
	return run_there(ask, op, words, body, out_answer, err);
}

int loam_ask_pages(struct loam_ask *ask, const struct loam_op *op, const char *member,
		   json_t **out_array, struct loam_err *err)
{
	loam_auto_json json_t *all = json_array();
	loam_auto_free char *after = NULL;
	for (int page = 0; page < PAGES_MAX; page++) {
		const struct loam_op_word words[] = { { "limit", PAGE_TEXT },
						      { "after", after },
						      { NULL, NULL } };
		loam_auto_json json_t *rows = NULL;
		int rc = loam_ask_op(ask, op, words, NULL, &rows, err);
		if (rc < 0)
			return rc;
		size_t count = json_array_size(rows);
		json_array_extend(all, rows);
		if (count < PAGE_ROWS)
			break;
		const json_t *last = json_array_get(rows, count - 1);
		const char *name = json_string_value(json_object_get(last, member));
		if (!name)
			return loam_fail(err, LOAM_E_INVALID, "a row of the answer has no '%s'",
					 member);
		free(after);
		after = loam_xstrdup(name);
	}
	*out_array = loam_steal(&all);
	return 0;
}
