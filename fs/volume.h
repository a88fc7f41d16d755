/*
 * A volume opened from its URL: metadata, block store and data path together, as commands and the
 * layers above use it.
 */
#ifndef LOAM_FS_VOLUME_H
#define LOAM_FS_VOLUME_H

#include "fs/data/data.h"

struct loam_volume {
	struct loam_meta *meta;
	struct loam_store *store;
	struct loam_data *data;
};

struct loam_volume_options {
	struct loam_meta_options meta; /* delete_slice is set by the volume */
	struct loam_data_options data;
};

/* Refuses (UNSUPPORTED) a volume that needs what is not built yet, with the reason. */
int loam_volume_open(const char *url, const struct loam_volume_options *options,
		     struct loam_volume **out_volume, struct loam_err *err);
void loam_volume_close(struct loam_volume *volume);

#endif
