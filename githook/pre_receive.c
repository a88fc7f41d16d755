/*
 * loam hook pre-receive: may these objects become history? (step 6 of a push)
 *
 * It reads the new objects itself, through git's quarantine, and asks serve which of the LFS
 * objects that they point to this repository holds, and which paths others have locked. Without an
 * answer the push is refused.
 */
#include "core/auto.h"
#include "core/failpoint.h"
#include "core/limits.h"
#include "githook/channel.h"
#include "githook/commands.h"
#include "githook/locks_check.h"
#include "githook/scan.h"
#include "githook/tell.h"
#include "githook/updates.h"
#include "sync/git_dir.h"

#include <signal.h>
#include <string.h>

#define ANSWER_MS	  60000
#define MISSING_SHOWN_MAX 20

struct asked {
	const struct loam_scan *scan;
	size_t from, to; /* pointers in this message */
	size_t missing;
};

/* `git push origin HEAD:HEAD` makes a branch of that name: from then on every clone finds "HEAD"
 * ambiguous. One that is there already may be deleted. */
static bool is_named_head(const struct loam_update *update)
{
	return !git_oid_is_zero(&update->new_oid) && (strcmp(update->ref, "refs/heads/HEAD") == 0 ||
						      strcmp(update->ref, "refs/tags/HEAD") == 0);
}

static int check_refs(const struct loam_updates *updates, struct loam_err *err)
{
	static const char *const refused[] = { "refs/loam/", "refs/replace/" };
	for (size_t i = 0; i < updates->count; i++) {
		const char *ref = updates->updates[i].ref;
		if (strncmp(ref, "refs/", 5) != 0 || is_named_head(&updates->updates[i]))
			return loam_fail(err, LOAM_E_DENIED, "%s cannot be pushed", ref);
		for (size_t r = 0; r < LOAM_ARRAY_COUNT(refused); r++)
			if (strncmp(ref, refused[r], strlen(refused[r])) == 0)
				return loam_fail(err, LOAM_E_DENIED, "%s cannot be pushed", ref);
	}
	return 0;
}

static json_t *question(const struct asked *asked)
{
	json_t *objects = json_array();
	for (size_t i = asked->from; i < asked->to; i++) {
		const struct loam_found_pointer *pointer = loam_scan_pointer(asked->scan, i);
		json_array_append_new(objects, json_pack("{s:s, s:I}", "oid", pointer->oid, "size",
							 (json_int_t)pointer->size));
	}
	return json_pack("{s:s, s:o}", "op", "holds", "objects", objects);
}

static const char *path_of(const struct asked *asked, const char *oid)
{
	for (size_t i = asked->from; i < asked->to; i++) {
		const struct loam_found_pointer *pointer = loam_scan_pointer(asked->scan, i);
		if (strcmp(pointer->oid, oid) == 0)
			return pointer->path;
	}
	return "?";
}

static void print_missing(struct asked *asked, const json_t *oids, const char *why)
{
	size_t index;
	json_t *value;
	json_array_foreach (oids, index, value) {
		const char *oid = json_string_value(value);
		if (oid && asked->missing++ < MISSING_SHOWN_MAX)
			fprintf(stderr, "loam: object %s of %s %s\n", oid, path_of(asked, oid),
				why);
	}
}

static int ask(struct loam_channel *channel, struct asked *asked, struct loam_err *err)
{
	loam_auto_json json_t *answer = NULL;
	int rc = loam_channel_send(channel, question(asked), err);
	if (rc == 0)
		rc = loam_channel_receive(channel, loam_deadline_in(ANSWER_MS), &answer, err);
	if (rc < 0)
		return rc;
	print_missing(asked, json_object_get(answer, "missing"), "is missing");
	print_missing(asked, json_object_get(answer, "wrong_size"),
		      "has another size than its pointer says");
	return 0;
}

/* All pointers, at most 1,000 a message; one message also when there are none: serve asks the
 * rights once more. *out_by_serve: it was serve that refused. */
static int ask_all(struct loam_channel *channel, const struct loam_scan *scan, bool *out_by_serve,
		   struct loam_err *err)
{
	size_t count = loam_scan_pointer_count(scan);
	struct asked asked = { .scan = scan };
	int rc;
	do {
		asked.to = asked.from + LOAM_HOOK_PAIRS_MAX;
		if (asked.to > count)
			asked.to = count;
		rc = ask(channel, &asked, err);
		asked.from = asked.to;
	} while (rc == 0 && asked.from < count);
	*out_by_serve = rc < 0;
	if (rc < 0 || asked.missing == 0)
		return rc;
	return loam_fail(err, LOAM_E_DENIED,
			 "%zu LFS object%s not on the server; run: git lfs push --all REMOTE",
			 asked.missing, asked.missing == 1 ? " is" : "s are");
}

static int ask_serve(git_repository *git, const struct loam_updates *updates,
		     const struct loam_scan *scan, bool *out_by_serve, struct loam_err *err)
{
	struct loam_channel channel;
	int rc = loam_channel_open(&channel, err);
	if (rc < 0)
		return loam_context(err, "the push cannot be checked");
	rc = ask_all(&channel, scan, out_by_serve, err);
	if (rc == 0)
		rc = loam_locks_check(&channel, git, updates, err);
	loam_channel_close(&channel);
	return rc;
}

static int check_push(bool *out_by_serve, struct loam_err *err)
{
	struct loam_updates updates;
	git_repository *git = NULL;
	git_libgit2_init();
	loam_git_own_rules();
	int rc = loam_updates_read(stdin, &updates, err);
	if (rc < 0)
		return rc;
	rc = check_refs(&updates, err);
	if (rc == 0 && git_repository_open_ext(&git, ".", GIT_REPOSITORY_OPEN_FROM_ENV, NULL) < 0)
		rc = loam_fail(err, LOAM_E_IO, "the repository cannot be opened: %s",
			       git_error_last() ? git_error_last()->message : "no reason given");
	struct loam_scan *scan = loam_scan_new(git);
	for (size_t i = 0; rc == 0 && i < updates.count; i++)
		if (!git_oid_is_zero(&updates.updates[i].new_oid))
			rc = loam_scan_ref(scan, &updates.updates[i].new_oid, err);
	if (rc == 0 && loam_scan_refusals(scan)->bytes > 0) {
		fprintf(stderr, "%s", loam_buf_text(loam_scan_refusals(scan)));
		rc = loam_fail(err, LOAM_E_DENIED, "the push holds what cannot stand on the mount");
	}
	if (rc == 0)
		rc = ask_serve(git, &updates, scan, out_by_serve, err);
	if (rc == 0)
		rc = loam_failpoint("hook.pre_receive.checked", err);
	loam_scan_free(scan);
	git_repository_free(git);
	loam_updates_release(&updates);
	return rc;
}

static int run_pre_receive(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	signal(SIGPIPE, SIG_IGN);
	bool by_serve = false;
	if (check_push(&by_serve, &err) == 0)
		return 0;
	fprintf(stderr, "loam: %s\n", err.text);
	if (!by_serve)
		loam_tell_refused(&err);
	return 1;
}

const struct loam_cmd loam_cmd_hook_pre_receive = {
	.name = "hook pre-receive",
	.usage = "",
	.summary = "run by git before a push is taken: checks names and LFS objects",
	.run = run_pre_receive,
};

/* Everything is decided by pre-receive; this one exists so that an installed set is complete. */
static int run_update(const void *options, int argc, char **argv)
{
	return 0;
}

const struct loam_cmd loam_cmd_hook_update = {
	.name = "hook update",
	.usage = "REF OLD NEW",
	.summary = "run by git for each ref: takes what pre-receive has taken",
	.args_min = 3,
	.args_max = 3,
	.run = run_update,
};
