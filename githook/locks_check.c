/*
 * Locks of others against the updates of a push (githook/locks_check.h).
 *
 * The updates are opened when the first foreign lock comes, so a repository without locks pays for
 * one question. Deleting a ref changes no path, unless HEAD names it: then all go from the tree,
 * and whoever pushes it anew would be compared with nothing.
 */
#include "githook/locks_check.h"

#include "core/auto.h"
#include "core/limits.h"
#include "sync/lock_guard.h"

#include <string.h>

#define ANSWER_MS      60000
#define LINES_MAX      20
#define LOCK_PAGES_MAX (10 * LOAM_LFS_LOCKS_MAX / LOAM_LFS_LOCKS_PAGE)

struct locks_check {
	struct loam_channel *channel;
	git_repository *git;
	const struct loam_updates *updates;
	struct loam_lock_guard **guards; /* NULL until the first lock */
	size_t guard_count;
	size_t touched;
};

static bool is_head(git_repository *git, const char *ref)
{
	git_reference *head = NULL;
	bool same = git_reference_lookup(&head, git, "HEAD") == 0 &&
		    git_reference_type(head) == GIT_REFERENCE_SYMBOLIC &&
		    strcmp(git_reference_symbolic_target(head), ref) == 0;
	git_reference_free(head);
	return same;
}

static int open_guards(struct locks_check *check, struct loam_err *err)
{
	if (check->guards)
		return 0;
	check->guards = loam_xcalloc(check->updates->count + 1, sizeof(check->guards[0]));
	for (size_t i = 0; i < check->updates->count; i++) {
		const struct loam_update *update = &check->updates->updates[i];
		if (git_oid_is_zero(&update->new_oid) && !is_head(check->git, update->ref))
			continue;
		int rc = loam_lock_guard_of_update(check->git, &update->old_oid, &update->new_oid,
						   &check->guards[check->guard_count], err);
		if (rc < 0)
			return rc;
		check->guard_count++;
	}
	return 0;
}

static int check_lock(struct locks_check *check, const struct loam_lock *lock, struct loam_err *err)
{
	int touched = 0;
	for (size_t i = 0; touched == 0 && i < check->guard_count; i++)
		touched = loam_lock_guard_touches(check->guards[i], lock->path, err);
	if (touched <= 0)
		return touched;
	char line[LOAM_LOCK_LINE_BYTES];
	loam_lock_line(lock, line);
	if (check->touched++ < LINES_MAX)
		fprintf(stderr, "loam: %s\n", line);
	return 0;
}

static int check_page(struct locks_check *check, const json_t *locks, struct loam_err *err)
{
	size_t index;
	json_t *value;
	int rc = json_array_size(locks) > 0 ? open_guards(check, err) : 0;
	if (rc < 0)
		return rc;
	json_array_foreach (locks, index, value) {
		struct loam_lock lock;
		rc = loam_lock_from_json(value, &lock, err);
		if (rc < 0)
			return rc;
		rc = check_lock(check, &lock, err);
		loam_lock_release(&lock);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* One question; *cursor becomes the next one's (free()), NULL behind the last page. */
static int ask_page(struct locks_check *check, char **cursor, struct loam_err *err)
{
	loam_auto_json json_t *answer = NULL;
	const char *next = NULL;
	json_t *question = json_pack("{s:s}", "op", "locks");
	if (*cursor)
		json_object_set_new(question, "cursor", json_string(*cursor));
	free(loam_steal(cursor));
	int rc = loam_channel_send(check->channel, question, err);
	if (rc == 0)
		rc = loam_channel_receive(check->channel, loam_deadline_in(ANSWER_MS), &answer,
					  err);
	if (rc == 0)
		rc = check_page(check, json_object_get(answer, "locks"), err);
	if (rc == 0)
		rc = loam_json_text(answer, "next_cursor", &next, err);
	if (rc == 1)
		*cursor = loam_xstrdup(next);
	return rc < 0 ? rc : 0;
}

static int ask_pages(struct locks_check *check, struct loam_err *err)
{
	char *cursor = NULL;
	int rc = 0;
	for (size_t pages = 0; rc == 0 && (pages == 0 || cursor); pages++) {
		if (pages == LOCK_PAGES_MAX)
			rc = loam_fail(err, LOAM_E_TOO_LARGE, "the list of locks does not end");
		else
			rc = ask_page(check, &cursor, err);
	}
	free(cursor);
	return rc;
}

int loam_locks_check(struct loam_channel *channel, git_repository *git,
		     const struct loam_updates *updates, struct loam_err *err)
{
	struct locks_check check = { .channel = channel, .git = git, .updates = updates };
	int rc = ask_pages(&check, err);
	for (size_t i = 0; i < check.guard_count; i++)
		loam_lock_guard_free(check.guards[i]);
	free(check.guards);
	if (rc < 0 || check.touched == 0)
		return rc;
	return loam_fail(err, LOAM_E_DENIED, "the push changes %zu path%s that others have locked",
			 check.touched, check.touched == 1 ? "" : "s");
}
