/*
 * Names of the mounted file system (vfs.h). Serves step 9.
 *
 * The kernel has checked permissions (default_permissions with POSIX ACLs); sticky, immutable and
 * append-only rules are the metadata layer's. Every answer that carries attributes notes when they
 * were asked for, so that an answer overtaken by our own change never replaces newer knowledge.
 */
#include "fs/mount/vfs_internal.h"

#include "core/limits.h"

#include <string.h>

/* Served by no mount of ours yet, and never the names of user files (format §3). */
static const char *const reserved_names[] = { ".trash", ".accesslog", ".stats", ".config",
					      ".control" };

struct loam_vfs *loam_vfs_new(struct loam_data *data, const struct loam_vfs_options *options)
{
	struct loam_vfs *vfs = loam_xnew(struct loam_vfs);
	vfs->data = data;
	vfs->meta = loam_data_meta(data);
	vfs->nodes = loam_nodes_new(LOAM_INO_ROOT);
	vfs->passthrough = options->passthrough;
	vfs->attr_ns = (uint64_t)options->attr_ms * 1000000;
	vfs->acl = options->acl;
	pthread_mutex_init(&vfs->handles_lock, NULL);
	if (options->tree_root) {
		vfs->gates = loam_gates_new(vfs->meta, vfs->nodes, options->tree_root,
					    options->service_uid, vfs->attr_ns);
		vfs->roster = loam_roster_new(data, options->tree_root);
		loam_gates_use(vfs->gates, vfs->roster);
	}
	return vfs;
}

void loam_vfs_free(struct loam_vfs *vfs)
{
	if (!vfs)
		return;
	loam_vfs_close_all(vfs);
	pthread_mutex_destroy(&vfs->handles_lock);
	loam_gates_free(vfs->gates);
	loam_roster_free(vfs->roster);
	loam_nodes_free(vfs->nodes);
	free(vfs);
}

struct loam_data *loam_vfs_data(struct loam_vfs *vfs)
{
	return vfs->data;
}

struct loam_nodes *loam_vfs_nodes(struct loam_vfs *vfs)
{
	return vfs->nodes;
}

struct loam_gates *loam_vfs_gates(struct loam_vfs *vfs)
{
	return vfs->gates;
}

int loam_vfs_inode(struct loam_vfs *vfs, uint64_t node, uint64_t *out_ino, struct loam_err *err)
{
	struct loam_node_info info;
	if (!loam_nodes_find(vfs->nodes, node, &info))
		return loam_fail(err, LOAM_E_STALE, "no node %llx", (unsigned long long)node);
	*out_ino = info.ino;
	return 0;
}

int loam_vfs_admit(struct loam_vfs *vfs, const struct loam_caller *caller, struct loam_err *err)
{
	return vfs->roster ? loam_roster_admit(vfs->roster, caller->uid, err) : 0;
}

int loam_vfs_name(const char *text, struct loam_name *out, struct loam_err *err)
{
	size_t bytes = strlen(text);
	if (bytes == 0)
		return loam_fail(err, LOAM_E_INVALID, "an empty name");
	if (bytes > LOAM_NAME_BYTES_MAX)
		return loam_fail(err, LOAM_E_NAME_TOO_LONG, "a name of %zu bytes", bytes);
	*out = (struct loam_name){ text, (uint16_t)bytes };
	return 0;
}

bool loam_vfs_is_reserved(uint64_t parent, struct loam_name name)
{
	if (parent != LOAM_INO_ROOT || name.data[0] != '.')
		return false;
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(reserved_names); i++) {
		if (name.bytes == strlen(reserved_names[i]) &&
		    memcmp(name.data, reserved_names[i], name.bytes) == 0)
			return true;
	}
	return false;
}

uint32_t loam_vfs_attr_ms(const struct loam_vfs *vfs, uint64_t ino, uint64_t asked_ns)
{
	uint64_t age = loam_clock_ns() - asked_ns;
	return age >= vfs->attr_ns || loam_nodes_split(vfs->nodes, ino)
		       ? 0
		       : (uint32_t)((vfs->attr_ns - age) / 1000000);
}

/* Where a name is looked for, by whom: parent inode and name, checked. */
static int place(struct loam_vfs *vfs, const struct loam_caller *caller, uint64_t parent,
		 const char *text, uint64_t *out_parent, struct loam_name *out_name,
		 struct loam_err *err)
{
	int rc = loam_vfs_admit(vfs, caller, err);
	if (!rc)
		rc = loam_vfs_name(text, out_name, err);
	if (rc)
		return rc;
	return loam_vfs_inode(vfs, parent, out_parent, err);
}

static void enter(struct loam_vfs *vfs, uint64_t parent, struct loam_name name, uint64_t ino,
		  const struct loam_attr *attr, uint64_t asked_ns, struct loam_entry *out)
{
	out->ino = ino;
	out->attr = *attr;
	loam_vfs_overlay(vfs, ino, &out->attr);
	if (vfs->gates)
		loam_gates_saw(vfs->gates, parent, name, ino, attr);
	out->node = loam_nodes_ref(vfs->nodes, ino, parent, &out->attr, asked_ns);
	out->attr_ms = loam_vfs_attr_ms(vfs, ino, asked_ns);
}

int loam_vfs_lookup(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t parent,
		    const char *text, struct loam_entry *out, struct loam_err *err)
{
	uint64_t dir;
	struct loam_name name;
	int rc = place(vfs, caller, parent, text, &dir, &name, err);
	if (rc)
		return rc;
	if (loam_vfs_is_reserved(dir, name))
		return loam_fail(err, LOAM_E_NOT_FOUND, "%s is not served", text);

	uint64_t asked_ns = loam_clock_ns();
	struct loam_who who = loam_caller_who(caller);
	uint64_t ino;
	struct loam_attr attr;
	rc = loam_meta_lookup(vfs->meta, &who, dir, name, &ino, &attr, err);
	if (rc)
		return rc;

	enter(vfs, dir, name, ino, &attr, asked_ns, out);
	return 0;
}

void loam_vfs_forget(struct loam_vfs *vfs, uint64_t node, uint64_t count)
{
	loam_nodes_forget(vfs->nodes, node, count);
}

int loam_vfs_make(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t parent,
		  const char *text, const struct loam_create *create, struct loam_entry *out,
		  struct loam_err *err)
{
	uint64_t dir;
	struct loam_name name;
	int rc = place(vfs, caller, parent, text, &dir, &name, err);
	if (rc)
		return rc;
	if (loam_vfs_is_reserved(dir, name))
		return loam_fail(err, LOAM_E_EXISTS, "%s is a reserved name", text);

	struct loam_who who = loam_caller_who(caller);
	uint64_t ino;
	struct loam_attr attr;
	rc = loam_meta_create(vfs->meta, &who, dir, name, create, &ino, &attr, err);
	if (rc)
		return rc;

	loam_nodes_changed(vfs->nodes, dir);
	enter(vfs, dir, name, ino, &attr, loam_clock_ns(), out);
	return 0;
}

int loam_vfs_link(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t node, uint64_t parent,
		  const char *text, struct loam_entry *out, struct loam_err *err)
{
	uint64_t dir, ino;
	struct loam_name name;
	int rc = place(vfs, caller, parent, text, &dir, &name, err);
	if (!rc)
		rc = loam_vfs_inode(vfs, node, &ino, err);
	if (rc)
		return rc;
	if (loam_vfs_is_reserved(dir, name))
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "%s is a reserved name", text);

	struct loam_who who = loam_caller_who(caller);
	struct loam_attr attr;
	rc = loam_meta_link(vfs->meta, &who, ino, dir, name, &attr, err);
	if (rc)
		return rc;

	loam_nodes_changed(vfs->nodes, dir);
	enter(vfs, dir, name, ino, &attr, loam_clock_ns(), out);
	return 0;
}

int loam_vfs_readlink(struct loam_vfs *vfs, uint64_t node, struct loam_buf *out,
		      struct loam_err *err)
{
	uint64_t ino;
	int rc = loam_vfs_inode(vfs, node, &ino, err);
	if (rc)
		return rc;
	return loam_meta_readlink(vfs->meta, ino, out, err);
}

/* An inode whose name went or changed has another link count or ctime: whoever holds it open asks
 * anew. */
static int remove_name(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t parent,
		       const char *text, bool is_dir, struct loam_err *err)
{
	uint64_t dir;
	struct loam_name name;
	int rc = place(vfs, caller, parent, text, &dir, &name, err);
	if (rc)
		return rc;
	if (loam_vfs_is_reserved(dir, name))
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "%s is a reserved name", text);

	struct loam_who who = loam_caller_who(caller);
	uint64_t ino = 0;
	rc = is_dir ? loam_meta_rmdir(vfs->meta, &who, dir, name, err)
		    : loam_meta_unlink(vfs->meta, &who, dir, name, &ino, err);
	if (rc)
		return rc;

	loam_nodes_changed(vfs->nodes, dir);
	loam_nodes_changed(vfs->nodes, ino);
	return 0;
}

int loam_vfs_unlink(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t parent,
		    const char *name, struct loam_err *err)
{
	return remove_name(vfs, caller, parent, name, false, err);
}

int loam_vfs_rmdir(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t parent,
		   const char *name, struct loam_err *err)
{
	return remove_name(vfs, caller, parent, name, true, err);
}

int loam_vfs_rename(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t from_parent,
		    const char *from_text, uint64_t to_parent, const char *to_text, unsigned flags,
		    struct loam_err *err)
{
	uint64_t from_dir, to_dir;
	struct loam_name from, to;
	int rc = place(vfs, caller, from_parent, from_text, &from_dir, &from, err);
	if (!rc)
		rc = place(vfs, caller, to_parent, to_text, &to_dir, &to, err);
	if (rc)
		return rc;
	if (flags != 0 && flags != LOAM_RENAME_NOREPLACE && flags != LOAM_RENAME_EXCHANGE)
		return loam_fail(err, LOAM_E_INVALID, "rename flags %x", flags);
	if (loam_vfs_is_reserved(from_dir, from) || loam_vfs_is_reserved(to_dir, to))
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "a reserved name");

	struct loam_who who = loam_caller_who(caller);
	uint64_t inos[2];
	rc = loam_meta_rename(vfs->meta, &who, from_dir, from, to_dir, to, flags, inos, err);
	if (rc)
		return rc;

	loam_nodes_changed(vfs->nodes, from_dir);
	loam_nodes_changed(vfs->nodes, to_dir);
	loam_nodes_changed(vfs->nodes, inos[0]);
	loam_nodes_changed(vfs->nodes, inos[1]);
	return 0;
}

int loam_vfs_statfs(struct loam_vfs *vfs, struct loam_statfs *out, struct loam_err *err)
{
	return loam_meta_statfs(vfs->meta, out, err);
}
