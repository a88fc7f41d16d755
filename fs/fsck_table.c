/*
 * The tables of a volume's check, its listings, and how it speaks (fsck_internal.h).
 */
#include "fs/fsck_internal.h"

#include <ctype.h>
#include <string.h>

#define PROGRESS_EACH 8192
#define ODD_MAX	      100000 /* more damage of this kind is counted, not read again */
#define TEXT_BYTES    1024

/* ---- tables ---------------------------------------------------------------------------------- */

struct loam_fsck_inode *loam_fsck_inode_find(struct loam_fsck *fsck, uint64_t ino)
{
	struct loam_fsck_inode *inode;
	HASH_FIND(hh, fsck->inodes, &ino, sizeof(ino), inode);
	return inode;
}

struct loam_fsck_inode *loam_fsck_inode_of(struct loam_fsck *fsck, uint64_t ino)
{
	struct loam_fsck_inode *inode = loam_fsck_inode_find(fsck, ino);
	if (inode)
		return inode;
	inode = loam_xnew(struct loam_fsck_inode);
	inode->ino = ino;
	HASH_ADD(hh, fsck->inodes, ino, sizeof(ino), inode);
	return inode;
}

struct loam_fsck_link *loam_fsck_link_find(struct loam_fsck *fsck, uint64_t ino, uint64_t parent)
{
	struct loam_fsck_link *link;
	struct loam_fsck_link wanted = { .key = { ino, parent } };
	HASH_FIND(hh, fsck->links, &wanted.key, sizeof(wanted.key), link);
	return link;
}

struct loam_fsck_link *loam_fsck_link_of(struct loam_fsck *fsck, uint64_t ino, uint64_t parent)
{
	struct loam_fsck_link *link = loam_fsck_link_find(fsck, ino, parent);
	if (link)
		return link;
	link = loam_xnew(struct loam_fsck_link);
	link->key.ino = ino;
	link->key.parent = parent;
	HASH_ADD(hh, fsck->links, key, sizeof(link->key), link);
	return link;
}

struct loam_fsck_slice *loam_fsck_slice_find(struct loam_fsck *fsck, uint64_t id, uint32_t size)
{
	struct loam_fsck_slice *slice;
	HASH_FIND(hh, fsck->slices, &id, sizeof(id), slice);
	while (slice && slice->size != size)
		slice = slice->variant;
	return slice;
}

struct loam_fsck_slice *loam_fsck_slice_of(struct loam_fsck *fsck, uint64_t id, uint32_t size)
{
	struct loam_fsck_slice *first, *slice = loam_fsck_slice_find(fsck, id, size);
	if (slice)
		return slice;
	/* A slice longer than a chunk is damage of its own: it has no blocks to look for. */
	uint32_t blocks = size <= LOAM_CHUNK_BYTES ? loam_block_count(&fsck->naming, size) : 0;
	slice = loam_xcalloc(1, sizeof(*slice) + (blocks + 63) / 64 * sizeof(slice->seen[0]));
	slice->id = id;
	slice->size = size;
	slice->block_count = blocks;
	HASH_FIND(hh, fsck->slices, &id, sizeof(id), first);
	if (first) {
		slice->variant = first->variant;
		first->variant = slice;
	} else {
		HASH_ADD(hh, fsck->slices, id, sizeof(id), slice);
	}
	fsck->stats.slices++;
	return slice;
}

bool loam_fsck_name_add(struct loam_fsck *fsck, uint64_t parent, struct loam_name name,
			uint64_t ino, const struct loam_fsck_name **out_name)
{
	size_t key_bytes = sizeof(parent) + name.bytes;
	struct loam_fsck_name *added = loam_xcalloc(1, sizeof(*added) + key_bytes), *present;
	memcpy(added->key, &parent, sizeof(parent));
	if (name.bytes > 0)
		memcpy(added->key + sizeof(parent), name.data, name.bytes);
	added->key_bytes = key_bytes;
	added->ino = ino;
	HASH_FIND(hh, fsck->names, added->key, key_bytes, present);
	if (present) {
		free(added);
		return false;
	}
	HASH_ADD_KEYPTR(hh, fsck->names, added->key, key_bytes, added);
	*out_name = added;
	return true;
}

void loam_fsck_names_clear(struct loam_fsck *fsck)
{
	struct loam_fsck_name *name, *next;
	HASH_ITER (hh, fsck->names, name, next) {
		HASH_DEL(fsck->names, name);
		free(name);
	}
}

static void free_slices(struct loam_fsck *fsck)
{
	struct loam_fsck_slice *slice, *next;
	HASH_ITER (hh, fsck->slices, slice, next) {
		HASH_DEL(fsck->slices, slice);
		while (slice) {
			struct loam_fsck_slice *variant = slice->variant;
			free(slice);
			slice = variant;
		}
	}
}

void loam_fsck_release(struct loam_fsck *fsck)
{
	struct loam_fsck_inode *inode, *next_inode;
	HASH_ITER (hh, fsck->inodes, inode, next_inode) {
		HASH_DEL(fsck->inodes, inode);
		free(inode);
	}
	struct loam_fsck_link *link, *next_link;
	HASH_ITER (hh, fsck->links, link, next_link) {
		HASH_DEL(fsck->links, link);
		free(link);
	}
	struct loam_fsck_acl *acl, *next_acl;
	HASH_ITER (hh, fsck->acls, acl, next_acl) {
		HASH_DEL(fsck->acls, acl);
		free(acl);
	}
	free_slices(fsck);
	loam_fsck_names_clear(fsck);
	for (size_t i = 0; i < fsck->odd_count; i++)
		free(fsck->odd[i].name);
	free(fsck->odd);
}

/* ---- records that are odd by themselves ------------------------------------------------------ */

void loam_fsck_odd_add(struct loam_fsck *fsck, const struct loam_record *record)
{
	if (fsck->odd_count >= ODD_MAX)
		return;
	if ((fsck->odd_count & (fsck->odd_count - 1)) == 0) {
		size_t room = fsck->odd_count ? fsck->odd_count * 2 : 1;
		fsck->odd = reallocarray(fsck->odd, room, sizeof(fsck->odd[0]));
		loam_assert(fsck->odd != NULL);
	}
	struct loam_fsck_odd *odd = &fsck->odd[fsck->odd_count++];
	odd->record = *record;
	odd->name = loam_xcalloc(1, (size_t)record->name.bytes + 1);
	if (record->name.bytes > 0)
		memcpy(odd->name, record->name.data, record->name.bytes);
	odd->record.name.data = odd->name;
}

int loam_fsck_odd_judge(struct loam_fsck *fsck,
			void (*judge)(struct loam_fsck *fsck, const struct loam_record *record,
				      const struct loam_value *value),
			struct loam_err *err)
{
	int rc = 0;
	for (size_t i = 0; i < fsck->odd_count; i++) {
		struct loam_value value = { 0 };
		if (rc == 0)
			rc = loam_fsck_read(fsck, &fsck->odd[i].record, &value, err);
		if (rc == 0 && value.present)
			judge(fsck, &fsck->odd[i].record, &value);
		loam_value_release(&value);
		free(fsck->odd[i].name);
	}
	free(loam_steal(&fsck->odd));
	fsck->odd_count = 0;
	return rc;
}

/* ---- reading --------------------------------------------------------------------------------- */

struct listing {
	struct loam_fsck *fsck;
	const char *what;
	loam_record_seen_fn *seen;
};

static int seen_any(void *arg, const struct loam_record *record, const void *data, size_t bytes)
{
	const struct listing *listing = arg;
	struct loam_fsck *fsck = listing->fsck;
	fsck->listed++;
	if (fsck->sink->progress && fsck->listed % PROGRESS_EACH == 0)
		fsck->sink->progress(fsck->sink->arg, listing->what, fsck->listed);
	return listing->seen(fsck, record, data, bytes);
}

int loam_fsck_scan(struct loam_fsck *fsck, enum loam_record_kind kind, const char *what,
		   loam_record_seen_fn *seen, struct loam_err *err)
{
	struct listing listing = { fsck, what, seen };
	uint64_t cursor = 0, skipped = 0;
	fsck->listed = 0;
	do {
		int rc = fsck->engine->ops->scan(fsck->engine, kind, 0, &cursor, &skipped, seen_any,
						 &listing, err);
		if (rc < 0)
			return loam_context(err, "list %s", what);
	} while (cursor != 0);
	if (skipped > 0 && !fsck->again)
		loam_fsck_report(fsck, "meta-7", "%llu keys look like %s and are none",
				 (unsigned long long)skipped, what);
	return 0;
}

int loam_fsck_read(struct loam_fsck *fsck, const struct loam_record *record, struct loam_value *out,
		   struct loam_err *err)
{
	struct loam_err own = { 0 };
	int rc = fsck->engine->ops->read(fsck->engine, record, 1, out, &own);
	if (rc == -LOAM_E_CORRUPT) { /* of the wrong type: that is what is being looked for */
		*out = (struct loam_value){ .present = true };
		return 0;
	}
	return rc < 0 ? loam_fail(err, own.code, "%s", own.text) : 0;
}

bool loam_fsck_number(const void *data, size_t data_bytes, int64_t *out)
{
	char text[24] = "", again[24];
	if (data_bytes == 0 || data_bytes >= sizeof(text))
		return false;
	memcpy(text, data, data_bytes);
	long long number = strtoll(text, NULL, 10);
	snprintf(again, sizeof(again), "%lld", number);
	*out = number;
	return strlen(text) == data_bytes && strcmp(text, again) == 0;
}

int loam_fsck_counter(struct loam_fsck *fsck, const char *name, int64_t *out, struct loam_err *err)
{
	struct loam_record record = loam_rec_named(LOAM_REC_COUNTER, 0, loam_name_of(name));
	struct loam_value value = { 0 };
	int rc = loam_fsck_read(fsck, &record, &value, err);
	*out = 0;
	if (rc == 0 && value.present && !loam_fsck_number(value.data, value.bytes, out))
		loam_fsck_report(fsck, "V10", "the counter %s is no number", name);
	loam_value_release(&value);
	return rc;
}

/* ---- speaking -------------------------------------------------------------------------------- */

static void speak(const struct loam_fsck_sink *sink, const char *id, const char *fmt, va_list args)
	__attribute__((format(printf, 3, 0)));

static void speak(const struct loam_fsck_sink *sink, const char *id, const char *fmt, va_list args)
{
	char text[TEXT_BYTES];
	vsnprintf(text, sizeof(text), fmt, args);
	for (char *at = text; *at; at++) { /* names may hold anything: one line, no escapes */
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = '?';
	}
	sink->found(sink->arg, id, text);
}

void loam_fsck_found(const struct loam_fsck_sink *sink, const char *id, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	speak(sink, id, fmt, args);
	va_end(args);
}

void loam_fsck_report(struct loam_fsck *fsck, const char *id, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	speak(fsck->sink, id, fmt, args);
	va_end(args);
	fsck->stats.findings++;
}

const char *loam_fsck_shown(struct loam_name name, char out[LOAM_FSCK_SHOWN_BYTES])
{
	size_t count = 0;
	for (size_t i = 0; i < name.bytes && count + 5 < LOAM_FSCK_SHOWN_BYTES; i++) {
		unsigned char c = (unsigned char)name.data[i];
		if (c >= 0x20 && c != 0x7f && c != '\\')
			out[count++] = (char)c;
		else
			count += (size_t)snprintf(out + count, 5, "\\x%02x", c);
	}
	out[count] = '\0';
	return out;
}
