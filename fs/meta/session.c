/*
 * The session record and its heartbeat (volume format §8.1, §8.2).
 *
 * Invariants:
 * - Each beat writes the session's JSON and a new expiry, so that a session cleaned by mistake (a
 *   suspended machine) is there again.
 * - Each beat reads `setting`: missing, another UUID or MetaVersion above 1 make the volume dead
 * for this process, for good. A setting that asks for what is not built (trash, quotas …) freezes
 * it: reads go on, changes are refused while it stays so.
 * - A beat that cannot reach the store changes nothing; the next one tries again.
 *
 * A read-only client beats without a session (§8.1 step 6). A client without session and not
 * read-only (short commands) does not beat.
 */
#include "fs/meta/session.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/log.h"
#include "fs/meta/meta_internal.h"

#include <ifaddrs.h>
#include <inttypes.h>
#include <net/if.h>
#include <netdb.h>
#include <string.h>

#define HEARTBEAT_SECONDS     12
#define SESSION_INFO_BYTES    (64u << 10)
#define SESSION_ADDRESSES_MAX 64

void loam_session_init(struct loam_session *session)
{
	pthread_cond_init(&session->wake, NULL);
	pthread_mutex_init(&session->lock, NULL);
}

void loam_session_release(struct loam_session *session)
{
	free(session->info);
	pthread_cond_destroy(&session->wake);
	pthread_mutex_destroy(&session->lock);
}

/* Addresses of this machine that others could use; omitted when there are none. */
static void add_addresses(json_t *info)
{
	struct ifaddrs *list = NULL;
	if (getifaddrs(&list) < 0)
		return;

	loam_auto_json json_t *addresses = json_array();
	for (struct ifaddrs *at = list; at; at = at->ifa_next) {
		char text[NI_MAXHOST];
		if (!at->ifa_addr || (at->ifa_flags & IFF_LOOPBACK))
			continue;
		int family = at->ifa_addr->sa_family;
		if (family != AF_INET && family != AF_INET6)
			continue;
		socklen_t bytes = family == AF_INET ? sizeof(struct sockaddr_in)
						    : sizeof(struct sockaddr_in6);
		if (getnameinfo(at->ifa_addr, bytes, text, sizeof(text), NULL, 0, NI_NUMERICHOST))
			continue;
		text[strcspn(text, "%")] = '\0';
		if (json_array_size(addresses) < SESSION_ADDRESSES_MAX)
			json_array_append_new(addresses, json_string(text));
	}
	freeifaddrs(list);
	if (json_array_size(addresses) > 0)
		json_object_set(info, "IPAddrs", addresses);
}

static char *session_info(const struct loam_meta *meta, struct loam_err *err)
{
	char host[256] = "", when[64];
	gethostname(host, sizeof(host) - 1);
	struct timespec now = loam_clock_now();
	struct tm utc;
	gmtime_r(&now.tv_sec, &utc);
	size_t used = strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(when + used, sizeof(when) - used, ".%09ldZ", now.tv_nsec);

	const char *mount = meta->options.mount_point ? meta->options.mount_point : "";
	loam_auto_json json_t *info = json_object();
	json_object_set_new(info, "Version", json_string(LOAM_COMPAT_VERSION));
	json_t *name = json_string(host);
	json_object_set_new(info, "HostName", name ? name : json_string("unknown"));
	add_addresses(info);
	json_t *point = json_string(mount);
	json_object_set_new(info, "MountPoint", point ? point : json_string("unprintable"));
	json_object_set_new(info, "MountTime", json_string(when));
	json_object_set_new(info, "ProcessID", json_integer(getpid()));

	loam_auto_buf struct loam_buf text = LOAM_BUF(SESSION_INFO_BYTES);
	if (loam_json_print(info, &text, err) < 0)
		return NULL;
	return loam_buf_steal(&text);
}

/* The store's clock, which all nodes share; this machine's where the store has none. */
static int64_t clock_seconds(struct loam_meta *meta)
{
	struct loam_err ignored = { 0 };
	int64_t seconds = 0;
	if (meta->engine->ops->now(meta->engine, &seconds, &ignored) == 0)
		return seconds;
	return loam_clock_now().tv_sec;
}

static int refresh_fn(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct loam_meta *meta = loam_txn_meta(txn);
	char expiry[24];
	int64_t *now = arg;
	int bytes = snprintf(expiry, sizeof(expiry), "%" PRId64,
			     *now + 5 * (int64_t)meta->session.heartbeat_seconds);
	struct loam_record life = loam_rec(LOAM_REC_SESSION_LIFE, meta->session.sid, 0);
	struct loam_record info = loam_rec(LOAM_REC_SESSION_INFO, meta->session.sid, 0);
	loam_txn_put(txn, &life, expiry, (size_t)bytes);
	loam_txn_put(txn, &info, meta->session.info, strlen(meta->session.info));
	return 0;
}

static int refresh(struct loam_meta *meta, struct loam_err *err)
{
	int64_t now = clock_seconds(meta);
	return loam_meta_run(meta, LOAM_TXN_UPKEEP, refresh_fn, &now, err);
}

/* Compares the present setting with the one this process opened. */
static void judge_setting(struct loam_meta *meta, const struct loam_value *setting)
{
	struct loam_err err = { 0 };
	struct loam_format *present = NULL;
	if (!setting->present) {
		atomic_store(&meta->session.dead, true);
		loam_error("meta.setting", "volume=%s state=%s", meta->format->name, "gone");
		return;
	}
	if (loam_format_parse(setting->data, setting->bytes, &present, &err) < 0) {
		loam_warn("meta.setting", "volume=%s error=%s", meta->format->name, err.text);
		return;
	}
	if (present->meta_version > 1 || strcmp(present->uuid, meta->format->uuid) != 0) {
		atomic_store(&meta->session.dead, true);
		loam_error("meta.setting", "volume=%s state=%s", meta->format->name, "replaced");
	}
	bool unsupported = loam_format_check(present, &err) < 0;
	if (unsupported != atomic_exchange(&meta->session.frozen, unsupported))
		loam_warn("meta.setting", "volume=%s changes=%s reason=%s", meta->format->name,
			  unsupported ? "refused" : "allowed", err.text);
	atomic_store(&meta->usage.capacity_bytes, present->capacity_bytes);
	atomic_store(&meta->usage.inode_limit, present->inodes);
	loam_format_free(present);
}

int loam_session_beat(struct loam_meta *meta, struct loam_err *err)
{
	struct loam_record records[3] = {
		loam_rec(LOAM_REC_SETTING, 0, 0),
		loam_rec_named(LOAM_REC_COUNTER, 0, loam_name_of("usedSpace")),
		loam_rec_named(LOAM_REC_COUNTER, 0, loam_name_of("totalInodes")),
	};
	struct loam_value values[3];
	int rc = meta->engine->ops->read(meta->engine, records, 3, values, err);
	if (rc < 0)
		return rc;

	judge_setting(meta, &values[0]);
	for (int i = 1; i < 3; i++)
		loam_usage_saw(&meta->usage, records[i].name, loam_meta_value_number(&values[i]));
	for (int i = 0; i < 3; i++)
		loam_value_release(&values[i]);
	if (meta->session.sid == 0 || atomic_load(&meta->session.dead))
		return 0;

	rc = refresh(meta, err);
	return rc < 0 ? rc : loam_session_clean_stale(meta, err);
}

/* Sleeps one heartbeat ±5 %; false when the end has come. */
static bool sleep_beat(struct loam_session *session)
{
	uint64_t ms = session->heartbeat_seconds * 1000ull;
	ms = ms * 95 / 100 + loam_random_below(ms / 10 + 1);
	uint64_t until_ms = loam_clock_ms() + ms;

	loam_guard(&session->lock);
	while (!session->stopping && loam_cond_wait_until(&session->wake, &session->lock, until_ms))
		;
	return !session->stopping;
}

static void *beat_loop(void *arg)
{
	struct loam_meta *meta = arg;
	while (sleep_beat(&meta->session)) {
		struct loam_err err = { 0 };
		if (loam_session_beat(meta, &err) < 0)
			loam_warn("meta.heartbeat", "session=%" PRIu64 " error=%s",
				  meta->session.sid, err.text);
	}
	return NULL;
}

int loam_session_start(struct loam_meta *meta, struct loam_err *err)
{
	struct loam_session *session = &meta->session;
	uint32_t seconds = meta->options.heartbeat_seconds;
	session->heartbeat_seconds = seconds ? seconds : HEARTBEAT_SECONDS;
	if (!meta->options.session)
		return 0;

	if (!meta->options.read_only) {
		session->info = session_info(meta, err);
		if (!session->info)
			return -(int)err->code;

		int64_t sid = 0;
		int rc = meta->engine->ops->add(meta->engine, "nextsession", 1, &sid, err);
		if (rc < 0)
			return loam_context(err, "take a session number");

		session->sid = (uint64_t)sid;
		meta->engine->ops->set_session(meta->engine, session->sid);
		rc = refresh(meta, err);
		if (rc < 0)
			return loam_context(err, "announce the session");
	}
	if (pthread_create(&session->thread, NULL, beat_loop, meta) != 0)
		return loam_fail(err, LOAM_E_BUSY, "no thread for the heartbeat");

	session->running = true;
	return 0;
}

void loam_session_stop(struct loam_meta *meta)
{
	struct loam_session *session = &meta->session;
	if (session->running) {
		pthread_mutex_lock(&session->lock);
		session->stopping = true;
		pthread_cond_broadcast(&session->wake);
		pthread_mutex_unlock(&session->lock);
		pthread_join(session->thread, NULL);
		session->running = false;
	}
	if (session->sid == 0 || atomic_load(&session->dead))
		return;

	struct loam_err err = { 0 };
	if (loam_session_clean(meta, session->sid, &err) < 0)
		loam_warn("meta.session.end", "session=%" PRIu64 " error=%s", session->sid,
			  err.text);
	session->sid = 0;
}
