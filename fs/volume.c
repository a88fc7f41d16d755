/*
 * Opens a volume: engine by URL, metadata, the block store that its Format names, the data path.
 *
 * The metadata's background threads delete slices from the moment it is open until it is closed,
 * and so before the data path is there and after it has gone: delete_slice waits for the store, and
 * goes through the data path only while that stands.
 */
#include "fs/volume.h"

#include "core/auto.h"
#include "core/failpoint.h"
#include "fs/data/data_internal.h"

#include <string.h>

#define FAULT_VARIABLE "LOAM_STORE_FAULT"

enum stage { OPENING, OPEN, FAILED };

struct opened {
	struct loam_volume base;
	struct loam_block_naming naming;
	pthread_mutex_t lock; /* stage, users, data_open */
	pthread_cond_t changed;
	enum stage stage; /* of the store */
	bool data_open;
	unsigned users; /* of the data path, in delete_slice */
};

/* true: the data path may be used until leave(). *out_failed: there is no store. */
static bool enter(struct opened *volume, bool *out_failed)
{
	loam_guard(&volume->lock);
	while (volume->stage == OPENING)
		pthread_cond_wait(&volume->changed, &volume->lock);
	*out_failed = volume->stage == FAILED;
	volume->users += volume->data_open;
	return volume->data_open;
}

static void leave(struct opened *volume)
{
	loam_guard(&volume->lock);
	volume->users--;
	pthread_cond_broadcast(&volume->changed);
}

static void delete_slice(void *arg, uint64_t id, uint32_t size)
{
	struct opened *volume = arg;
	bool failed;
	if (enter(volume, &failed)) {
		loam_data_delete_slice(volume->base.data, id, size);
		leave(volume);
	} else if (!failed) {
		loam_data_remove_blocks(volume->base.store, &volume->naming, id, size);
	}
}

static void set_stage(struct opened *volume, enum stage stage)
{
	loam_guard(&volume->lock);
	volume->stage = stage;
	pthread_cond_broadcast(&volume->changed);
}

/* Nobody uses the data path behind this. */
static void close_data(struct opened *volume)
{
	pthread_mutex_lock(&volume->lock);
	volume->data_open = false;
	while (volume->users > 0)
		pthread_cond_wait(&volume->changed, &volume->lock);
	pthread_mutex_unlock(&volume->lock);
	loam_data_close(volume->base.data);
	volume->base.data = NULL;
}

static int wrap_store(struct loam_store **store, struct loam_err *err)
{
#ifdef LOAM_FAILPOINTS
	const char *rules = getenv(FAULT_VARIABLE);
	if (!rules || !*rules)
		return 0;
	struct loam_store *inner = loam_steal(store);
	return loam_store_fault_open(inner, rules, store, err);
#else
	return 0;
#endif
}

static int open_store(struct opened *volume, struct loam_err *err)
{
	const struct loam_format *format = loam_meta_format(volume->base.meta);
	int rc = loam_format_check(format, err);
	if (rc == 0)
		rc = loam_store_open(format->storage, format->bucket, &volume->base.store, err);
	if (rc == 0)
		rc = wrap_store(&volume->base.store, err);
	if (rc < 0)
		return rc;
	volume->naming.block_bytes = format->block_kib << 10;
	volume->naming.hash_prefix = format->hash_prefix;
	snprintf(volume->naming.volume, sizeof(volume->naming.volume), "%s", format->name);
	return 0;
}

static int open_parts(struct opened *volume, const char *url,
		      const struct loam_volume_options *options, struct loam_err *err)
{
	struct loam_engine *engine;
	int rc = loam_engine_open(url, &engine, err);
	if (rc < 0)
		return rc;
	struct loam_meta_options meta = options->meta;
	meta.delete_slice = delete_slice;
	meta.delete_slice_arg = volume;
	rc = loam_meta_open(engine, &meta, &volume->base.meta, err);
	if (rc < 0)
		return rc;
	rc = open_store(volume, err);
	if (rc < 0)
		return rc;
	set_stage(volume, OPEN);
	rc = loam_data_open(volume->base.meta, volume->base.store, &options->data,
			    &volume->base.data, err);
	if (rc < 0)
		return rc;
	loam_guard(&volume->lock);
	volume->data_open = true;
	return 0;
}

int loam_volume_open(const char *url, const struct loam_volume_options *options,
		     struct loam_volume **out_volume, struct loam_err *err)
{
	struct opened *volume = loam_xnew(struct opened);
	pthread_mutex_init(&volume->lock, NULL);
	pthread_cond_init(&volume->changed, NULL);
	int rc = open_parts(volume, url, options, err);
	if (rc < 0) {
		loam_volume_close(&volume->base);
		return rc;
	}
	*out_volume = &volume->base;
	return 0;
}

void loam_volume_close(struct loam_volume *base)
{
	if (!base)
		return;
	struct opened *volume = (struct opened *)base;
	close_data(volume);
	if (volume->stage == OPENING)
		set_stage(volume, FAILED);
	loam_meta_close(base->meta);
	if (base->store)
		base->store->ops->free(base->store);
	pthread_cond_destroy(&volume->changed);
	pthread_mutex_destroy(&volume->lock);
	free(volume);
}
