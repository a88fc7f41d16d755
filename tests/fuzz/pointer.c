/*
 * LFS pointers: a verdict for every blob; what is called canonical is what `clean` would write.
 */
#include "lfs/pointer.h"

#include "core/limits.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
	struct loam_pointer pointer;
	struct loam_err err = { 0 };
	if (loam_pointer_parse(data, data_bytes, &pointer, &err) < 0) {
		loam_assert(err.code == LOAM_E_INVALID);
		return 0;
	}
	loam_assert(data_bytes < LOAM_POINTER_BYTES_MAX && loam_oid_is_valid(pointer.oid));
	loam_assert(pointer.size <= INT64_MAX);
	if (pointer.canonical && !memmem(data, data_bytes, "\next-", 5)) {
		loam_auto_free char *text = loam_xasprintf(
			"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %llu\n",
			pointer.oid, (unsigned long long)pointer.size);
		loam_assert(strlen(text) == data_bytes && memcmp(text, data, data_bytes) == 0);
	}
	return 0;
}
