/*
 * The write buffer (step 4 of a push): memory of uploads is bounded whatever arrives.
 *
 * Every buffer out counts by its capacity. A buffer that is being uploaded comes back by itself;
 * one that is being filled comes back when its writer says so. A taker therefore waits for uploads,
 * and when there are none it presses the others (files flush) and in the end gets more than the
 * budget, at most GROWTH times, rather than wait for a client that may be asleep.
 */
#include "fs/data/buffers.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/err.h"

#include <sys/mman.h>

#define GROWTH		4
#define HUGE_PAGE_BYTES (2u << 20)
#define BLOCKS_MIN	2
#define WAIT_STEP_MS	200

struct loam_buffers {
	pthread_mutex_t lock; /* all below but the constants */
	pthread_cond_t came_back;
	struct loam_buffer *free_whole, *free_small;
	uint64_t free_bytes; /* kept for the next */
	uint64_t out_bytes, peak_bytes;
	size_t uploading;
	uint64_t budget_bytes; /* constants */
	size_t block_bytes, small_bytes;
	void (*pressed)(void *arg);
	void *pressed_arg;
};

struct loam_buffers *loam_buffers_new(uint64_t budget_bytes, size_t block_bytes,
				      void (*pressed)(void *arg), void *arg)
{
	struct loam_buffers *buffers = loam_xnew(struct loam_buffers);
	uint64_t least = (uint64_t)BLOCKS_MIN * block_bytes;
	buffers->budget_bytes = budget_bytes > least ? budget_bytes : least;
	buffers->block_bytes = block_bytes;
	buffers->small_bytes =
		block_bytes < LOAM_BUFFER_SMALL_BYTES ? block_bytes : LOAM_BUFFER_SMALL_BYTES;
	buffers->pressed = pressed;
	buffers->pressed_arg = arg;
	pthread_mutex_init(&buffers->lock, NULL);
	pthread_cond_init(&buffers->came_back, NULL);
	return buffers;
}

static void release(struct loam_buffer *buffer)
{
	munmap(buffer->data, buffer->capacity);
	free(buffer);
}

static void release_list(struct loam_buffer *list)
{
	while (list) {
		struct loam_buffer *next = list->next;
		release(list);
		list = next;
	}
}

void loam_buffers_free(struct loam_buffers *buffers)
{
	if (!buffers)
		return;
	loam_assert(buffers->out_bytes == 0);
	release_list(buffers->free_whole);
	release_list(buffers->free_small);
	pthread_cond_destroy(&buffers->came_back);
	pthread_mutex_destroy(&buffers->lock);
	free(buffers);
}

static struct loam_buffer *make(size_t capacity)
{
	struct loam_buffer *buffer = loam_xnew(struct loam_buffer);
	buffer->capacity = capacity;
	buffer->data =
		mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	loam_assert(buffer->data != MAP_FAILED);
	if (capacity >= HUGE_PAGE_BYTES) /* a hint: in small pages a block is many pieces */
		madvise(buffer->data, capacity, MADV_HUGEPAGE);
	return buffer;
}

/* Under the lock. */
static struct loam_buffer *take_within(struct loam_buffers *buffers, bool whole,
				       uint64_t limit_bytes)
{
	size_t capacity = whole ? buffers->block_bytes : buffers->small_bytes;
	if (buffers->out_bytes + capacity > limit_bytes)
		return NULL;
	buffers->out_bytes += capacity;
	if (buffers->out_bytes > buffers->peak_bytes)
		buffers->peak_bytes = buffers->out_bytes;

	struct loam_buffer **list = whole ? &buffers->free_whole : &buffers->free_small;
	struct loam_buffer *buffer = *list;
	if (!buffer)
		return make(capacity);
	*list = buffer->next;
	buffers->free_bytes -= capacity;
	buffer->next = NULL;
	return buffer;
}

struct loam_buffer *loam_buffer_try(struct loam_buffers *buffers, bool whole)
{
	loam_guard(&buffers->lock);
	return take_within(buffers, whole, buffers->budget_bytes);
}

/* Waits for a buffer to come back. true: none did, and none is on its way. */
static bool wait_step(struct loam_buffers *buffers)
{
	bool came = loam_cond_wait_until(&buffers->came_back, &buffers->lock,
					 loam_clock_ms() + WAIT_STEP_MS);
	return !came && buffers->uploading == 0;
}

static bool nothing_moves(struct loam_buffers *buffers)
{
	loam_guard(&buffers->lock);
	return buffers->uploading == 0;
}

struct loam_buffer *loam_buffer_take(struct loam_buffers *buffers, bool whole)
{
	bool stuck = false;
	for (;;) {
		struct loam_buffer *buffer = loam_buffer_try(buffers, whole);
		if (buffer)
			return buffer;
		if (buffers->pressed && nothing_moves(buffers))
			buffers->pressed(buffers->pressed_arg);

		loam_guard(&buffers->lock);
		uint64_t limit = stuck ? GROWTH * buffers->budget_bytes : buffers->budget_bytes;
		buffer = take_within(buffers, whole, limit);
		if (buffer)
			return buffer;
		stuck = wait_step(buffers);
	}
}

void loam_buffer_uploads(struct loam_buffers *buffers, struct loam_buffer *buffer)
{
	loam_guard(&buffers->lock);
	buffer->uploading = true;
	buffers->uploading++;
}

void loam_buffer_give(struct loam_buffers *buffers, struct loam_buffer *buffer)
{
	loam_guard(&buffers->lock);
	if (buffer->uploading)
		buffers->uploading--;
	buffer->uploading = false;
	buffers->out_bytes -= buffer->capacity;
	pthread_cond_broadcast(&buffers->came_back);
	if (buffers->free_bytes + buffer->capacity > buffers->budget_bytes) {
		release(buffer);
		return;
	}
	struct loam_buffer **list = buffer->capacity == buffers->block_bytes ? &buffers->free_whole
									     : &buffers->free_small;
	buffer->next = *list;
	*list = buffer;
	buffers->free_bytes += buffer->capacity;
}

uint64_t loam_buffers_peak(struct loam_buffers *buffers)
{
	loam_guard(&buffers->lock);
	return buffers->peak_bytes;
}

size_t loam_buffers_count_max(const struct loam_buffers *buffers)
{
	return (size_t)(GROWTH * buffers->budget_bytes / buffers->small_bytes);
}
