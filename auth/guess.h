/*
 * Slow-down against guessing: five wrong tries a minute for one address and account, then a wait
 * that doubles with every further one, up to 15 minutes. Source: reliability.md §3 rule 12.
 */
#ifndef LOAM_AUTH_GUESS_H
#define LOAM_AUTH_GUESS_H

#include "core/err.h"

struct loam_guess;

struct loam_guess *loam_guess_new(void);
void loam_guess_free(struct loam_guess *guess);
/* LIMITED with the seconds to wait while this pair is held back. */
int loam_guess_check(struct loam_guess *guess, const char *peer, const char *user,
		     struct loam_err *err);
void loam_guess_failed(struct loam_guess *guess, const char *peer, const char *user);
void loam_guess_succeeded(struct loam_guess *guess, const char *peer, const char *user);

#endif
