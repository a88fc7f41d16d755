/*
 * Extended attributes (volume format §4.10). Published trees carry user.loam.commit, files from LFS
 * user.loam.oid; users may set their own.
 *
 * system.posix_acl_access and _default are the inode's ACLs in the kernel's form. Attributes that
 * the kernel asks for at every write (security.capability, security.selinux) are not offered: the
 * answer costs no trip. A plain attribute changes no time of the inode.
 */
#include "core/auto.h"
#include "fs/meta/meta_internal.h"

#include <inttypes.h>
#include <string.h>

#define ACCESS_NAME  "system.posix_acl_access"
#define DEFAULT_NAME "system.posix_acl_default"

/* The ACL that a name stands for, 0 for other names. */
static unsigned acl_type(const char *name)
{
	if (strcmp(name, ACCESS_NAME) == 0)
		return LOAM_ACL_ACCESS;
	return strcmp(name, DEFAULT_NAME) == 0 ? LOAM_ACL_DEFAULT : 0;
}

static bool is_offered(const struct loam_meta *meta, const char *name)
{
	if (acl_type(name))
		return meta->format->enable_acl;
	return strcmp(name, "security.capability") != 0 && strcmp(name, "security.selinux") != 0;
}

static int check_name(const char *name, struct loam_err *err)
{
	size_t bytes = strlen(name);
	if (bytes == 0)
		return loam_fail(err, LOAM_E_INVALID, "empty attribute name");
	if (bytes > LOAM_XATTR_NAME_BYTES_MAX)
		return loam_fail(err, LOAM_E_RANGE, "attribute name of %zu bytes", bytes);
	return 0;
}

static int get_acl_blob(struct loam_meta *meta, uint64_t ino, unsigned type, struct loam_buf *out,
			struct loam_err *err)
{
	struct loam_acl acl;
	int rc = loam_meta_get_acl(meta, ino, type, &acl, err);
	if (rc < 0)
		return rc;

	rc = loam_acl_to_xattr(&acl, out, err);
	loam_acl_release(&acl);
	return rc;
}

int loam_meta_getxattr(struct loam_meta *meta, uint64_t ino, const char *name, struct loam_buf *out,
		       struct loam_err *err)
{
	int rc = loam_rules_alive(meta, err);
	if (rc == 0)
		rc = check_name(name, err);
	if (rc < 0)
		return rc;
	if (!is_offered(meta, name))
		return loam_fail(err, LOAM_E_NO_DATA, "%s is not offered", name);
	if (acl_type(name))
		return get_acl_blob(meta, ino, acl_type(name), out, err);

	struct loam_record record = loam_rec_named(LOAM_REC_XATTR, ino, loam_name_of(name));
	struct loam_value value;
	rc = meta->engine->ops->read(meta->engine, &record, 1, &value, err);
	if (rc < 0)
		return rc;

	loam_record_cache_put(meta->cache, &record, &value);
	if (!value.present)
		rc = loam_fail(err, LOAM_E_NO_DATA, "inode %" PRIu64 " has no such attribute", ino);
	else if (value.bytes > 0)
		rc = loam_buf_add(out, value.data, value.bytes, err);
	loam_value_release(&value);
	return rc;
}

struct set_xattr {
	const struct loam_who *who;
	uint64_t ino;
	struct loam_record record;
	const void *value; /* NULL: remove */
	size_t value_bytes;
	unsigned flags;
};

/* The inode must be there; who checks for itself must be allowed to. */
static int check_inode(struct loam_txn *txn, const struct set_xattr *x, struct loam_err *err)
{
	struct loam_attr attr;
	int found = loam_txn_attr(txn, x->ino, &attr, err);
	if (found < 0)
		return found;
	if (!found)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no inode %" PRIu64, x->ino);
	if (!x->who->check || x->who->uid == 0)
		return 0;
	if (strncmp(x->record.name.data, "user.", 5) != 0)
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "only root sets such attributes");
	return loam_meta_access(loam_txn_meta(txn), x->who, x->ino, &attr, 2, err);
}

static int set_fn(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	const struct set_xattr *x = arg;
	loam_txn_want_attr(txn, x->ino);
	if (x->flags || !x->value)
		loam_txn_want(txn, &x->record);
	int rc = check_inode(txn, x, err);
	if (rc < 0)
		return rc;

	if (x->flags || !x->value) {
		const struct loam_value *present = NULL;
		int found = loam_txn_read(txn, &x->record, &present, err);
		if (found < 0)
			return found;
		if (found && x->flags == LOAM_XATTR_CREATE)
			return loam_fail(err, LOAM_E_EXISTS, "the attribute is there");
		if (!found && x->flags != LOAM_XATTR_CREATE)
			return loam_fail(err, LOAM_E_NO_DATA, "no such attribute");
	}
	if (x->value)
		loam_txn_put(txn, &x->record, x->value, x->value_bytes);
	else
		loam_txn_delete(txn, &x->record);
	return 0;
}

static int set_acl_blob(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
			unsigned type, const void *value, size_t value_bytes, struct loam_err *err)
{
	struct loam_acl acl;
	loam_acl_init(&acl);
	int rc = value_bytes > 0 ? loam_acl_from_xattr(value, value_bytes, &acl, err) : 0;
	if (rc == 0)
		rc = loam_meta_set_acl(meta, who, ino, type, &acl, NULL, err);
	loam_acl_release(&acl);
	return rc;
}

static int check_change(struct loam_meta *meta, uint64_t ino, const char *name,
			struct loam_err *err)
{
	int rc = loam_rules_writable(meta, err);
	if (rc == 0)
		rc = check_name(name, err);
	if (rc < 0)
		return rc;
	if (!is_offered(meta, name))
		return loam_fail(err, LOAM_E_UNSUPPORTED, "%s is not offered", name);
	if (ino >= LOAM_INO_SPECIAL)
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "inode %" PRIu64 " is special", ino);
	return 0;
}

int loam_meta_setxattr(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
		       const char *name, const void *value, size_t value_bytes, unsigned flags,
		       struct loam_err *err)
{
	int rc = check_change(meta, ino, name, err);
	if (rc < 0)
		return rc;
	if (value_bytes > LOAM_XATTR_VALUE_BYTES_MAX)
		return loam_fail(err, LOAM_E_RANGE, "attribute value of %zu bytes", value_bytes);
	if (flags > LOAM_XATTR_REPLACE)
		return loam_fail(err, LOAM_E_INVALID, "attribute flags %u", flags);
	if (acl_type(name))
		return set_acl_blob(meta, who, ino, acl_type(name), value, value_bytes, err);

	struct set_xattr x = { .who = who, .ino = ino, .flags = flags };
	x.record = loam_rec_named(LOAM_REC_XATTR, ino, loam_name_of(name));
	x.value = value_bytes > 0 ? value : "";
	x.value_bytes = value_bytes;
	return loam_meta_run(meta, LOAM_TXN_GUESS, set_fn, &x, err);
}

int loam_meta_removexattr(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
			  const char *name, struct loam_err *err)
{
	int rc = check_change(meta, ino, name, err);
	if (rc < 0)
		return rc;
	if (acl_type(name))
		return set_acl_blob(meta, who, ino, acl_type(name), NULL, 0, err);

	struct set_xattr x = { .who = who, .ino = ino };
	x.record = loam_rec_named(LOAM_REC_XATTR, ino, loam_name_of(name));
	return loam_meta_run(meta, LOAM_TXN_GUESS, set_fn, &x, err);
}

static int add_names(const struct loam_meta *meta, const struct loam_value *packed,
		     const struct loam_attr *attr, struct loam_buf *out, struct loam_err *err)
{
	struct loam_name name;
	const void *data;
	uint32_t data_bytes;
	size_t offset = 0;
	int rc = 0;
	while (packed->present &&
	       (rc = loam_packed_next(packed, &offset, &name, &data, &data_bytes, err)) == 1) {
		rc = loam_buf_add(out, name.data, name.bytes, err);
		if (rc == 0)
			rc = loam_buf_add(out, "", 1, err);
		if (rc < 0)
			return rc;
	}
	if (rc == 0 && attr->access_acl && meta->format->enable_acl)
		rc = loam_buf_add(out, ACCESS_NAME, sizeof(ACCESS_NAME), err);
	if (rc == 0 && attr->default_acl && meta->format->enable_acl)
		rc = loam_buf_add(out, DEFAULT_NAME, sizeof(DEFAULT_NAME), err);
	return rc;
}

int loam_meta_listxattr(struct loam_meta *meta, uint64_t ino, struct loam_buf *out,
			struct loam_err *err)
{
	int rc = loam_rules_alive(meta, err);
	if (rc < 0)
		return rc;

	struct loam_record records[2] = { loam_rec(LOAM_REC_ATTR, ino, 0),
					  loam_rec(LOAM_REC_XATTRS, ino, 0) };
	struct loam_value values[2];
	rc = meta->engine->ops->read(meta->engine, records, 2, values, err);
	if (rc < 0)
		return rc;

	struct loam_attr attr = { 0 };
	loam_record_cache_put(meta->cache, &records[0], &values[0]);
	if (!values[0].present)
		rc = loam_fail(err, LOAM_E_NOT_FOUND, "no inode %" PRIu64, ino);
	else
		rc = loam_attr_decode(values[0].data, values[0].bytes, &attr, err);
	if (rc == 0)
		rc = add_names(meta, &values[1], &attr, out, err);
	loam_value_release(&values[0]);
	loam_value_release(&values[1]);
	return rc;
}
