/*
 * Bodies of the LFS calls, on a volume in memory. The first byte chooses caller and call. Whatever
 * comes, the answer is JSON; a batch answers for each object, and gives nobody a link without a
 * right.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/support/lfs_world.h"

#include <stdlib.h>
#include <unistd.h>
static struct loam_lfs_world *world;

static void check_batch(const struct loam_web_reply *reply, enum loam_lfs_user user)
{
	const json_t *objects = json_object_get(reply->json, "objects"), *entry;
	size_t i;
	loam_assert(json_is_array(objects));
	json_array_foreach (objects, i, entry) {
		const json_t *actions = json_object_get(entry, "actions");
		loam_assert(json_is_string(json_object_get(entry, "oid")));
		loam_assert(!actions || !json_object_get(entry, "error"));
		if (json_object_get(actions, "upload"))
			loam_assert(user == ALICE || user == DAVE);
		loam_assert(!json_object_get(actions, "download")); /* nothing was uploaded */
	}
}

/* The one file that the world has on the disk; all else of it is memory. */
static void remove_rules(void)
{
	unlink(world->fault_path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
	static const char *const targets[] = {
		"/qwen/tiny.git/info/lfs/objects/batch",
		"/pub/open.git/info/lfs/objects/batch",
		"/qwen/tiny.git/info/lfs/locks/verify",
	};
	void *state = NULL;
	if (data_bytes == 0)
		return 0;
	if (!world) {
		loam_log_set_level(LOAM_LOG_ERROR);
		loam_assert(loam_lfs_world_setup(&state) == 0);
		world = state;
		atexit(remove_rules);
	}
	enum loam_lfs_user user = (enum loam_lfs_user)(data[0] & 7) % (NOBODY + 1);
	const char *target = targets[(data[0] >> 3) % LOAM_ARRAY_COUNT(targets)];
	loam_auto_free char *body = fuzz_text(data + 1, data_bytes - 1);
	struct loam_web_call call = {
		.routes = loam_lfs_routes,
		.context = &world->context,
		.method = LOAM_POST,
		.target = target,
		.body = body,
		.body_bytes = data_bytes - 1,
	};
	if (user != NOBODY) {
		call.headers[0].name = "Authorization";
		call.headers[0].value = world->bearer[user];
	}
	struct loam_web_reply reply;
	loam_web_drive(&call, &reply);
	loam_assert(reply.status >= 200 && reply.status < 500 && !reply.cut);
	loam_assert(reply.json != NULL);
	if (reply.status == 200 && strstr(target, "batch"))
		check_batch(&reply, user);
	loam_web_reply_release(&reply);
	return 0;
}
