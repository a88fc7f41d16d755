/*
 * Opening everything a command needs, in order (auth/instance.h).
 */
#include "auth/instance.h"

#include "auth/audit.h"
#include "core/log.h"

#include <string.h>

static int open_volume(struct loam_instance *instance, const struct loam_instance_options *options,
		       struct loam_err *err)
{
	const char *url = NULL;
	int rc = loam_config_meta(instance->config, options->meta_url, &url, err);
	if (rc < 0)
		return rc;
	const struct loam_config *config = instance->config;
	struct loam_volume_options volume = {
		.meta = { .session = options->session,
			  .mount_point = "serve",
			  .weak_durability = strcmp(config->meta_durability, "weak") == 0 },
		.data = { .cache_dir = options->cache_dir,
			  .cache_bytes = config->cache_size_mib << 20 },
	};
	return loam_volume_open(url, &volume, &instance->volume, err);
}

/* Nothing is acknowledged on a store that may forget it, unless the operator says so. */
static int check_durability(struct loam_instance *instance, struct loam_err *err)
{
	int rc = loam_meta_barrier(instance->volume->meta, err);
	if (rc != -LOAM_E_UNSUPPORTED)
		return rc;
	char reason[LOAM_ERR_TEXT_MAX];
	memcpy(reason, err->text, sizeof(reason));
	loam_err_clear(err);
	return loam_fail(err, LOAM_E_UNSUPPORTED,
			 "this Redis may forget what was acknowledged (%.300s): set appendfsync "
			 "always there, or accept it with meta.durability = weak in the "
			 "configuration",
			 reason);
}

static int open_audit(const struct loam_instance *instance, bool serves, struct loam_err *err)
{
	loam_audit_know(loam_auth_accounts(instance->auth));
	int rc = loam_audit_open(instance->config, serves ? LOAM_DOOR_SERVER : LOAM_DOOR_CLI, err);
	if (rc == 0 || serves)
		return rc;
	loam_warn("audit.off", "error=%s", err->text);
	loam_err_clear(err);
	return 0;
}

int loam_instance_open(const struct loam_instance_options *options,
		       struct loam_instance **out_instance, struct loam_err *err)
{
	loam_auto_instance struct loam_instance *instance = loam_xnew(struct loam_instance);
	instance->config = options->config;
	int rc = instance->config ? 0 : loam_config_load(NULL, &instance->config, err);
	if (rc < 0)
		return rc;
	rc = open_volume(instance, options, err);
	if (rc < 0)
		return rc;
	rc = check_durability(instance, err);
	if (rc < 0)
		return rc;
	rc = loam_tree_open(instance->volume, instance->config->tree_root, true, &instance->tree,
			    err);
	if (rc < 0)
		return rc;
	rc = loam_auth_open(&instance->tree, &instance->auth, err);
	if (rc == 0)
		rc = open_audit(instance, options->session, err);
	if (rc < 0)
		return rc;
	*out_instance = loam_steal(&instance);
	return 0;
}

void loam_instance_close(struct loam_instance *instance)
{
	if (!instance)
		return;
	loam_audit_know(NULL);
	loam_audit_close();
	loam_auth_close(instance->auth);
	loam_volume_close(instance->volume);
	loam_config_free(instance->config);
	free(instance);
}
