/*
 * loam publish, loam repo fork: history made by a server, without Git here.
 *
 * The directory is named to the server by what stat(2) on the mount says of it (sync/commit_dir.h).
 * The author's address is that of the user's own Git configuration, if there is one.
 */
#include "auth/ask.h"
#include "auth/repos.h"
#include "core/auto.h"
#include "core/clock.h"
#include "sync/commands.h"
#include "sync/commit_dir.h"
#include "sync/op_repo.h"

#include <errno.h>
#include <git2.h>
#include <string.h>
#include <sys/stat.h>

#define LOOKS	 8
#define PAUSE_MS 400 /* attributes live a second on a mount */

struct publish_opts {
	struct loam_ask_options ask;
	const char *message;
	bool json;
};

static const char *text(const json_t *object, const char *name)
{
	const char *value = json_string_value(json_object_get(object, name));
	return value ? value : "";
}

static unsigned long long number(const json_t *object, const char *name)
{
	return (unsigned long long)json_integer_value(json_object_get(object, name));
}

static bool flag(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}

static int print_json(const json_t *answer, struct loam_err *err)
{
	loam_auto_buf struct loam_buf line = LOAM_BUF(1u << 20);
	int rc = loam_json_print(answer, &line, err);
	if (rc == 0)
		fprintf(loam_cmd_out(), "%s\n", loam_buf_text(&line));
	return rc;
}

/* ---- publish --------------------------------------------------------------------------------- */

/* user.email of the user's own configuration, "" without one. free() */
static char *own_email(void)
{
	git_config *config = NULL;
	git_buf value = { 0 };
	git_libgit2_init();
	char *email = NULL;
	if (git_config_open_default(&config) == 0 &&
	    git_config_get_string_buf(&value, config, "user.email") == 0)
		email = loam_xstrdup(value.ptr);
	git_buf_dispose(&value);
	git_config_free(config);
	git_libgit2_shutdown();
	return email ? email : loam_xstrdup("");
}

static int describe(const char *dir, json_t *body, struct loam_err *err)
{
	struct stat is;
	if (stat(dir, &is) < 0)
		return loam_fail_errno(err, "look at %s", dir);
	if (!S_ISDIR(is.st_mode))
		return loam_fail(err, LOAM_E_NOT_DIR, "%s is no directory", dir);
	json_object_set_new(body, "ino", json_integer((json_int_t)is.st_ino));
	json_object_set_new(body, "changed_sec", json_integer((json_int_t)is.st_ctim.tv_sec));
	json_object_set_new(body, "changed_nsec", json_integer((json_int_t)is.st_ctim.tv_nsec));
	return 0;
}

static json_t *new_body(const struct publish_opts *opts, const char *dir)
{
	loam_auto_free char *email = own_email();
	loam_auto_free char *real = realpath(dir, NULL);
	const char *name = real && strrchr(real, '/')[1] ? strrchr(real, '/') + 1 : "a directory";
	loam_auto_free char *message =
		opts->message ? loam_xstrdup(opts->message) : loam_xasprintf("Publish %s", name);
	json_t *body = json_object();
	json_t *told = json_string(message);
	json_object_set_new(body, "message", told ? told : json_string("Publish a directory"));
	if (email[0])
		json_object_set_new(body, "email", json_string(email));
	return body;
}

/* A mount may show the directory as it was a second ago: then look again. */
static int ask_publish(struct loam_ask *ask, const char *dir, const char *repo, json_t *body,
		       json_t **out_answer, struct loam_err *err)
{
	const struct loam_op_word words[] = { { "repo", repo }, { NULL, NULL } };
	for (int look = 0; look < LOOKS; look++) {
		loam_auto_json json_t *answer = NULL;
		if (look > 0)
			loam_clock_sleep_ms(PAUSE_MS);
		int rc = describe(dir, body, err);
		if (rc == 0)
			rc = loam_ask_op(ask, &loam_op_repo_publish, words, body, &answer, err);
		if (rc < 0)
			return rc;
		if (flag(answer, "again"))
			continue;
		*out_answer = loam_steal(&answer);
		return 0;
	}
	return loam_fail(
		err, LOAM_E_INVALID,
		"%s is not on a mount of that server's volume, or is being changed without "
		"pause",
		dir);
}

static void print_published(const json_t *answer)
{
	FILE *to = loam_cmd_err();
	size_t index;
	json_t *note;
	json_array_foreach (json_object_get(answer, "notes"), index, note)
		fprintf(to, "loam: %s\n", json_string_value(note));
	if (!flag(answer, "changed")) {
		fprintf(to, "loam: nothing to publish: %s shows this already\n",
			text(answer, "repo"));
		return;
	}
	if (flag(answer, "merged"))
		fprintf(to, "loam: others had published meanwhile: merged\n");
	fprintf(to,
		"loam: %s@%.7s is on the mount: %llu files, %llu bytes; %llu known and not read",
		text(answer, "repo"), text(answer, "commit"), number(answer, "files"),
		number(answer, "bytes"), number(answer, "known_files"));
	if (number(answer, "hashed_files") > 0)
		fprintf(to, ", %llu read as LFS objects (%llu bytes)",
			number(answer, "hashed_files"), number(answer, "hashed_bytes"));
	fprintf(to, ", %llu read as blobs\n", number(answer, "small_files"));
}

static int publish(const struct publish_opts *opts, const char *dir, const char *repo_text,
		   struct loam_err *err)
{
	loam_auto_ask struct loam_ask *ask = NULL;
	loam_auto_json json_t *answer = NULL;
	loam_auto_json json_t *body = new_body(opts, dir);
	struct loam_repo repo;
	int rc = loam_repo_parse(repo_text, &repo, err);
	if (rc == 0)
		rc = loam_ask_open(&opts->ask, &ask, err);
	if (rc == 0)
		rc = ask_publish(ask, dir, repo_text, body, &answer, err);
	if (rc < 0)
		return rc;
	print_published(answer);
	if (opts->json)
		return print_json(answer, err);
	fprintf(loam_cmd_out(), "%s\n", text(answer, "commit"));
	return 0;
}

static int run_publish(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	if (loam_cmd_caller()) /* DIR would be one of the server's own */
		loam_fail(&err, LOAM_E_UNSUPPORTED,
			  "a directory is published where the volume is mounted, not over SSH");
	else
		publish(options, argv[0], argv[1], &err);
	return err.code != LOAM_E_OK ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_publish = {
	.name = "publish",
	.usage = "[options] DIR REPO",
	.summary = "make a directory on the mount a commit of a repository; prints the commit",
	.details =
		"The server reads DIR as you, without Git here: .gitignore counts, files that are\n"
		"published already are not read, files of 10 MiB and more become LFS objects. Run\n"
		"`loam login` before.\n"
		"In a copy that `loam clone` made, what others have published since is kept;\n"
		"files that both sides changed are named, and nothing is published.",
	.options = (const struct loam_opt[]){ LOAM_OPT(struct publish_opts, message, "message", 'm',
						       LOAM_OPT_TEXT, "MSG", "what has changed"),
					      LOAM_OPT(struct publish_opts, ask.server, "server", 0,
						       LOAM_OPT_TEXT, "URL",
						       "as who is logged in there (default: the "
						       "last loam login)"),
					      LOAM_OPT(struct publish_opts, json, "json", 0,
						       LOAM_OPT_FLAG, NULL, "print JSON"),
					      LOAM_OPT_END },
	.options_bytes = sizeof(struct publish_opts),
	.args_min = 2,
	.args_max = 2,
	.run = run_publish,
};

/* ---- fork ------------------------------------------------------------------------------------ */

struct fork_opts {
	struct loam_ask_options ask;
	const char *owner, *visibility;
	bool json;
};

static int fork_repo(const struct fork_opts *opts, const char *from, const char *to,
		     struct loam_err *err)
{
	loam_auto_ask struct loam_ask *ask = NULL;
	loam_auto_json json_t *answer = NULL;
	loam_auto_json json_t *body = json_pack("{s:s, s:s}", "to", to, "visibility",
						opts->visibility ? opts->visibility : "private");
	struct loam_repo repo;
	const struct loam_op_word words[] = { { "repo", from }, { NULL, NULL } };
	if (opts->owner)
		json_object_set_new(body, "owner", json_string(opts->owner));
	int rc = loam_repo_parse(from, &repo, err);
	if (rc == 0)
		rc = loam_repo_parse(to, &repo, err);
	if (rc == 0)
		rc = loam_ask_open(&opts->ask, &ask, err);
	if (rc == 0)
		rc = loam_ask_op(ask, &loam_op_repo_fork, words, body, &answer, err);
	if (rc < 0)
		return rc;
	fprintf(loam_cmd_err(),
		"loam: %s is a fork of %s: %llu refs, %llu LFS objects; %llu files, %llu bytes on "
		"the mount\n",
		text(answer, "repo"), text(answer, "from"), number(answer, "refs"),
		number(answer, "objects"), number(answer, "files"), number(answer, "bytes"));
	if (opts->json)
		return print_json(answer, err);
	fprintf(loam_cmd_out(), "%s\n", text(answer, "url"));
	return 0;
}

static int run_fork(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	return fork_repo(options, argv[0], argv[1], &err) < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_repo_fork = {
	.name = "repo fork",
	.usage = "[options] REPO NEW",
	.summary = "make a repository of the same history, by links; prints its Git URL",
	.details =
		"Commits, branches, tags and what they need of LFS; no grants, no locks. No byte\n"
		"is copied. You must be allowed to read REPO.\n\n" LOAM_ASK_HELP,
	.options =
		(const struct loam_opt[]){
			LOAM_ASK_OPTS(struct fork_opts),
			LOAM_OPT(struct fork_opts, owner, "owner", 0, LOAM_OPT_TEXT, "USER",
				 "who owns the namespace, if it is new"),
			LOAM_OPT(struct fork_opts, visibility, "visibility", 0, LOAM_OPT_TEXT,
				 "private|internal|public", "who may read it (default: private)"),
			LOAM_OPT(struct fork_opts, json, "json", 0, LOAM_OPT_FLAG, NULL,
				 "print JSON"),
			LOAM_OPT_END },
	.options_bytes = sizeof(struct fork_opts),
	.args_min = 2,
	.args_max = 2,
	.run = run_fork,
};
