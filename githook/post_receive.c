/*
 * loam hook post-receive: asks serve to publish and shows the pusher how it went (step 7 of a
 * push).
 *
 * The refs have moved; nothing said here can undo that. If serve does not answer, or takes longer
 * than a minute, the next reconcile publishes.
 */
#include "core/auto.h"
#include "core/failpoint.h"
#include "core/limits.h"
#include "githook/channel.h"
#include "githook/commands.h"
#include "githook/tell.h"
#include "githook/updates.h"

#include <signal.h>
#include <string.h>

static const char *first_branch(const struct loam_updates *updates)
{
	for (size_t i = 0; i < updates->count; i++)
		if (strncmp(updates->updates[i].ref, "refs/heads/", 11) == 0 &&
		    !git_oid_is_zero(&updates->updates[i].new_oid))
			return updates->updates[i].ref;
	return "";
}

static int follow(struct loam_channel *channel, struct loam_err *err)
{
	struct loam_deadline deadline = loam_deadline_in(LOAM_HOOK_PUBLISH_SECONDS * 1000);
	for (;;) {
		loam_auto_json json_t *message = NULL;
		const char *line = NULL;
		int rc = loam_channel_receive(channel, deadline, &message, err);
		if (rc < 0)
			return rc;
		if (json_is_true(json_object_get(message, "done")))
			return 0;
		if (loam_json_text(message, "line", &line, err) == 1)
			fprintf(stderr, "loam: %s\n", line);
	}
}

static int publish(struct loam_err *err)
{
	struct loam_updates updates;
	int rc = loam_updates_read(stdin, &updates, err);
	if (rc == 0)
		rc = loam_failpoint("hook.post_receive.begun", err);
	if (rc < 0)
		return rc;
	struct loam_channel channel;
	rc = loam_channel_open(&channel, err);
	if (rc == 0) {
		rc = loam_tell_updated(&channel, &updates, err);
		if (rc == 0)
			rc = loam_channel_send(&channel,
					       json_pack("{s:s, s:s}", "op", "publish", "first",
							 first_branch(&updates)),
					       err);
		if (rc == 0)
			rc = follow(&channel, err);
		loam_channel_close(&channel);
	}
	loam_updates_release(&updates);
	return rc;
}

static int run_post_receive(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	signal(SIGPIPE, SIG_IGN);
	if (publish(&err) == 0)
		return 0;
	if (err.code == LOAM_E_UNAVAILABLE)
		fprintf(stderr, "loam: the push is taken; its files are not on the mount yet, the "
				"server goes on alone\n");
	else
		fprintf(stderr, "loam: the push is taken, but: %s\n", err.text);
	return 0;
}

const struct loam_cmd loam_cmd_hook_post_receive = {
	.name = "hook post-receive",
	.usage = "",
	.summary = "run by git behind a push: puts its files on the mount",
	.run = run_post_receive,
};
