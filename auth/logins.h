/*
 * Where a user of this machine is logged in: tokens of servers, in his own configuration folder.
 *
 * Shape:  $XDG_CONFIG_HOME/loam/logins.json, else ~/.config/loam/logins.json: an array, the login
 *         made last first, of {"server", "user", "token", "id", "plain"}. 0600, in a folder 0700.
 * Errors: DENIED for a file that others may read or that is somebody else's: it is not used.
 * Durable: put and drop return when the file is on disk; two at once both hold.
 * Threads: any.
 */
#ifndef LOAM_AUTH_LOGINS_H
#define LOAM_AUTH_LOGINS_H

#include "auth/token.h"
#include "core/fetch.h"

struct loam_login {
	char server[LOAM_FETCH_URL_BYTES]; /* "https://host", as loam_fetch_server gives it */
	char user[LOAM_USER_NAME_BYTES_MAX + 1];
	char token[LOAM_TOKEN_TEXT_BYTES];
	char token_id[LOAM_TOKEN_ID_BYTES]; /* made by `loam login`, revoked by `loam logout`; or ""
					     */
	bool plain;			    /* plain HTTP to another host was accepted */
};

/* The login at server (NULL: the last one made). 1 found, 0 none. */
int loam_logins_find(const char *server, struct loam_login *out_login, struct loam_err *err);
/* Adds it, in the place of an earlier one at the same server. */
int loam_logins_put(const struct loam_login *login, struct loam_err *err);
/* 1 dropped, 0 there was none. token: only if it is this one; NULL: any. */
int loam_logins_drop(const char *server, const char *token, struct loam_err *err);

#endif
