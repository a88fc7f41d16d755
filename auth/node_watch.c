/*
 * The thread of a mount that writes new accounts and groups of the volume into the files of its
 * node (auth/node_watch.h). What goes wrong is logged once until it goes well again; the mount goes
 * on.
 */
#include "auth/node_watch.h"

#include "auth/account_store.h"
#include "auth/node.h"
#include "auth/tree.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define STEP_MS 100

struct watch {
	struct loam_volume *volume;
	char *tree_root;
	const char *uuid;
	struct loam_tree tree;
	struct loam_account_store *store; /* NULL until the node was found enrolled */
	char said[LOAM_ERR_TEXT_MAX];	  /* the last trouble that was logged */
	atomic_bool stopping;
	pthread_t thread;
};

static int open_store(struct watch *watch, struct loam_err *err)
{
	if (watch->store)
		return 0;
	int rc = loam_tree_open(watch->volume, watch->tree_root, false, &watch->tree, err);
	return rc < 0 ? rc : loam_account_store_open(&watch->tree, &watch->store, err);
}

static int look(struct watch *watch, struct loam_err *err)
{
	struct loam_node node;
	struct loam_node_look_result result = { 0 };
	const struct loam_accounts *accounts = NULL;
	int rc = loam_node_load("", &node, err);
	if (rc <= 0 || strcmp(node.uuid, watch->uuid) != 0)
		return rc < 0 ? rc : 0;
	rc = open_store(watch, err);
	if (rc == 0)
		rc = loam_account_store_get(watch->store, false, &accounts, err);
	if (rc == 0)
		rc = loam_node_refresh("", watch->uuid, accounts, &result, err);
	if (accounts)
		loam_account_store_put(watch->store, accounts);
	if (rc == 0 && result.changed)
		loam_info("node.names", "users=%zu groups=%zu left_out=%zu", result.users,
			  result.groups, result.left_out);
	return rc;
}

static void *run(void *arg)
{
	struct watch *watch = arg;
	while (!atomic_load(&watch->stopping)) {
		struct loam_err err = { 0 };
		if (look(watch, &err) == 0)
			watch->said[0] = '\0';
		else if (strcmp(watch->said, err.text) != 0)
			loam_warn("node.names", "problem=%s", err.text);
		if (err.code != LOAM_E_OK)
			memcpy(watch->said, err.text, sizeof(watch->said));
		for (int waited = 0; waited < LOAM_NODE_WATCH_MS && !atomic_load(&watch->stopping);
		     waited += STEP_MS)
			loam_clock_sleep_ms(STEP_MS);
	}
	return NULL;
}

void *loam_node_watch_start(struct loam_volume *volume, const struct loam_config *config)
{
	if (geteuid() != 0)
		return NULL;
	struct watch *watch = loam_xnew(struct watch);
	watch->volume = volume;
	watch->tree_root = loam_xstrdup(config->tree_root);
	watch->uuid = loam_meta_format(volume->meta)->uuid;
	if (pthread_create(&watch->thread, NULL, run, watch) == 0)
		return watch;
	loam_warn("node.names", "problem=%s", "no thread to keep the names of this node");
	free(watch->tree_root);
	free(watch);
	return NULL;
}

void loam_node_watch_stop(void *arg)
{
	struct watch *watch = arg;
	if (!watch)
		return;
	atomic_store(&watch->stopping, true);
	pthread_join(watch->thread, NULL);
	loam_account_store_close(watch->store);
	free(watch->tree_root);
	free(watch);
}
