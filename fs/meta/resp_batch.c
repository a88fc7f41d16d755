/*
 * Arguments and batches of Redis commands (resp.h): binary safe from end to end, never a command
 * made of text.
 */
#include "fs/meta/resp.h"

#include <hiredis/hiredis.h>
#include <limits.h>
#include <string.h>

#define TEXT_CHUNK_BYTES 4096

/* Formatted arguments stand in chunks that never move. */
struct loam_resp_text {
	struct loam_resp_text *next;
	size_t used, capacity;
	char bytes[];
};

void loam_resp_args_release(struct loam_resp_args *args)
{
	while (args->texts) {
		struct loam_resp_text *text = args->texts;
		args->texts = text->next;
		free(text);
	}
	free(args->values);
	free(args->sizes);
	*args = (struct loam_resp_args){ 0 };
}

void loam_resp_args_clear(struct loam_resp_args *args)
{
	args->count = 0;
	while (args->texts && args->texts->next) {
		struct loam_resp_text *text = args->texts;
		args->texts = text->next;
		free(text);
	}
	if (args->texts)
		args->texts->used = 0;
}

void loam_resp_arg(struct loam_resp_args *args, const void *data, size_t data_bytes)
{
	if (args->count == args->capacity) {
		size_t capacity = args->capacity ? args->capacity * 2 : 32;
		args->values = reallocarray(args->values, capacity, sizeof(*args->values));
		args->sizes = reallocarray(args->sizes, capacity, sizeof(*args->sizes));
		loam_assert(args->values && args->sizes);
		args->capacity = capacity;
	}
	args->values[args->count] = data_bytes ? data : "";
	args->sizes[args->count++] = data_bytes;
}

void loam_resp_arg_word(struct loam_resp_args *args, const char *text)
{
	loam_resp_arg(args, text, strlen(text));
}

static char *text_reserve(struct loam_resp_args *args, size_t bytes)
{
	struct loam_resp_text *text = args->texts;
	if (!text || text->capacity - text->used < bytes) {
		size_t capacity = bytes > TEXT_CHUNK_BYTES ? bytes : TEXT_CHUNK_BYTES;
		text = loam_xcalloc(1, sizeof(*text) + capacity);
		text->capacity = capacity;
		text->next = args->texts;
		args->texts = text;
	}
	return text->bytes + text->used;
}

void loam_resp_arg_format(struct loam_resp_args *args, const char *fmt, ...)
{
	char small[96];
	va_list list, again;
	va_start(list, fmt);
	va_copy(again, list);
	int bytes = vsnprintf(small, sizeof(small), fmt, list);
	va_end(list);
	loam_assert(bytes >= 0);
	char *at = text_reserve(args, (size_t)bytes + 1);
	if ((size_t)bytes < sizeof(small))
		memcpy(at, small, (size_t)bytes + 1);
	else
		vsnprintf(at, (size_t)bytes + 1, fmt, again);
	va_end(again);
	args->texts->used += (size_t)bytes + 1;
	loam_resp_arg(args, at, (size_t)bytes);
}

void loam_resp_arg_set_number(struct loam_resp_args *args, size_t index, uint64_t number)
{
	loam_assert(index < args->count);
	loam_resp_arg_format(args, "%llu", (unsigned long long)number);
	args->count--;
	args->values[index] = args->values[args->count];
	args->sizes[index] = args->sizes[args->count];
}

void loam_resp_batch_release(struct loam_resp_batch *batch)
{
	loam_buf_release(&batch->bytes);
	batch->count = 0;
}

void loam_resp_batch_clear(struct loam_resp_batch *batch)
{
	loam_buf_clear(&batch->bytes);
	batch->count = 0;
}

static void free_text(char **text)
{
	redisFreeCommand(*text);
}

int loam_resp_batch_add(struct loam_resp_batch *batch, const struct loam_resp_args *args,
			struct loam_err *err)
{
	loam_assert(args->count > 0 && args->count < INT_MAX);
	char *text __attribute__((cleanup(free_text))) = NULL;
	int bytes = redisFormatCommandArgv(&text, (int)args->count, args->values, args->sizes);
	if (bytes < 0)
		return loam_fail(err, LOAM_E_BUSY, "no memory for a command");
	int rc = loam_buf_add(&batch->bytes, text, (size_t)bytes, err);
	if (rc < 0)
		return rc;
	batch->count++;
	return 0;
}

int loam_resp_batch_words(struct loam_resp_batch *batch, struct loam_err *err, ...)
{
	loam_auto_args struct loam_resp_args args = { 0 };
	va_list list;
	va_start(list, err);
	for (const char *word; (word = va_arg(list, const char *));)
		loam_resp_arg_word(&args, word);
	va_end(list);
	return loam_resp_batch_add(batch, &args, err);
}
