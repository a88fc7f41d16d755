/*
 * /etc/nsswitch.conf as text: the service `extrausers` put into the lines of users and groups, and
 * taken out again. Everything else stays as it is, byte for byte.
 *
 * Source: nsswitch.conf(5).
 */
#ifndef LOAM_AUTH_NSSWITCH_H
#define LOAM_AUTH_NSSWITCH_H

#include "core/buf.h"
#include "core/err.h"

#define LOAM_NSSWITCH_BYTES_MAX (1u << 20)

/* Behind `files`, so that what the host knows wins; a database without a line gets one (but
 * `initgroups`, which then follows `group`). Already there: unchanged. */
int loam_nsswitch_add(const struct loam_buf *old, struct loam_buf *out, struct loam_err *err);
/* Takes it out of the lines of `now` that have none of it in `before`. */
int loam_nsswitch_remove(const struct loam_buf *now, const struct loam_buf *before,
			 struct loam_buf *out, struct loam_err *err);

#endif
