/*
 * Big-endian integers in byte strings: every binary value of the volume format is big-endian.
 */
#ifndef LOAM_CORE_ENDIAN_H
#define LOAM_CORE_ENDIAN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define LOAM_DEFINE_BE(bits)                                                   \
	static inline uint##bits##_t loam_be##bits##_get(const void *at)       \
	{                                                                      \
		uint##bits##_t raw;                                            \
		memcpy(&raw, at, sizeof(raw));                                 \
		return be##bits##toh(raw);                                     \
	}                                                                      \
	static inline void loam_be##bits##_put(void *at, uint##bits##_t value) \
	{                                                                      \
		uint##bits##_t raw = htobe##bits(value);                       \
		memcpy(at, &raw, sizeof(raw));                                 \
	}
LOAM_DEFINE_BE(16)
LOAM_DEFINE_BE(32)
LOAM_DEFINE_BE(64)

#endif
