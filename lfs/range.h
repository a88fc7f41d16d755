/*
 * The Range header of one stored object. Units: bytes, 64 bits throughout.
 */
#ifndef LOAM_LFS_RANGE_H
#define LOAM_LFS_RANGE_H

#include <stdint.h>

enum loam_range_answer {
	LOAM_RANGE_WHOLE, /* none, several, or none that makes sense: the whole object, 200 */
	LOAM_RANGE_PART,  /* 206 */
	LOAM_RANGE_NONE	  /* nothing of it is there: 416 */
};

/* header may be NULL. Positions are given for WHOLE too; count is 0 only for an empty object. Of an
 * empty object every range is the whole (one client asks so). */
enum loam_range_answer loam_range_parse(const char *header, uint64_t size, uint64_t *out_first,
					uint64_t *out_count);

#endif
