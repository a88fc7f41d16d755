/*
 * The check of a volume: nothing is found after real operations, and each kind of damage, done to
 * one record at a time, is found as what it is and as nothing else.
 */
#include "fs/fsck.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/endian.h"
#include "fs/meta/delete_data.h"
#include "fs/meta/txn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define FINDINGS_MAX 16
#define BLOCK	     65536u
#define HOUR_OLD     7200

static const char setting[] =
	"{\"Name\":\"test\",\"UUID\":\"e94d66a8-2339-4abd-b8d8-6812df737892\",\"Storage\":\"file\","
	"\"Bucket\":\"/nowhere/\",\"BlockSize\":64,\"Compression\":\"none\",\"TrashDays\":0,"
	"\"MetaVersion\":1,\"EnableACL\":true}";

struct world {
	struct loam_volume volume;
	struct loam_engine *engine;
	uint64_t dir, sub, file, linked, link_dir, symlink, clone, guarded;
	size_t count;
	char ids[FINDINGS_MAX][16];
	char texts[FINDINGS_MAX][256];
	struct loam_fsck_stats stats;
};

static void must(int rc, const struct loam_err *err)
{
	if (rc < 0)
		fail_msg("%s", err->text);
}

/* ---- a volume -------------------------------------------------------------------------------- */

static uint64_t make(struct world *world, uint64_t parent, const char *name, enum loam_type type)
{
	struct loam_create create = { .type = type, .mode = 0755, .target = "some/where" };
	struct loam_err err = { 0 };
	struct loam_attr attr;
	uint64_t ino = 0;
	must(loam_meta_create(world->volume.meta, &loam_who_root, parent, loam_name_of(name),
			      &create, &ino, &attr, &err),
	     &err);
	return ino;
}

static void write_bytes(struct world *world, uint64_t ino, uint64_t offset, size_t bytes)
{
	struct loam_err err = { 0 };
	struct loam_attr attr;
	struct loam_file *file;
	loam_auto_free uint8_t *data = loam_xcalloc(1, bytes);
	memset(data, 'x', bytes);
	must(loam_meta_getattr(world->volume.meta, ino, &attr, &err), &err);
	must(loam_file_get(world->volume.data, ino, &attr, &file, &err), &err);
	must(loam_file_write(file, offset, data, bytes, &err), &err);
	must(loam_file_flush(file, &err), &err);
	loam_file_put(file);
}

static void delete_slice(void *arg, uint64_t id, uint32_t size)
{
	struct world *world = arg;
	loam_data_delete_slice(world->volume.data, id, size);
}

static void open_volume(struct world *world)
{
	struct loam_err err = { 0 };
	struct loam_format *format = NULL;
	must(loam_record_mem_open(&world->engine, &err), &err);
	must(loam_format_parse(setting, strlen(setting), &format, &err), &err);
	must(loam_meta_format_volume(world->engine, format, 0, 0, 0777, false, &err), &err);
	loam_format_free(format);
	must(loam_store_mem_open(&world->volume.store, &err), &err);
	struct loam_meta_options options = { .session = true,
					     .delete_slice = delete_slice,
					     .delete_slice_arg = world };
	must(loam_meta_open(world->engine, &options, &world->volume.meta, &err), &err);
	must(loam_data_open(world->volume.meta, world->volume.store,
			    &(struct loam_data_options){ 0 }, &world->volume.data, &err),
	     &err);
}

static void guard(struct world *world, uint64_t ino)
{
	struct loam_err err = { 0 };
	struct loam_acl_entry user = { .id = 1000, .perm = 6 };
	struct loam_acl acl = {
		.owner = 7, .group = 5, .mask = 6, .other = 0, .users = &user, .user_count = 1
	};
	must(loam_meta_set_acl(world->volume.meta, &loam_who_root, ino, LOAM_ACL_ACCESS, &acl, NULL,
			       &err),
	     &err);
}

/* Everything that the operations of a mount do. */
static void use_volume(struct world *world)
{
	struct loam_meta *meta = world->volume.meta;
	struct loam_err err = { 0 };
	struct loam_attr attr;
	struct loam_clone_stats stats;
	uint64_t ino;
	world->dir = make(world, LOAM_INO_ROOT, "dir", LOAM_TYPE_DIR);
	world->sub = make(world, world->dir, "sub", LOAM_TYPE_DIR);
	world->file = make(world, world->dir, "file", LOAM_TYPE_FILE);
	write_bytes(world, world->file, 0, 3 * BLOCK + 100);
	write_bytes(world, world->file, BLOCK, 10);
	world->linked = make(world, world->sub, "linked", LOAM_TYPE_FILE);
	write_bytes(world, world->linked, 0, 5000);
	world->link_dir = make(world, LOAM_INO_ROOT, "links", LOAM_TYPE_DIR);
	must(loam_meta_link(meta, &loam_who_root, world->linked, world->link_dir,
			    loam_name_of("again"), &attr, &err),
	     &err);
	world->symlink = make(world, world->dir, "symlink", LOAM_TYPE_SYMLINK);
	make(world, world->dir, "fifo", LOAM_TYPE_FIFO);
	world->guarded = make(world, world->dir, "guarded", LOAM_TYPE_FILE);
	guard(world, world->guarded);
	must(loam_meta_clone(meta, &loam_who_root, world->dir, LOAM_INO_ROOT, loam_name_of("clone"),
			     0, NULL, NULL, &stats, &err),
	     &err);
	must(loam_meta_lookup(meta, &loam_who_root, LOAM_INO_ROOT, loam_name_of("clone"),
			      &world->clone, &attr, &err),
	     &err);
	ino = make(world, world->clone, "gone", LOAM_TYPE_FILE);
	write_bytes(world, ino, 0, 2 * BLOCK);
	must(loam_meta_truncate(meta, &loam_who_root, ino, 100, false, &attr, &err), &err);
	must(loam_meta_unlink(meta, &loam_who_root, world->clone, loam_name_of("gone"), NULL, &err),
	     &err);
	ino = make(world, world->sub, "moves", LOAM_TYPE_DIR);
	must(loam_meta_rename(meta, &loam_who_root, world->sub, loam_name_of("moves"),
			      world->link_dir, loam_name_of("moved"), 0, NULL, &err),
	     &err);
	loam_meta_delete_data_drain(meta);
}

static int setup(void **state)
{
	struct world *world = loam_xnew(struct world);
	open_volume(world);
	use_volume(world);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;
	loam_data_close(world->volume.data);
	loam_meta_close(world->volume.meta);
	world->volume.store->ops->free(world->volume.store);
	free(world);
	return 0;
}

/* ---- looking and damaging -------------------------------------------------------------------- */

static void remember(void *arg, const char *id, const char *text)
{
	struct world *world = arg;
	assert_true(world->count < FINDINGS_MAX);
	snprintf(world->ids[world->count], sizeof(world->ids[0]), "%s", id);
	snprintf(world->texts[world->count++], sizeof(world->texts[0]), "%s", text);
}

static void look(struct world *world, const struct loam_fsck_options *options)
{
	struct loam_fsck_sink sink = { .found = remember, .arg = world };
	struct loam_err err = { 0 };
	world->count = 0;
	must(loam_fsck_volume(&world->volume, options, &sink, &world->stats, &err), &err);
	assert_int_equal(world->stats.findings, world->count);
}

static void expect_clean(struct world *world)
{
	look(world, &(struct loam_fsck_options){ 0 });
	if (world->count > 0)
		fail_msg("%s %s", world->ids[0], world->texts[0]);
	assert_false(world->stats.usage_undecided);
}

static void expect_one(struct world *world, const char *id, const char *part)
{
	look(world, &(struct loam_fsck_options){ 0 });
	for (size_t i = 0; i < world->count && world->count > 1; i++)
		fprintf(stderr, "found: %s %s\n", world->ids[i], world->texts[i]);
	assert_int_equal(world->count, 1);
	assert_string_equal(world->ids[0], id);
	if (!strstr(world->texts[0], part))
		fail_msg("'%s' does not say '%s'", world->texts[0], part);
}

static void apply(struct world *world, struct loam_write *writes, size_t count)
{
	struct loam_err err = { 0 };
	int rc = world->engine->ops->commit(world->engine, NULL, 0, writes, count, 0, NULL, NULL,
					    &err);
	must(rc, &err);
	assert_int_equal(rc, 1);
}

static void put(struct world *world, struct loam_record record, const void *data, size_t bytes)
{
	struct loam_write write = {
		.op = LOAM_WRITE_PUT, .record = record, .data = data, .data_bytes = (uint32_t)bytes
	};
	apply(world, &write, 1);
}

static void drop(struct world *world, struct loam_record record)
{
	struct loam_write write = { .op = LOAM_WRITE_DELETE, .record = record };
	apply(world, &write, 1);
}

static void add(struct world *world, const char *counter, int64_t delta)
{
	struct loam_write write = { .op = LOAM_WRITE_ADD,
				    .record = loam_rec_named(LOAM_REC_COUNTER, 0,
							     loam_name_of(counter)),
				    .delta = delta };
	apply(world, &write, 1);
}

static struct loam_attr attr_of(struct world *world, uint64_t ino)
{
	struct loam_record record = loam_rec(LOAM_REC_ATTR, ino, 0);
	struct loam_value value;
	struct loam_err err = { 0 };
	struct loam_attr attr;
	must(world->engine->ops->read(world->engine, &record, 1, &value, &err), &err);
	must(loam_attr_decode(value.data, value.bytes, &attr, &err), &err);
	loam_value_release(&value);
	return attr;
}

static void put_attr(struct world *world, uint64_t ino, const struct loam_attr *attr)
{
	uint8_t bytes[LOAM_ATTR_BYTES_MAX];
	put(world, loam_rec(LOAM_REC_ATTR, ino, 0), bytes, loam_attr_encode(attr, bytes));
}

static struct loam_record dentry(uint64_t parent, const char *name)
{
	return loam_rec_named(LOAM_REC_DENTRY, parent, loam_name_of(name));
}

static void put_dentry(struct world *world, uint64_t parent, const char *name, uint8_t type,
		       uint64_t ino)
{
	uint8_t bytes[LOAM_DENTRY_BYTES];
	loam_dentry_encode(&(struct loam_dentry){ type, ino }, bytes);
	put(world, dentry(parent, name), bytes, sizeof(bytes));
}

static struct loam_slice slice_of(struct world *world, uint64_t ino, size_t index)
{
	struct loam_err err = { 0 };
	struct loam_chunk chunk;
	must(loam_meta_chunks(world->volume.meta, ino, 0, 1, &chunk, &err), &err);
	assert_true(index < chunk.slice_count);
	struct loam_slice slice = chunk.slices[index];
	free(chunk.slices);
	return slice;
}

static void put_chunk(struct world *world, uint64_t ino, const void *data, size_t bytes)
{
	struct loam_record record = loam_rec(LOAM_REC_CHUNK, ino, 0);
	struct loam_write writes[2] = { { .op = LOAM_WRITE_DELETE, .record = record },
					{ .op = LOAM_WRITE_APPEND,
					  .record = record,
					  .data = data,
					  .data_bytes = (uint32_t)bytes } };
	apply(world, &writes[0], 1);
	apply(world, &writes[1], 1);
}

static void block_key(const struct loam_slice *slice, uint32_t index,
		      char out[LOAM_BLOCK_KEY_BYTES])
{
	struct loam_block_naming naming = { .volume = "test", .block_bytes = BLOCK };
	loam_block_key(&naming, slice->id, slice->size, index, out);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void a_used_volume_is_clean(void **state)
{
	struct world *world = *state;
	expect_clean(world);
	assert_true(world->stats.inodes > 10);
	assert_true(world->stats.blocks >= 5);
	assert_int_equal(world->stats.left_chunks, 0);
	struct loam_physical physical;
	struct loam_err err = { 0 };
	must(loam_fsck_physical(&world->volume, &physical, &err), &err);
	assert_int_equal(physical.block_bytes, world->stats.block_bytes);
	assert_int_equal(physical.slice_bytes, 3 * BLOCK + 100 + 10 + 5000);
}

static void an_open_unlinked_file_is_clean(void **state)
{
	struct world *world = *state;
	struct loam_err err = { 0 };
	loam_meta_opened(world->volume.meta, world->file);
	must(loam_meta_unlink(world->volume.meta, &loam_who_root, world->dir, loam_name_of("file"),
			      NULL, &err),
	     &err);
	expect_clean(world);
	loam_meta_released(world->volume.meta, world->file);
	loam_meta_delete_data_drain(world->volume.meta);
	expect_clean(world);
}

static void a_missing_block_is_found(void **state)
{
	struct world *world = *state;
	struct loam_slice slice = slice_of(world, world->linked, 0);
	struct loam_err err = { 0 };
	char key[LOAM_BLOCK_KEY_BYTES];
	block_key(&slice, 0, key);
	must(world->volume.store->ops->remove(world->volume.store, key, &err), &err);
	expect_one(world, "V05", "missing");
	assert_non_null(strstr(world->texts[0], key));
}

static void a_block_of_another_length_is_found(void **state)
{
	struct world *world = *state;
	struct loam_slice slice = slice_of(world, world->file, 0);
	struct loam_err err = { 0 };
	char key[LOAM_BLOCK_KEY_BYTES];
	block_key(&slice, 1, key);
	must(world->volume.store->ops->remove(world->volume.store, key, &err), &err);
	must(world->volume.store->ops->put(world->volume.store, key, "short", 5, &err), &err);
	expect_one(world, "V05", "has 5 bytes");
	assert_non_null(strstr(world->texts[0], "/file"));
}

static void a_block_of_no_slice_is_counted(void **state)
{
	struct world *world = *state;
	struct loam_err err = { 0 };
	struct loam_slice slice = { .id = 4000, .size = 7 };
	char key[LOAM_BLOCK_KEY_BYTES];
	block_key(&slice, 0, key);
	must(world->volume.store->ops->put(world->volume.store, key, "garbage", 7, &err), &err);
	expect_clean(world);
	assert_int_equal(world->stats.extra_blocks, 1);
	assert_int_equal(world->stats.extra_bytes, 7);
	look(world, &(struct loam_fsck_options){ .grace_seconds = LOAM_FSCK_GRACE_SECONDS });
	assert_int_equal(world->stats.extra_blocks, 0);
}

static void a_block_of_a_number_to_come_is_found(void **state)
{
	struct world *world = *state;
	struct loam_err err = { 0 };
	struct loam_slice slice = { .id = 400000, .size = 7 };
	char key[LOAM_BLOCK_KEY_BYTES];
	block_key(&slice, 0, key);
	must(world->volume.store->ops->put(world->volume.store, key, "garbage", 7, &err), &err);
	expect_one(world, "V10", "slice 400000");
}

static void a_wrong_reference_count_is_found(void **state)
{
	struct world *world = *state;
	struct loam_slice slice = slice_of(world, world->file, 0);
	struct loam_record record = loam_rec(LOAM_REC_SLICE_REF, slice.id, slice.size);
	put(world, record, "7", 1);
	expect_one(world, "V06", "2 records");
	drop(world, record);
	expect_one(world, "V06", "2 records");
	put(world, record, "-5", 2);
	expect_one(world, "meta-5", "its count says -4");
	put(world, record, "many", 4);
	expect_one(world, "meta-5", "no number");
	put(world, record, "99999999999999999999", 20);
	expect_one(world, "meta-5", "no number");
}

static void a_delayed_deletion_is_a_reference(void **state)
{
	struct world *world = *state;
	struct loam_slice slice = slice_of(world, world->file, 0);
	uint8_t bytes[LOAM_DELSLICE_BYTES];
	loam_delslice_encode(slice.id, slice.size, bytes);
	put(world, loam_rec(LOAM_REC_DELSLICES, 77, 1700000000), bytes, sizeof(bytes));
	expect_one(world, "V06", "3 records");
	put(world, loam_rec(LOAM_REC_SLICE_REF, slice.id, slice.size), "2", 1);
	expect_clean(world);
	put(world, loam_rec(LOAM_REC_DELSLICES, 77, 1700000000), bytes, 5);
	put(world, loam_rec(LOAM_REC_SLICE_REF, slice.id, slice.size), "1", 1);
	expect_one(world, "V04", "5 bytes");
}

static void a_wrong_link_count_is_found(void **state)
{
	struct world *world = *state;
	struct loam_attr attr = attr_of(world, world->linked), right = attr;
	attr.nlink = 3;
	put_attr(world, world->linked, &attr);
	expect_one(world, "V03", "link count 3, 2 names");
	put_attr(world, world->linked, &right);
	attr = right = attr_of(world, world->dir);
	attr.nlink = 2;
	put_attr(world, world->dir, &attr);
	expect_one(world, "V03", "link count 2, 1 directories");
}

static void a_wrong_link_record_is_found(void **state)
{
	struct world *world = *state;
	struct loam_record record = loam_rec(LOAM_REC_PARENT, world->linked, world->link_dir);
	put(world, record, "2", 1);
	expect_one(world, "V03", "its record says 2");
	drop(world, record);
	expect_one(world, "V03", "its record says 0");
	put(world, record, "1", 1);
	expect_clean(world);
	put(world, loam_rec(LOAM_REC_PARENT, world->linked, world->clone), "0", 1);
	expect_clean(world);
}

static void an_entry_without_inode_is_found(void **state)
{
	struct world *world = *state;
	put_dentry(world, world->sub, "ghost\n", LOAM_TYPE_FILE, 900);
	expect_one(world, "V01", "'ghost\\x0a' in directory");
	assert_non_null(strstr(world->texts[0], "inode 900"));
}

static void an_inode_without_entry_is_found_when_it_is_old(void **state)
{
	struct world *world = *state;
	drop(world, dentry(world->dir, "file"));
	look(world, &(struct loam_fsck_options){ .grace_seconds = LOAM_FSCK_GRACE_SECONDS });
	assert_int_equal(world->count, 0);
	struct loam_attr attr = attr_of(world, world->file);
	attr.ctime.tv_sec -= HOUR_OLD;
	put_attr(world, world->file, &attr);
	look(world, &(struct loam_fsck_options){ .grace_seconds = LOAM_FSCK_GRACE_SECONDS });
	assert_int_equal(world->count, 1);
	expect_one(world, "V02", "has no name");
	put(world, loam_rec(LOAM_REC_SUSTAINED, 9, world->file), "1", 1);
	expect_clean(world);
}

static void a_detached_tree_is_clean(void **state)
{
	struct world *world = *state;
	drop(world, dentry(LOAM_INO_ROOT, "clone"));
	struct loam_attr root = attr_of(world, LOAM_INO_ROOT);
	root.nlink--;
	put_attr(world, LOAM_INO_ROOT, &root);
	expect_one(world, "V02", "directory");
	put(world, loam_rec(LOAM_REC_DETACHED, world->clone, 0), "1700000000", 10);
	expect_clean(world);
}

static void an_entry_of_another_type_is_found(void **state)
{
	struct world *world = *state;
	put_dentry(world, world->dir, "file", LOAM_TYPE_SOCKET, world->file);
	expect_one(world, "V01", "'file' in directory");
}

static void a_name_that_cannot_be_is_found(void **state)
{
	struct world *world = *state;
	drop(world, dentry(world->dir, "file"));
	put_dentry(world, world->dir, "a/b", LOAM_TYPE_FILE, world->file);
	expect_one(world, "V01", "'a/b'");
	drop(world, dentry(world->dir, "a/b"));
	put_dentry(world, world->dir, "..", LOAM_TYPE_FILE, world->file);
	expect_one(world, "V01", "'..'");
	drop(world, dentry(world->dir, ".."));
	put_dentry(world, world->dir, "", LOAM_TYPE_FILE, world->file);
	expect_one(world, "V01", "''");
	put(world, dentry(world->link_dir, "short"), "\1\2", 2);
	drop(world, dentry(world->dir, ""));
	put_dentry(world, world->dir, "file", LOAM_TYPE_FILE, world->file);
	expect_one(world, "V01", "2 bytes");
}

static void a_wrong_parent_is_found_but_not_in_staging(void **state)
{
	struct world *world = *state;
	struct loam_attr attr = attr_of(world, world->file);
	attr.parent = world->link_dir;
	put_attr(world, world->file, &attr);
	expect_one(world, "V03", "parent");
	look(world, &(struct loam_fsck_options){ .staging_ino = world->dir });
	assert_int_equal(world->count, 0);
}

static void a_directory_inside_itself_is_found(void **state)
{
	struct world *world = *state;
	struct loam_attr root = attr_of(world, LOAM_INO_ROOT);
	struct loam_attr dir = attr_of(world, world->dir), sub = attr_of(world, world->sub);
	drop(world, dentry(LOAM_INO_ROOT, "dir"));
	put_dentry(world, world->sub, "dir", LOAM_TYPE_DIR, world->dir);
	root.nlink--;
	sub.nlink++;
	dir.parent = world->sub;
	put_attr(world, LOAM_INO_ROOT, &root);
	put_attr(world, world->dir, &dir);
	put_attr(world, world->sub, &sub);
	expect_one(world, "meta-3", "inside itself");
}

static void entries_of_no_directory_are_found(void **state)
{
	struct world *world = *state;
	drop(world, dentry(world->dir, "file"));
	put_dentry(world, 901, "file", LOAM_TYPE_FILE, world->file);
	struct loam_attr attr = attr_of(world, world->file);
	attr.parent = 901;
	put_attr(world, world->file, &attr);
	expect_one(world, "V02", "directory 901");
}

static void wrong_totals_are_found(void **state)
{
	struct world *world = *state;
	add(world, "usedSpace", 4096);
	expect_one(world, "V08", "usedSpace");
	add(world, "usedSpace", -4096);
	add(world, "totalInodes", -1);
	expect_one(world, "V08", "totalInodes");
}

static void counters_behind_what_is_used_are_found(void **state)
{
	struct world *world = *state;
	add(world, "nextinode", -1020);
	expect_one(world, "V10", "nextinode");
	add(world, "nextinode", 1020);
	add(world, "nextchunk", -4095);
	expect_one(world, "V10", "nextchunk");
}

static void a_missing_or_damaged_acl_is_found(void **state)
{
	struct world *world = *state;
	struct loam_attr attr = attr_of(world, world->guarded), wrong = attr;
	assert_true(attr.access_acl > 0);
	wrong.access_acl = 99;
	put_attr(world, world->guarded, &wrong);
	expect_one(world, "V12", "ACL 99 does not exist");
	wrong = attr;
	wrong.mode ^= 040;
	put_attr(world, world->guarded, &wrong);
	expect_one(world, "V12", "shows");
	put_attr(world, world->guarded, &attr);
	expect_clean(world);
	put(world, loam_rec(LOAM_REC_ACL, 98, 0), "short", 5);
	attr.default_acl = 98;
	put_attr(world, world->guarded, &attr);
	expect_one(world, "V12", "ACL 98 is damaged");
}

static void records_past_their_chunk_or_slice_are_found(void **state)
{
	struct world *world = *state;
	struct loam_slice slice = slice_of(world, world->linked, 0), wrong = slice;
	uint8_t bytes[LOAM_SLICE_BYTES];
	wrong.pos = LOAM_CHUNK_BYTES - 10;
	loam_slice_encode(&wrong, bytes);
	put_chunk(world, world->linked, bytes, sizeof(bytes));
	expect_one(world, "V04", "past its chunk");
	wrong = slice;
	wrong.off = 1;
	loam_slice_encode(&wrong, bytes);
	put_chunk(world, world->linked, bytes, sizeof(bytes));
	expect_one(world, "V04", "past its slice");
	loam_slice_encode(&slice, bytes);
	put_chunk(world, world->linked, bytes, sizeof(bytes));
	expect_clean(world);
}

static void a_chunk_of_no_file_is_found(void **state)
{
	struct world *world = *state;
	struct loam_slice hole = { .pos = 0, .len = 100, .size = 1, .off = 9 };
	uint8_t bytes[LOAM_SLICE_BYTES];
	loam_slice_encode(&hole, bytes);
	put_chunk(world, world->dir, bytes, sizeof(bytes));
	expect_one(world, "V04", "is no file");
	drop(world, loam_rec(LOAM_REC_CHUNK, world->dir, 0));
	put_chunk(world, 902, bytes, sizeof(bytes));
	expect_clean(world);
	assert_int_equal(world->stats.left_chunks, 1);
}

static void damaged_inode_records_are_findings(void **state)
{
	struct world *world = *state;
	uint8_t bytes[10000] = { 0 };
	struct loam_attr attr = attr_of(world, world->file);
	size_t length = loam_attr_encode(&attr, bytes);
	struct loam_record record = loam_rec(LOAM_REC_ATTR, world->file, 0);
	put(world, record, bytes, 0);
	expect_one(world, "meta-2", "'file' in directory");
	put(world, record, bytes, 1);
	expect_one(world, "meta-2", "damaged");
	put(world, record, bytes, sizeof(bytes)); /* what is behind the known fields is ignored */
	expect_clean(world);
	loam_be16_put(bytes + 1, 0x9000);
	put(world, record, bytes, length);
	expect_one(world, "meta-2", "damaged");
	loam_attr_encode(&attr, bytes);
	loam_be64_put(bytes + 51, 1ull << 63);
	put(world, record, bytes, length);
	expect_one(world, "meta-2", "damaged");
}

static void a_symlink_without_target_is_found(void **state)
{
	struct world *world = *state;
	struct loam_record record = loam_rec(LOAM_REC_SYMLINK, world->symlink, 0);
	put(world, record, "x", 1);
	expect_one(world, "meta-2", "not as long");
	drop(world, record);
	expect_one(world, "meta-2", "missing");
}

static void a_living_file_that_is_to_be_deleted_is_found(void **state)
{
	struct world *world = *state;
	put(world, loam_rec(LOAM_REC_DELFILE, world->file, 100), "1700000000", 10);
	expect_one(world, "V02", "to be deleted");
}

#define ON_VOLUME(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_VOLUME(a_used_volume_is_clean),
		ON_VOLUME(an_open_unlinked_file_is_clean),
		ON_VOLUME(a_missing_block_is_found),
		ON_VOLUME(a_block_of_another_length_is_found),
		ON_VOLUME(a_block_of_no_slice_is_counted),
		ON_VOLUME(a_block_of_a_number_to_come_is_found),
		ON_VOLUME(a_wrong_reference_count_is_found),
		ON_VOLUME(a_delayed_deletion_is_a_reference),
		ON_VOLUME(a_wrong_link_count_is_found),
		ON_VOLUME(a_wrong_link_record_is_found),
		ON_VOLUME(an_entry_without_inode_is_found),
		ON_VOLUME(an_inode_without_entry_is_found_when_it_is_old),
		ON_VOLUME(a_detached_tree_is_clean),
		ON_VOLUME(an_entry_of_another_type_is_found),
		ON_VOLUME(a_name_that_cannot_be_is_found),
		ON_VOLUME(a_wrong_parent_is_found_but_not_in_staging),
		ON_VOLUME(a_directory_inside_itself_is_found),
		ON_VOLUME(entries_of_no_directory_are_found),
		ON_VOLUME(wrong_totals_are_found),
		ON_VOLUME(counters_behind_what_is_used_are_found),
		ON_VOLUME(a_missing_or_damaged_acl_is_found),
		ON_VOLUME(records_past_their_chunk_or_slice_are_found),
		ON_VOLUME(a_chunk_of_no_file_is_found),
		ON_VOLUME(damaged_inode_records_are_findings),
		ON_VOLUME(a_symlink_without_target_is_found),
		ON_VOLUME(a_living_file_that_is_to_be_deleted_is_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
