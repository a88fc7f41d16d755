/*
 * Rules shared by the operations on inodes (every step of the push that changes a name or file).
 *
 * Sticky, immutable and append rules hold for every caller; mode and ACL are evaluated only for
 * those who check for themselves (struct loam_who), since the kernel has done it for the others.
 * Limits of the volume are compared with the totals that this process saw last: every commit and
 * heartbeat brings them, so two clients can pass a limit by what they write within one heartbeat.
 */
#include "fs/meta/rules.h"

#include "core/auto.h"
#include "fs/meta/meta_internal.h"

#include <string.h>

const struct loam_who loam_who_root = { 0 };

void loam_usage_saw(struct loam_usage *usage, struct loam_name counter, int64_t value)
{
	if (loam_rules_name_is(counter, "usedSpace"))
		atomic_store(&usage->space_bytes, value);
	else if (loam_rules_name_is(counter, "totalInodes"))
		atomic_store(&usage->inodes, value);
}

int loam_rules_alive(const struct loam_meta *meta, struct loam_err *err)
{
	if (atomic_load(&meta->session.dead))
		return loam_fail(err, LOAM_E_IO,
				 "the volume was replaced or its metadata went back in time; "
				 "nothing of it is used any more");

	return 0;
}

int loam_rules_writable(const struct loam_meta *meta, struct loam_err *err)
{
	int rc = loam_rules_alive(meta, err);
	if (rc < 0)
		return rc;

	if (meta->options.read_only)
		return loam_fail(err, LOAM_E_READ_ONLY, "opened read-only");

	if (atomic_load(&meta->session.frozen))
		return loam_fail(err, LOAM_E_READ_ONLY,
				 "the volume's setting now asks for what this program has not");

	return 0;
}

int loam_rules_name(struct loam_name name, struct loam_err *err)
{
	if (name.bytes == 0)
		return loam_fail(err, LOAM_E_INVALID, "empty name");

	if (name.bytes > LOAM_NAME_BYTES_MAX)
		return loam_fail(err, LOAM_E_NAME_TOO_LONG, "name of %u bytes", name.bytes);

	if (memchr(name.data, '/', name.bytes) || memchr(name.data, '\0', name.bytes))
		return loam_fail(err, LOAM_E_INVALID, "'/' or NUL in a name");

	return 0;
}

bool loam_rules_name_is(struct loam_name name, const char *text)
{
	return name.bytes == strlen(text) && memcmp(name.data, text, name.bytes) == 0;
}

bool loam_rules_is_dots(struct loam_name name)
{
	return loam_rules_name_is(name, ".") || loam_rules_name_is(name, "..");
}

int loam_rules_not_trash(const struct loam_who *who, uint64_t parent, struct loam_name name,
			 struct loam_err *err)
{
	if (parent == LOAM_INO_ROOT && loam_rules_name_is(name, ".trash"))
		return loam_fail(err, LOAM_E_NOT_PERMITTED, ".trash belongs to the volume");

	if (parent == LOAM_INO_TRASH_ROOT || (parent > LOAM_INO_TRASH_ROOT && who->uid != 0))
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "inode %llu is trash",
				 (unsigned long long)parent);

	return 0;
}

bool loam_rules_in_group(const struct loam_who *who, uint32_t gid)
{
	if (who->gid == gid)
		return true;

	for (size_t i = 0; i < who->group_count; i++) {
		if (who->groups[i] == gid)
			return true;
	}
	return false;
}

/* The rule decides, with the caller's first group put before the supplementary ones. */
static int acl_allows(struct loam_meta *meta, const struct loam_who *who,
		      const struct loam_attr *attr, unsigned want, struct loam_err *err)
{
	struct loam_acl acl;
	int rc = loam_meta_acl_rule(meta, attr->access_acl, &acl, err);
	if (rc < 0)
		return rc;

	loam_auto_free uint32_t *groups = loam_xcalloc(who->group_count + 1, sizeof(*groups));
	groups[0] = who->gid;
	for (size_t i = 0; i < who->group_count; i++)
		groups[i + 1] = who->groups[i];
	rc = loam_acl_allows(&acl, attr->uid, attr->gid, who->uid, groups, who->group_count + 1,
			     want, true);
	loam_acl_release(&acl);
	return rc;
}

static bool mode_allows(const struct loam_who *who, const struct loam_attr *attr, unsigned want)
{
	unsigned bits = attr->mode & 7;
	if (who->uid == attr->uid)
		bits = attr->mode >> 6 & 7;
	else if (loam_rules_in_group(who, attr->gid))
		bits = attr->mode >> 3 & 7;
	return (bits & want) == want;
}

int loam_meta_access(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
		     const struct loam_attr *attr, unsigned want, struct loam_err *err)
{
	if (who->uid == 0)
		return 0;

	struct loam_attr present;
	if (!attr) {
		int rc = loam_meta_getattr(meta, ino, &present, err);
		if (rc < 0)
			return rc;
		attr = &present;
	}

	int allowed = attr->access_acl && (attr->mode & 070)
			      ? acl_allows(meta, who, attr, want, err)
			      : mode_allows(who, attr, want);
	if (allowed < 0)
		return allowed;
	if (!allowed)
		return loam_fail(err, LOAM_E_DENIED, "uid %u may not do this to inode %llu",
				 who->uid, (unsigned long long)ino);
	return 0;
}

int loam_rules_access(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
		      const struct loam_attr *attr, unsigned want, struct loam_err *err)
{
	return who->check ? loam_meta_access(meta, who, ino, attr, want, err) : 0;
}

int loam_rules_change_dir(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
			  const struct loam_attr *dir, struct loam_err *err)
{
	if (dir->type != LOAM_TYPE_DIR)
		return loam_fail(err, LOAM_E_NOT_DIR, "inode %llu is no directory",
				 (unsigned long long)ino);

	return loam_rules_access(meta, who, ino, dir, 3, err);
}

int loam_rules_sticky(const struct loam_who *who, const struct loam_attr *dir, uint32_t owner_uid,
		      struct loam_err *err)
{
	if (who->uid == 0 || !(dir->mode & 01000) || who->uid == dir->uid || who->uid == owner_uid)
		return 0;

	return loam_fail(err, LOAM_E_DENIED, "sticky directory: the entry is of uid %u", owner_uid);
}

int loam_rules_space(const struct loam_meta *meta, int64_t space_bytes, int64_t inodes,
		     struct loam_err *err)
{
	const struct loam_usage *usage = &meta->usage;
	uint64_t capacity = atomic_load(&usage->capacity_bytes);
	uint64_t inode_limit = atomic_load(&usage->inode_limit);
	int64_t used_space = atomic_load(&usage->space_bytes);
	int64_t used_inodes = atomic_load(&usage->inodes);
	used_space = used_space < 0 ? 0 : used_space;
	used_inodes = used_inodes < 0 ? 0 : used_inodes;

	if (space_bytes > 0 && capacity && (uint64_t)(used_space + space_bytes) > capacity)
		return loam_fail(err, LOAM_E_NO_SPACE, "the volume's capacity of %llu bytes",
				 (unsigned long long)capacity);

	if (inodes > 0 && inode_limit && (uint64_t)(used_inodes + inodes) > inode_limit)
		return loam_fail(err, LOAM_E_NO_SPACE, "the volume's limit of %llu inodes",
				 (unsigned long long)inode_limit);

	return 0;
}

bool loam_rules_touch_dir(const struct loam_meta *meta, struct loam_attr *dir, struct timespec now,
			  bool force)
{
	int64_t seconds = (int64_t)now.tv_sec - (int64_t)dir->mtime.tv_sec;
	if (seconds < 0)
		seconds = -seconds;
	bool due = seconds > INT32_MAX;
	if (!due) {
		int64_t away_ns = ((int64_t)now.tv_sec - dir->mtime.tv_sec) * 1000000000 +
				  (now.tv_nsec - dir->mtime.tv_nsec);
		away_ns = away_ns < 0 ? -away_ns : away_ns;
		due = away_ns >= (int64_t)meta->skip_dir_mtime_ms * 1000000;
	}
	if (!force && !due)
		return false;

	dir->mtime = now;
	dir->ctime = now;
	return true;
}
