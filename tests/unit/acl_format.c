/*
 * ACL rules: golden vectors of the format document's Appendix A, the kernel's xattr form,
 * evaluation.
 */
#include "core/auto.h"
#include "core/hash.h"
#include "fs/meta/meta_format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RULE	"000700050007000000000001000003e8000600000002000000640004000000c80005"
#define MINIMAL "00070005ffff00050000000000000000"

static struct loam_acl_entry golden_users[] = { { 1000, 6 } };
static struct loam_acl_entry golden_groups[] = { { 100, 4 }, { 200, 5 } };
static const struct loam_acl golden = {
	.owner = 7,
	.group = 5,
	.mask = 7,
	.other = 0,
	.users = golden_users,
	.groups = golden_groups,
	.user_count = 1,
	.group_count = 2,
};
static const struct loam_acl minimal = {
	.owner = 7, .group = 5, .mask = LOAM_ACL_ABSENT, .other = 5
};

static void assert_encodes(const struct loam_acl *acl, const char *hex)
{
	uint8_t wanted[64];
	size_t bytes = strlen(hex) / 2;
	assert_true(loam_unhex(hex, 2 * bytes, wanted, bytes));
	loam_auto_buf struct loam_buf out = LOAM_BUF(4096);
	struct loam_err err = { 0 };
	assert_int_equal(loam_acl_encode(acl, &out, &err), 0);
	assert_int_equal(out.bytes, bytes);
	assert_memory_equal(out.data, wanted, bytes);

	struct loam_acl back;
	assert_int_equal(loam_acl_decode(out.data, out.bytes, &back, &err), 0);
	assert_true(loam_acl_equal(acl, &back));
	loam_acl_release(&back);
}

static void rules_encode_as_upstream_does(void **state)
{
	assert_encodes(&golden, RULE);
	assert_encodes(&minimal, MINIMAL);
	uint8_t rule[34];
	assert_true(loam_unhex(RULE, 68, rule, 34));
	assert_int_equal(loam_crc32c(rule, sizeof(rule)), 0x7ed05047);
}

static void rules_of_another_length_are_corrupt(void **state)
{
	uint8_t rule[35] = { 0 };
	assert_true(loam_unhex(RULE, 68, rule, 34));
	struct loam_acl acl;
	for (size_t bytes = 0; bytes <= 35; bytes++) {
		struct loam_err err = { 0 };
		int ret = loam_acl_decode(rule, bytes, &acl, &err);
		if (bytes == 34)
			loam_acl_release(&acl);
		assert_int_equal(ret, bytes == 34 ? 0 : -LOAM_E_CORRUPT);
	}
	struct loam_err err = { 0 };
	rule[8] = 0xff;
	assert_int_equal(loam_acl_decode(rule, 34, &acl, &err), -LOAM_E_CORRUPT);
}

static void empty_and_minimal_rules_are_told_apart(void **state)
{
	struct loam_acl empty;
	loam_acl_init(&empty);
	assert_true(loam_acl_is_empty(&empty));
	assert_true(loam_acl_is_minimal(&empty));
	assert_false(loam_acl_is_empty(&minimal));
	assert_true(loam_acl_is_minimal(&minimal));
	assert_false(loam_acl_is_minimal(&golden));
	assert_int_equal(loam_acl_mode(&minimal), 0755);
	assert_int_equal(loam_acl_mode(&golden), 0770);
	assert_int_equal(loam_acl_mode(&empty), 0);
}

static void copies_are_equal_and_their_own(void **state)
{
	struct loam_acl copy;
	struct loam_err err = { 0 };
	assert_int_equal(loam_acl_copy(&golden, &copy, &err), 0);
	assert_true(loam_acl_equal(&golden, &copy));
	copy.groups[1].perm = 1;
	assert_false(loam_acl_equal(&golden, &copy));
	assert_int_equal(golden_groups[1].perm, 5);
	loam_acl_release(&copy);
}

struct xattr_entry {
	uint16_t tag, perm;
	uint32_t id;
};
struct xattr {
	uint32_t version;
	struct xattr_entry entries[8];
};

static int from_xattr(const struct xattr *xattr, size_t entries, struct loam_acl *out)
{
	struct loam_err err = { 0 };
	return loam_acl_from_xattr(xattr, 4 + 8 * entries, out, &err);
}

static const struct xattr full = {
	2,
	{ { 1, 7, ~0u },
	  { 2, 6, 1000 },
	  { 4, 5, ~0u },
	  { 8, 4, 100 },
	  { 8, 5, 200 },
	  { 0x10, 7, ~0u },
	  { 0x20, 0, ~0u } },
};

static void rules_go_to_the_kernel_and_back(void **state)
{
	loam_auto_buf struct loam_buf out = LOAM_BUF(4096);
	struct loam_err err = { 0 };
	assert_int_equal(loam_acl_to_xattr(&golden, &out, &err), 0);
	assert_int_equal(out.bytes, 4 + 7 * 8);
	assert_memory_equal(out.data, &full, out.bytes);

	struct loam_acl back;
	assert_int_equal(from_xattr(&full, 7, &back), 0);
	assert_true(loam_acl_equal(&golden, &back));
	loam_acl_release(&back);

	assert_int_equal(from_xattr(&full, 0, &back), 0);
	assert_true(loam_acl_is_empty(&back));
	loam_acl_release(&back);
}

static void what_the_kernel_refuses_is_invalid(void **state)
{
	struct loam_acl acl;
	struct loam_err err = { 0 };
	assert_int_equal(loam_acl_from_xattr(&full, 3, &acl, &err), -LOAM_E_INVALID);
	loam_err_clear(&err);
	assert_int_equal(loam_acl_from_xattr(&full, 11, &acl, &err), -LOAM_E_INVALID);
	assert_int_equal(from_xattr(&full, 2, &acl), -LOAM_E_INVALID); /* named, no mask */

	const struct {
		size_t index;
		struct xattr_entry entry;
	} changes[] = {
		{ 2, { 1, 5, ~0u } },	 /* owner twice */
		{ 6, { 0x10, 5, ~0u } }, /* mask twice */
		{ 6, { 0x40, 5, ~0u } }, /* no such tag */
		{ 1, { 2, 6, ~0u } },	 /* nobody */
		{ 0, { 1, 8, ~0u } },	 /* no such right */
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(changes); i++) {
		struct xattr xattr = full;
		xattr.entries[changes[i].index] = changes[i].entry;
		assert_int_equal(from_xattr(&xattr, 7, &acl), -LOAM_E_INVALID);
	}
	struct xattr other = full;
	other.version = 1;
	assert_int_equal(from_xattr(&other, 7, &acl), -LOAM_E_INVALID);
}

/* The golden rule on an inode of 50:60: may uid with these groups do want? */
static bool allows(uint32_t uid, uint32_t group, unsigned want)
{
	return loam_acl_allows(&golden, 50, 60, uid, &group, 1, want, true);
}

static void rules_are_evaluated_as_the_kernel_does(void **state)
{
	assert_true(allows(50, 1, 7));	 /* owner */
	assert_true(allows(1000, 1, 6)); /* named user */
	assert_false(allows(1000, 1, 1));
	assert_false(allows(1000, 200, 1)); /* a named user gets nothing from groups */
	assert_true(allows(9, 60, 5));	    /* owning group */
	assert_false(allows(9, 60, 2));
	assert_true(allows(9, 100, 4));
	assert_false(allows(9, 100, 5)); /* denied, though others … */
	assert_true(allows(9, 200, 5));
	assert_false(allows(9, 9, 4)); /* other */
	uint32_t both[] = { 100, 200 };
	assert_true(loam_acl_allows(&golden, 50, 60, 9, both, 2, 5, true));
	assert_false(loam_acl_allows(&golden, 50, 60, 9, NULL, 0, 1, true));
}

static void the_mask_limits_all_but_owner_and_other(void **state)
{
	struct loam_acl gate = golden;
	gate.mask = 5;
	gate.other = 6;
	assert_false(loam_acl_allows(&gate, 50, 60, 1000, NULL, 0, 2, true));
	assert_true(loam_acl_allows(&gate, 50, 60, 1000, NULL, 0, 2, false));
	assert_true(loam_acl_allows(&gate, 50, 60, 50, NULL, 0, 2, true));
	assert_true(loam_acl_allows(&gate, 50, 60, 9, NULL, 0, 6, true));
	gate.other = LOAM_ACL_ABSENT;
	assert_false(loam_acl_allows(&gate, 50, 60, 9, NULL, 0, 4, true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_encode_as_upstream_does),
		cmocka_unit_test(rules_of_another_length_are_corrupt),
		cmocka_unit_test(empty_and_minimal_rules_are_told_apart),
		cmocka_unit_test(copies_are_equal_and_their_own),
		cmocka_unit_test(rules_go_to_the_kernel_and_back),
		cmocka_unit_test(what_the_kernel_refuses_is_invalid),
		cmocka_unit_test(rules_are_evaluated_as_the_kernel_does),
		cmocka_unit_test(the_mask_limits_all_but_owner_and_other),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
