/*
 * A volume in memory with the LFS doors (lfs_world.h).
 */
#include "tests/support/lfs_world.h"

#include "auth/account_store.h"
#include "auth/gate.h"
#include "auth/token.h"
#include "core/auto.h"
#include "core/sys.h"
#include "fs/files.h"
#include "fs/meta/delete_data.h"
#include "tests/support/recount.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static const char *const users[] = { "alice", "bob", "carol", "dave" };

#define CHECK(call)                                                   \
	do {                                                          \
		int check_rc = (call);                                \
		if (check_rc < 0)                                     \
			fprintf(stderr, "%s: %s\n", #call, err.text); \
		loam_assert(check_rc >= 0);                           \
	} while (0)

static void delete_slice(void *arg, uint64_t id, uint32_t size)
{
	struct loam_lfs_world *world = arg;
	loam_assert(world->volume.data != NULL);
	loam_data_delete_slice(world->volume.data, id, size);
}

static void open_volume(struct loam_lfs_world *world)
{
	static const char document[] =
		"{\"Name\":\"test\",\"UUID\":\"6dc7c3a6-4f0d-45fd-9c3c-6f8f6b6d5d9a\","
		"\"Storage\":\"mem\",\"Bucket\":\"\",\"BlockSize\":64,\"Compression\":\"none\","
		"\"TrashDays\":0,\"MetaVersion\":1,\"EnableACL\":true}";
	struct loam_err err = { 0 };
	struct loam_engine *engine = NULL;
	struct loam_format *format = NULL;
	struct loam_store *store = NULL;
	CHECK(loam_record_mem_open(&engine, &err));
	CHECK(loam_format_parse(document, strlen(document), &format, &err));
	CHECK(loam_meta_format_volume(engine, format, 0, 0, 0755, true, &err));
	loam_format_free(format);
	struct loam_meta_options meta = { .session = true,
					  .mount_point = "test",
					  .delete_slice = delete_slice,
					  .delete_slice_arg = world };
	CHECK(loam_meta_open(engine, &meta, &world->volume.meta, &err));
	CHECK(loam_store_mem_open(&store, &err));
	world->fault_path = loam_xstrdup("/tmp/loam-lfs-fault-XXXXXX");
	int fd = mkstemp(world->fault_path);
	loam_assert(fd >= 0);
	close(fd);
	loam_auto_free char *rules = loam_xasprintf("@%s", world->fault_path);
	CHECK(loam_store_fault_open(store, rules, &world->volume.store, &err));
	struct loam_data_options data = { .write_buffer_bytes = 1u << 20 };
	CHECK(loam_data_open(world->volume.meta, world->volume.store, &data, &world->volume.data,
			     &err));
}

static void add_user(struct loam_lfs_world *world, size_t index)
{
	struct loam_err err = { 0 };
	struct loam_account_store *accounts = loam_auth_accounts(world->auth);
	struct loam_new_user user = { .name = users[index] };
	struct loam_token token = { .scope = LOAM_SCOPE_READ | LOAM_SCOPE_WRITE };
	char text[LOAM_TOKEN_TEXT_BYTES];
	uint32_t uid;
	CHECK(loam_account_store_add_user(accounts, &user, &uid, &err));
	loam_assert(uid == LOAM_FIRST_UID + index);
	loam_token_make(text, &token);
	snprintf(token.user, sizeof(token.user), "%s", users[index]);
	CHECK(loam_account_store_add_token(accounts, &token, &err));
	snprintf(world->bearer[index], sizeof(world->bearer[index]), "Bearer %s", text);
}

static void add_repo(struct loam_lfs_world *world, const char *text,
		     enum loam_visibility visibility, struct loam_repo *out)
{
	struct loam_err err = { 0 };
	uint64_t gate;
	CHECK(loam_repo_parse(text, out, &err));
	CHECK(loam_repos_create(&world->tree, out, LOAM_THE_USER(LOAM_FIRST_UID + ALICE),
				visibility, &gate, &err));
}

int loam_lfs_world_setup(void **state)
{
	struct loam_lfs_world *world = loam_xnew(struct loam_lfs_world);
	struct loam_err err = { 0 };
	open_volume(world);
	CHECK(loam_config_load(world->fault_path, &world->config, &err));
	CHECK(loam_tree_open(&world->volume, "/", true, &world->tree, &err));
	CHECK(loam_auth_open(&world->tree, &world->auth, &err));
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(users); i++)
		add_user(world, i);
	add_repo(world, "qwen/tiny", LOAM_PRIVATE, &world->tiny);
	add_repo(world, "qwen/other", LOAM_PRIVATE, &world->other);
	add_repo(world, "pub/open", LOAM_PUBLIC, &world->open);
	CHECK(loam_repos_grant(&world->tree, &world->tiny, LOAM_THE_USER(LOAM_FIRST_UID + BOB),
			       LOAM_WANT_READ, &err));
	CHECK(loam_repos_grant(&world->tree, &world->tiny, LOAM_THE_USER(LOAM_FIRST_UID + DAVE),
			       LOAM_WANT_WRITE, &err));
	CHECK(loam_lfs_open(world->auth, world->config, &world->lfs, &err));
	world->context = (struct loam_lfs_context){ .lfs = world->lfs,
						    .auth = world->auth,
						    .config = world->config };
	*state = world;
	return 0;
}

/* ---- checks at the end ----------------------------------------------------------------------- */

/* Every pool file has one name more than holders; every holder's name is a pool file. */
static void check_pool(struct loam_lfs_world *world)
{
	struct loam_err err = { 0 };
	const struct loam_repo *const repos[] = { &world->tiny, &world->other, &world->open };
	for (size_t r = 0; r < LOAM_ARRAY_COUNT(repos); r++) {
		char path[LOAM_PATH_BYTES_MAX];
		struct loam_attr attr, pool;
		struct loam_dir *dir = NULL;
		uint64_t ino;
		loam_tree_links_path(&world->tree, repos[r], path);
		if (loam_files_lookup(&world->volume, path, &ino, &attr, &err) < 0) {
			loam_err_clear(&err);
			continue;
		}
		CHECK(loam_meta_opendir(world->volume.meta, ino, true, &dir, &err));
		for (size_t i = 0; i < loam_dir_count(dir); i++) {
			const struct loam_dir_entry *entry = loam_dir_at(dir, i);
			loam_auto_free char *oid =
				loam_xstrndup(entry->name.data, entry->name.bytes);
			uint32_t holders = 0;
			for (size_t k = 0; k < LOAM_ARRAY_COUNT(repos); k++)
				holders += loam_lfs_world_holds(world, repos[k], oid);
			loam_assert(loam_lfs_world_pool(world, oid, &pool));
			loam_assert(pool.nlink == 1 + holders && pool.mode == 0400);
			loam_assert(pool.uid == LOAM_SERVICE_ID && pool.gid == LOAM_SERVICE_ID);
			loam_assert(pool.length == entry->attr.length && pool.parent == 0);
		}
		loam_dir_close(dir);
	}
}

static int count_block(void *arg, const struct loam_store_entry *entry, struct loam_err *err)
{
	uint64_t *bytes = arg;
	*bytes += entry->bytes;
	return 0;
}

/* Bytes of a file's slices, summed over the volume. */
static int add_chunk(void *arg, const struct loam_record *record, const void *data,
		     size_t data_bytes)
{
	uint64_t *bytes = arg;
	struct loam_slice *slices = NULL;
	size_t count = 0;
	struct loam_err err = { 0 };
	CHECK(loam_slices_decode(data, data_bytes, &slices, &count, &err));
	for (size_t i = 0; i < count; i++)
		*bytes += slices[i].id ? slices[i].size : 0;
	free(slices);
	return 0;
}

/* No block without a slice, none missing: nothing is cloned in these tests. */
static void check_blocks(struct loam_lfs_world *world)
{
	struct loam_err err = { 0 };
	struct loam_engine *engine = loam_meta_engine(world->volume.meta);
	struct loam_store *store = world->volume.store;
	uint64_t cursor = 0, named = 0, stored = 0;
	do {
		CHECK(engine->ops->scan(engine, LOAM_REC_CHUNK, 0, &cursor, NULL, add_chunk, &named,
					&err));
	} while (cursor);
	CHECK(store->ops->list(store, "", count_block, &stored, &err));
	if (named != stored)
		fprintf(stderr, "slices name %llu bytes, the store has %llu\n",
			(unsigned long long)named, (unsigned long long)stored);
	loam_assert(named == stored);
}

int loam_lfs_world_teardown(void **state)
{
	struct loam_lfs_world *world = *state;
	loam_lfs_world_fault(world, "");
	loam_assert(loam_lfs_world_entries(world, "staging") == 0);
	loam_lfs_close(world->lfs);
	loam_meta_delete_data_drain(world->volume.meta);
	check_pool(world);
	check_blocks(world);
	struct loam_recount recount = loam_recount(loam_meta_engine(world->volume.meta));
	loam_assert(recount.findings == 0);
	loam_auth_close(world->auth);
	loam_config_free(world->config);
	loam_meta_delete_data_drain(world->volume.meta);
	loam_data_close(world->volume.data);
	loam_meta_close(world->volume.meta);
	world->volume.store->ops->free(world->volume.store);
	unlink(world->fault_path);
	free(world->fault_path);
	free(world);
	return 0;
}

/* ---- calls ----------------------------------------------------------------------------------- */

void loam_lfs_world_fault(struct loam_lfs_world *world, const char *rules)
{
	struct loam_err err = { 0 };
	int fd = open(world->fault_path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	loam_assert(fd >= 0);
	CHECK(loam_sys_write_all(fd, rules, strlen(rules), &err));
	close(fd);
}

struct loam_web_reply loam_lfs_world_call(struct loam_lfs_world *world, enum loam_lfs_user user,
					  unsigned method, const char *target, const char *body)
{
	struct loam_web_reply reply;
	struct loam_web_call call = { .routes = loam_lfs_routes,
				      .context = &world->context,
				      .method = method,
				      .target = target,
				      .body = body,
				      .body_bytes = body ? strlen(body) : 0 };
	if (user != NOBODY) {
		call.headers[0].name = "Authorization";
		call.headers[0].value = world->bearer[user];
	}
	loam_web_drive(&call, &reply);
	return reply;
}

struct loam_web_reply loam_lfs_world_batch(struct loam_lfs_world *world, enum loam_lfs_user user,
					   const char *repo, const char *operation, const char *oid,
					   uint64_t bytes)
{
	loam_auto_free char *target = loam_xasprintf("/%s.git/info/lfs/objects/batch", repo);
	loam_auto_free char *body = loam_xasprintf(
		"{\"operation\":\"%s\",\"objects\":[{\"oid\":\"%s\",\"size\":%llu}],\"ref\":{}}",
		operation, oid, (unsigned long long)bytes);
	return loam_lfs_world_call(world, user, LOAM_POST, target, body);
}

char *loam_lfs_world_href(const struct loam_web_reply *batch, const char *action)
{
	const json_t *entry = json_array_get(json_object_get(batch->json, "objects"), 0);
	const json_t *found = json_object_get(json_object_get(entry, "actions"), action);
	const char *href = json_string_value(json_object_get(found, "href"));
	static const char base[] = "http://loam.example:8418";
	if (!href)
		return NULL;
	loam_assert(strncmp(href, base, strlen(base)) == 0);
	return loam_xstrdup(href + strlen(base));
}

void loam_lfs_world_oid(const void *data, size_t bytes, char out[LOAM_SHA256_HEX + 1])
{
	uint8_t digest[LOAM_SHA256_BYTES];
	loam_sha256_of(data, bytes, digest);
	loam_hex(digest, sizeof(digest), out);
}

int loam_lfs_world_upload(struct loam_lfs_world *world, enum loam_lfs_user user, const char *repo,
			  const void *data, size_t bytes)
{
	char oid[LOAM_SHA256_HEX + 1];
	loam_lfs_world_oid(data, bytes, oid);
	struct loam_web_reply batch = loam_lfs_world_batch(world, user, repo, "upload", oid, bytes);
	loam_auto_free char *href = loam_lfs_world_href(&batch, "upload");
	loam_web_reply_release(&batch);
	if (!href)
		return 0;
	struct loam_web_reply reply;
	struct loam_web_call call = { .routes = loam_lfs_routes,
				      .context = &world->context,
				      .method = LOAM_PUT,
				      .target = href,
				      .body = data,
				      .body_bytes = bytes };
	loam_web_drive(&call, &reply);
	int status = reply.status;
	loam_web_reply_release(&reply);
	return status;
}

bool loam_lfs_world_holds(struct loam_lfs_world *world, const struct loam_repo *repo,
			  const char *oid)
{
	struct loam_err err = { 0 };
	uint64_t ino, bytes;
	int found = loam_lfs_holds(&world->tree, repo, oid, &ino, &bytes, &err);
	loam_assert(found >= 0);
	return found == 1;
}

size_t loam_lfs_world_entries(struct loam_lfs_world *world, const char *state_path)
{
	struct loam_err err = { 0 };
	char path[LOAM_PATH_BYTES_MAX];
	struct loam_attr attr;
	struct loam_dir *dir = NULL;
	uint64_t ino;
	loam_tree_state_path(&world->tree, state_path, path);
	CHECK(loam_files_lookup(&world->volume, path, &ino, &attr, &err));
	CHECK(loam_meta_opendir(world->volume.meta, ino, false, &dir, &err));
	size_t count = loam_dir_count(dir);
	loam_dir_close(dir);
	return count;
}

bool loam_lfs_world_pool(struct loam_lfs_world *world, const char *oid, struct loam_attr *out)
{
	struct loam_err err = { 0 };
	char path[LOAM_PATH_BYTES_MAX];
	uint64_t ino;
	loam_tree_pool_path(&world->tree, oid, path);
	return loam_files_lookup(&world->volume, path, &ino, out, &err) == 0;
}
