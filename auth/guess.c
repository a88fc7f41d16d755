/*
 * Counters of wrong logins (auth/guess.h). The table is bounded: when it is full the entry that was
 * quiet longest goes.
 */
#include "auth/guess.h"

#include "core/auto.h"
#include "core/clock.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

#define FREE_TRIES	   5
#define ADDRESS_FREE_TRIES 30
#define WINDOW_MS	   60000u
#define FIRST_MS	   2000u
#define LONGEST_MS	   (15u * 60 * 1000)
#define FORGET_MS	   (2u * LONGEST_MS)
#define ENTRIES_MAX	   20000
#define KEY_BYTES	   96
#define HOST_PART_AT	   8 /* of an IPv6 address */

struct entry {
	char key[KEY_BYTES]; /* "address user", or the address alone */
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

/* "address user", or without a user the address alone. */
static void print_key(const char *peer, const char *user, char out[KEY_BYTES])
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;
	snprintf(text, sizeof(text), "%.45s", peer);
	if (inet_pton(AF_INET6, text, &address) == 1 && !IN6_IS_ADDR_V4MAPPED(&address)) {
		memset(address.s6_addr + HOST_PART_AT, 0, sizeof(address) - HOST_PART_AT);
		inet_ntop(AF_INET6, &address, text, sizeof(text));
	}
	if (user)
		snprintf(out, KEY_BYTES, "%s %.40s", text, user);
	else
		snprintf(out, KEY_BYTES, "%s", text);
}

static struct entry *find(struct loam_guess *guess, const char *peer, const char *user)
{
	char key[KEY_BYTES];
	print_key(peer, user, key);
	struct entry *entry;
	HASH_FIND_STR(guess->entries, key, entry);
	return entry;
}

static uint64_t held_until(const struct entry *entry)
{
	return entry ? entry->held_until_ms : 0;
}

int loam_guess_check(struct loam_guess *guess, const char *peer, const char *user,
		     struct loam_err *err)
{
	loam_guard(&guess->lock);
	uint64_t pair = held_until(find(guess, peer, user));
	uint64_t address = held_until(find(guess, peer, NULL));
	uint64_t until = pair > address ? pair : address;
	uint64_t now = loam_clock_ms();
	if (until <= now)
		return 0;
	return loam_fail(err, LOAM_E_LIMITED, "too many wrong logins; try again in %llu seconds",
			 (unsigned long long)(until - now + 999) / 1000);
}

/* The entry, at the end of the order; a new one when what it knew is long ago. */
static struct entry *touch(struct loam_guess *guess, const char *peer, const char *user,
			   unsigned free_tries, uint64_t now)
{
	struct entry *entry = find(guess, peer, user);
	if (entry && (entry->failures > free_tries ? now - entry->last_ms > FORGET_MS
						   : now - entry->first_ms > WINDOW_MS)) {
		drop(guess, entry);
		entry = NULL;
	}
	if (!entry) {
		if (HASH_COUNT(guess->entries) >= ENTRIES_MAX)
			drop(guess, guess->entries);
		entry = loam_xnew(struct entry);
		print_key(peer, user, entry->key);
		entry->first_ms = now;
	} else {
		HASH_DEL(guess->entries, entry);
	}
	HASH_ADD_STR(guess->entries, key, entry);
	return entry;
}

static void count_failure(struct loam_guess *guess, const char *peer, const char *user,
			  unsigned free_tries)
{
	uint64_t now = loam_clock_ms();
	struct entry *entry = touch(guess, peer, user, free_tries, now);
	entry->last_ms = now;
	if (++entry->failures <= free_tries)
		return;
	unsigned doublings = entry->failures - free_tries - 1;
	uint64_t wait = doublings > 12 ? LONGEST_MS : (uint64_t)FIRST_MS << doublings;
	entry->held_until_ms = now + (wait > LONGEST_MS ? LONGEST_MS : wait);
}

void loam_guess_failed(struct loam_guess *guess, const char *peer, const char *user)
{
	loam_guard(&guess->lock);
	count_failure(guess, peer, user, FREE_TRIES);
	count_failure(guess, peer, NULL, ADDRESS_FREE_TRIES);
}

void loam_guess_succeeded(struct loam_guess *guess, const char *peer, const char *user)
{
	loam_guard(&guess->lock);
	struct entry *entry = find(guess, peer, user);
	if (entry)
		drop(guess, entry);
}
