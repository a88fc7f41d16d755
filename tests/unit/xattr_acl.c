/*
 * Extended attributes and POSIX ACLs: limits, flags, the kernel's blobs, mode and mask,
 * inheritance, and rules shared between inodes and clients.
 */
#include "core/auto.h"
#include "fs/meta/txn.h"
#include "tests/support/volume.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROOT	     (&loam_who_root)
#define ACCESS_NAME  "system.posix_acl_access"
#define DEFAULT_NAME "system.posix_acl_default"
static const struct loam_who alice = { .uid = 1000, .gid = 1000 };
static const struct loam_who bob = { .uid = 2000, .gid = 2000 };
static const struct loam_who careful_bob = { .uid = 2000, .gid = 2000, .check = true };

static void attributes_are_set_read_listed_and_removed(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	uint64_t ino = loam_test_make(meta, &alice, 1, "f", LOAM_TYPE_FILE, 0600);
	loam_auto_buf struct loam_buf out = LOAM_BUF(1u << 20);
	assert_code(loam_meta_getxattr(meta, ino, "user.a", &out, &err), LOAM_E_NO_DATA);
	assert_code(loam_meta_removexattr(meta, ROOT, ino, "user.a", &err), LOAM_E_NO_DATA);
	assert_code(loam_meta_setxattr(meta, ROOT, ino, "user.a", "1", 1, LOAM_XATTR_REPLACE, &err),
		    LOAM_E_NO_DATA);
	assert_ok(
		loam_meta_setxattr(meta, ROOT, ino, "user.a", "v\0w", 3, LOAM_XATTR_CREATE, &err));
	assert_code(loam_meta_setxattr(meta, ROOT, ino, "user.a", "1", 1, LOAM_XATTR_CREATE, &err),
		    LOAM_E_EXISTS);
	assert_ok(loam_meta_setxattr(meta, ROOT, ino, "user.b", "", 0, 0, &err));
	assert_ok(loam_meta_getxattr(meta, ino, "user.a", &out, &err));
	assert_int_equal(out.bytes, 3);
	assert_memory_equal(out.data, "v\0w", 3);
	loam_buf_clear(&out);
	assert_ok(loam_meta_getxattr(meta, ino, "user.b", &out, &err));
	assert_int_equal(out.bytes, 0);
	assert_ok(loam_meta_listxattr(meta, ino, &out, &err));
	assert_int_equal(out.bytes, 14);
	assert_memory_equal(out.data, "user.a\0user.b", 14);
	assert_ok(loam_meta_removexattr(meta, ROOT, ino, "user.a", &err));
	loam_buf_clear(&out);
	assert_ok(loam_meta_listxattr(meta, ino, &out, &err));
	assert_int_equal(out.bytes, 7);
}

static void attribute_limits_hold(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	uint64_t ino = loam_test_make(meta, &alice, 1, "f", LOAM_TYPE_FILE, 0600);
	loam_auto_buf struct loam_buf out = LOAM_BUF(1u << 20);
	loam_auto_free char *big = loam_xcalloc(1, 65537);
	char long_name[257];
	memset(long_name, 'n', 256);
	long_name[256] = '\0';
	assert_code(loam_meta_setxattr(meta, ROOT, ino, long_name, "", 0, 0, &err), LOAM_E_RANGE);
	assert_code(loam_meta_setxattr(meta, ROOT, ino, "", "", 0, 0, &err), LOAM_E_INVALID);
	assert_code(loam_meta_setxattr(meta, ROOT, ino, "user.a", big, 65537, 0, &err),
		    LOAM_E_RANGE);
	assert_code(loam_meta_setxattr(meta, ROOT, ino, "user.a", "", 0, 3, &err), LOAM_E_INVALID);
	assert_ok(loam_meta_setxattr(meta, ROOT, ino, long_name + 1, big, 65536, 0, &err));
	assert_ok(loam_meta_getxattr(meta, ino, long_name + 1, &out, &err));
	assert_int_equal(out.bytes, 65536);
	assert_code(loam_meta_setxattr(meta, ROOT, 999, "user.a", "", 0, 0, &err),
		    LOAM_E_NOT_FOUND);
	assert_code(loam_meta_setxattr(meta, ROOT, ino, "security.capability", "", 0, 0, &err),
		    LOAM_E_UNSUPPORTED);
	assert_code(loam_meta_getxattr(meta, ino, "security.capability", &out, &err),
		    LOAM_E_NO_DATA);
	assert_code(loam_meta_setxattr(meta, &careful_bob, ino, "user.a", "", 0, 0, &err),
		    LOAM_E_DENIED);
	assert_code(loam_meta_setxattr(meta, &careful_bob, ino, "trusted.a", "", 0, 0, &err),
		    LOAM_E_NOT_PERMITTED);
}

static struct loam_acl rule(uint16_t owner, uint16_t group, uint16_t mask, uint16_t other,
			    struct loam_acl_entry *user)
{
	struct loam_acl acl = { .owner = owner, .group = group, .mask = mask, .other = other };
	acl.users = user;
	acl.user_count = user != NULL;
	return acl;
}

static void an_access_acl_shows_in_the_mode(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	uint64_t ino = loam_test_make(meta, &alice, 1, "f", LOAM_TYPE_FILE, 04640);
	struct loam_acl_entry entry = { .id = 2000, .perm = 6 };
	struct loam_acl acl = rule(7, 5, 6, 1, &entry), got;
	struct loam_attr before = loam_test_attr(meta, ino), attr;
	assert_code(loam_meta_get_acl(meta, ino, LOAM_ACL_ACCESS, &got, &err), LOAM_E_NO_DATA);
	assert_code(loam_meta_set_acl(meta, &bob, ino, LOAM_ACL_ACCESS, &acl, NULL, &err),
		    LOAM_E_NOT_PERMITTED);
	assert_code(loam_meta_set_acl(meta, &alice, ino, LOAM_ACL_DEFAULT, &acl, NULL, &err),
		    LOAM_E_DENIED);
	assert_ok(loam_meta_set_acl(meta, &alice, ino, LOAM_ACL_ACCESS, &acl, NULL, &err));
	attr = loam_test_attr(meta, ino);
	assert_int_equal(attr.mode, 04761);
	assert_int_not_equal(attr.access_acl, 0);
	assert_true(attr.ctime.tv_nsec != before.ctime.tv_nsec ||
		    attr.ctime.tv_sec != before.ctime.tv_sec);
	assert_ok(loam_meta_get_acl(meta, ino, LOAM_ACL_ACCESS, &got, &err));
	assert_true(loam_acl_equal(&got, &acl));
	loam_acl_release(&got);
	assert_ok(loam_meta_access(meta, &bob, ino, NULL, 6, &err));
	assert_code(loam_meta_access(meta, &bob, ino, NULL, 1, &err), LOAM_E_DENIED);

	/* chmod writes the mask, not the group */
	struct loam_attr values = { .mode = 0640 };
	assert_ok(loam_meta_setattr(meta, &alice, ino, LOAM_SET_MODE, &values, &attr, &err));
	assert_int_equal(attr.mode, 0640);
	assert_ok(loam_meta_get_acl(meta, ino, LOAM_ACL_ACCESS, &got, &err));
	assert_int_equal(got.mask, 4);
	assert_int_equal(got.group, 5);
	assert_int_equal(got.owner, 6);
	loam_acl_release(&got);
	assert_code(loam_meta_access(meta, &bob, ino, NULL, 2, &err), LOAM_E_DENIED);

	/* a rule without names and mask is only a mode; an empty one removes */
	struct loam_acl minimal = rule(7, 5, LOAM_ACL_ABSENT, 4, NULL), empty;
	assert_ok(loam_meta_set_acl(meta, ROOT, ino, LOAM_ACL_ACCESS, &minimal, NULL, &err));
	attr = loam_test_attr(meta, ino);
	assert_int_equal(attr.mode, 0754);
	assert_int_equal(attr.access_acl, 0);
	loam_acl_init(&empty);
	assert_ok(loam_meta_set_acl(meta, ROOT, ino, LOAM_ACL_ACCESS, &acl, NULL, &err));
	assert_ok(loam_meta_set_acl(meta, ROOT, ino, LOAM_ACL_ACCESS, &empty, NULL, &err));
	assert_int_equal(loam_test_attr(meta, ino).access_acl, 0);
}

static void default_acls_are_inherited(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	uint64_t dir = loam_test_make(meta, &alice, 1, "dir", LOAM_TYPE_DIR, 0755);
	struct loam_who masked = { .uid = 1000, .gid = 1000, .umask = 077 };
	struct loam_acl_entry entry = { .id = 2000, .perm = 7 };
	struct loam_acl acl = rule(7, 5, 7, 5, &entry), got;
	struct loam_attr attr;
	assert_ok(loam_meta_set_acl(meta, &alice, dir, LOAM_ACL_DEFAULT, &acl, NULL, &err));
	assert_int_equal(loam_test_attr(meta, dir).mode, 0755);

	attr = loam_test_attr(meta, loam_test_make(meta, &masked, dir, "f", LOAM_TYPE_FILE, 0664));
	assert_int_equal(attr.mode, 0664); /* umask does not count */
	assert_int_equal(attr.default_acl, 0);
	assert_ok(loam_meta_acl_rule(meta, attr.access_acl, &got, &err));
	assert_int_equal(got.owner, 6);
	assert_int_equal(got.group, 5);
	assert_int_equal(got.mask, 6);
	assert_int_equal(got.other, 4);
	assert_int_equal(got.user_count, 1);
	loam_acl_release(&got);

	uint64_t sub = loam_test_make(meta, &masked, dir, "sub", LOAM_TYPE_DIR, 0777);
	attr = loam_test_attr(meta, sub);
	assert_int_equal(attr.mode, 0775);
	assert_int_equal(attr.default_acl, loam_test_attr(meta, dir).default_acl);
	attr = loam_test_attr(meta, loam_test_make(meta, &masked, sub, "l", LOAM_TYPE_SYMLINK, 0));
	assert_int_equal(attr.mode, 0777);
	assert_int_equal(attr.access_acl, 0);

	/* a minimal default rule cuts the mode and leaves no access rule */
	struct loam_acl minimal = rule(6, 4, LOAM_ACL_ABSENT, 0, NULL);
	assert_ok(loam_meta_set_acl(meta, &alice, sub, LOAM_ACL_DEFAULT, &minimal, NULL, &err));
	attr = loam_test_attr(meta, loam_test_make(meta, &masked, sub, "m", LOAM_TYPE_FILE, 0777));
	assert_int_equal(attr.mode, 0640);
	assert_int_equal(attr.access_acl, 0);
}

static void rules_are_shared_by_all(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta, *other = loam_test_open(world->store);
	struct loam_acl_entry entry = { .id = 3000, .perm = 7 };
	struct loam_acl acl = rule(7, 5, 7, 5, &entry), got;
	uint32_t mine = 0, theirs = 0, again = 0;
	assert_ok(loam_meta_acl_intern(meta, &acl, &mine, &err));
	assert_ok(loam_meta_acl_intern(other, &acl, &theirs, &err));
	assert_int_equal(mine, theirs);
	acl.owner = 6;
	assert_ok(loam_meta_acl_intern(other, &acl, &theirs, &err));
	assert_int_not_equal(mine, theirs);
	assert_ok(loam_meta_acl_rule(meta, theirs, &got, &err));
	assert_true(loam_acl_equal(&got, &acl));
	loam_acl_release(&got);
	loam_test_store_calls(world->store);
	assert_ok(loam_meta_acl_intern(meta, &acl, &again, &err));
	assert_int_equal(again, theirs);
	assert_int_equal(loam_test_store_calls(world->store), 0);
	assert_code(loam_meta_acl_rule(meta, 4711, &got, &err), LOAM_E_NOT_FOUND);
	loam_auto_free char *stored = loam_test_text(world->store, loam_rec(LOAM_REC_ACL, mine, 0));
	assert_non_null(stored);
	loam_meta_close(other);
}

static void acls_are_attributes_too(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	uint64_t dir = loam_test_make(meta, &alice, 1, "dir", LOAM_TYPE_DIR, 0755);
	struct loam_acl_entry entry = { .id = 2000, .perm = 5 };
	struct loam_acl acl = rule(7, 5, 5, 0, &entry);
	loam_auto_buf struct loam_buf blob = LOAM_BUF(4096), out = LOAM_BUF(4096);
	assert_ok(loam_acl_to_xattr(&acl, &blob, &err));
	assert_ok(
		loam_meta_setxattr(meta, &alice, dir, ACCESS_NAME, blob.data, blob.bytes, 0, &err));
	assert_ok(loam_meta_setxattr(meta, &alice, dir, DEFAULT_NAME, blob.data, blob.bytes, 0,
				     &err));
	assert_int_equal(loam_test_attr(meta, dir).mode, 0750);
	assert_ok(loam_meta_getxattr(meta, dir, ACCESS_NAME, &out, &err));
	assert_int_equal(out.bytes, blob.bytes);
	assert_memory_equal(out.data, blob.data, blob.bytes);
	loam_buf_clear(&out);
	assert_ok(loam_meta_listxattr(meta, dir, &out, &err));
	assert_int_equal(out.bytes, sizeof(ACCESS_NAME) + sizeof(DEFAULT_NAME));
	assert_code(loam_meta_setxattr(meta, &alice, dir, ACCESS_NAME, "xx", 2, 0, &err),
		    LOAM_E_INVALID);
	assert_ok(loam_meta_removexattr(meta, &alice, dir, DEFAULT_NAME, &err));
	assert_ok(loam_meta_removexattr(meta, &alice, dir, ACCESS_NAME, &err));
	assert_int_equal(loam_test_attr(meta, dir).default_acl, 0);
	assert_code(loam_meta_getxattr(meta, dir, ACCESS_NAME, &out, &err), LOAM_E_NO_DATA);
}

static void volumes_without_acls_say_so(void **state)
{
	struct loam_test_world *world = *state;
	loam_meta_close(world->meta);
	loam_test_format(world->store, ",\"EnableACL\":false");
	struct loam_meta *meta = world->meta = loam_test_open(world->store);
	uint64_t ino = loam_test_make(meta, &alice, 1, "f", LOAM_TYPE_FILE, 0600);
	struct loam_acl acl = rule(7, 5, 5, 0, NULL);
	loam_auto_buf struct loam_buf out = LOAM_BUF(4096);
	assert_code(loam_meta_set_acl(meta, ROOT, ino, LOAM_ACL_ACCESS, &acl, NULL, &err),
		    LOAM_E_UNSUPPORTED);
	assert_code(loam_meta_setxattr(meta, ROOT, ino, ACCESS_NAME, "", 0, 0, &err),
		    LOAM_E_UNSUPPORTED);
	assert_code(loam_meta_getxattr(meta, ino, ACCESS_NAME, &out, &err), LOAM_E_NO_DATA);
}

#define test(function) \
	cmocka_unit_test_setup_teardown(function, loam_test_world_open, loam_test_world_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(attributes_are_set_read_listed_and_removed),
		test(attribute_limits_hold),
		test(an_access_acl_shows_in_the_mode),
		test(default_acls_are_inherited),
		test(rules_are_shared_by_all),
		test(acls_are_attributes_too),
		test(volumes_without_acls_say_so),
	};
	return loam_test_world_run(tests, LOAM_ARRAY_COUNT(tests));
}
