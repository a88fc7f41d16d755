/*
 * .gitignore and .gitattributes of a directory on the volume (sync/add_rules.h).
 */
#include "sync/add_rules.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/limits.h"
#include "core/sys.h"
#include "sync/changes.h"

#include <fcntl.h>
#include <ftw.h>
#include <git2.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REMOVE_FDS 16

struct loam_add_rules {
	char *dir;
	git_repository *git;
	uint64_t used_ns; /* of a processor, by all questions */
};

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	return remove(path);
}

void loam_add_rules_free(struct loam_add_rules *rules)
{
	if (!rules)
		return;
	git_repository_free(rules->git);
	if (rules->dir)
		nftw(rules->dir, remove_entry, REMOVE_FDS, FTW_DEPTH | FTW_PHYS);
	free(rules->dir);
	free(rules);
}

static int make_repository(struct loam_add_rules *rules, struct loam_err *err)
{
	git_config *config = NULL;
	int rc = git_repository_init(&rules->git, rules->dir, false);
	if (rc == 0)
		rc = git_repository_config(&config, rules->git);
	if (rc == 0)
		rc = git_config_set_string(config, "core.excludesFile", "/dev/null");
	if (rc == 0)
		rc = git_config_set_string(config, "core.attributesFile", "/dev/null");
	if (rc == 0)
		rc = git_config_set_bool(config, "core.ignoreCase", false);
	git_config_free(config);
	return rc < 0 ? loam_git_fail(err, rc, "make a place for .gitignore files") : 0;
}

int loam_add_rules_new(const char *bare, struct loam_add_rules **out_rules, struct loam_err *err)
{
	struct loam_add_rules *rules = loam_xnew(struct loam_add_rules);
	loam_auto_free char *dir = loam_xasprintf("%s/objects/tmp_objdir-publish-XXXXXX", bare);
	int rc = 0;
	if (!mkdtemp(dir))
		rc = loam_fail_errno(err, "make a directory like %s", dir);
	else
		rules->dir = loam_steal(&dir);
	if (rc == 0)
		rc = make_repository(rules, err);
	if (rc < 0) {
		loam_add_rules_free(rules);
		return rc;
	}
	*out_rules = rules;
	return 0;
}

bool loam_add_rules_is_one(const char *name)
{
	return strcmp(name, ".gitignore") == 0 || strcmp(name, ".gitattributes") == 0;
}

int loam_add_rules_put(struct loam_add_rules *rules, const char *path, const struct loam_buf *text,
		       struct loam_err *err)
{
	loam_auto_free char *whole = loam_xasprintf("%s/%s", rules->dir, path);
	loam_auto_free char *parent = loam_xstrndup(whole, (size_t)(strrchr(whole, '/') - whole));
	int rc = loam_mkdir_all(parent, 0700, err);
	if (rc < 0)
		return rc;
	loam_auto_fd int fd = open(whole, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return loam_fail_errno(err, "write %s", whole);
	return text->bytes ? loam_sys_write_all(fd, text->data, text->bytes, err) : 0;
}

static int spend(struct loam_add_rules *rules, uint64_t since_ns, struct loam_err *err)
{
	rules->used_ns += loam_clock_thread_ns() - since_ns;
	if (rules->used_ns < LOAM_ADD_RULES_SECONDS * 1000000000ull)
		return 0;
	return loam_fail(err, LOAM_E_TOO_LARGE,
			 "the rules of .gitignore and .gitattributes take over %d s for so many "
			 "files: have fewer or simpler ones",
			 LOAM_ADD_RULES_SECONDS);
}

int loam_add_rules_ignored(struct loam_add_rules *rules, const char *path, bool is_dir,
			   struct loam_err *err)
{
	loam_auto_free char *asked = loam_xasprintf("%s%s", path, is_dir ? "/" : "");
	uint64_t since_ns = loam_clock_thread_ns();
	int ignored = 0;
	int rc = git_ignore_path_is_ignored(&ignored, rules->git, asked);
	if (rc < 0)
		return loam_git_fail(err, rc, "read .gitignore");
	rc = spend(rules, since_ns, err);
	return rc < 0 ? rc : ignored != 0;
}

int loam_add_rules_is_lfs(struct loam_add_rules *rules, const char *path, struct loam_err *err)
{
	const char *value = NULL;
	uint64_t since_ns = loam_clock_thread_ns();
	int rc = git_attr_get(&value, rules->git,
			      GIT_ATTR_CHECK_FILE_THEN_INDEX | GIT_ATTR_CHECK_NO_SYSTEM, path,
			      "filter");
	if (rc < 0)
		return loam_git_fail(err, rc, "read .gitattributes");
	rc = spend(rules, since_ns, err);
	return rc < 0 ? rc : value && GIT_ATTR_HAS_VALUE(value) && strcmp(value, "lfs") == 0;
}
