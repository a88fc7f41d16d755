/*
 * Rights on the mounted file system, as several users. Names are sentences.
 */
#include "fs/mount/loam_ioctl_format.h"
#include "tests/support/mount_world.h"

/* ---- rights ---------------------------------------------------------------------------------- */

static void attributes_follow_their_rules(void **state)
{
	char value[64], names[256];
	put(at("x"), "x", 0600);
	assert_works(chown(at("x"), ALICE, ALICE));
	assert_int_equal(as(ALICE, try_set_user_xattr, at("x")), 0);
	assert_int_equal(as(BOB, try_set_user_xattr, at("x")), EACCES);
	assert_int_equal(as(ALICE, try_set_trusted_xattr, at("x")), EPERM);
	assert_works(setxattr(at("x"), "trusted.y", "22", 2, XATTR_CREATE));
	assert_errno(setxattr(at("x"), "trusted.y", "22", 2, XATTR_CREATE), EEXIST);
	assert_errno(setxattr(at("x"), "trusted.z", "22", 2, XATTR_REPLACE), ENODATA);
	assert_int_equal(getxattr(at("x"), "trusted.y", value, sizeof(value)), 2);
	assert_errno(getxattr(at("x"), "trusted.y", value, 1), ERANGE);
	assert_errno(getxattr(at("x"), "user.none", value, 1), ENODATA);
	assert_int_equal(lists_trusted(at("x")), 1);
	assert_int_equal(as(ALICE, lists_trusted, at("x")), 0);
	assert_int_equal(listxattr(at("x"), NULL, 0), listxattr(at("x"), names, sizeof(names)));
	assert_errno(setxattr(at("x"), "security.capability", "x", 1, 0), EINVAL);
	loam_auto_free char *large = calloc(1, 65537);
	assert_works(setxattr(at("x"), "user.large", large, 65536, 0));
	assert_errno(setxattr(at("x"), "user.large", large, 65537, 0), E2BIG);
	assert_works(removexattr(at("x"), "user.large"));
	assert_errno(removexattr(at("x"), "user.large"), ENODATA);
	assert_works(symlink("x", at("s")));
	assert_errno(lsetxattr(at("s"), "user.x", "1", 1, 0), EPERM);
	assert_works(unlink(at("s")));
	assert_works(unlink(at("x")));
}

static void the_kernel_checks_acls(void **state)
{
	put(at("secret"), "s", 0600);
	assert_works(chown(at("secret"), ALICE, ALICE));
	assert_int_equal(as(BOB, try_read, at("secret")), EACCES);
	set_acl(at("secret"), ACL_TYPE_ACCESS, "u::rw,u:20002:r,g::-,g:21000:rw,m::rw,o::-");
	has_acl(at("secret"), ACL_TYPE_ACCESS,
		"user::rw-,user:20002:r--,group::---,group:21000:rw-,mask::rw-,other::---");
	assert_int_equal(as(BOB, try_read, at("secret")), 0);
	assert_int_equal(as(BOB, try_write, at("secret")), EACCES);
	assert_int_equal(as(CAROL, try_read, at("secret")), EACCES);
	gid_t group = GROUP;
	assert_int_equal(loam_test_as(CAROL, CAROL, &group, 1, try_write, at("secret")), 0);
	/* chmod sets the mask */
	assert_works(chmod(at("secret"), 0640));
	assert_int_equal(loam_test_as(CAROL, CAROL, &group, 1, try_write, at("secret")), EACCES);
	assert_int_equal(as(BOB, try_chmod, at("secret")), EPERM);
	assert_works(acl_delete_def_file(mounted.dir));
	assert_works(removexattr(at("secret"), "system.posix_acl_access"));
	assert_int_equal(as(BOB, try_read, at("secret")), EACCES);
	static const char bad[] = "\x03\0\0\0";
	assert_errno(setxattr(at("secret"), "system.posix_acl_access", bad, 4, 0), EOPNOTSUPP);
	assert_works(unlink(at("secret")));
}

static void default_acls_are_inherited(void **state)
{
	assert_works(mkdir(at("shared"), 0770));
	assert_works(chmod(at("shared"), 02770));
	set_acl(at("shared"), ACL_TYPE_DEFAULT, "u::rwx,u:20002:rwx,g::r-x,m::rwx,o::-");
	mode_t before = umask(0077);
	int fd = open(at("shared/file"), O_CREAT | O_WRONLY, 0666);
	close(fd);
	assert_works(mkdir(at("shared/dir"), 0777));
	umask(before);
	has_acl(at("shared/file"), ACL_TYPE_ACCESS,
		"user::rw-,user:20002:rwx,group::r-x,mask::rw-,other::---");
	has_acl(at("shared/dir"), ACL_TYPE_DEFAULT,
		"user::rwx,user:20002:rwx,group::r-x,mask::rwx,other::---");
	assert_int_equal(mode_of(at("shared/dir")) & 02000, 02000);
	assert_works(unlink(at("shared/file")));
	assert_works(rmdir(at("shared/dir")));
	assert_works(rmdir(at("shared")));
	/* without one the umask counts */
	before = umask(0027);
	put(at("masked"), "x", 0640);
	fd = open(at("masked2"), O_CREAT | O_WRONLY, 0666);
	close(fd);
	umask(before);
	assert_int_equal(mode_of(at("masked2")), 0640);
	assert_works(unlink(at("masked")));
	assert_works(unlink(at("masked2")));
}

static void set_id_bits_go_with_a_change(void **state)
{
	put(at("suid"), "0123456789", 06777);
	assert_int_equal(mode_of(at("suid")), 06777);
	assert_int_equal(as(BOB, try_write_byte, at("suid")), 0);
	assert_int_equal(mode_of(at("suid")), 0777);
	assert_works(chmod(at("suid"), 06777));
	assert_int_equal(as(BOB, try_truncate, at("suid")), 0);
	assert_int_equal(mode_of(at("suid")), 0777);
	assert_works(chmod(at("suid"), 06777));
	assert_works(chown(at("suid"), BOB, BOB));
	assert_int_equal(mode_of(at("suid")), 0777);
	assert_works(unlink(at("suid")));
}

static void users_are_kept_out_of_others_places(void **state)
{
	assert_works(mkdir(at("home"), 0700));
	assert_works(chown(at("home"), ALICE, ALICE));
	assert_int_equal(as(ALICE, try_create, at("home/mine")), 0);
	struct stat st;
	assert_works(stat(at("home/mine"), &st));
	assert_int_equal(st.st_uid, ALICE);
	assert_int_equal(st.st_gid, ALICE);
	assert_int_equal(as(BOB, try_create, at("home/theirs")), EACCES);
	assert_int_equal(as(BOB, try_list, at("home")), EACCES);
	assert_int_equal(as(BOB, try_read, at("home/mine")), EACCES);
	/* sticky */
	assert_works(mkdir(at("tmp"), 01777));
	assert_works(chmod(at("tmp"), 01777));
	assert_int_equal(as(ALICE, try_create, at("tmp/mine")), 0);
	int rc = as(BOB, try_unlink, at("tmp/mine"));
	assert_true(rc == EPERM || rc == EACCES);
	assert_int_equal(as(ALICE, try_unlink, at("tmp/mine")), 0);
	assert_works(rmdir(at("tmp")));
	assert_works(unlink(at("home/mine")));
	assert_works(rmdir(at("home")));
}

static void inode_flags_are_roots(void **state)
{
	put(at("fixed"), "x", 0666);
	assert_int_equal(as(BOB, try_immutable, at("fixed")), EPERM);
	int fd = open(at("fixed"), O_RDONLY), flags = FS_IMMUTABLE_FL;
	assert_works(ioctl(fd, FS_IOC_SETFLAGS, &flags));
	flags = 0;
	assert_works(ioctl(fd, FS_IOC_GETFLAGS, &flags));
	assert_int_equal(flags, FS_IMMUTABLE_FL);
	assert_errno(open(at("fixed"), O_WRONLY), EPERM);
	assert_errno(unlink(at("fixed")), EPERM);
	flags = 0;
	assert_works(ioctl(fd, FS_IOC_SETFLAGS, &flags));
	struct {
		char bytes[64];
	} unknown;
	assert_errno(ioctl(fd, _IOR('q', 77, unknown), &unknown), ENOTTY);
	assert_errno(ioctl(fd, _IOR(LOAM_IOC_MAGIC, 1, unknown), &unknown), EINVAL);
	close(fd);
	assert_works(unlink(at("fixed")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attributes_follow_their_rules),
		cmocka_unit_test(the_kernel_checks_acls),
		cmocka_unit_test(default_acls_are_inherited),
		cmocka_unit_test(set_id_bits_go_with_a_change),
		cmocka_unit_test(users_are_kept_out_of_others_places),
		cmocka_unit_test(inode_flags_are_roots),
	};
	return run_mounted("mount_rights", tests, LOAM_ARRAY_COUNT(tests));
}
