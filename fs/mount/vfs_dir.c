/*
 * Directory listings of the mounted file system (vfs.h). Serves step 9.
 *
 * A handle holds one snapshot, taken with the first request; offsets count its entries, `.` is 0
 * and
 * `..` is 1, so telldir and seekdir work. Starting over at 0 takes a new snapshot.
 */
#include "fs/mount/vfs_internal.h"

#include "core/limits.h"

#include <string.h>
#include <utlist.h>

int loam_vfs_opendir(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t node,
		     struct loam_dir_handle **out_handle, struct loam_err *err)
{
	uint64_t ino;
	int rc = loam_vfs_admit(vfs, caller, err);
	if (!rc)
		rc = loam_vfs_inode(vfs, node, &ino, err);
	if (!rc && vfs->gates)
		rc = loam_gates_check(vfs->gates, ino, caller, err);
	if (rc)
		return rc;

	struct loam_dir_handle *handle = loam_xnew(struct loam_dir_handle);
	handle->ino = ino;
	pthread_mutex_init(&handle->lock, NULL);
	{
		loam_guard(&vfs->handles_lock);
		DL_APPEND(vfs->dir_handles, handle);
	}
	*out_handle = handle;
	return 0;
}

void loam_vfs_releasedir(struct loam_vfs *vfs, struct loam_dir_handle *handle)
{
	{
		loam_guard(&vfs->handles_lock);
		DL_DELETE(vfs->dir_handles, handle);
	}
	loam_dir_close(handle->dir);
	pthread_mutex_destroy(&handle->lock);
	free(handle);
}

static int take_snapshot(struct loam_vfs *vfs, struct loam_dir_handle *handle, uint64_t offset,
			 bool with_attrs, struct loam_err *err)
{
	if (handle->dir && !(offset == 0 && handle->advanced))
		return 0;
	uint64_t asked_ns = loam_clock_ns();
	struct loam_dir *dir;
	int rc = loam_meta_opendir(vfs->meta, handle->ino, with_attrs, &dir, err);
	if (rc)
		return rc;

	loam_dir_close(handle->dir);
	handle->dir = dir;
	handle->asked_ns = asked_ns;
	handle->advanced = false;
	return 0;
}

static uint64_t parent_of(struct loam_vfs *vfs, uint64_t ino)
{
	struct loam_node_info info;
	return loam_nodes_peek(vfs->nodes, ino, &info) && info.parent != 0 ? info.parent : ino;
}

int loam_vfs_readdir(struct loam_vfs *vfs, struct loam_dir_handle *handle, uint64_t offset,
		     bool with_attrs, bool (*give)(void *arg, const struct loam_listed *listed),
		     void *arg, struct loam_err *err)
{
	loam_guard(&handle->lock);
	int rc = take_snapshot(vfs, handle, offset, with_attrs, err);
	if (rc)
		return rc;

	uint64_t end = loam_dir_count(handle->dir) + 2;
	char name[LOAM_NAME_BYTES_MAX + 1];
	for (; offset < end; offset++) {
		struct loam_listed listed = { .next_offset = offset + 1,
					      .asked_ns = handle->asked_ns,
					      .type = LOAM_TYPE_DIR };
		if (offset < 2) {
			listed.name = offset == 0 ? "." : "..";
			listed.ino = offset == 0 ? handle->ino : parent_of(vfs, handle->ino);
		} else {
			const struct loam_dir_entry *entry = loam_dir_at(handle->dir, offset - 2);
			if (entry->name.bytes > LOAM_NAME_BYTES_MAX)
				continue; /* no kernel could name it */
			memcpy(name, entry->name.data, entry->name.bytes);
			name[entry->name.bytes] = '\0';
			listed.name = name;
			listed.ino = entry->dentry.ino;
			listed.type = entry->dentry.type;
			listed.attr = with_attrs && entry->has_attr ? &entry->attr : NULL;
		}
		if (!give(arg, &listed))
			break;
		handle->advanced = true;
	}
	return 0;
}

bool loam_vfs_adopt(struct loam_vfs *vfs, const struct loam_dir_handle *handle,
		    const struct loam_listed *listed, struct loam_entry *out)
{
	uint32_t attr_ms = loam_vfs_attr_ms(vfs, listed->ino, listed->asked_ns);
	if (!listed->attr || attr_ms == 0)
		return false;
	struct loam_file *file = loam_file_find(vfs->data, listed->ino);
	if (file) {
		loam_file_put(file);
		return false;
	}

	out->ino = listed->ino;
	out->attr = *listed->attr;
	out->attr_ms = attr_ms;
	if (vfs->gates)
		loam_gates_saw(vfs->gates, handle->ino, loam_name_of(listed->name), listed->ino,
			       listed->attr);
	out->node = loam_nodes_ref(vfs->nodes, listed->ino, handle->ino, listed->attr,
				   listed->asked_ns);
	return true;
}
