/*
 * FUSE passthrough (passthrough.h). Serves step 9: a warm model is read at the speed of the local
 * disk and sixteen clones share one copy in the page cache.
 *
 * Patched bytes (linux/fuse.h), offsets in the payload behind the 16 bytes of fuse_out_header:
 *
 *   fuse_init_out   12 flags (u32)   32 flags2 (u32)   36 max_stack_depth (u32)     64 in all
 *   fuse_open_out    8 open_flags (u32)   12 backing_id (s32)                       16 in all
 *   fuse_init_in    12 flags (u32)   16 flags2 (u32), behind the 40 bytes of fuse_in_header
 *
 * FUSE_HANDLE_KILLPRIV_V2 says that write, truncate and chown clear set-id bits themselves; without
 * it the kernel asks for security.capability before every write.
 */
#include "fs/mount/passthrough.h"

#include "core/auto.h"
#include "core/log.h"

#define FUSE_USE_VERSION 314
#include <errno.h>
#include <fuse3/fuse_lowlevel.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <uthash.h>

#define OPCODE_INIT	   26u
#define IN_HEADER_BYTES	   40u
#define INIT_IN_BYTES	   64u /* with flags2 */
#define INIT_OUT_BYTES	   64u
#define OPEN_OUT_BYTES	   16u
#define INIT_EXT	   (1u << 30)
#define HANDLE_KILLPRIV_V2 (1u << 28)
#define PASSTHROUGH_FLAG2  (1u << 5)
#define FOPEN_NOFLUSH	   (1u << 5)
#define FOPEN_PASSTHROUGH  (1u << 7)

struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
#define DEV_IOC_BACKING_OPEN  _IOW(229, 1, struct backing_map)
#define DEV_IOC_BACKING_CLOSE _IOW(229, 2, uint32_t)

struct loam_backing {
	struct loam_passthrough *passthrough;
	struct loam_cache_file *file; /* keeps its descriptor open */
	size_t refs;
	int32_t id;
	char key[LOAM_CACHE_KEY_BYTES];
	UT_hash_handle hh;
};

enum state { STATE_OFF, STATE_WAITING, STATE_NOT_OFFERED, STATE_ON, STATE_REFUSED };

struct loam_passthrough {
	struct loam_data *data;
	loam_content_key_fn *content_key;
	int device_fd;
	atomic_int state; /* enum state */
	pthread_mutex_t lock;
	struct loam_backing *backings;
	/* The INIT exchange is the first of a session and on one thread. */
	uint32_t offered, offered2;
	bool init_seen, init_patched;
};

static _Thread_local int32_t reply_backing_id;
static struct loam_passthrough *attached; /* libfuse hands its own user data to custom I/O */

struct loam_passthrough *loam_passthrough_new(struct loam_data *data,
					      loam_content_key_fn *content_key)
{
	struct loam_passthrough *passthrough = loam_xnew(struct loam_passthrough);
	passthrough->data = data;
	passthrough->device_fd = -1;
	passthrough->content_key = content_key;
	passthrough->state = content_key ? STATE_WAITING : STATE_OFF;
	pthread_mutex_init(&passthrough->lock, NULL);
	return passthrough;
}

void loam_passthrough_free(struct loam_passthrough *passthrough)
{
	if (!passthrough)
		return;
	loam_assert(!passthrough->backings);
	if (attached == passthrough)
		attached = NULL;
	pthread_mutex_destroy(&passthrough->lock);
	free(passthrough);
}

static uint32_t u32_at(const uint8_t *at)
{
	uint32_t value;
	memcpy(&value, at, sizeof(value));
	return value;
}

static void put_u32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
}

static ssize_t read_request(int fd, void *buffer, size_t bytes, void *unused)
{
	ssize_t got = read(fd, buffer, bytes);
	struct loam_passthrough *passthrough = attached;
	const uint8_t *request = buffer;
	if (passthrough && !passthrough->init_seen && got >= (ssize_t)(IN_HEADER_BYTES + 16) &&
	    u32_at(request + 4) == OPCODE_INIT) {
		passthrough->init_seen = true;
		passthrough->offered = u32_at(request + IN_HEADER_BYTES + 12);
		if ((passthrough->offered & INIT_EXT) &&
		    got >= (ssize_t)(IN_HEADER_BYTES + INIT_IN_BYTES))
			passthrough->offered2 = u32_at(request + IN_HEADER_BYTES + 16);
	}
	return got;
}

static void patch_init(struct loam_passthrough *passthrough, uint8_t *reply)
{
	uint32_t flags = u32_at(reply + 12) | (passthrough->offered & HANDLE_KILLPRIV_V2);
	if (passthrough->state == STATE_WAITING && (passthrough->offered2 & PASSTHROUGH_FLAG2)) {
		flags |= INIT_EXT;
		put_u32(reply + 32, u32_at(reply + 32) | PASSTHROUGH_FLAG2);
		put_u32(reply + 36, 1); /* the backing file system is no stack itself */
		passthrough->state = STATE_ON;
	} else if (passthrough->state == STATE_WAITING) {
		passthrough->state = STATE_NOT_OFFERED;
		loam_info("mount.passthrough", "state=off reason=%s", "not offered by the kernel");
	}
	put_u32(reply + 12, flags);
	passthrough->init_patched = true;
}

static ssize_t write_reply(int fd, struct iovec *parts, int count, void *unused)
{
	struct loam_passthrough *passthrough = attached;
	if (passthrough && passthrough->init_seen && !passthrough->init_patched && count == 2 &&
	    parts[1].iov_len == INIT_OUT_BYTES) {
		patch_init(passthrough, parts[1].iov_base);
	} else if (reply_backing_id != 0 && count == 2 && parts[1].iov_len == OPEN_OUT_BYTES) {
		uint8_t *reply = parts[1].iov_base;
		put_u32(reply + 8, FOPEN_PASSTHROUGH | FOPEN_NOFLUSH);
		put_u32(reply + 12, (uint32_t)reply_backing_id);
		reply_backing_id = 0;
	}
	return writev(fd, parts, count);
}

int loam_passthrough_attach(struct loam_passthrough *passthrough, struct fuse_session *session,
			    struct loam_err *err)
{
	static const struct fuse_custom_io custom = { .read = read_request, .writev = write_reply };
	loam_assert(!attached);
	passthrough->device_fd = fuse_session_fd(session);
	attached = passthrough;
	int rc = fuse_session_custom_io(session, &custom, passthrough->device_fd);
	if (rc != 0)
		return loam_fail(err, LOAM_E_INTERNAL, "libfuse takes no custom I/O: %s",
				 strerror(-rc));
	return 0;
}

void loam_passthrough_reply_with(int32_t backing_id)
{
	reply_backing_id = backing_id;
}

int32_t loam_backing_id(const struct loam_backing *backing)
{
	return backing->id;
}

const char *loam_passthrough_state(const struct loam_passthrough *passthrough)
{
	static const char *const words[] = { [STATE_OFF] = "off",
					     [STATE_WAITING] = "not mounted yet",
					     [STATE_NOT_OFFERED] = "not offered by the kernel",
					     [STATE_ON] = "on",
					     [STATE_REFUSED] = "refused" };
	return words[passthrough->state];
}

/* What the kernel says no to once, it will say no to always: too few rights, or a cache on a file
 * system that is a stack itself. */
static void refused(struct loam_passthrough *passthrough, int reason)
{
	int expected = STATE_ON;
	if (atomic_compare_exchange_strong(&passthrough->state, &expected, STATE_REFUSED))
		loam_warn("mount.passthrough", "state=off reason=%s",
			  reason == EPERM   ? "needs CAP_SYS_ADMIN"
			  : reason == ELOOP ? "the cache lies on a stacked file system"
					    : strerror(reason));
}

/* With the lock held. Takes over the file on success. */
static struct loam_backing *open_backing(struct loam_passthrough *passthrough, const char *key,
					 struct loam_cache_file *file)
{
	struct loam_err err = { 0 };
	struct backing_map map = { 0 };
	if (loam_cache_backing_fd(file, &map.fd, &err)) {
		loam_debug("mount.passthrough", "key=%s problem=%s", key, err.text);
		return NULL;
	}
	int id = ioctl(passthrough->device_fd, DEV_IOC_BACKING_OPEN, &map);
	if (id <= 0) {
		refused(passthrough, id < 0 ? errno : EINVAL);
		return NULL;
	}
	struct loam_backing *backing = loam_xnew(struct loam_backing);
	backing->passthrough = passthrough;
	backing->file = file;
	backing->refs = 1;
	backing->id = id;
	snprintf(backing->key, sizeof(backing->key), "%s", key);
	HASH_ADD_STR(passthrough->backings, key, backing);
	return backing;
}

static bool ref_backing(struct loam_passthrough *passthrough, const char *key,
			struct loam_backing **out)
{
	struct loam_backing *backing = NULL;
	HASH_FIND_STR(passthrough->backings, key, backing);
	if (!backing)
		return false;
	backing->refs++;
	*out = backing;
	return true;
}

int loam_passthrough_get(struct loam_passthrough *passthrough, uint64_t ino,
			 const struct loam_attr *attr, struct loam_backing **out_backing,
			 struct loam_err *err)
{
	struct loam_cache *cache = loam_data_cache(passthrough->data);
	if (!cache || passthrough->state != STATE_ON)
		return 0;
	char key[LOAM_CACHE_KEY_BYTES];
	int rc = passthrough->content_key(passthrough->data, ino, attr, key, err);
	if (rc <= 0)
		return rc;

	loam_guard(&passthrough->lock);
	if (ref_backing(passthrough, key, out_backing))
		return 1;
	struct loam_cache_file *file;
	rc = loam_cache_find(cache, key, attr->length, &file, err);
	if (rc <= 0)
		return rc;
	*out_backing = loam_cache_is_complete(file) ? open_backing(passthrough, key, file) : NULL;
	if (!*out_backing)
		loam_cache_put(file);
	return *out_backing != NULL;
}

void loam_passthrough_put(struct loam_backing *backing)
{
	if (!backing)
		return;
	struct loam_passthrough *passthrough = backing->passthrough;
	{
		loam_guard(&passthrough->lock);
		if (--backing->refs > 0)
			return;
		HASH_DEL(passthrough->backings, backing);
	}
	uint32_t id = (uint32_t)backing->id;
	if (ioctl(passthrough->device_fd, DEV_IOC_BACKING_CLOSE, &id) < 0)
		loam_debug("mount.passthrough", "id=%u close=%s", id, strerror(errno));
	loam_cache_put(backing->file);
	free(backing);
}
