/*
 * ACL blobs: the kernel's xattr form and the record of the format. What is taken is written back
 * and taken again, the same.
 */
#include "fs/meta/meta_format.h"
#include "tests/fuzz/fuzz.h"

static void check_xattr(const struct loam_acl *acl)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf text = LOAM_BUF(1u << 20);
	struct loam_acl again;
	if (loam_acl_to_xattr(acl, &text, &err) < 0)
		return;
	loam_assert(loam_acl_from_xattr(text.data, text.bytes, &again, &err) == 0);
	loam_assert(loam_acl_equal(acl, &again));
	loam_acl_release(&again);
}

static void check_record(const struct loam_acl *acl)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf record = LOAM_BUF(1u << 20);
	struct loam_acl again;
	loam_assert(loam_acl_encode(acl, &record, &err) == 0);
	loam_assert(loam_acl_decode(record.data, record.bytes, &again, &err) == 0);
	loam_assert(loam_acl_equal(acl, &again));
	loam_acl_release(&again);
}

static void ask(const struct loam_acl *acl)
{
	const uint32_t groups[] = { 20001, 5 };
	for (unsigned want = 0; want < 8; want++) {
		bool masked = loam_acl_allows(acl, 1, 2, 20001, groups, 2, want, true);
		bool bare = loam_acl_allows(acl, 1, 2, 20001, groups, 2, want, false);
		loam_assert(!masked || bare); /* a mask only takes away */
	}
	loam_assert(loam_acl_mode(acl) <= 0777);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
	struct loam_err err = { 0 }, second = { 0 };
	struct loam_acl acl;
	if (loam_acl_from_xattr(data, data_bytes, &acl, &err) == 0) {
		check_xattr(&acl);
		check_record(&acl);
		ask(&acl);
		loam_acl_release(&acl);
	}
	if (loam_acl_decode(data, data_bytes, &acl, &second) == 0) {
		check_record(&acl);
		ask(&acl);
		loam_acl_release(&acl);
	}
	return 0;
}
