/*
 * The fixed configuration and environment of git children (server/git_env.h). Steps 5 and 6 of a
 * push.
 *
 * Settings go by GIT_CONFIG_COUNT, which git puts above every file: a repository's own config file
 * cannot soften them, and hooks and their children inherit them.
 */
#include "server/git_env.h"

#include "core/auto.h"
#include "core/err.h"
#include "core/limits.h"

#include "core/banned.h"

#include <string.h>

struct setting {
	const char *key, *value;
};

static const struct setting settings[] = {
	/* Acknowledged is durable: objects, packs, refs and their directories. One pack a push
	 * costs one fsync, and index-pack, unlike unpack-objects, takes the findings below. */
	{ "core.fsync", "all" },
	{ "receive.unpackLimit", "1" },
	{ "core.bigFileThreshold", "32m" },

	{ "receive.fsckObjects", "true" },
	{ "receive.maxInputSize", "4g" },
	{ "receive.advertisePushOptions", "true" },
	{ "receive.keepAlive", "5" },
	{ "receive.denyCurrentBranch", "ignore" },
	{ "receive.denyDeleteCurrent", "ignore" }, /* the tree empties */
	{ "transfer.hideRefs", "refs/loam" },
	{ "receive.hideRefs", "refs/replace" },

	{ "uploadpack.allowFilter", "true" },
	{ "uploadpack.allowAnySHA1InWant", "false" },
	{ "uploadpackfilter.allow", "false" },
	{ "uploadpackfilter.blob:none.allow", "true" },
	{ "uploadpackfilter.blob:limit.allow", "true" },
	{ "uploadpackfilter.tree.allow", "true" },
	{ "uploadpackfilter.object:type.allow", "true" },
	{ "uploadpackfilter.combine.allow", "true" },

	/* Findings that would reach a file system, whatever git's defaults become. */
	{ "receive.fsck.hasDot", "error" },
	{ "receive.fsck.hasDotdot", "error" },
	{ "receive.fsck.hasDotgit", "error" },
	{ "receive.fsck.fullPathname", "error" },
	{ "receive.fsck.emptyName", "error" },
	{ "receive.fsck.nullSha1", "error" },
	{ "receive.fsck.badTree", "error" },
	{ "receive.fsck.treeNotSorted", "error" },
	{ "receive.fsck.duplicateEntries", "error" },
	{ "receive.fsck.gitmodulesMissing", "error" },
	{ "receive.fsck.gitmodulesBlob", "error" },
	{ "receive.fsck.gitmodulesLarge", "error" },
	{ "receive.fsck.gitmodulesName", "error" },
	{ "receive.fsck.gitmodulesSymlink", "error" },
	{ "receive.fsck.gitmodulesUrl", "error" },
	{ "receive.fsck.gitmodulesPath", "error" },
	{ "receive.fsck.gitmodulesUpdate", "error" },
	{ "receive.fsck.gitmodulesParse", "error" },
	{ "receive.fsck.gitattributesMissing", "error" },
	{ "receive.fsck.gitattributesBlob", "error" },
	{ "receive.fsck.gitattributesLarge", "error" },
	{ "receive.fsck.gitattributesLineLength", "error" },
	{ "receive.fsck.gitattributesSymlink", "error" },
	/* Harmless, and found in old histories that people bring along. */
	{ "receive.fsck.zeroPaddedFilemode", "warn" },
};

static void add(struct loam_git_env *env, char *text)
{
	loam_assert(env->count < LOAM_GIT_ENV_MAX);
	env->env[env->count++] = text;
	env->env[env->count] = NULL;
}

static void add_setting(struct loam_git_env *env, size_t index, const char *key, const char *value)
{
	add(env, loam_xasprintf("GIT_CONFIG_KEY_%zu=%s", index, key));
	add(env, loam_xasprintf("GIT_CONFIG_VALUE_%zu=%s", index, value));
}

/* Test builds: hooks have failpoints too. */
static void pass_failpoints(struct loam_git_env *env)
{
#ifdef LOAM_FAILPOINTS
	static const char *const names[] = { "LOAM_FAILPOINT", "LOAM_FAILPOINT_LOG" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(names); i++)
		if (getenv(names[i]))
			add(env, loam_xasprintf("%s=%s", names[i], getenv(names[i])));
#endif
}

void loam_git_env_init(struct loam_git_env *env, const struct loam_git_env_spec *spec)
{
	*env = (struct loam_git_env){ .count = 0 };
	add(env, loam_xstrdup("PATH=/usr/local/bin:/usr/bin:/bin"));
	add(env, loam_xstrdup("LC_ALL=C"));
	add(env, loam_xstrdup("GIT_CONFIG_NOSYSTEM=1"));
	add(env, loam_xstrdup("GIT_CONFIG_GLOBAL=/dev/null"));
	/* One allocation at most: a header that declares 2^40 bytes is refused, not believed. */
	add(env, loam_xstrdup("GIT_ALLOC_LIMIT=1g"));
	add(env, loam_xasprintf("HOME=%s", spec->home));
	add(env, loam_xasprintf("REMOTE_USER=%s", spec->user));
	add(env, loam_xasprintf("REMOTE_ADDR=%s", spec->peer));
	add(env, loam_xasprintf("GIT_COMMITTER_NAME=%s", spec->user));
	add(env,
	    loam_xasprintf("GIT_COMMITTER_EMAIL=%s@%s.%s", spec->user, spec->door, spec->peer));
	add(env, loam_xasprintf("LOAM_REPO=%s", spec->repo));
	if (spec->protocol)
		add(env, loam_xasprintf("GIT_PROTOCOL=%s", spec->protocol));
	if (spec->hook_socket && spec->hook_ticket) {
		add(env, loam_xasprintf("LOAM_HOOK_SOCKET=%s", spec->hook_socket));
		add(env, loam_xasprintf("LOAM_HOOK_TICKET=%s", spec->hook_ticket));
	}
	pass_failpoints(env);
	size_t index = 0;
	for (; index < LOAM_ARRAY_COUNT(settings); index++)
		add_setting(env, index, settings[index].key, settings[index].value);
	add_setting(env, index++, "safe.directory", spec->dir);
	/* Ours, or none: what lies in a repository's own hooks directory is never run. */
	add_setting(env, index++, "core.hooksPath",
		    spec->hooks_dir ? spec->hooks_dir : "/dev/null");
	add(env, loam_xasprintf("GIT_CONFIG_COUNT=%zu", index));
}

void loam_git_env_release(struct loam_git_env *env)
{
	for (size_t i = 0; i < env->count; i++)
		free((char *)env->env[i]);
	env->count = 0;
}

bool loam_git_protocol_is_valid(const char *text)
{
	size_t bytes = strlen(text);
	return bytes >= 1 && bytes <= 128 &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789=:._-") == bytes;
}

bool loam_git_protocol_is_v2(const char *text)
{
	static const char v2[] = "version=2";
	for (const char *at = text ? text : ""; *at;) {
		size_t bytes = strcspn(at, ":");
		if (bytes == strlen(v2) && memcmp(at, v2, bytes) == 0)
			return true;
		at += bytes;
		at += *at == ':';
	}
	return false;
}
