/*
 * Telling serve what happened (githook/tell.h). Steps 6 and 7 of a push.
 */
#include "githook/tell.h"

#include "core/auto.h"
#include "core/limits.h"

#include <string.h>

#define ANSWER_MS    20000
#define REFUSED_MS   5000
#define ID_BYTES     (GIT_OID_HEXSZ + 1)
#define REASON_BYTES 256

static int send_and_wait(struct loam_channel *channel, json_t *message, uint64_t wait_ms,
			 struct loam_err *err)
{
	loam_auto_json json_t *answer = NULL;
	int rc = loam_channel_send(channel, message, err);
	return rc < 0 ? rc : loam_channel_receive(channel, loam_deadline_in(wait_ms), &answer, err);
}

/* A ref's name is bytes; JSON takes UTF-8 only. */
static json_t *text_of(const char *name)
{
	json_t *text = json_string(name);
	if (text)
		return text;
	loam_auto_free char *shown = loam_xstrdup(name);
	for (char *c = shown; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	return json_string(shown);
}

static json_t *updates_from(const struct loam_updates *updates, size_t from, size_t to)
{
	json_t *list = json_array();
	for (size_t i = from; i < to; i++) {
		char old_id[ID_BYTES], new_id[ID_BYTES];
		git_oid_tostr(old_id, sizeof(old_id), &updates->updates[i].old_oid);
		git_oid_tostr(new_id, sizeof(new_id), &updates->updates[i].new_oid);
		json_array_append_new(list, json_pack("[o, s, s]", text_of(updates->updates[i].ref),
						      old_id, new_id));
	}
	return json_pack("{s:s, s:o}", "op", "updated", "updates", list);
}

int loam_tell_updated(struct loam_channel *channel, const struct loam_updates *updates,
		      struct loam_err *err)
{
	int rc = 0;
	for (size_t from = 0, to; rc == 0 && from < updates->count; from = to) {
		to = from + LOAM_HOOK_UPDATES_MAX;
		if (to > updates->count)
			to = updates->count;
		rc = send_and_wait(channel, updates_from(updates, from, to), ANSWER_MS, err);
	}
	return rc;
}

void loam_tell_refused(const struct loam_err *why)
{
	struct loam_err ignored = { 0 };
	struct loam_channel channel;
	char reason[REASON_BYTES];
	snprintf(reason, sizeof(reason), "%.*s", REASON_BYTES - 1, why->text);
	if (loam_channel_open(&channel, &ignored) < 0)
		return;
	send_and_wait(&channel, json_pack("{s:s, s:o}", "op", "refused", "reason", text_of(reason)),
		      REFUSED_MS, &ignored);
	loam_channel_close(&channel);
}
