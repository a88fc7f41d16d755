/*
 * Named failpoints for tests: LOAM_FAILPOINT=name:kill|error:ERRNO|delay:MS|pause|short:BYTES[:n],
 * several joined by commas; n counts arrivals from 1 (default: every arrival). `pause` stops the
 * process until SIGCONT; `short` cuts the byte count of one read or write of core/sys.h. In release
 * builds they compile to 0.
 *
 *   int rc = loam_failpoint("lfs.upload.linked", err);   // 0, or -code with err set
 *
 * With LOAM_FAILPOINT_LOG=FILE each reached name is appended once, so that a test can tell that its
 * failpoint was reached. A text that is no such list stops the program at the first failpoint.
 *
 * Threads: any.
 */
#ifndef LOAM_CORE_FAILPOINT_H
#define LOAM_CORE_FAILPOINT_H

#include "core/err.h"

#include <stddef.h>

#ifdef LOAM_FAILPOINTS
int loam_failpoint(const char *name, struct loam_err *err);
/* Bytes that a call may transfer: the argument, or fewer (at least 1) where `short` says so. */
size_t loam_failpoint_short(const char *name, size_t bytes);
/* Reads the environment again and counts from 0: for unit tests. */
void loam_failpoint_reset(void);
#else
#define loam_failpoint(name, err)	  ((void)(err), 0)
#define loam_failpoint_short(name, bytes) (bytes)
#endif

#endif
