/* A volume for tests of the metadata (meta_volume.h). */
#include "tests/support/meta_volume.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/limits.h"
#include "fs/meta/delete_data.h"

#include <stdlib.h>
#include <string.h>

const struct loam_engine_fixture *loam_meta_volume_engine;

static const char setting[] =
	"{\"Name\":\"test\",\"UUID\":\"e94d66a8-2339-4abd-b8d8-6812df737892\",\"Storage\":\"file\","
	"\"Bucket\":\"/nowhere/\",\"BlockSize\":4096,\"Compression\":\"none\",\"TrashDays\":0,"
	"\"MetaVersion\":1,\"EnableACL\":true}";

int loam_meta_volume_each_engine(int (*run)(void))
{
	int failed = 0;
	for (size_t i = 0; i < loam_engines_count; i++) {
		const char *reason = NULL;
		loam_meta_volume_engine = &loam_engines[i];
		if (loam_meta_volume_engine->start && !loam_meta_volume_engine->start(&reason)) {
			fprintf(stderr, "skipped: engine %s: %s\n", loam_meta_volume_engine->name,
				reason);
			continue;
		}
		printf("engine %s\n", loam_meta_volume_engine->name);
		failed += run();
		if (loam_meta_volume_engine->stop)
			loam_meta_volume_engine->stop();
	}
	return failed;
}

static void must(int rc, const struct loam_err *err)
{
	if (rc < 0)
		fprintf(stderr, "test volume: %s\n", err->text);
	loam_assert(rc >= 0);
}

static void remember_deleted(void *arg, uint64_t id, uint32_t size)
{
	struct loam_meta_volume *volume = arg;
	loam_guard(&volume->lock);
	loam_assert(volume->deleted_count < LOAM_META_VOLUME_DELETED_MAX);
	volume->deleted[volume->deleted_count++] =
		(struct loam_freed_slice){ .id = id, .size = size };
}

int loam_meta_volume_setup(void **state)
{
	struct loam_meta_volume *volume = loam_xnew(struct loam_meta_volume);
	struct loam_err err = { 0 };
	struct loam_format *format = NULL;
	pthread_mutex_init(&volume->lock, NULL);
	volume->engine = loam_meta_volume_engine->open();
	must(loam_format_parse(setting, strlen(setting), &format, &err), &err);
	must(loam_meta_format_volume(volume->engine, format, 0, 0, 0777, false, &err), &err);
	loam_format_free(format);
	struct loam_meta_options options = { .session = true,
					     .delete_slice = remember_deleted,
					     .delete_slice_arg = volume };
	must(loam_meta_open(volume->engine, &options, &volume->meta, &err), &err);
	*state = volume;
	return 0;
}

struct loam_recount loam_meta_volume_recount(struct loam_meta_volume *volume)
{
	loam_meta_delete_data_drain(volume->meta);
	struct loam_recount count = loam_recount(volume->engine);
	loam_assert(count.findings == 0);
	return count;
}

int loam_meta_volume_teardown(void **state)
{
	struct loam_meta_volume *volume = *state;
	loam_meta_volume_recount(volume);
	loam_meta_close(volume->meta);
	pthread_mutex_destroy(&volume->lock);
	free(volume);
	return 0;
}

size_t loam_meta_volume_deleted(struct loam_meta_volume *volume, uint64_t id)
{
	loam_meta_delete_data_drain(volume->meta);
	loam_guard(&volume->lock);
	size_t count = 0;
	for (size_t i = 0; i < volume->deleted_count; i++)
		count += volume->deleted[i].id == id;
	return count;
}

uint64_t loam_meta_volume_make(struct loam_meta_volume *volume, const struct loam_who *who,
			       uint64_t parent, const char *name, enum loam_type type,
			       uint16_t mode)
{
	struct loam_create create = { .type = type, .mode = mode };
	struct loam_err err = { 0 };
	struct loam_attr attr;
	uint64_t ino = 0;
	if (type == LOAM_TYPE_SYMLINK)
		create.target = "somewhere/else";
	must(loam_meta_create(volume->meta, who, parent, loam_name_of(name), &create, &ino, &attr,
			      &err),
	     &err);
	return ino;
}

uint64_t loam_meta_volume_write(struct loam_meta_volume *volume, uint64_t ino, uint64_t offset,
				uint32_t bytes)
{
	struct loam_err err = { 0 };
	struct loam_slice slice = { .pos = (uint32_t)(offset % LOAM_CHUNK_BYTES),
				    .size = bytes,
				    .len = bytes };
	struct loam_attr attr;
	must(loam_meta_new_slice(volume->meta, &slice.id, &err), &err);
	must(loam_meta_write(volume->meta, ino, (uint32_t)(offset / LOAM_CHUNK_BYTES), &slice,
			     loam_clock_now(), &attr, NULL, &err),
	     &err);
	return slice.id;
}

uint64_t loam_meta_volume_lookup(struct loam_meta_volume *volume, uint64_t parent, const char *name)
{
	struct loam_err err = { 0 };
	struct loam_attr attr;
	uint64_t ino = 0;
	int rc = loam_meta_lookup(volume->meta, &loam_who_root, parent, loam_name_of(name), &ino,
				  &attr, &err);
	if (rc == -LOAM_E_NOT_FOUND)
		return 0;
	must(rc, &err);
	return ino;
}

struct loam_attr loam_meta_volume_attr(struct loam_meta_volume *volume, uint64_t ino)
{
	struct loam_err err = { 0 };
	struct loam_attr attr;
	must(loam_meta_getattr(volume->meta, ino, &attr, &err), &err);
	return attr;
}

struct loam_meta_volume_byte loam_meta_volume_seen(struct loam_meta_volume *volume, uint64_t ino,
						   uint64_t offset)
{
	struct loam_err err = { 0 };
	struct loam_chunk chunk;
	loam_auto_free struct loam_slice *pieces = NULL;
	size_t count;
	struct loam_meta_volume_byte byte = { 0 };
	must(loam_meta_chunks(volume->meta, ino, (uint32_t)(offset / LOAM_CHUNK_BYTES), 1, &chunk,
			      &err),
	     &err);
	must(loam_slices_resolve(chunk.slices, chunk.slice_count, &pieces, &count, &err), &err);
	free(chunk.slices);
	uint32_t pos = (uint32_t)(offset % LOAM_CHUNK_BYTES);
	for (size_t i = 0; i < count; i++) {
		if (pieces[i].pos <= pos && pos < pieces[i].pos + pieces[i].len && pieces[i].id > 0)
			byte = (struct loam_meta_volume_byte){
				pieces[i].id, pieces[i].off + (pos - pieces[i].pos)
			};
	}
	return byte;
}
