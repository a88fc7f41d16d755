/*
 * Places of git children and SSH sessions by principal (server/git_slots.h). Step 5 of a push.
 *
 * The list holds only principals that run something, so it is never longer than the requests that
 * are served at once; a list is enough.
 */
#include "server/git_slots.h"

#include "core/auto.h"
#include "core/banned.h"
#include "core/clock.h"
#include "core/err.h"

#include <string.h>

#define KEY_BYTES LOAM_GIT_SLOT_BYTES

struct holder {
	struct holder *next;
	char key[KEY_BYTES];
	unsigned count;
};

struct loam_git_slots {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct holder *holders;
	unsigned max_each;
};

struct loam_git_slots *loam_git_slots_new(unsigned max_each)
{
	struct loam_git_slots *slots = loam_xnew(struct loam_git_slots);
	pthread_mutex_init(&slots->lock, NULL);
	pthread_cond_init(&slots->changed, NULL);
	slots->max_each = max_each;
	return slots;
}

void loam_git_slots_free(struct loam_git_slots *slots)
{
	if (!slots)
		return;
	for (struct holder *next, *at = slots->holders; at; at = next) {
		next = at->next;
		free(at);
	}
	pthread_cond_destroy(&slots->changed);
	pthread_mutex_destroy(&slots->lock);
	free(slots);
}

/* Where the holder of key hangs; *result NULL: it runs nothing. */
static struct holder **find(struct loam_git_slots *slots, const char *key)
{
	struct holder **at = &slots->holders;
	while (*at && strcmp((*at)->key, key) != 0)
		at = &(*at)->next;
	return at;
}

bool loam_git_slots_take(struct loam_git_slots *slots, const char *key, uint64_t wait_ms)
{
	uint64_t until_ms = loam_clock_ms() + wait_ms;
	loam_assert(strlen(key) < KEY_BYTES);
	loam_guard(&slots->lock);
	struct holder **at = find(slots, key);
	while (*at && (*at)->count >= slots->max_each) {
		if (loam_clock_ms() >= until_ms)
			return false;
		loam_cond_wait_until(&slots->changed, &slots->lock, until_ms);
		at = find(slots, key);
	}
	if (!*at) {
		*at = loam_xnew(struct holder);
		snprintf((*at)->key, KEY_BYTES, "%s", key);
	}
	(*at)->count++;
	return true;
}

void loam_git_slots_give(struct loam_git_slots *slots, const char *key)
{
	loam_guard(&slots->lock);
	struct holder **at = find(slots, key);
	loam_assert(*at && (*at)->count > 0);
	if (--(*at)->count == 0) {
		struct holder *gone = *at;
		*at = gone->next;
		free(gone);
	}
	pthread_cond_broadcast(&slots->changed);
}
