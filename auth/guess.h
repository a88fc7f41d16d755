/*
 * Slow-down against guessing: five wrong tries a minute for one address and account, and thirty for
 * one address whatever the accounts, then a wait that doubles with every further one, up to 15
 * minutes. An IPv6 address counts as its /64: whoever has one has them all.
 *
 * Nothing is counted for an account whatever the addresses: that would let a stranger keep its
 * owner out. Source: reliability.md §3 rule 12.
 */
#ifndef LOAM_AUTH_GUESS_H
#define LOAM_AUTH_GUESS_H

#include "core/err.h"

struct loam_guess;

struct loam_guess *loam_guess_new(void);
void loam_guess_free(struct loam_guess *guess);
/* LIMITED with the seconds to wait while this pair or its address is held back. */
int loam_guess_check(struct loam_guess *guess, const char *peer, const char *user,
		     struct loam_err *err);
void loam_guess_failed(struct loam_guess *guess, const char *peer, const char *user);
/* Forgets what the pair did; the address keeps its count: its guesser may have an account too. */
void loam_guess_succeeded(struct loam_guess *guess, const char *peer, const char *user);

#endif
