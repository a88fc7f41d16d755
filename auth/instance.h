/*
 * What a command or server works on: configuration, volume, Loam's tree on it and its accounts,
 * opened together and closed in the right order.
 */
#ifndef LOAM_AUTH_INSTANCE_H
#define LOAM_AUTH_INSTANCE_H

#include "auth/account_store.h"
#include "auth/auth.h"
#include "core/auto.h"
#include "core/config.h"

struct loam_instance {
	struct loam_config *config;
	struct loam_volume *volume;
	struct loam_tree tree;
	struct loam_auth *auth;
};

struct loam_instance_options {
	const char *meta_url;	    /* --meta, or NULL: LOAM_META, then the configuration */
	struct loam_config *config; /* read before; the instance's from the call on. NULL: read */
	bool session;		    /* announce a session (serve) */
	const char *cache_dir;	    /* node cache, NULL: none */
};

/* The tree is made where it is missing; the audit log is opened (a server needs it to, the command
 * line warns). */
int loam_instance_open(const struct loam_instance_options *options,
		       struct loam_instance **out_instance, struct loam_err *err);
void loam_instance_close(struct loam_instance *instance);
LOAM_DEFINE_AUTO(loam_auto_instance, struct loam_instance, loam_instance_close)
#define loam_auto_instance __attribute__((cleanup(loam_auto_instance_)))

#endif
