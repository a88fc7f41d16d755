/*
 * The "ref" member that LFS calls carry: it is checked, and without effect (locks and objects are
 * not kept by branch). Source: protocols.md B.4; reliability.md lfs-11.
 */
#ifndef LOAM_LFS_REF_H
#define LOAM_LFS_REF_H

#include "core/json.h"

/* call: the object whose member "ref" is looked at. Absent, null, {} and a null name are fine; a
 * name is a full ref or a branch. UNPROCESSABLE. */
int loam_lfs_ref_check(const json_t *call, struct loam_err *err);

#endif
