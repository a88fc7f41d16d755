/*
 * Becoming an ordinary account (core/privileges.h).
 */
#include "core/privileges.h"

#include "core/auto.h"
#include "core/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define PASSWD_BYTES	 16384
#define ID_MAX		 0x7FFFFFFEu
#define WALK_DESCRIPTORS 64

/* By name or, with name NULL, by number. false: none. */
static bool find_entry(const char *name, uid_t uid, struct loam_identity *out)
{
	struct passwd entry, *found = NULL;
	char buffer[PASSWD_BYTES];
	int failed = name ? getpwnam_r(name, &entry, buffer, sizeof(buffer), &found)
			  : getpwuid_r(uid, &entry, buffer, sizeof(buffer), &found);
	if (failed || !found || strlen(entry.pw_name) >= sizeof(out->name))
		return false;
	out->uid = entry.pw_uid;
	out->gid = entry.pw_gid;
	snprintf(out->name, sizeof(out->name), "%s", entry.pw_name);
	return true;
}

int loam_identity_find(const char *text, struct loam_identity *out, struct loam_err *err)
{
	struct loam_identity who = { 0 };
	uint64_t number;
	struct loam_err no_number = { 0 };
	if (loam_parse_u64(text, 0, ID_MAX, &number, &no_number) == 0) {
		who.uid = (uid_t)number;
		who.gid = (gid_t)number;
		if (!find_entry(NULL, who.uid, &who))
			who.name[0] = '\0';
	} else if (!find_entry(text, 0, &who)) {
		return loam_fail(err, LOAM_E_INVALID, "this host has no user '%.64s'", text);
	}
	*out = who;
	return 0;
}

static int become(const struct loam_identity *who, struct loam_err *err)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return loam_fail_errno(err, "give up capability %d", cap);
	int failed = who->name[0] ? initgroups(who->name, who->gid) : setgroups(0, NULL);
	if (failed < 0)
		return loam_fail_errno(err, "take the groups of uid %u", who->uid);
	if (setresgid(who->gid, who->gid, who->gid) < 0 ||
	    setresuid(who->uid, who->uid, who->uid) < 0)
		return loam_fail_errno(err, "become uid %u", who->uid);
	cap_t none = cap_init();
	failed = none ? cap_set_proc(none) : -1;
	cap_free(none);
	if (failed < 0)
		return loam_fail_errno(err, "give up the capabilities");
	if (setuid(0) == 0 || seteuid(0) == 0)
		return loam_fail(err, LOAM_E_INTERNAL, "uid %u can become root again", who->uid);
	return 0;
}

int loam_privileges_drop(const struct loam_identity *who, struct loam_err *err)
{
	int dies_with_parent = 0;
	pid_t parent = getppid();
	if (geteuid() != 0 && geteuid() != who->uid)
		return loam_fail(err, LOAM_E_DENIED,
				 "this process has uid %u and cannot become uid %u: start it as "
				 "root, or as that account",
				 geteuid(), who->uid);
	if (prctl(PR_GET_PDEATHSIG, &dies_with_parent) < 0)
		return loam_fail_errno(err, "ask for the signal of the parent's death");
	if (geteuid() == 0 && who->uid != 0) {
		int rc = become(who, err);
		if (rc < 0)
			return rc;
	}
	const struct rlimit no_core = { 0, 0 };
	if (setrlimit(RLIMIT_CORE, &no_core) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return loam_fail_errno(err, "give up privileges");
	/* The change of uid has taken this from us; the parent may have died meanwhile. */
	if (dies_with_parent && prctl(PR_SET_PDEATHSIG, dies_with_parent, 0, 0, 0) < 0)
		return loam_fail_errno(err, "end with the parent");
	if (dies_with_parent && getppid() != parent)
		raise(dies_with_parent);
	return 0;
}

/* nftw has no argument of its own; one walk at a time, before there are threads. */
static const struct loam_identity *receiver;

static int give_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	return lchown(path, receiver->uid, receiver->gid) < 0 && errno != ENOENT ? -1 : 0;
}

int loam_privileges_give(const char *path, const struct loam_identity *who, struct loam_err *err)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		return loam_fail_errno(err, "look at %s", path);
	if (geteuid() != 0 || who->uid == 0 || st.st_uid != 0 || !S_ISDIR(st.st_mode))
		return 0;
	receiver = who;
	if (nftw(path, give_one, WALK_DESCRIPTORS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0)
		return loam_fail_errno(err, "give %s to uid %u", path, who->uid);
	return 1;
}

struct loam_file_owner loam_file_owner_enter(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return (struct loam_file_owner){ .changed = false };
	return loam_file_owner_as(&(struct loam_identity){ .uid = st.st_uid, .gid = st.st_gid });
}

struct loam_file_owner loam_file_owner_as(const struct loam_identity *who)
{
	if (geteuid() != 0 || who->uid == 0)
		return (struct loam_file_owner){ .changed = false };
	setfsgid(who->gid);
	setfsuid(who->uid);
	return (struct loam_file_owner){ .changed = true };
}

void loam_file_owner_leave(struct loam_file_owner *owner)
{
	if (!owner->changed)
		return;
	setfsuid(0);
	setfsgid(0);
}
