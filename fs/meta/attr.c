/*
 * getattr, setattr, statfs (volume format §4.3, §4.4).
 *
 * setattr changes nothing, not even ctime, when the request equals what is there. Its steps and
 * their order are the format's: other clients on the same volume answer alike.
 */
#include "core/auto.h"
#include "core/clock.h"
#include "fs/meta/meta_internal.h"

#include <inttypes.h>

static void default_trash_root(struct loam_attr *out)
{
	*out = (struct loam_attr){ .type = LOAM_TYPE_DIR,
				   .mode = 0555,
				   .nlink = 2,
				   .length = LOAM_DIR_LENGTH,
				   .parent = LOAM_INO_ROOT };
}

int loam_meta_getattr(struct loam_meta *meta, uint64_t ino, struct loam_attr *out_attr,
		      struct loam_err *err)
{
	int rc = loam_rules_alive(meta, err);
	if (rc < 0)
		return rc;

	struct loam_record record = loam_rec(LOAM_REC_ATTR, ino, 0);
	struct loam_value value;
	rc = meta->engine->ops->read(meta->engine, &record, 1, &value, err);
	if (rc < 0)
		return rc;

	loam_record_cache_put(meta->cache, &record, &value);
	if (!value.present && ino == LOAM_INO_TRASH_ROOT)
		default_trash_root(out_attr);
	else if (!value.present)
		rc = loam_fail(err, LOAM_E_NOT_FOUND, "no inode %" PRIu64, ino);
	else
		rc = loam_attr_decode(value.data, value.bytes, out_attr, err);
	loam_value_release(&value);
	return rc == -LOAM_E_CORRUPT ? loam_context(err, "inode %" PRIu64, ino) : rc;
}

struct set {
	const struct loam_who *who;
	uint64_t ino;
	unsigned set;
	const struct loam_attr *values;
	struct timespec now;
	struct loam_attr attr; /* the present one, then the new one */
	uint16_t mode;	       /* requested */
	bool changed;
};

static int not_permitted(const struct set *s, struct loam_err *err)
{
	return loam_fail(err, LOAM_E_NOT_PERMITTED, "uid %u may not do this to inode %" PRIu64,
			 s->who->uid, s->ino);
}

/* Steps 1 and 2: a new owner clears the set-id bits of what is no directory. */
static void clear_set_id(struct set *s)
{
	s->mode = s->values->mode & 07777;
	if (!(s->set & (LOAM_SET_UID | LOAM_SET_GID)))
		return;

	s->mode |= s->attr.mode & 06000;
	if (!(s->attr.mode & 06000))
		return;

	s->changed = true;
	if (s->attr.type == LOAM_TYPE_DIR)
		return;
	uint16_t keep = s->who->uid != 0 || (s->attr.mode & 010) ? 01777 : 03777;
	s->attr.mode &= keep;
	s->mode &= keep;
}

/* Steps 3 and 4. */
static int set_owner(struct set *s, uint32_t owner_uid, struct loam_err *err)
{
	const struct loam_who *who = s->who;
	bool self = who->check && who->uid != 0;
	if (s->set & LOAM_SET_GID) {
		if (who->uid != 0 && who->uid != owner_uid)
			return not_permitted(s, err);
		if (s->attr.gid != s->values->gid) {
			if (self && !loam_rules_in_group(who, s->values->gid))
				return not_permitted(s, err);
			s->attr.gid = s->values->gid;
			s->changed = true;
		}
	}
	if ((s->set & LOAM_SET_UID) && s->attr.uid != s->values->uid) {
		if (self)
			return not_permitted(s, err);
		s->attr.uid = s->values->uid;
		s->changed = true;
	}
	return 0;
}

/* The rule takes the three classes of the mode; the mode then shows the rule. */
static int set_rule_mode(struct loam_meta *meta, struct set *s, struct loam_err *err)
{
	struct loam_acl acl;
	int rc = loam_meta_acl_rule(meta, s->attr.access_acl, &acl, err);
	if (rc < 0)
		return loam_context(err, "access ACL of inode %" PRIu64, s->ino);

	acl.owner = s->mode >> 6 & 7;
	*(loam_acl_is_minimal(&acl) ? &acl.group : &acl.mask) = s->mode >> 3 & 7;
	acl.other = s->mode & 7;
	s->attr.mode = (s->mode & 07000) | loam_acl_mode(&acl);
	s->changed = true;
	rc = loam_meta_acl_intern(meta, &acl, &s->attr.access_acl, err);
	loam_acl_release(&acl);
	return rc;
}

/* Step 5. `before` is the attr as it was read. */
static int set_mode(struct loam_meta *meta, struct set *s, const struct loam_attr *before,
		    struct loam_err *err)
{
	const struct loam_who *who = s->who;
	if (!(s->set & LOAM_SET_MODE))
		return 0;

	if (who->check && who->uid != 0 && (s->mode & 02000) &&
	    !loam_rules_in_group(who, before->gid))
		s->mode &= 05777;
	if (who->uid != 0 && who->uid != before->uid && s->mode != before->mode &&
	    ((s->mode & 01777) != (before->mode & 01777) || (s->mode & 06000 & ~before->mode) != 0))
		return not_permitted(s, err);
	if (s->attr.access_acl)
		return set_rule_mode(meta, s, err);
	if (s->mode != before->mode) {
		s->attr.mode = s->mode;
		s->changed = true;
	}
	return 0;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Steps 6 and 7: one of the two times. */
static int set_time(struct loam_meta *meta, struct set *s, const struct loam_attr *before,
		    unsigned now_bit, unsigned value_bit, struct timespec value,
		    struct timespec *time, struct loam_err *err)
{
	const struct loam_who *who = s->who;
	bool is_now = (s->set & now_bit) || ((s->set & value_bit) && value.tv_sec < 0);
	if (!is_now && (!(s->set & value_bit) || same_time(value, *time)))
		return 0;
	if (!is_now && before->uid == 0 && who->uid != 0)
		return not_permitted(s, err);
	if (who->uid != before->uid) {
		int rc = loam_rules_access(meta, who, s->ino, before, 2, err);
		if (rc < 0)
			return rc;
	}
	*time = is_now ? s->now : value;
	s->changed = true;
	return 0;
}

/* Only the owner may change flags, only root those that lock a file. */
static int set_flags(struct set *s, const struct loam_attr *before, struct loam_err *err)
{
	uint8_t locks = LOAM_FLAG_IMMUTABLE | LOAM_FLAG_APPEND;
	if (!(s->set & LOAM_SET_FLAGS) || s->values->flags == before->flags)
		return 0;
	if (s->who->uid != 0 &&
	    (s->who->uid != before->uid || ((s->values->flags ^ before->flags) & locks)))
		return not_permitted(s, err);
	s->attr.flags = s->values->flags;
	s->changed = true;
	return 0;
}

static int setattr_fn(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct set *s = arg;
	struct loam_meta *meta = loam_txn_meta(txn);
	s->changed = false;
	int found = loam_txn_attr(txn, s->ino, &s->attr, err);
	if (found < 0)
		return found;
	if (!found)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no inode %" PRIu64, s->ino);
	if (loam_rules_in_trash(&s->attr))
		return not_permitted(s, err);

	const struct loam_attr before = s->attr;
	clear_set_id(s);
	int rc = set_owner(s, before.uid, err);
	if (rc == 0)
		rc = set_mode(meta, s, &before, err);
	if (rc == 0)
		rc = set_time(meta, s, &before, LOAM_SET_ATIME_NOW, LOAM_SET_ATIME,
			      s->values->atime, &s->attr.atime, err);
	if (rc == 0)
		rc = set_time(meta, s, &before, LOAM_SET_MTIME_NOW, LOAM_SET_MTIME,
			      s->values->mtime, &s->attr.mtime, err);
	if (rc == 0)
		rc = set_flags(s, &before, err);
	if (rc < 0 || !s->changed)
		return rc;

	s->attr.ctime = s->now;
	loam_txn_put_attr(txn, s->ino, &s->attr);
	return 0;
}

int loam_meta_setattr(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
		      unsigned set, const struct loam_attr *values, struct loam_attr *out_attr,
		      struct loam_err *err)
{
	int rc = loam_rules_writable(meta, err);
	if (rc < 0)
		return rc;

	struct set s = { .who = who, .ino = ino, .set = set, .values = values };
	s.now = loam_clock_now();
	rc = loam_meta_run(meta, LOAM_TXN_GUESS, setattr_fn, &s, err);
	if (rc < 0)
		return rc;

	*out_attr = s.attr;
	return 0;
}

/* Present totals; what was last seen when the store does not answer. */
static void read_usage(struct loam_meta *meta, uint64_t *out_space, uint64_t *out_inodes)
{
	struct loam_record records[2] = {
		loam_rec_named(LOAM_REC_COUNTER, 0, loam_name_of("usedSpace")),
		loam_rec_named(LOAM_REC_COUNTER, 0, loam_name_of("totalInodes")),
	};
	struct loam_value values[2];
	struct loam_err ignored = { 0 };
	if (meta->engine->ops->read(meta->engine, records, 2, values, &ignored) == 0) {
		for (int i = 0; i < 2; i++) {
			loam_usage_saw(&meta->usage, records[i].name,
				       loam_meta_value_number(&values[i]));
			loam_value_release(&values[i]);
		}
	}
	int64_t space = atomic_load(&meta->usage.space_bytes);
	int64_t inodes = atomic_load(&meta->usage.inodes);
	*out_space = space < 0 ? 0 : (uint64_t)space;
	*out_inodes = inodes < 0 ? 0 : (uint64_t)inodes;
}

int loam_meta_statfs(struct loam_meta *meta, struct loam_statfs *out, struct loam_err *err)
{
	int rc = loam_rules_alive(meta, err);
	if (rc < 0)
		return rc;

	struct loam_statfs stat = { 0 };
	read_usage(meta, &stat.used_bytes, &stat.used_inodes);
	stat.total_bytes = atomic_load(&meta->usage.capacity_bytes);
	if (stat.total_bytes == 0) {
		stat.total_bytes = 1ull << 50;
		while (stat.used_bytes > stat.total_bytes / 10 * 8 && stat.total_bytes < 1ull << 62)
			stat.total_bytes *= 2;
	}
	if (stat.total_bytes < stat.used_bytes)
		stat.total_bytes = stat.used_bytes;
	stat.avail_bytes = stat.total_bytes - stat.used_bytes;

	uint64_t limit = atomic_load(&meta->usage.inode_limit);
	if (limit != 0) {
		stat.avail_inodes = limit > stat.used_inodes ? limit - stat.used_inodes : 0;
	} else {
		stat.avail_inodes = 10ull << 20;
		while (stat.used_inodes / 4 > stat.avail_inodes && stat.avail_inodes < 1ull << 60)
			stat.avail_inodes *= 2;
	}
	*out = stat;
	return 0;
}
