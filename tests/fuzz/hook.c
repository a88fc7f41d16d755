/*
 * What comes over hook.sock, and what git writes to a hook's stdin.
 */
#include "core/limits.h"
#include "githook/channel.h"
#include "githook/updates.h"
#include "tests/fuzz/fuzz.h"

static void messages(const uint8_t *data, size_t bytes)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf received = LOAM_BUF(LOAM_HOOK_LINE_BYTES_MAX);
	if (loam_buf_add(&received, data, bytes, &err) < 0)
		return;
	for (;;) {
		size_t before = received.bytes;
		json_t *message = NULL;
		int rc = loam_channel_take(&received, &message, &err);
		if (rc <= 0)
			break;
		loam_assert(message && received.bytes < before);
		json_decref(message);
	}
}

static void updates(const uint8_t *data, size_t bytes)
{
	struct loam_err err = { 0 };
	struct loam_updates read;
	loam_auto_file FILE *from = bytes ? fmemopen((void *)data, bytes, "r") : NULL;
	if (!from || loam_updates_read(from, &read, &err) < 0)
		return;
	for (size_t i = 0; i < read.count; i++)
		loam_assert(read.updates[i].ref[0] && !strchr(read.updates[i].ref, '\n'));
	loam_updates_release(&read);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
	messages(data, data_bytes);
	updates(data, data_bytes);
	return 0;
}
