/*
 * The pkt-lines of a push, in pieces: the count does not depend on how they are cut.
 */
#include "core/limits.h"
#include "server/git_service.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
	struct loam_git_commands whole = { 0 }, pieces = { 0 };
	struct loam_err err = { 0 }, second = { 0 };
	int rc = loam_git_commands_count(&whole, data, data_bytes, &err);
	int cut = 0;
	for (size_t at = 0; cut == 0 && at < data_bytes;) {
		size_t step = 1 + (data[at] & 15);
		if (step > data_bytes - at)
			step = data_bytes - at;
		cut = loam_git_commands_count(&pieces, data + at, step, &second);
		at += step;
	}
	loam_assert(rc == cut && whole.count == pieces.count && whole.over == pieces.over);
	loam_assert(whole.left == pieces.left && whole.head_bytes == pieces.head_bytes);
	loam_assert(whole.count <= LOAM_GIT_PUSH_REFS_MAX + 1);
	return 0;
}
