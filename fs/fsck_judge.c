/*
 * What must hold of one inode, and of the tree of directories (fs/fsck.h): V01, V02, V03, V12,
 * damaged records. In the first look a misfit makes a suspect, in the second a finding.
 */
#include "fs/fsck_internal.h"

#include <string.h>

typedef unsigned long long ull;

static void say(struct loam_fsck *fsck, struct loam_fsck_inode *inode, const char *id,
		const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static void say(struct loam_fsck *fsck, struct loam_fsck_inode *inode, const char *id,
		const char *fmt, ...)
{
	if (!fsck->again) {
		fsck->suspect_inodes += !inode->suspect;
		inode->suspect = true;
		return;
	}
	char text[512];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	loam_fsck_report(fsck, id, "%s", text);
}

static bool is_root(uint64_t ino)
{
	return ino == LOAM_INO_ROOT || ino == LOAM_INO_TRASH_ROOT;
}

/* "'name' in directory 12" of one of its names. */
static const char *where(const struct loam_fsck_inode *inode, char out[256])
{
	char shown[LOAM_FSCK_SHOWN_BYTES];
	if (!inode->name) {
		snprintf(out, 256, "in directory %llu", (ull)inode->name_parent);
		return out;
	}
	uint64_t parent;
	memcpy(&parent, inode->name->key, sizeof(parent));
	struct loam_name name = { .data = (const char *)inode->name->key + sizeof(parent),
				  .bytes = (uint16_t)(inode->name->key_bytes - sizeof(parent)) };
	snprintf(out, 256, "'%s' in directory %llu", loam_fsck_shown(name, shown), (ull)parent);
	return out;
}

/* Does the directory stand below one where trees are still being built or taken down? */
static bool is_unfinished(struct loam_fsck *fsck, uint64_t dir)
{
	uint32_t walk = ++fsck->walks;
	struct loam_fsck_inode *at = loam_fsck_inode_find(fsck, dir);
	while (at && at->walk != walk) {
		at->walk = walk;
		if (at->detached || (at->ino == fsck->options->staging_ino && at->ino != 0))
			return true;
		if (is_root(at->ino) || at->names == 0)
			return false;
		at = loam_fsck_inode_find(fsck, at->name_parent);
	}
	return false;
}

static void judge_missing(struct loam_fsck *fsck, struct loam_fsck_inode *inode)
{
	char text[256];
	if (inode->ino == LOAM_INO_TRASH_ROOT) /* clients make one up */
		return;
	if (inode->names > 0)
		say(fsck, inode, "V01", "%s: inode %llu does not exist", where(inode, text),
		    (ull)inode->ino);
	if (inode->has_entries)
		say(fsck, inode, "V02", "entries of directory %llu, which does not exist",
		    (ull)inode->ino);
	if (inode->ino == LOAM_INO_ROOT)
		say(fsck, inode, "V01", "the root directory has no inode record");
}

static void judge_nameless(struct loam_fsck *fsck, struct loam_fsck_inode *inode)
{
	bool held = inode->detached || (inode->sustained && inode->type != LOAM_TYPE_DIR);
	if (held || is_root(inode->ino) || fsck->now - inode->ctime < fsck->options->grace_seconds)
		return;
	say(fsck, inode, "V02", "inode %llu (%s, %llu bytes) has no name, nobody holds it open",
	    (ull)inode->ino,
	    inode->type == LOAM_TYPE_DIR    ? "directory"
	    : inode->type == LOAM_TYPE_FILE ? "file"
					    : "no file",
	    (ull)inode->length);
}

static void judge_dir(struct loam_fsck *fsck, struct loam_fsck_inode *dir)
{
	char text[256];
	if (dir->names > 1)
		say(fsck, dir, "V03", "directory %llu has %u names, one is %s", (ull)dir->ino,
		    dir->names, where(dir, text));
	/* Nobody keeps the link counts of the trash (volume format §3.1), and trees in the making
	 * have theirs before their directories. */
	if (dir->ino < LOAM_INO_TRASH_ROOT && dir->nlink != 2 + dir->sub_dirs &&
	    !is_unfinished(fsck, dir->ino))
		say(fsck, dir, "V03", "directory %llu: link count %u, %u directories in it",
		    (ull)dir->ino, dir->nlink, dir->sub_dirs);
}

static void judge_file(struct loam_fsck *fsck, struct loam_fsck_inode *inode)
{
	char text[256];
	if (inode->nlink != inode->names)
		say(fsck, inode, "V03", "inode %llu: link count %u, %u names, one is %s",
		    (ull)inode->ino, inode->nlink, inode->names, where(inode, text));
	else if (inode->names > 1 && inode->parent != 0)
		say(fsck, inode, "V03", "inode %llu has %u names, but its only parent is %llu",
		    (ull)inode->ino, inode->names, (ull)inode->parent);
}

static void judge_type(struct loam_fsck *fsck, struct loam_fsck_inode *inode)
{
	char text[256];
	if (inode->name_types != 1u << inode->type)
		say(fsck, inode, "V01",
		    "%s: the entry's type is not that of inode %llu, which is %u",
		    where(inode, text), (ull)inode->ino, inode->type);
	if (inode->names == 1 && inode->parent != 0 && inode->parent != inode->name_parent &&
	    !is_unfinished(fsck, inode->name_parent))
		say(fsck, inode, "V03", "%s: inode %llu calls %llu its parent", where(inode, text),
		    (ull)inode->ino, (ull)inode->parent);
}

/* With Parent 0 the p<ino> records say how many names stand where. */
static void judge_link(struct loam_fsck *fsck, const struct loam_fsck_link *link)
{
	struct loam_fsck_inode *inode = loam_fsck_inode_find(fsck, link->key.ino);
	int64_t recorded = link->recorded > 0 ? link->recorded : 0;
	if (!inode || !inode->has_attr || inode->moving || inode->parent != 0 ||
	    inode->type == LOAM_TYPE_DIR || (fsck->again && !inode->suspect))
		return;
	if (recorded != link->names && inode->names > 0 && inode->nlink == inode->names)
		say(fsck, inode, "V03",
		    "inode %llu: %u names in directory %llu, its record says %lld", (ull)inode->ino,
		    link->names, (ull)link->key.parent, (long long)link->recorded);
}

void loam_fsck_judge_links(struct loam_fsck *fsck)
{
	struct loam_fsck_inode *inode, *next_inode;
	HASH_ITER (hh, fsck->inodes, inode, next_inode) {
		if (inode->has_attr && inode->parent == 0 && inode->names == 1 &&
		    inode->type != LOAM_TYPE_DIR)
			loam_fsck_link_of(fsck, inode->ino, inode->name_parent)->names = 1;
	}
	struct loam_fsck_link *link, *next;
	HASH_ITER (hh, fsck->links, link, next)
		judge_link(fsck, link);
}

static void judge_acl(struct loam_fsck *fsck, struct loam_fsck_inode *inode, uint32_t id,
		      bool is_access)
{
	struct loam_fsck_acl *acl;
	if (id == 0)
		return;
	HASH_FIND(hh, fsck->acls, &id, sizeof(id), acl);
	if (!acl || !acl->good)
		say(fsck, inode, "V12", "inode %llu: ACL %u %s", (ull)inode->ino, id,
		    acl ? "is damaged" : "does not exist");
	else if (is_access && (acl->mode & 070) != (inode->mode & 070))
		say(fsck, inode, "V12", "inode %llu: mode %04o, but ACL %u shows %04o",
		    (ull)inode->ino, inode->mode, id, acl->mode);
}

static void judge_content(struct loam_fsck *fsck, struct loam_fsck_inode *inode)
{
	if (inode->removed)
		say(fsck, inode, "V02", "inode %llu lives, and its data is to be deleted",
		    (ull)inode->ino);
	if (inode->type == LOAM_TYPE_SYMLINK &&
	    (!inode->has_target || inode->target_bytes != inode->length))
		say(fsck, inode, "meta-2", "symbolic link %llu: %s", (ull)inode->ino,
		    inode->has_target ? "its target is not as long as its record says"
				      : "its target is missing");
	if (inode->has_chunks && inode->type != LOAM_TYPE_FILE)
		say(fsck, inode, "V04", "inode %llu is no file and has chunks", (ull)inode->ino);
	if (inode->has_entries && inode->type != LOAM_TYPE_DIR)
		say(fsck, inode, "V01", "inode %llu is no directory and has entries",
		    (ull)inode->ino);
}

void loam_fsck_judge_inode(struct loam_fsck *fsck, struct loam_fsck_inode *inode)
{
	char text[256];
	if (inode->moving || (fsck->again && !inode->suspect))
		return;
	if (inode->bad_attr) {
		say(fsck, inode, "meta-2", "the record of inode %llu is damaged%s%s",
		    (ull)inode->ino, inode->names ? "; " : "",
		    inode->names ? where(inode, text) : "");
		return;
	}
	if (!inode->has_attr) {
		judge_missing(fsck, inode);
		return;
	}
	if (inode->names == 0)
		judge_nameless(fsck, inode);
	else
		judge_type(fsck, inode);
	if (inode->type == LOAM_TYPE_DIR)
		judge_dir(fsck, inode);
	else if (inode->names > 0)
		judge_file(fsck, inode);
	judge_acl(fsck, inode, inode->access_acl, true);
	judge_acl(fsck, inode, inode->default_acl, false);
	judge_content(fsck, inode);
}

/* ---- rings ----------------------------------------------------------------------------------- */

static struct loam_fsck_inode *up(struct loam_fsck *fsck, const struct loam_fsck_inode *inode)
{
	return inode->names > 0 ? loam_fsck_inode_find(fsck, inode->name_parent) : NULL;
}

/* All that a ring is made of: suspects in the first look, one finding in the second. */
static void judge_ring(struct loam_fsck *fsck, struct loam_fsck_inode *first)
{
	struct loam_fsck_inode *at = first;
	bool still = true;
	do {
		still = still && !at->moving && at->suspect;
		if (!fsck->again)
			say(fsck, at, "meta-3", "ring");
		at = up(fsck, at);
	} while (at && at != first);
	if (fsck->again && still)
		say(fsck, first, "meta-3", "directory %llu stands inside itself", (ull)first->ino);
}

void loam_fsck_judge_rings(struct loam_fsck *fsck)
{
	struct loam_fsck_inode *inode, *next;
	HASH_ITER (hh, fsck->inodes, inode, next)
		inode->rooted = false;
	HASH_ITER (hh, fsck->inodes, inode, next) {
		if (inode->type != LOAM_TYPE_DIR || !inode->has_attr)
			continue;
		uint32_t walk = ++fsck->walks;
		struct loam_fsck_inode *at = inode;
		while (at && !is_root(at->ino) && !at->rooted && at->walk != walk) {
			at->walk = walk;
			at = up(fsck, at);
		}
		if (at && !is_root(at->ino) && !at->rooted)
			judge_ring(fsck, at);
		for (at = inode; at && at->walk == walk && !at->rooted; at = up(fsck, at))
			at->rooted = true;
	}
}
