/*
 * Git LFS pointer files.
 *
 * Shape:  text lines "key SP value LF"; "version" first; under 1024 bytes in all. The verdict is
 * that of `git lfs pointer --check` of the supported client, non-canonical forms included; but the
 * empty blob is an ordinary empty file here.
 * Source: git-lfs docs/spec.md; protocols.md B.1.
 */
#ifndef LOAM_LFS_POINTER_H
#define LOAM_LFS_POINTER_H

#include "core/err.h"
#include "core/hash.h"

#include <stdbool.h>
#include <stdint.h>

struct loam_pointer {
	char oid[LOAM_SHA256_HEX + 1];
	uint64_t size;	/* bytes of the object, not of the pointer */
	bool canonical; /* byte for byte what `clean` writes */
};

/* INVALID when data is not a pointer (ordinary files are common: do not log). */
int loam_pointer_parse(const void *data, size_t data_bytes, struct loam_pointer *out_pointer,
		       struct loam_err *err);

#endif
