/*
 * Named failpoints for tests: LOAM_FAILPOINT=name:kill|error:ERRNO|delay:MS|pause[:n], several joined
 * by commas; n counts arrivals from 1 (default: every arrival). In release builds they compile to 0.
 *
 *   int rc = loam_failpoint("lfs.upload.linked", err);   // 0, or -code with err set
 *
 * With LOAM_FAILPOINT_LOG=FILE each reached name is appended once, so that a test can tell that its
 * failpoint was reached.
 */
#ifndef LOAM_CORE_FAILPOINT_H
#define LOAM_CORE_FAILPOINT_H

#include "core/err.h"

#ifdef LOAM_FAILPOINTS
int loam_failpoint(const char *name, struct loam_err *err);
#else
#define loam_failpoint(name, err) ((void)(err), 0)
#endif

#endif
