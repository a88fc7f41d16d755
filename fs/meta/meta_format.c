/*
 * Binary records of the volume format: inode attributes, directory entries, slice records and
 * delayed slices (steps 4 and 8 of a push store them, step 9 reads them).
 *
 * An attr is 63 bytes of fields, then what its writer knew: parent, ACL ids, tier, and one pad byte
 *
 *   0     1            3    7    11         23         35         47     51      59    63      71
 *   flags type<<12|mode uid  gid  atime s,ns mtime s,ns ctime s,ns nlink  length  rdev  parent tail
 *
 *   tail: 00 | tier 00 | accessACL(4) defaultACL(4) 00 | accessACL(4) defaultACL(4) tier 00
 *
 * The decoder takes each part if enough bytes are left for it, so a pad byte reads as tier 0 and
 * records without pad, or without parent, are understood.
 */
#include "fs/meta/meta_format.h"

#include "core/auto.h"
#include "core/endian.h"

#include <string.h>

#define ATTR_FIXED_BYTES  63
#define ATTR_PARENT_BYTES 8
#define ATTR_ACL_BYTES	  8

static void put_time(uint8_t *at, struct timespec when)
{
	loam_be64_put(at, (uint64_t)when.tv_sec);
	loam_be32_put(at + 8, (uint32_t)when.tv_nsec);
}

static struct timespec get_time(const uint8_t *at)
{
	return (struct timespec){ .tv_sec = (int64_t)loam_be64_get(at),
				  .tv_nsec = loam_be32_get(at + 8) };
}

size_t loam_attr_encode(const struct loam_attr *attr, uint8_t out[LOAM_ATTR_BYTES_MAX])
{
	loam_assert(attr->type >= LOAM_TYPE_FILE && attr->type <= LOAM_TYPE_SOCKET);
	out[0] = attr->flags;
	loam_be16_put(out + 1, (uint16_t)(attr->type << 12 | (attr->mode & 07777)));
	loam_be32_put(out + 3, attr->uid);
	loam_be32_put(out + 7, attr->gid);
	put_time(out + 11, attr->atime);
	put_time(out + 23, attr->mtime);
	put_time(out + 35, attr->ctime);
	loam_be32_put(out + 47, attr->nlink);
	loam_be64_put(out + 51, attr->length);
	loam_be32_put(out + 59, attr->rdev);
	loam_be64_put(out + ATTR_FIXED_BYTES, attr->parent);
	size_t bytes = ATTR_FIXED_BYTES + ATTR_PARENT_BYTES;
	if (attr->access_acl != 0 || attr->default_acl != 0) {
		loam_be32_put(out + bytes, attr->access_acl);
		loam_be32_put(out + bytes + 4, attr->default_acl);
		bytes += ATTR_ACL_BYTES;
	}
	if (attr->tier != 0)
		out[bytes++] = attr->tier;
	out[bytes++] = 0;
	return bytes;
}

int loam_attr_decode(const void *data, size_t data_bytes, struct loam_attr *out,
		     struct loam_err *err)
{
	const uint8_t *at = data;
	if (data_bytes < ATTR_FIXED_BYTES)
		return loam_fail(err, LOAM_E_CORRUPT, "an attr of %zu bytes", data_bytes);

	uint16_t type_mode = loam_be16_get(at + 1);
	struct loam_attr attr = {
		.flags = at[0],
		.type = (uint8_t)(type_mode >> 12),
		.mode = type_mode & 07777,
		.uid = loam_be32_get(at + 3),
		.gid = loam_be32_get(at + 7),
		.atime = get_time(at + 11),
		.mtime = get_time(at + 23),
		.ctime = get_time(at + 35),
		.nlink = loam_be32_get(at + 47),
		.length = loam_be64_get(at + 51),
		.rdev = loam_be32_get(at + 59),
	};
	if (attr.type < LOAM_TYPE_FILE || attr.type > LOAM_TYPE_SOCKET)
		return loam_fail(err, LOAM_E_CORRUPT, "an attr of unknown type %u", attr.type);
	if (attr.length > INT64_MAX)
		return loam_fail(err, LOAM_E_CORRUPT, "an attr of length %llu",
				 (unsigned long long)attr.length);

	at += ATTR_FIXED_BYTES;
	size_t left = data_bytes - ATTR_FIXED_BYTES;
	if (left >= ATTR_PARENT_BYTES) {
		attr.parent = loam_be64_get(at);
		at += ATTR_PARENT_BYTES;
		left -= ATTR_PARENT_BYTES;
	}
	if (left >= ATTR_ACL_BYTES) {
		attr.access_acl = loam_be32_get(at);
		attr.default_acl = loam_be32_get(at + 4);
		at += ATTR_ACL_BYTES;
		left -= ATTR_ACL_BYTES;
	}
	if (left >= 1)
		attr.tier = at[0];

	*out = attr;
	return 0;
}

void loam_dentry_encode(const struct loam_dentry *dentry, uint8_t out[LOAM_DENTRY_BYTES])
{
	out[0] = dentry->type;
	loam_be64_put(out + 1, dentry->ino);
}

int loam_dentry_decode(const void *data, size_t data_bytes, struct loam_dentry *out,
		       struct loam_err *err)
{
	const uint8_t *at = data;
	if (data_bytes != LOAM_DENTRY_BYTES)
		return loam_fail(err, LOAM_E_CORRUPT, "a directory entry of %zu bytes", data_bytes);
	if (at[0] < LOAM_TYPE_FILE || at[0] > LOAM_TYPE_SOCKET)
		return loam_fail(err, LOAM_E_CORRUPT, "a directory entry of unknown type %u",
				 at[0]);

	*out = (struct loam_dentry){ .type = at[0], .ino = loam_be64_get(at + 1) };
	return 0;
}

void loam_slice_encode(const struct loam_slice *slice, uint8_t out[LOAM_SLICE_BYTES])
{
	loam_be32_put(out, slice->pos);
	loam_be64_put(out + 4, slice->id);
	loam_be32_put(out + 12, slice->size);
	loam_be32_put(out + 16, slice->off);
	loam_be32_put(out + 20, slice->len);
}

static int decode_slice(const uint8_t *at, struct loam_slice *out, struct loam_err *err)
{
	struct loam_slice slice = {
		.pos = loam_be32_get(at),
		.id = loam_be64_get(at + 4),
		.size = loam_be32_get(at + 12),
		.off = loam_be32_get(at + 16),
		.len = loam_be32_get(at + 20),
	};
	if ((uint64_t)slice.pos + slice.len > LOAM_CHUNK_BYTES)
		return loam_fail(err, LOAM_E_CORRUPT, "a slice record beyond its chunk: %u + %u",
				 slice.pos, slice.len);
	if (slice.id != 0 && (uint64_t)slice.off + slice.len > slice.size)
		return loam_fail(err, LOAM_E_CORRUPT,
				 "a record beyond its slice %llu of %u bytes: %u + %u",
				 (unsigned long long)slice.id, slice.size, slice.off, slice.len);
	*out = slice;
	return 0;
}

int loam_slices_decode(const void *data, size_t data_bytes, struct loam_slice **out_slices,
		       size_t *out_count, struct loam_err *err)
{
	if (data_bytes % LOAM_SLICE_BYTES != 0)
		return loam_fail(err, LOAM_E_CORRUPT, "a chunk list of %zu bytes", data_bytes);

	size_t count = data_bytes / LOAM_SLICE_BYTES;
	loam_auto_free struct loam_slice *slices = NULL;
	if (count > 0) {
		slices = calloc(count, sizeof(*slices));
		if (!slices)
			return loam_fail(err, LOAM_E_BUSY, "no memory for %zu slice records",
					 count);
	}
	for (size_t i = 0; i < count; i++) {
		const uint8_t *at = (const uint8_t *)data + i * LOAM_SLICE_BYTES;
		int ret = decode_slice(at, &slices[i], err);
		if (ret < 0)
			return ret;
	}
	*out_slices = loam_steal(&slices);
	*out_count = count;
	return 0;
}

void loam_delslice_encode(uint64_t id, uint32_t size, uint8_t out[LOAM_DELSLICE_BYTES])
{
	loam_be64_put(out, id);
	loam_be32_put(out + 8, size);
}

int loam_delslice_decode(const void *data, size_t data_bytes, size_t index, uint64_t *out_id,
			 uint32_t *out_size, struct loam_err *err)
{
	if (data_bytes % LOAM_DELSLICE_BYTES != 0)
		return loam_fail(err, LOAM_E_CORRUPT, "delayed slices of %zu bytes", data_bytes);
	if (index >= data_bytes / LOAM_DELSLICE_BYTES)
		return 0;

	const uint8_t *at = (const uint8_t *)data + index * LOAM_DELSLICE_BYTES;
	*out_id = loam_be64_get(at);
	*out_size = loam_be32_get(at + 8);
	return 1;
}
