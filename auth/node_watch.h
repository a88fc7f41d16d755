/*
 * A mount keeps the names of its node current while it runs (docs/decisions/0007).
 */
#ifndef LOAM_AUTH_NODE_WATCH_H
#define LOAM_AUTH_NODE_WATCH_H

#include "core/config.h"
#include "fs/volume.h"

/* Starts a thread that looks every LOAM_NODE_WATCH_MS, without a trip to Redis while the node is
 * not enrolled for this volume. volume is borrowed until stop. NULL: not root, no thread. */
#define LOAM_NODE_WATCH_MS 2000
void *loam_node_watch_start(struct loam_volume *volume, const struct loam_config *config);
void loam_node_watch_stop(void *watch); /* accepts NULL */

#endif
