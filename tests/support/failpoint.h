/*
 * Failpoints set and taken back within a test.
 */
#ifndef LOAM_TESTS_SUPPORT_FAILPOINT_H
#define LOAM_TESTS_SUPPORT_FAILPOINT_H

#include "core/failpoint.h"

#include <stdlib.h>

/* From now on, counted from 0; NULL: none. Without LOAM_FAILPOINTS nothing happens at any. */
static inline void loam_failpoint_set(const char *text)
{
	if (text)
		setenv("LOAM_FAILPOINT", text, 1);
	else
		unsetenv("LOAM_FAILPOINT");
#ifdef LOAM_FAILPOINTS
	loam_failpoint_reset();
#endif
}

#endif
