/*
 * The ioctls of a mount (control.h). Serves the step after the push: a user takes a private copy.
 *
 * A ticket is 32 random bytes, good once. The table is small and fixed; a user who asks for many
 * loses the oldest of his own.
 */
#include "fs/mount/control.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/hash.h"
#include "fs/mount/loam_ioctl_format.h"
#include "fs/mount/vfs_internal.h"

#include <linux/fs.h>
#include <stdatomic.h>
#include <string.h>

struct ticket {
	uint8_t bytes[LOAM_IOC_TICKET_BYTES];
	uint64_t ino, expires_ms; /* expires_ms 0: free */
	uint32_t uid;
};

struct loam_control {
	struct loam_vfs *vfs;
	pthread_mutex_t lock;
	struct ticket tickets[LOAM_CONTROL_TICKETS_MAX];
	atomic_int clones;
};

struct loam_control *loam_control_new(struct loam_vfs *vfs)
{
	struct loam_control *control = loam_xnew(struct loam_control);
	control->vfs = vfs;
	pthread_mutex_init(&control->lock, NULL);
	return control;
}

void loam_control_free(struct loam_control *control)
{
	if (!control)
		return;
	pthread_mutex_destroy(&control->lock);
	free(control);
}

/* A free place, or that of the uid's oldest ticket when he has too many; NULL when all are taken.
 */
static struct ticket *ticket_place(struct loam_control *control, uint32_t uid, uint64_t now_ms)
{
	struct ticket *empty = NULL, *oldest = NULL;
	size_t own = 0;
	for (size_t i = 0; i < LOAM_CONTROL_TICKETS_MAX; i++) {
		struct ticket *ticket = &control->tickets[i];
		if (ticket->expires_ms <= now_ms) {
			empty = empty ? empty : ticket;
			continue;
		}
		if (ticket->uid != uid)
			continue;
		own++;
		if (!oldest || ticket->expires_ms < oldest->expires_ms)
			oldest = ticket;
	}
	return own >= LOAM_CONTROL_TICKETS_PER_UID_MAX ? oldest : empty;
}

static int give_ticket(struct loam_control *control, const struct loam_caller *caller, uint64_t ino,
		       struct loam_ioc_ticket *out, struct loam_err *err)
{
	uint64_t now_ms = loam_clock_ms();
	loam_guard(&control->lock);
	struct ticket *ticket = ticket_place(control, caller->uid, now_ms);
	if (!ticket)
		return loam_fail(err, LOAM_E_BUSY, "too many clones are being asked for");
	loam_random(ticket->bytes, sizeof(ticket->bytes));
	ticket->ino = ino;
	ticket->uid = caller->uid;
	ticket->expires_ms = now_ms + LOAM_IOC_TICKET_SECONDS * 1000;
	memcpy(out->bytes, ticket->bytes, sizeof(out->bytes));
	return 0;
}

static int use_ticket(struct loam_control *control, const struct loam_caller *caller,
		      const uint8_t bytes[LOAM_IOC_TICKET_BYTES], uint64_t *out_ino,
		      struct loam_err *err)
{
	uint64_t now_ms = loam_clock_ms();
	loam_guard(&control->lock);
	for (size_t i = 0; i < LOAM_CONTROL_TICKETS_MAX; i++) {
		struct ticket *ticket = &control->tickets[i];
		if (ticket->expires_ms <= now_ms || ticket->uid != caller->uid ||
		    !loam_equal_secret(ticket->bytes, bytes, LOAM_IOC_TICKET_BYTES))
			continue;
		*out_ino = ticket->ino;
		memset(ticket, 0, sizeof(*ticket));
		return 0;
	}
	return loam_fail(err, LOAM_E_STALE, "no such ticket");
}

static int check_request(const struct loam_ioc_clone *request, const struct loam_caller *caller,
			 uint64_t dir, struct loam_name *out_name, struct loam_err *err)
{
	unsigned known = LOAM_IOC_CLONE_PRESERVE | LOAM_IOC_CLONE_WRITABLE;
	if ((request->flags & ~known) || request->reserved != 0)
		return loam_fail(err, LOAM_E_INVALID, "unknown clone flags");
	if ((request->flags & LOAM_IOC_CLONE_PRESERVE) && caller->uid != 0)
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "only root keeps owners");
	size_t bytes = strnlen(request->name, sizeof(request->name));
	if (bytes == 0 || bytes == sizeof(request->name) || memchr(request->name, '/', bytes) ||
	    strcmp(request->name, ".") == 0 || strcmp(request->name, "..") == 0)
		return loam_fail(err, LOAM_E_INVALID, "a bad name for a clone");
	*out_name = (struct loam_name){ request->name, (uint16_t)bytes };
	if (loam_vfs_is_reserved(dir, *out_name))
		return loam_fail(err, LOAM_E_EXISTS, "a reserved name");
	return 0;
}

/* The caller may pass the gate above ino, now. The rights on ino itself the clone checks in its
 * transaction. */
static int check_gate(struct loam_control *control, struct loam_caller *caller, uint64_t ino,
		      struct loam_err *err)
{
	struct loam_gates *gates = loam_vfs_gates(control->vfs);
	return gates ? loam_gates_check(gates, ino, caller, err) : 0;
}

static int run_clone(struct loam_control *control, struct loam_caller *caller, uint64_t dir,
		     struct loam_ioc_clone *request, struct loam_err *err)
{
	struct loam_name name;
	int rc = check_request(request, caller, dir, &name, err);
	if (rc)
		return rc;
	uint64_t from = 0;
	rc = use_ticket(control, caller, request->ticket, &from, err);
	if (rc)
		return rc;
	struct loam_who who;
	rc = loam_caller_who_with_groups(caller, &who, err);
	if (rc)
		return rc;
	who.check = true;
	rc = check_gate(control, caller, from, err);
	if (!rc)
		rc = check_gate(control, caller, dir, err);
	if (!rc)
		rc = loam_vfs_settle(control->vfs, from, err);
	if (rc)
		return rc;

	unsigned flags = 0;
	if (request->flags & LOAM_IOC_CLONE_PRESERVE)
		flags |= LOAM_CLONE_PRESERVE;
	if (request->flags & LOAM_IOC_CLONE_WRITABLE)
		flags |= LOAM_CLONE_WRITABLE;
	struct loam_clone_stats stats = { 0 };
	rc = loam_meta_clone(loam_data_meta(loam_vfs_data(control->vfs)), &who, from, dir, name,
			     flags, caller->cancelled, caller->arg, &stats, err);
	if (rc)
		return rc;

	loam_nodes_changed(loam_vfs_nodes(control->vfs), dir);
	request->files = stats.files;
	request->dirs = stats.dirs;
	request->bytes = stats.bytes;
	return 0;
}

static int clone_bounded(struct loam_control *control, struct loam_caller *caller, uint64_t dir,
			 struct loam_ioc_clone *request, struct loam_err *err)
{
	if (atomic_fetch_add(&control->clones, 1) >= LOAM_CONTROL_CLONES_MAX) {
		atomic_fetch_sub(&control->clones, 1);
		return loam_fail(err, LOAM_E_BUSY, "%d clones run already",
				 LOAM_CONTROL_CLONES_MAX);
	}
	int rc = run_clone(control, caller, dir, request, err);
	atomic_fetch_sub(&control->clones, 1);
	return rc;
}

/* ---- chattr ---------------------------------------------------------------------------------- */

static const struct {
	uint8_t attr;
	uint32_t fs, xflag;
} flag_names[] = { { LOAM_FLAG_IMMUTABLE, FS_IMMUTABLE_FL, FS_XFLAG_IMMUTABLE },
		   { LOAM_FLAG_APPEND, FS_APPEND_FL, FS_XFLAG_APPEND },
		   { LOAM_FLAG_SKIP_TRASH, FS_SECRM_FL, 0 } };

/* The kernel asks for the second form before it sets anything. */
static int get_flags(struct loam_control *control, uint64_t ino, uint32_t *out_fs,
		     struct fsxattr *out_extended, struct loam_err *err)
{
	struct loam_attr attr;
	int rc = loam_meta_getattr(loam_data_meta(loam_vfs_data(control->vfs)), ino, &attr, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(flag_names); i++) {
		if (!(attr.flags & flag_names[i].attr))
			continue;
		if (out_fs)
			*out_fs |= flag_names[i].fs;
		else
			out_extended->fsx_xflags |= flag_names[i].xflag;
	}
	return 0;
}

static int set_flags(struct loam_control *control, const struct loam_caller *caller, uint64_t ino,
		     uint32_t wanted, struct loam_err *err)
{
	if (caller->uid != 0)
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "only root sets inode flags");
	struct loam_meta *meta = loam_data_meta(loam_vfs_data(control->vfs));
	struct loam_attr attr;
	int rc = loam_meta_getattr(meta, ino, &attr, err);
	if (rc)
		return rc;
	struct loam_attr values = { .flags = attr.flags };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(flag_names); i++) {
		values.flags &= (uint8_t)~flag_names[i].attr;
		if (wanted & flag_names[i].fs)
			values.flags |= flag_names[i].attr;
		wanted &= ~flag_names[i].fs;
	}
	if (wanted != 0)
		return loam_fail(err, LOAM_E_UNSUPPORTED, "inode flags %x", wanted);
	rc = loam_meta_setattr(meta, &loam_who_root, ino, LOAM_SET_FLAGS, &values, &attr, err);
	if (rc)
		return rc;
	loam_nodes_saw(loam_vfs_nodes(control->vfs), ino, &attr, loam_clock_ns());
	return 0;
}

/* ---- dispatch: out is zeroed ----------------------------------------------------------------- */

static int run(struct loam_control *control, struct loam_caller *caller, uint64_t ino,
	       unsigned command, const void *in, void *out, struct loam_err *err)
{
	switch (command) {
	case LOAM_IOC_TICKET:
		return give_ticket(control, caller, ino, out, err);
	case LOAM_IOC_CLONE:
		memcpy(out, in, sizeof(struct loam_ioc_clone));
		return clone_bounded(control, caller, ino, out, err);
	case FS_IOC_GETFLAGS:
	case FS_IOC32_GETFLAGS:
		return get_flags(control, ino, out, NULL, err);
	case FS_IOC_FSGETXATTR:
		return get_flags(control, ino, NULL, out, err);
	default: { /* FS_IOC_SETFLAGS */
		uint32_t wanted;
		memcpy(&wanted, in, sizeof(wanted));
		return set_flags(control, caller, ino, wanted, err);
	}
	}
}

int loam_control_ioctl(struct loam_control *control, struct loam_caller *caller, uint64_t node,
		       unsigned command, const void *in, size_t in_bytes, size_t out_room,
		       void *out, size_t *out_bytes, struct loam_err *err)
{
	static const struct {
		unsigned command;
		size_t in_bytes, out_bytes;
	} commands[] = {
		{ LOAM_IOC_TICKET, 0, sizeof(struct loam_ioc_ticket) },
		{ LOAM_IOC_CLONE, sizeof(struct loam_ioc_clone), sizeof(struct loam_ioc_clone) },
		{ FS_IOC_GETFLAGS, 0, sizeof(uint32_t) },
		{ FS_IOC32_GETFLAGS, 0, sizeof(uint32_t) },
		{ FS_IOC_FSGETXATTR, 0, sizeof(struct fsxattr) },
		{ FS_IOC_SETFLAGS, sizeof(uint32_t), 0 },
		{ FS_IOC32_SETFLAGS, sizeof(uint32_t), 0 },
	};
	size_t at = 0;
	while (at < LOAM_ARRAY_COUNT(commands) && commands[at].command != command)
		at++;
	if (at == LOAM_ARRAY_COUNT(commands)) {
		if (_IOC_TYPE(command) == LOAM_IOC_MAGIC)
			return loam_fail(err, LOAM_E_INVALID, "ioctl %x", command);
		return 0;
	}
	if (in_bytes < commands[at].in_bytes || out_room < commands[at].out_bytes)
		return loam_fail(err, LOAM_E_INVALID, "ioctl %x with %zu bytes", command, in_bytes);
	uint64_t ino;
	int rc = loam_vfs_admit(control->vfs, caller, err);
	if (!rc)
		rc = loam_vfs_inode(control->vfs, node, &ino, err);
	if (!rc)
		rc = run(control, caller, ino, command, in, out, err);
	if (rc)
		return rc;

	*out_bytes = commands[at].out_bytes;
	return 1;
}
