/*
 * The write buffer of a process: page-aligned, recycled memory for blocks being filled or uploaded,
 * with a budget for all of them together.
 *
 * Two sizes: whole (one block) and small (64 KiB, for the first bytes of a slice).
 * Threads: any.
 */
#ifndef LOAM_FS_DATA_BUFFERS_H
#define LOAM_FS_DATA_BUFFERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAM_BUFFER_SMALL_BYTES (64u << 10)

struct loam_buffers;

struct loam_buffer {
	uint8_t *data;
	size_t capacity;
	bool uploading; /* set by loam_buffer_uploads */
	void *owner;	/* the user's: whose block, which, how many bytes */
	uint32_t index, bytes;
	struct loam_buffer *next; /* in the list of free ones */
};

/* pressed is called, without locks, when a taker waits and nothing is being uploaded. */
struct loam_buffers *loam_buffers_new(uint64_t budget_bytes, size_t block_bytes,
				      void (*pressed)(void *arg), void *arg);
/* All must have been given back. Accepts NULL. */
void loam_buffers_free(struct loam_buffers *buffers);
/* NULL when the budget is spent. */
struct loam_buffer *loam_buffer_try(struct loam_buffers *buffers, bool whole);
/*
 * Waits for the budget. When all of it lies in blocks that are being filled by others, nothing
 * would ever end the wait: then up to four times the budget is given, a buffer every 200 ms.
 */
struct loam_buffer *loam_buffer_take(struct loam_buffers *buffers, bool whole);
/* From now on the buffer comes back by itself. */
void loam_buffer_uploads(struct loam_buffers *buffers, struct loam_buffer *buffer);
void loam_buffer_give(struct loam_buffers *buffers, struct loam_buffer *buffer);
/* The most that was out at any time, for tests and metrics. */
uint64_t loam_buffers_peak(struct loam_buffers *buffers);
/* Buffers there may ever be at once: bounds the queue of uploads. */
size_t loam_buffers_count_max(const struct loam_buffers *buffers);

#endif
