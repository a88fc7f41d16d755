/*
 * The durability barrier (design.md §2.5; steps 3, 4 and 8 of a push): when it returns 0, every
 * commit answered before the call survives a power cut.
 *
 *   AOF of a local server   reached by a unix socket, its folder readable by us: wait until INFO
 *                           says that no fsync is pending (until then Redis may hold writes back in
 *                           memory; the reply to INFO is sent after they were written), then
 *                           fdatasync the files ourselves. Files are looked up after INFO.
 *   appendfsync always      elsewhere: an answered commit is durable already
 *   WAITAOF 1 0             elsewhere, Redis 7.2 and newer, behind a write on the same connection
 *   else                    UNSUPPORTED
 *
 * One run serves all who wait: a call that comes while one runs waits for the next. What a local
 * server says about its files is cross-checked: they must not be shorter than it claims, else the
 * path is another one's (containers).
 *
 * Known limit: after `CONFIG SET appendonly yes` on a server with data, nothing is durable until
 * its first rewrite has ended; that time is answered with UNSUPPORTED.
 */
#include "fs/meta/redis_engine.h"

#include "core/limits.h"
#include "core/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define PENDING_PAUSE_MS 1
#define WAITAOF_MS	 10000

enum barrier_way { WAY_NONE, WAY_FILES, WAY_ALWAYS, WAY_WAITAOF };

struct persistence {
	enum barrier_way way;
	bool enabled;	    /* the append-only file is on */
	bool pending;	    /* an fsync is under way */
	bool write_failed;  /* the last write of the AOF, says Redis */
	bool first_rewrite; /* the file has no base yet, see above */
	uint64_t file_bytes;
	char run_id[LOAM_REDIS_RUN_ID_BYTES];
	char policy[16]; /* everysec, always, no; "" not told */
	char folder[LOAM_PATH_BYTES_MAX];
	char file[256]; /* Redis 6: the one file; "" for a folder of files */
};

/* [name, value]: the value or "". */
static const char *config_value(const struct loam_resp_reply *reply)
{
	return reply->type == LOAM_RESP_ARRAY && reply->count == 2 ? loam_resp_text(reply->items[1])
								   : "";
}

static void take_info(struct persistence *out, const char *info)
{
	char text[32];
	loam_redis_info_get(info, "aof_enabled", text, sizeof(text));
	out->enabled = strcmp(text, "1") == 0;
	loam_redis_info_get(info, "aof_pending_bio_fsync", text, sizeof(text));
	out->pending = strcmp(text, "0") != 0;
	loam_redis_info_get(info, "aof_last_write_status", text, sizeof(text));
	out->write_failed = strcmp(text, "ok") != 0;
	loam_redis_info_get(info, "aof_current_size", text, sizeof(text));
	out->file_bytes = strtoull(text, NULL, 10);
	loam_redis_info_get(info, "aof_base_size", text, sizeof(text));
	bool no_base = strcmp(text, "0") == 0;
	loam_redis_info_get(info, "aof_rewrite_in_progress", text, sizeof(text));
	out->first_rewrite = no_base && strcmp(text, "1") == 0;
}

static bool is_readable_folder(const char *path)
{
	loam_auto_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0;
}

/* Where the files are: Redis 7 has a folder of them below dir. */
static void find_files(struct persistence *out, const char *dir, const char *folder,
		       const char *file)
{
	if (!*dir)
		return;
	if (*folder) {
		snprintf(out->folder, sizeof(out->folder), "%s/%s", dir, folder);
	} else {
		snprintf(out->folder, sizeof(out->folder), "%s", dir);
		snprintf(out->file, sizeof(out->file), "%s", file);
	}
	if ((*folder || *file) && is_readable_folder(out->folder))
		out->way = WAY_FILES;
}

static int look(struct loam_redis *redis, struct persistence *out, struct loam_err *err)
{
	static const char *const names[] = { "dir", "appenddirname", "appendfilename",
					     "appendfsync" };
	loam_auto_batch struct loam_resp_batch batch = LOAM_RESP_BATCH;
	loam_auto_replies struct loam_resp_replies replies = { 0 };
	int rc = loam_resp_batch_words(&batch, err, "INFO", "persistence", NULL);
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(names) && rc == 0; i++)
		rc = loam_resp_batch_words(&batch, err, "CONFIG", "GET", names[i], NULL);
	if (rc == 0)
		rc = loam_resp_batch_words(&batch, err, "INFO", "server", NULL);
	if (rc == 0)
		rc = loam_redis_pool_ask(redis->pool, &batch, loam_deadline_in(redis->deadline_ms),
					 &replies, err);
	if (rc < 0)
		return rc;
	*out = (struct persistence){ 0 };
	if (replies.items[0]->type == LOAM_RESP_ERROR)
		return loam_redis_fail(replies.items[0], err, "INFO persistence");
	take_info(out, loam_resp_text(replies.items[0]));
	loam_redis_info_get(loam_resp_text(replies.items[5]), "run_id", out->run_id,
			    sizeof(out->run_id));
	snprintf(out->policy, sizeof(out->policy), "%s", config_value(replies.items[4]));
	if (!out->enabled)
		return 0;
	if (redis->url.socket_path)
		find_files(out, config_value(replies.items[1]), config_value(replies.items[2]),
			   config_value(replies.items[3]));
	bool has_waitaof = redis->version_major > 7 ||
			   (redis->version_major == 7 && redis->version_minor >= 2);
	if (out->way == WAY_NONE && strcmp(out->policy, "always") == 0)
		out->way = WAY_ALWAYS;
	if (out->way == WAY_NONE && has_waitaof)
		out->way = WAY_WAITAOF;
	return 0;
}

/* --- a local server's files */

/* Syncs one file of the folder and adds its size; a file that a rewrite has removed is no loss. */
static int sync_file(int folder_fd, const char *name, uint64_t *bytes, struct loam_err *err)
{
	struct stat info, again;
	do {
		loam_auto_fd int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0 && errno == ENOENT)
			return 0;
		if (fd < 0 || fstat(fd, &info) < 0)
			return loam_fail_errno(err, "open %s", name);
		if (!S_ISREG(info.st_mode))
			return 0;
		int rc = loam_sys_fdatasync(fd, err);
		if (rc < 0)
			return loam_context(err, "%s", name);
	} while (fstatat(folder_fd, name, &again, AT_SYMLINK_NOFOLLOW) == 0 &&
		 again.st_ino != info.st_ino); /* a rewrite has put another file in its place */
	*bytes += (uint64_t)info.st_size;
	return 0;
}

static void auto_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static int sync_files(const struct persistence *now, struct loam_err *err)
{
	uint64_t bytes = 0;
	DIR *dir __attribute__((cleanup(auto_dir))) = opendir(now->folder);
	if (!dir)
		return loam_fail_errno(err, "open %s", now->folder);
	int rc = 0;
	if (*now->file) {
		rc = sync_file(dirfd(dir), now->file, &bytes, err);
	} else {
		for (struct dirent *entry; rc == 0 && (entry = readdir(dir));)
			if (entry->d_name[0] != '.')
				rc = sync_file(dirfd(dir), entry->d_name, &bytes, err);
	}
	if (rc == 0)
		rc = loam_sys_fsync(dirfd(dir), err);
	if (rc < 0)
		return loam_context(err, "sync %s", now->folder);
	if (bytes < now->file_bytes)
		return loam_fail(
			err, LOAM_E_UNSUPPORTED,
			"%s is not this server's folder: it holds less than redis has written",
			now->folder);
	return 0;
}

/* --- WAITAOF */

/* A write (of the barrier's own field) gives the connection a point to wait for. Removing it first
 * works on a full server. */
static int wait_aof(struct loam_redis *redis, struct loam_err *err)
{
	loam_auto_batch struct loam_resp_batch batch = LOAM_RESP_BATCH;
	loam_auto_replies struct loam_resp_replies replies = { 0 };
	char number[24];
	struct loam_redis_conn *conn;
	struct loam_deadline deadline = loam_deadline_in(redis->deadline_ms);
	snprintf(number, sizeof(number), "%llu",
		 (unsigned long long)atomic_fetch_add(&redis->last_number, 1) + 1);
	int rc = loam_resp_batch_words(&batch, err, "HDEL", "loam:barrier", redis->first_identity,
				       NULL);
	if (rc == 0)
		rc = loam_resp_batch_words(&batch, err, "HSET", "loam:barrier",
					   redis->first_identity, number, NULL);
	if (rc == 0)
		rc = loam_resp_batch_words(&batch, err, "EXPIRE", "loam:barrier", "86400", NULL);
	if (rc == 0)
		rc = loam_resp_batch_words(&batch, err, "WAITAOF", "1", "0", "10000", NULL);
	if (rc == 0)
		rc = loam_redis_pool_take(redis->pool, deadline, &conn, err);
	if (rc < 0)
		return rc;
	rc = loam_resp_ask(conn->resp, &batch, deadline, &replies, err);
	loam_redis_pool_give(redis->pool, conn);
	if (rc < 0)
		return rc;
	const struct loam_resp_reply *waited = replies.items[3];
	if (replies.items[0]->type == LOAM_RESP_ERROR)
		return loam_redis_fail(replies.items[0], err, "barrier");
	if (waited->type == LOAM_RESP_ERROR)
		return loam_redis_fail(waited, err, "WAITAOF");
	if (waited->type != LOAM_RESP_ARRAY || waited->count != 2 || waited->items[0]->integer < 1)
		return loam_fail(err, LOAM_E_UNAVAILABLE, "redis has not synced its file in %d s",
				 WAITAOF_MS / 1000);
	return 0;
}

/* --- one run, shared by all who wait */

static int run(struct loam_redis *redis, struct loam_err *err)
{
	struct loam_deadline deadline = loam_deadline_in(redis->deadline_ms);
	struct persistence now;
	for (;;) {
		int rc = look(redis, &now, err);
		if (rc < 0)
			return rc;
		bool waits = now.pending || now.write_failed || now.first_rewrite;
		if (now.way != WAY_FILES || !waits)
			break;
		if (loam_deadline_left_ms(deadline) == 0)
			return loam_fail(err, LOAM_E_UNAVAILABLE,
					 now.write_failed
						 ? "redis cannot write its append-only file"
						 : "redis' fsync does not end");
		loam_clock_sleep_ms(PENDING_PAUSE_MS);
	}
	int kept = loam_redis_restart_kept(redis, now.run_id, err);
	if (kept < 0)
		return kept;
	switch (now.way) {
	case WAY_FILES:
		return sync_files(&now, err);
	case WAY_ALWAYS:
		return 0;
	case WAY_WAITAOF:
		return wait_aof(redis, err);
	case WAY_NONE:
		break;
	}
	return loam_fail(err, LOAM_E_UNSUPPORTED, "redis %s cannot promise that data is on disk",
			 redis->url.shown);
}

int loam_redis_barrier_wait(struct loam_redis *redis, struct loam_err *err)
{
	struct loam_redis_barrier *barrier = &redis->barrier;
	struct loam_err mine = { 0 };
	loam_guard(&barrier->lock);
	const uint64_t wanted = barrier->begun + 1; /* one that begins after this call */
	while (barrier->finished < wanted) {
		if (barrier->running) {
			pthread_cond_wait(&barrier->ended, &barrier->lock);
			continue;
		}
		barrier->running = true;
		uint64_t number = ++barrier->begun;
		pthread_mutex_unlock(&barrier->lock);
		loam_err_clear(&mine);
		run(redis, &mine);
		pthread_mutex_lock(&barrier->lock);
		barrier->err = mine;
		barrier->finished = number;
		barrier->running = false;
		pthread_cond_broadcast(&barrier->ended);
	}
	if (barrier->err.code == LOAM_E_OK)
		return 0;
	*err = barrier->err;
	return -(int)err->code;
}

int loam_redis_barrier_describe(struct loam_redis *redis, char *text, size_t text_bytes,
				struct loam_err *err)
{
	static const char *const ways[] = {
		[WAY_NONE] = "without barrier",
		[WAY_FILES] = "with barrier",
		[WAY_ALWAYS] = "durable when answered",
		[WAY_WAITAOF] = "with WAITAOF",
	};
	struct persistence now;
	int rc = look(redis, &now, err);
	if (rc < 0)
		return rc;
	snprintf(text, text_bytes, "%s %s", now.enabled ? now.policy : "no append-only file",
		 ways[now.way]);
	return 0;
}
