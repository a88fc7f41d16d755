/*
 * The digest of a file while it is written (step 4 of a push).
 *
 *   writer ─► block ─► SHA-256, block by block in order ─► upload pool
 *
 * Receiving, hashing and storing then run on three threads: what bounds an upload is the slowest of
 * them and not their sum. A job hashes one block and goes to the end of the queue, so that many
 * uploads share the threads fairly. Each hasher has one job at the most, and it has one only while
 * it holds a buffer: the queue of the pool, as long as there are buffers, is never full.
 *
 * Locks: `lock` guards the list and `running`; the digest belongs to the one running job.
 */
#include "core/hash.h"
#include "fs/data/data_internal.h"

struct loam_hasher {
	struct loam_data *data;
	struct loam_sha256 *hash;
	loam_job_fn *then; /* run in the upload pool with each buffer */
	pthread_mutex_t lock;
	pthread_cond_t idle;
	struct loam_buffer *first, *last; /* waiting, in the order of the file */
	bool running;
};

struct loam_hasher *loam_hasher_new(struct loam_data *data, loam_job_fn *then)
{
	struct loam_hasher *hasher = loam_xnew(struct loam_hasher);
	hasher->data = data;
	hasher->then = then;
	hasher->hash = loam_sha256_new();
	pthread_mutex_init(&hasher->lock, NULL);
	pthread_cond_init(&hasher->idle, NULL);
	return hasher;
}

static struct loam_buffer *take_first(struct loam_hasher *hasher)
{
	loam_guard(&hasher->lock);
	struct loam_buffer *buffer = hasher->first;
	hasher->first = buffer->next;
	buffer->next = NULL;
	return buffer;
}

static void hash_job(void *arg)
{
	struct loam_hasher *hasher = arg;
	struct loam_data *data = hasher->data;
	struct loam_buffer *buffer = take_first(hasher);
	loam_sha256_add(hasher->hash, buffer->data, buffer->bytes);
	loam_pool_submit(data->upload, hasher->then, buffer);

	pthread_mutex_lock(&hasher->lock);
	bool more = hasher->first != NULL;
	if (!more) {
		hasher->running = false;
		pthread_cond_broadcast(&hasher->idle); /* it may be freed from here on */
	}
	pthread_mutex_unlock(&hasher->lock);
	if (more)
		loam_pool_submit(data->hash, hash_job, hasher);
}

void loam_hasher_add(struct loam_hasher *hasher, struct loam_buffer *buffer)
{
	pthread_mutex_lock(&hasher->lock);
	buffer->next = NULL;
	if (hasher->first)
		hasher->last->next = buffer;
	else
		hasher->first = buffer;
	hasher->last = buffer;
	bool begin = !hasher->running;
	hasher->running = true;
	pthread_mutex_unlock(&hasher->lock);
	if (begin)
		loam_pool_submit(hasher->data->hash, hash_job, hasher);
}

static void wait_idle(struct loam_hasher *hasher)
{
	loam_guard(&hasher->lock);
	while (hasher->running)
		pthread_cond_wait(&hasher->idle, &hasher->lock);
}

void loam_hasher_end(struct loam_hasher *hasher, uint8_t out_digest[LOAM_SHA256_BYTES])
{
	wait_idle(hasher);
	loam_sha256_end(hasher->hash, out_digest);
}

void loam_hasher_free(struct loam_hasher *hasher)
{
	if (!hasher)
		return;
	wait_idle(hasher);
	loam_sha256_free(hasher->hash);
	pthread_cond_destroy(&hasher->idle);
	pthread_mutex_destroy(&hasher->lock);
	free(hasher);
}
