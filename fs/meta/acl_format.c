/*
 * ACL rules: the volume's bytes (hash acl), the kernel's xattr form, and their evaluation. The gate
 * of a repository is such a rule, so every door's answer (steps 2, 6 and 9 of a push) ends here.
 *
 *   stored: u16 owner, group, mask, other (0xFFFF absent); u32 n, n * (u32 uid, u16 perm);
 *           u32 n, n * (u32 gid, u16 perm); big-endian
 *   xattr:  u32 version 2; entries of u16 tag, u16 perm, u32 id; the machine's byte order; in order
 *           owner, users, group, groups, mask, other
 *
 * The order of named entries is kept as given.
 */
#include "fs/meta/meta_format.h"

#include "core/auto.h"
#include "core/endian.h"

#include <string.h>

#define RULE_HEAD_BYTES	  8
#define RULE_BYTES_MIN	  16
#define RULE_ENTRY_BYTES  6
#define RULE_ENTRIES_MAX  8192 /* either form; an xattr of 64 KiB holds no more */
#define XATTR_VERSION	  2u
#define XATTR_HEAD_BYTES  4
#define XATTR_ENTRY_BYTES 8
#define XATTR_NO_ID	  0xFFFFFFFFu

enum acl_tag {
	TAG_OWNER = 0x01,
	TAG_USER = 0x02,
	TAG_GROUP_OWNER = 0x04,
	TAG_GROUP = 0x08,
	TAG_MASK = 0x10,
	TAG_OTHER = 0x20
};

void loam_acl_init(struct loam_acl *acl)
{
	*acl = (struct loam_acl){ .owner = LOAM_ACL_ABSENT,
				  .group = LOAM_ACL_ABSENT,
				  .mask = LOAM_ACL_ABSENT,
				  .other = LOAM_ACL_ABSENT };
}

void loam_acl_release(struct loam_acl *acl)
{
	free(acl->users);
	free(acl->groups);
	loam_acl_init(acl);
}

/* A zeroed array of count entries; NULL for none. */
static int new_entries(size_t count, struct loam_acl_entry **out, struct loam_err *err)
{
	*out = NULL;
	if (count == 0)
		return 0;
	if (count > RULE_ENTRIES_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE, "an ACL of %zu entries", count);
	*out = calloc(count, sizeof(**out));
	if (!*out)
		return loam_fail(err, LOAM_E_BUSY, "no memory for %zu ACL entries", count);
	return 0;
}

static int copy_entries(const struct loam_acl_entry *from, uint32_t count,
			struct loam_acl_entry **out, struct loam_err *err)
{
	int ret = new_entries(count, out, err);
	if (ret == 0 && count > 0)
		memcpy(*out, from, count * sizeof(*from));
	return ret;
}

int loam_acl_copy(const struct loam_acl *from, struct loam_acl *out, struct loam_err *err)
{
	loam_auto_free struct loam_acl_entry *users = NULL;
	loam_auto_free struct loam_acl_entry *groups = NULL;
	int ret = copy_entries(from->users, from->user_count, &users, err);
	if (ret < 0)
		return ret;
	ret = copy_entries(from->groups, from->group_count, &groups, err);
	if (ret < 0)
		return ret;

	*out = *from;
	out->users = loam_steal(&users);
	out->groups = loam_steal(&groups);
	return 0;
}

static bool entries_equal(const struct loam_acl_entry *a, const struct loam_acl_entry *b,
			  uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (a[i].id != b[i].id || a[i].perm != b[i].perm)
			return false;
	}
	return true;
}

bool loam_acl_equal(const struct loam_acl *a, const struct loam_acl *b)
{
	return a->owner == b->owner && a->group == b->group && a->mask == b->mask &&
	       a->other == b->other && a->user_count == b->user_count &&
	       a->group_count == b->group_count &&
	       entries_equal(a->users, b->users, a->user_count) &&
	       entries_equal(a->groups, b->groups, a->group_count);
}

bool loam_acl_is_minimal(const struct loam_acl *acl)
{
	return acl->user_count == 0 && acl->group_count == 0 && acl->mask == LOAM_ACL_ABSENT;
}

bool loam_acl_is_empty(const struct loam_acl *acl)
{
	return loam_acl_is_minimal(acl) && acl->owner == LOAM_ACL_ABSENT &&
	       acl->group == LOAM_ACL_ABSENT && acl->other == LOAM_ACL_ABSENT;
}

/* Rights of an entry; an absent one grants nothing. */
static uint16_t rights_of(uint16_t perm)
{
	return perm == LOAM_ACL_ABSENT ? 0 : perm & 7;
}

uint16_t loam_acl_mode(const struct loam_acl *acl)
{
	uint16_t group = acl->mask != LOAM_ACL_ABSENT ? acl->mask : acl->group;
	return (uint16_t)(rights_of(acl->owner) << 6 | rights_of(group) << 3 |
			  rights_of(acl->other));
}

static int encode_entries(const struct loam_acl_entry *entries, uint32_t count,
			  struct loam_buf *out, struct loam_err *err)
{
	uint8_t head[4];
	loam_be32_put(head, count);
	int ret = loam_buf_add(out, head, sizeof(head), err);
	for (uint32_t i = 0; ret == 0 && i < count; i++) {
		uint8_t entry[RULE_ENTRY_BYTES];
		loam_be32_put(entry, entries[i].id);
		loam_be16_put(entry + 4, entries[i].perm);
		ret = loam_buf_add(out, entry, sizeof(entry), err);
	}
	return ret;
}

int loam_acl_encode(const struct loam_acl *acl, struct loam_buf *out, struct loam_err *err)
{
	uint8_t head[RULE_HEAD_BYTES];
	loam_be16_put(head, acl->owner);
	loam_be16_put(head + 2, acl->group);
	loam_be16_put(head + 4, acl->mask);
	loam_be16_put(head + 6, acl->other);
	int ret = loam_buf_add(out, head, sizeof(head), err);
	if (ret < 0)
		return ret;
	ret = encode_entries(acl->users, acl->user_count, out, err);
	if (ret < 0)
		return ret;
	return encode_entries(acl->groups, acl->group_count, out, err);
}

/* Takes "u32 n, n entries" at *at, which moves behind it. */
static int decode_entries(const uint8_t **at, size_t *left, struct loam_acl_entry **out,
			  uint32_t *out_count, struct loam_err *err)
{
	if (*left < 4)
		return loam_fail(err, LOAM_E_CORRUPT, "an ACL rule is cut short");
	uint32_t count = loam_be32_get(*at);
	*at += 4;
	*left -= 4;
	if (count > *left / RULE_ENTRY_BYTES)
		return loam_fail(err, LOAM_E_CORRUPT, "an ACL rule names %u entries in %zu bytes",
				 count, *left);

	loam_auto_free struct loam_acl_entry *entries = NULL;
	int ret = new_entries(count, &entries, err);
	if (ret < 0)
		return ret;
	for (uint32_t i = 0; i < count; i++, *at += RULE_ENTRY_BYTES, *left -= RULE_ENTRY_BYTES)
		entries[i] = (struct loam_acl_entry){ .id = loam_be32_get(*at),
						      .perm = loam_be16_get(*at + 4) };
	*out = loam_steal(&entries);
	*out_count = count;
	return 0;
}

#define auto_acl __attribute__((cleanup(loam_acl_release)))

int loam_acl_decode(const void *data, size_t data_bytes, struct loam_acl *out, struct loam_err *err)
{
	const uint8_t *at = data;
	if (data_bytes < RULE_BYTES_MIN)
		return loam_fail(err, LOAM_E_CORRUPT, "an ACL rule of %zu bytes", data_bytes);

	auto_acl struct loam_acl acl;
	loam_acl_init(&acl);
	acl.owner = loam_be16_get(at);
	acl.group = loam_be16_get(at + 2);
	acl.mask = loam_be16_get(at + 4);
	acl.other = loam_be16_get(at + 6);
	at += RULE_HEAD_BYTES;
	size_t left = data_bytes - RULE_HEAD_BYTES;
	int ret = decode_entries(&at, &left, &acl.users, &acl.user_count, err);
	if (ret < 0)
		return ret;
	ret = decode_entries(&at, &left, &acl.groups, &acl.group_count, err);
	if (ret < 0)
		return ret;
	if (left != 0)
		return loam_fail(err, LOAM_E_CORRUPT, "%zu bytes behind an ACL rule", left);

	*out = acl;
	loam_acl_init(&acl);
	return 0;
}

static int xattr_entry(struct loam_buf *out, uint16_t tag, uint16_t perm, uint32_t id,
		       struct loam_err *err)
{
	uint8_t entry[XATTR_ENTRY_BYTES];
	memcpy(entry, &tag, sizeof(tag));
	memcpy(entry + 2, &perm, sizeof(perm));
	memcpy(entry + 4, &id, sizeof(id));
	return loam_buf_add(out, entry, sizeof(entry), err);
}

static int xattr_unnamed(struct loam_buf *out, uint16_t tag, uint16_t perm, struct loam_err *err)
{
	if (perm == LOAM_ACL_ABSENT)
		return 0;
	return xattr_entry(out, tag, perm, XATTR_NO_ID, err);
}

static int xattr_named(struct loam_buf *out, uint16_t tag, const struct loam_acl_entry *entries,
		       uint32_t count, struct loam_err *err)
{
	int ret = 0;
	for (uint32_t i = 0; ret == 0 && i < count; i++)
		ret = xattr_entry(out, tag, entries[i].perm, entries[i].id, err);
	return ret;
}

int loam_acl_to_xattr(const struct loam_acl *acl, struct loam_buf *out, struct loam_err *err)
{
	uint32_t version = XATTR_VERSION;
	int ret = loam_buf_add(out, &version, sizeof(version), err);
	if (ret == 0)
		ret = xattr_unnamed(out, TAG_OWNER, acl->owner, err);
	if (ret == 0)
		ret = xattr_named(out, TAG_USER, acl->users, acl->user_count, err);
	if (ret == 0)
		ret = xattr_unnamed(out, TAG_GROUP_OWNER, acl->group, err);
	if (ret == 0)
		ret = xattr_named(out, TAG_GROUP, acl->groups, acl->group_count, err);
	if (ret == 0)
		ret = xattr_unnamed(out, TAG_MASK, acl->mask, err);
	if (ret == 0)
		ret = xattr_unnamed(out, TAG_OTHER, acl->other, err);
	return ret;
}

static int set_unnamed(uint16_t *field, uint16_t tag, uint16_t perm, struct loam_err *err)
{
	if (*field != LOAM_ACL_ABSENT)
		return loam_fail(err, LOAM_E_INVALID, "ACL tag %#x stands twice", tag);
	*field = perm;
	return 0;
}

static int add_xattr_entry(struct loam_acl *acl, const uint8_t *at, struct loam_err *err)
{
	uint16_t tag;
	struct loam_acl_entry entry;
	memcpy(&tag, at, sizeof(tag));
	memcpy(&entry.perm, at + 2, sizeof(entry.perm));
	memcpy(&entry.id, at + 4, sizeof(entry.id));
	if (entry.perm > 7)
		return loam_fail(err, LOAM_E_INVALID, "ACL rights %#x", entry.perm);

	switch (tag) {
	case TAG_OWNER:
		return set_unnamed(&acl->owner, tag, entry.perm, err);
	case TAG_GROUP_OWNER:
		return set_unnamed(&acl->group, tag, entry.perm, err);
	case TAG_MASK:
		return set_unnamed(&acl->mask, tag, entry.perm, err);
	case TAG_OTHER:
		return set_unnamed(&acl->other, tag, entry.perm, err);
	case TAG_USER:
	case TAG_GROUP:
		if (entry.id == XATTR_NO_ID)
			return loam_fail(err, LOAM_E_INVALID, "a named ACL entry without an id");
		if (tag == TAG_USER)
			acl->users[acl->user_count++] = entry;
		else
			acl->groups[acl->group_count++] = entry;
		return 0;
	default:
		return loam_fail(err, LOAM_E_INVALID, "unknown ACL tag %#x", tag);
	}
}

int loam_acl_from_xattr(const void *data, size_t data_bytes, struct loam_acl *out,
			struct loam_err *err)
{
	const uint8_t *at = data;
	if (data_bytes < XATTR_HEAD_BYTES ||
	    (data_bytes - XATTR_HEAD_BYTES) % XATTR_ENTRY_BYTES != 0)
		return loam_fail(err, LOAM_E_INVALID, "an ACL of %zu bytes", data_bytes);
	uint32_t version;
	memcpy(&version, at, sizeof(version));
	if (version != XATTR_VERSION)
		return loam_fail(err, LOAM_E_INVALID, "an ACL of version %u", version);

	size_t count = (data_bytes - XATTR_HEAD_BYTES) / XATTR_ENTRY_BYTES;
	auto_acl struct loam_acl acl;
	loam_acl_init(&acl);
	int ret = new_entries(count, &acl.users, err);
	if (ret == 0)
		ret = new_entries(count, &acl.groups, err);
	for (size_t i = 0; ret == 0 && i < count; i++)
		ret = add_xattr_entry(&acl, at + XATTR_HEAD_BYTES + i * XATTR_ENTRY_BYTES, err);
	if (ret < 0)
		return ret;
	if (acl.user_count + acl.group_count > 0 && acl.mask == LOAM_ACL_ABSENT)
		return loam_fail(err, LOAM_E_INVALID, "named ACL entries without a mask");

	*out = acl;
	loam_acl_init(&acl);
	return 0;
}

static bool is_member(uint32_t gid, const uint32_t *groups, size_t group_count)
{
	for (size_t i = 0; i < group_count; i++) {
		if (groups[i] == gid)
			return true;
	}
	return false;
}

bool loam_acl_allows(const struct loam_acl *acl, uint32_t owner_uid, uint32_t owner_gid,
		     uint32_t uid, const uint32_t *groups, size_t group_count, unsigned want,
		     bool use_mask)
{
	uint16_t mask = use_mask && acl->mask != LOAM_ACL_ABSENT ? acl->mask : 7;
	if (uid == owner_uid)
		return (want & ~(unsigned)rights_of(acl->owner)) == 0;

	for (uint32_t i = 0; i < acl->user_count; i++) {
		if (acl->users[i].id == uid)
			return (want & ~(unsigned)(rights_of(acl->users[i].perm) & mask)) == 0;
	}

	bool matched = is_member(owner_gid, groups, group_count);
	if (matched && (want & ~(unsigned)(rights_of(acl->group) & mask)) == 0)
		return true;
	for (uint32_t i = 0; i < acl->group_count; i++) {
		if (!is_member(acl->groups[i].id, groups, group_count))
			continue;
		matched = true;
		if ((want & ~(unsigned)(rights_of(acl->groups[i].perm) & mask)) == 0)
			return true;
	}
	return !matched && (want & ~(unsigned)rights_of(acl->other)) == 0;
}
