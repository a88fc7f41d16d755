/*
 * A volume in memory with Loam's tree (tree_world.h).
 */
#include "tests/support/tree_world.h"

#include "core/auto.h"
#include "fs/files.h"
#include "fs/meta/delete_data.h"
#include "tests/support/recount.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHECK(call)                                                   \
	do {                                                          \
		int check_rc = (call);                                \
		if (check_rc < 0)                                     \
			fprintf(stderr, "%s: %s\n", #call, err.text); \
		loam_assert(check_rc >= 0);                           \
	} while (0)

static void delete_slice(void *arg, uint64_t id, uint32_t size)
{
	struct loam_tree_world *world = arg;
	loam_assert(world->volume.data != NULL);
	loam_data_delete_slice(world->volume.data, id, size);
}

static void open_volume(struct loam_tree_world *world)
{
	static const char document[] =
		"{\"Name\":\"test\",\"UUID\":\"6dc7c3a6-4f0d-45fd-9c3c-6f8f6b6d5d9a\","
		"\"Storage\":\"mem\",\"Bucket\":\"\",\"BlockSize\":4096,\"Compression\":\"none\","
		"\"TrashDays\":0,\"MetaVersion\":1,\"EnableACL\":true}";
	struct loam_err err = { 0 };
	struct loam_engine *engine = NULL;
	struct loam_format *format = NULL;
	CHECK(loam_record_mem_open(&engine, &err));
	CHECK(loam_format_parse(document, strlen(document), &format, &err));
	CHECK(loam_meta_format_volume(engine, format, 0, 0, 0755, true, &err));
	loam_format_free(format);
	struct loam_meta_options meta = { .session = true,
					  .mount_point = "test",
					  .delete_slice = delete_slice,
					  .delete_slice_arg = world };
	CHECK(loam_meta_open(engine, &meta, &world->volume.meta, &err));
	CHECK(loam_store_mem_open(&world->volume.store, &err));
	struct loam_data_options data = { .write_buffer_bytes = 16u << 20 };
	CHECK(loam_data_open(world->volume.meta, world->volume.store, &data, &world->volume.data,
			     &err));
}

int loam_tree_world_setup(void **state)
{
	struct loam_tree_world *world = loam_xnew(struct loam_tree_world);
	struct loam_err err = { 0 };
	snprintf(world->dir, sizeof(world->dir), "/tmp/loam-tree-XXXXXX");
	loam_assert(mkdtemp(world->dir) != NULL);
	open_volume(world);
	loam_auto_free char *none = loam_xasprintf("%s/loam.conf", world->dir);
	FILE *file = fopen(none, "w");
	loam_assert(file != NULL);
	fclose(file);
	CHECK(loam_config_load(none, &world->config, &err));
	CHECK(loam_tree_open(&world->volume, "/", true, &world->tree, &err));
	CHECK(loam_auth_open(&world->tree, &world->auth, &err));
	*state = world;
	return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	return remove(path);
}

void loam_tree_world_recount(struct loam_tree_world *world)
{
	loam_meta_delete_data_drain(world->volume.meta);
	loam_assert(loam_recount(loam_meta_engine(world->volume.meta)).findings == 0);
}

int loam_tree_world_teardown(void **state)
{
	struct loam_tree_world *world = *state;
	loam_tree_world_recount(world);
	loam_auth_close(world->auth);
	loam_config_free(world->config);
	loam_meta_delete_data_drain(world->volume.meta);
	loam_data_close(world->volume.data);
	loam_meta_close(world->volume.meta);
	world->volume.store->ops->free(world->volume.store);
	nftw(world->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	free(world);
	return 0;
}

uint32_t loam_tree_world_user(struct loam_tree_world *world, const char *name)
{
	struct loam_err err = { 0 };
	struct loam_new_user user = { .name = name };
	uint32_t uid = 0;
	CHECK(loam_account_store_add_user(loam_auth_accounts(world->auth), &user, &uid, &err));
	return uid;
}

struct loam_repo loam_tree_world_repo(struct loam_tree_world *world, const char *text,
				      uint32_t owner_uid, enum loam_visibility visibility)
{
	struct loam_err err = { 0 };
	struct loam_grantee owner = { .id = owner_uid };
	struct loam_repo repo;
	uint64_t gate;
	CHECK(loam_repo_parse(text, &repo, &err));
	CHECK(loam_repos_create(&world->tree, &repo, &owner, visibility, &gate, &err));
	return repo;
}

char *loam_tree_world_text(struct loam_tree_world *world, const char *path)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf text = LOAM_BUF(256u << 20);
	if (loam_files_read(&world->volume, path, &text, &err) < 0)
		return NULL;
	return loam_buf_steal(&text);
}

size_t loam_tree_world_entries(struct loam_tree_world *world, const char *path)
{
	struct loam_err err = { 0 };
	struct loam_attr attr;
	struct loam_dir *dir = NULL;
	uint64_t ino;
	CHECK(loam_files_lookup(&world->volume, path, &ino, &attr, &err));
	CHECK(loam_meta_opendir(world->volume.meta, ino, false, &dir, &err));
	size_t count = loam_dir_count(dir);
	loam_dir_close(dir);
	return count;
}
