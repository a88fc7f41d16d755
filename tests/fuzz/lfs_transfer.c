/*
 * A git-lfs-transfer session, any bytes of a client, on a volume in memory. The first byte chooses
 * who speaks and in which direction. The session always ends, and says whole pkt-lines only.
 */
#include "lfs/ssh_transfer.h"

#include "tests/fuzz/fuzz.h"
#include "tests/support/lfs_world.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT_BYTES_MAX 65536 /* what a socket takes without a reader */

static struct loam_lfs_world *world;

/* What the server says: whole pkt-lines, each time. */
static int hear(void *arg, const void *data, size_t bytes, struct loam_err *err)
{
	const char *at = data, *end = at + bytes;
	while (at < end) {
		char head[5] = "";
		loam_assert(end - at >= 4);
		memcpy(head, at, 4);
		size_t length = strtoul(head, NULL, 16);
		loam_assert(length < 2 || (length >= 4 && length <= (size_t)(end - at)));
		at += length < 2 ? 4 : length;
	}
	return 0;
}

static int still(void *arg, struct loam_err *err)
{
	return 0;
}

/* The one file that the world has on the disk; all else of it is memory. */
static void remove_rules(void)
{
	unlink(world->fault_path);
}

static void open_world(void)
{
	void *state = NULL;
	loam_log_set_level(LOAM_LOG_ERROR);
	loam_assert(loam_lfs_world_setup(&state) == 0);
	world = state;
	atexit(remove_rules);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
	static const char *const users[] = { "alice", "dave" };
	int ends[2];
	if (data_bytes == 0 || data_bytes > INPUT_BYTES_MAX)
		return 0;
	if (!world)
		open_world();
	struct loam_err err = { 0 };
	struct loam_principal who;
	loam_assert(loam_auth_user(world->auth, users[data[0] & 1], "", &who, &err) == 0);
	loam_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	loam_assert(send(ends[0], data + 1, data_bytes - 1, MSG_NOSIGNAL) ==
		    (ssize_t)data_bytes - 1);
	shutdown(ends[0], SHUT_WR);
	const struct loam_ssh_transfer transfer = {
		.lfs = world->lfs,
		.who = &who,
		.repo = &world->tiny,
		.upload = data[0] & 2,
		.io = { .in_fd = ends[1], .write = hear, .still = still }
	};
	int rc = loam_ssh_transfer_run(&transfer, &err);
	loam_assert(rc == 0 || err.code != LOAM_E_OK);
	loam_assert(err.code != LOAM_E_INTERNAL && err.code != LOAM_E_CORRUPT);
	close(ends[0]);
	close(ends[1]);
	return 0;
}
