/*
 * The environment of a git child, built from nothing: what git may do is decided here and in no
 * configuration file (reliability.md §3 rules 6 and 14).
 *
 * Owner: loam_git_env_init/_release; env is NULL-terminated.
 */
#ifndef LOAM_SERVER_GIT_ENV_H
#define LOAM_SERVER_GIT_ENV_H

#include <stdbool.h>
#include <stddef.h>

#define LOAM_GIT_ENV_MAX 160

struct loam_git_env {
	const char *env[LOAM_GIT_ENV_MAX + 1];
	size_t count;
};

struct loam_git_env_spec {
	const char *dir;      /* of the repository: safe.directory */
	const char *home;     /* a directory without configuration */
	const char *protocol; /* of Git-Protocol, checked by loam_git_protocol_is_valid, or NULL */
	const char *user;     /* loam_principal_name */
	const char *peer;
	const char *door;	 /* "http" or "ssh": host part of the committer's address */
	const char *repo;	 /* "models/ns/name": LOAM_REPO */
	const char *hook_socket; /* both or neither */
	const char *hook_ticket;
	const char *hooks_dir; /* core.hooksPath, or NULL: no hook runs */
};

void loam_git_env_init(struct loam_git_env *env, const struct loam_git_env_spec *spec);
void loam_git_env_release(struct loam_git_env *env);

/* ^[a-z0-9=:._-]{1,128}$ */
bool loam_git_protocol_is_valid(const char *text);
/* Is version=2 the highest version asked for? */
bool loam_git_protocol_is_v2(const char *text);

#endif
