/*
 * Counters of wrong logins (auth/guess.h). The table is bounded: when it is full the entry that was
 * quiet longest goes.
 */
#include "auth/guess.h"

#include "core/auto.h"
#include "core/clock.h"

#include <stdio.h>
#include <string.h>
#include <uthash.h>

#define FREE_TRIES  5
#define WINDOW_MS   60000u
#define FIRST_MS    2000u
#define LONGEST_MS  (15u * 60 * 1000)
#define FORGET_MS   (2u * LONGEST_MS)
#define ENTRIES_MAX 10000
#define KEY_BYTES   96

struct entry {
	char key[KEY_BYTES]; /* "address user" */
	unsigned failures;
	uint64_t first_ms, last_ms, held_until_ms;
	UT_hash_handle hh; /* in order of insertion; moved to the end at each failure */
};

struct loam_guess {
	pthread_mutex_t lock;
	struct entry *entries;
};

struct loam_guess *loam_guess_new(void)
{
	struct loam_guess *guess = loam_xnew(struct loam_guess);
	pthread_mutex_init(&guess->lock, NULL);
	return guess;
}

static void drop(struct loam_guess *guess, struct entry *entry)
{
	HASH_DEL(guess->entries, entry);
	free(entry);
}

void loam_guess_free(struct loam_guess *guess)
{
	if (!guess)
		return;
	struct entry *entry, *next;
	HASH_ITER (hh, guess->entries, entry, next) {
		drop(guess, entry);
	}
	pthread_mutex_destroy(&guess->lock);
	free(guess);
}

static struct entry *find(struct loam_guess *guess, const char *peer, const char *user)
{
	char key[KEY_BYTES];
	snprintf(key, sizeof(key), "%.45s %.40s", peer, user);
	struct entry *entry;
	HASH_FIND_STR(guess->entries, key, entry);
	return entry;
}

int loam_guess_check(struct loam_guess *guess, const char *peer, const char *user,
		     struct loam_err *err)
{
	loam_guard(&guess->lock);
	struct entry *entry = find(guess, peer, user);
	uint64_t now = loam_clock_ms();
	if (!entry || entry->held_until_ms <= now)
		return 0;
	return loam_fail(err, LOAM_E_LIMITED, "too many wrong logins; try again in %llu seconds",
			 (unsigned long long)(entry->held_until_ms - now + 999) / 1000);
}

void loam_guess_failed(struct loam_guess *guess, const char *peer, const char *user)
{
	loam_guard(&guess->lock);
	uint64_t now = loam_clock_ms();
	struct entry *entry = find(guess, peer, user);
	if (entry && (entry->failures > FREE_TRIES ? now - entry->last_ms > FORGET_MS
						   : now - entry->first_ms > WINDOW_MS)) {
		drop(guess, entry);
		entry = NULL;
	}
	if (!entry) {
		if (HASH_COUNT(guess->entries) >= ENTRIES_MAX)
			drop(guess, guess->entries);
		entry = loam_xnew(struct entry);
		snprintf(entry->key, sizeof(entry->key), "%.45s %.40s", peer, user);
		entry->first_ms = now;
	} else {
		HASH_DEL(guess->entries, entry);
	}
	HASH_ADD_STR(guess->entries, key, entry);
	entry->last_ms = now;
	if (++entry->failures <= FREE_TRIES)
		return;
	unsigned doublings = entry->failures - FREE_TRIES - 1;
	uint64_t wait = doublings > 12 ? LONGEST_MS : (uint64_t)FIRST_MS << doublings;
	entry->held_until_ms = now + (wait > LONGEST_MS ? LONGEST_MS : wait);
}

void loam_guess_succeeded(struct loam_guess *guess, const char *peer, const char *user)
{
	loam_guard(&guess->lock);
	struct entry *entry = find(guess, peer, user);
	if (entry)
		drop(guess, entry);
}
