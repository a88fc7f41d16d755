/*
 * Reconciling (sync/publish.h): a repository is unpublished exactly when its branch differs from
 * user.loam.commit, so recovery needs no queue. At start and every minute all repositories are
 * compared, gates are mended, what dead pushes left in them is removed, dead staging is swept. When
 * staging lives for less than two minutes the rounds are half its life apart, so that it is swept
 * in time.
 */
#include "auth/account_store.h"
#include "auth/audit.h"
#include "auth/repos.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/log.h"
#include "sync/git_dir.h"
#include "sync/git_push.h"
#include "sync/publisher.h"

#include <string.h>

#define ROUND_MS      60000
#define ROUND_MS_MIN  1000
#define LOOK_MS	      100
#define POOL_SWEEP_MS (3600u * 1000) /* it walks the whole pool */
#define DISCARD_QUEUE 64

int loam_publisher_open(const struct loam_tree *tree, const struct loam_config *config,
			struct loam_lfs *lfs, const char *git_root,
			struct loam_publisher **out_publisher, struct loam_err *err)
{
	git_libgit2_init();
	loam_git_own_rules();
	git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 1); /* as core.fsync=all of git's own */
	struct loam_publisher *publisher = loam_xnew(struct loam_publisher);
	publisher->tree = tree;
	publisher->git_root = loam_xstrdup(git_root);
	publisher->lfs = lfs;
	publisher->pool_swept_ms = loam_clock_ms();
	publisher->round_ms = config->lfs_staging_seconds * 500;
	if (publisher->round_ms > ROUND_MS)
		publisher->round_ms = ROUND_MS;
	if (publisher->round_ms < ROUND_MS_MIN)
		publisher->round_ms = ROUND_MS_MIN;
	pthread_mutex_init(&publisher->lock, NULL);
	pthread_cond_init(&publisher->freed, NULL);
	int rc = loam_staging_open(tree, config->lfs_staging_seconds, &publisher->staging, err);
	if (rc == 0)
		rc = loam_pool_new("discard", 1, DISCARD_QUEUE, &publisher->discards, err);
	if (rc < 0) {
		loam_publisher_close(publisher);
		return rc;
	}
	*out_publisher = publisher;
	return 0;
}

void loam_publisher_close(struct loam_publisher *publisher)
{
	if (!publisher)
		return;
	loam_reconciler_stop(publisher);
	loam_pool_free(publisher->discards);
	loam_staging_close(publisher->staging);
	pthread_mutex_destroy(&publisher->lock);
	pthread_cond_destroy(&publisher->freed);
	free(publisher->git_root);
	free(publisher);
	git_libgit2_shutdown();
}

static void discard(void *arg)
{
	loam_job_free(arg);
}

void loam_publisher_discard(struct loam_publisher *publisher, struct loam_job *job)
{
	if (job)
		loam_pool_submit(publisher->discards, discard, job);
}

int loam_git_dir(struct loam_publisher *publisher, const struct loam_repo *repo, char *out_path,
		 struct loam_err *err)
{
	int rc = loam_git_dir_ensure(publisher->tree, publisher->git_root, repo, out_path, err);
	size_t bytes = strlen(publisher->git_root);
	if (rc == 0 && strncmp(out_path, publisher->git_root, bytes) != 0)
		atomic_store(&publisher->met_foreign, true);
	return rc;
}

bool loam_publisher_met_foreign(const struct loam_publisher *publisher)
{
	return atomic_load(&publisher->met_foreign);
}

struct round {
	struct loam_publisher *publisher;
	uint64_t published, failed;
};

/* What pushes left that died; most repositories have had none since the last round. */
static void sweep_pushes(const struct loam_publisher *publisher, const char *repo_text)
{
	struct loam_err err = { 0 };
	loam_auto_free char *bare = loam_xasprintf("%s/%s.git", publisher->git_root, repo_text);
	if (loam_git_push_sweep(bare, &err) < 0)
		loam_warn("git.sweep", "path=%s error=%s", bare, err.text);
}

/* One repository's trouble is logged and does not keep the others from being looked at; a store
 * that does not answer ends the round. */
static int reconcile_one(void *arg, const struct loam_repo *repo, uint64_t gate_ino,
			 struct loam_err *err)
{
	struct round *round = arg;
	struct loam_published published;
	struct loam_err own = { 0 };
	char text[LOAM_REPO_TEXT_BYTES];
	loam_repo_text(repo, text);
	pthread_mutex_lock(&round->publisher->lock);
	bool stopping = round->publisher->stopping;
	pthread_mutex_unlock(&round->publisher->lock);
	if (stopping)
		return loam_fail(err, LOAM_E_INTERRUPTED, "stopping");
	sweep_pushes(round->publisher, text);
	int rc = loam_repos_mend_gate(round->publisher->tree, repo, &own);
	if (rc == 1)
		loam_audit(&(struct loam_audit_entry){ .action = "repo.mend", .repo = repo }, 0,
			   NULL);
	if (rc == 1)
		loam_warn("reconcile.mended", "repo=%s what=%s", text,
			  "the rights on its gate, changed by another client or half changed");
	if (rc >= 0)
		rc = loam_publish(round->publisher, repo, &published, &own);
	if (rc == 0) {
		round->published += published.changed;
		loam_published_release(&published);
		return 0;
	}
	if (own.code == LOAM_E_NOT_FOUND)
		return 0; /* deleted in this moment, or waiting for an object: said at its push */
	round->failed++;
	loam_warn("reconcile.failed", "repo=%s error=%s", text, own.text);
	return own.code == LOAM_E_UNAVAILABLE ? loam_fail(err, own.code, "%s", own.text) : 0;
}

/* Pool files that no repository holds: hourly, and first some time after the start. */
static int sweep_pool(struct loam_publisher *publisher, struct loam_err *err)
{
	uint64_t now = loam_clock_ms();
	if (!publisher->lfs || now - publisher->pool_swept_ms < POOL_SWEEP_MS)
		return 0;
	publisher->pool_swept_ms = now;
	return loam_lfs_sweep(publisher->lfs, err);
}

/* What mounts are told of accounts: one may have expired, or a killed command told nothing. */
static int mend_roster(struct loam_publisher *publisher, struct loam_err *err)
{
	struct loam_account_store *accounts = NULL;
	int rc = loam_account_store_open(publisher->tree, &accounts, err);
	if (rc == 0)
		rc = loam_account_store_publish(accounts, err);
	loam_account_store_close(accounts);
	return rc;
}

int loam_reconcile(struct loam_publisher *publisher, struct loam_err *err)
{
	struct round round = { .publisher = publisher };
	uint64_t swept = 0;
	int rc = mend_roster(publisher, err);
	if (rc == 0)
		rc = loam_repos_each(publisher->tree, reconcile_one, &round, err);
	if (rc == 0)
		rc = loam_staging_sweep(publisher->staging, &swept, err);
	if (rc == 0)
		rc = sweep_pool(publisher, err);
	if (round.published || swept)
		loam_info("reconcile", "published=%llu swept=%llu",
			  (unsigned long long)round.published, (unsigned long long)swept);
	return rc;
}

void loam_publish_soon(struct loam_publisher *publisher, const struct loam_repo *repo)
{
	loam_guard(&publisher->lock);
	if (publisher->soon_count < LOAM_PUBLISHES_MAX)
		publisher->soon[publisher->soon_count++] = *repo;
}

static void publish_soon_ones(struct loam_publisher *publisher)
{
	struct loam_repo repos[LOAM_PUBLISHES_MAX];
	struct round round = { .publisher = publisher };
	pthread_mutex_lock(&publisher->lock);
	size_t count = publisher->soon_count;
	memcpy(repos, publisher->soon, count * sizeof(*repos));
	publisher->soon_count = 0;
	pthread_mutex_unlock(&publisher->lock);
	for (size_t i = 0; i < count; i++) {
		struct loam_err said = { 0 }; /* by the log already */
		reconcile_one(&round, &repos[i], 0, &said);
	}
}

/* false: the end. */
static bool wait_round(struct loam_publisher *publisher)
{
	struct loam_deadline next = loam_deadline_in(publisher->round_ms);
	while (loam_deadline_left_ms(next) > 0) {
		pthread_mutex_lock(&publisher->lock);
		bool stopping = publisher->stopping, some = publisher->soon_count > 0;
		pthread_mutex_unlock(&publisher->lock);
		if (stopping)
			return false;
		if (some)
			publish_soon_ones(publisher);
		loam_clock_sleep_ms(LOOK_MS);
	}
	return true;
}

static void *run_reconciler(void *arg)
{
	struct loam_publisher *publisher = arg;
	do {
		struct loam_err err = { 0 };
		if (loam_reconcile(publisher, &err) < 0 && err.code != LOAM_E_INTERRUPTED)
			loam_warn("reconcile.failed", "error=%s", err.text);
	} while (wait_round(publisher));
	return NULL;
}

int loam_reconciler_start(struct loam_publisher *publisher, struct loam_err *err)
{
	if (pthread_create(&publisher->reconciler, NULL, run_reconciler, publisher) != 0)
		return loam_fail(err, LOAM_E_BUSY, "no thread to reconcile");
	publisher->reconciling = true;
	return 0;
}

void loam_reconciler_stop(struct loam_publisher *publisher)
{
	if (!publisher->reconciling)
		return;
	pthread_mutex_lock(&publisher->lock);
	publisher->stopping = true;
	pthread_mutex_unlock(&publisher->lock);
	pthread_join(publisher->reconciler, NULL);
	publisher->reconciling = false;
}
