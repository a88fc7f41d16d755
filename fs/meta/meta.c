/*
 * Opening, closing and formatting the metadata of a volume.
 *
 * Order of opening: setting and its gate, ACL rules, totals, session, background deletion. Closing
 * is the reverse; each part accepts that a later one never started.
 */
#include "core/auto.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "fs/meta/meta_internal.h"

#include <string.h>

#define SETTING_BYTES_MAX (1u << 20)
#define SKIP_DIR_MTIME_MS 100

static int read_format(struct loam_meta *meta, struct loam_err *err)
{
	struct loam_record record = loam_rec(LOAM_REC_SETTING, 0, 0);
	struct loam_value setting;
	int rc = meta->engine->ops->read(meta->engine, &record, 1, &setting, err);
	if (rc < 0)
		return loam_context(err, "read the volume's setting");
	if (!setting.present)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no volume there: it is not formatted");

	rc = loam_format_parse(setting.data, setting.bytes, &meta->format, err);
	loam_value_release(&setting);
	if (rc < 0)
		return loam_context(err, "the volume's setting");
	rc = loam_format_check(meta->format, err);
	if (rc < 0)
		return loam_context(err, "volume %s", meta->format->name);

	atomic_store(&meta->usage.capacity_bytes, meta->format->capacity_bytes);
	atomic_store(&meta->usage.inode_limit, meta->format->inodes);
	return 0;
}

static void copy_options(struct loam_meta *meta, const struct loam_meta_options *options)
{
	meta->options = *options;
	meta->options.mount_point = NULL;
	meta->read_only = options->read_only;
	meta->mount_point = loam_xstrdup(options->mount_point ? options->mount_point : "");
	meta->options.mount_point = meta->mount_point;
	meta->skip_dir_mtime_ms =
		options->skip_dir_mtime_ms ? options->skip_dir_mtime_ms : SKIP_DIR_MTIME_MS;
	if (options->skip_dir_mtime_ms == LOAM_DIR_MTIME_ALWAYS)
		meta->skip_dir_mtime_ms = 0;
}

static int start(struct loam_meta *meta, struct loam_err *err)
{
	int rc = read_format(meta, err);
	if (rc == 0 && meta->format->enable_acl)
		rc = loam_acl_table_load(meta, err);
	if (rc == 0)
		rc = loam_session_beat(meta, err);
	if (rc == 0)
		rc = loam_session_start(meta, err);
	if (rc < 0)
		return rc;

	loam_meta_delete_data_start(meta);
	return 0;
}

int loam_meta_open(struct loam_engine *engine, const struct loam_meta_options *options,
		   struct loam_meta **out_meta, struct loam_err *err)
{
	struct loam_meta *meta = loam_xnew(struct loam_meta);
	meta->engine = engine;
	meta->cache = loam_record_cache_new(LOAM_RECORD_CACHE_ENTRIES);
	copy_options(meta, options);
	loam_ids_init(&meta->ids);
	loam_session_init(&meta->session);
	loam_open_files_init(&meta->open_files);
	loam_acl_table_init(&meta->acl_table);
	loam_delete_data_init(&meta->delete_data);

	int rc = start(meta, err);
	if (rc < 0) {
		loam_meta_close(meta);
		return rc;
	}
	*out_meta = meta;
	return 0;
}

void loam_meta_close(struct loam_meta *meta)
{
	if (!meta)
		return;

	loam_meta_delete_data_stop(meta);
	loam_session_stop(meta);
	loam_ids_release(&meta->ids);
	loam_open_files_release(&meta->open_files);
	loam_acl_table_release(&meta->acl_table);
	loam_session_release(&meta->session);
	loam_delete_data_release(&meta->delete_data);
	loam_record_cache_free(meta->cache);
	loam_format_free(meta->format);
	meta->engine->ops->free(meta->engine);
	free(meta->mount_point);
	free(meta);
}

const struct loam_format *loam_meta_format(const struct loam_meta *meta)
{
	return meta->format;
}

struct loam_engine *loam_meta_engine(struct loam_meta *meta)
{
	return meta->engine;
}

uint64_t loam_meta_session(const struct loam_meta *meta)
{
	return meta->session.sid;
}

int loam_meta_barrier(struct loam_meta *meta, struct loam_err *err)
{
	int rc = loam_rules_alive(meta, err);
	if (rc < 0)
		return rc;

	rc = loam_failpoint("meta.barrier", err);
	if (rc == 0)
		rc = meta->engine->ops->barrier(meta->engine, err);
	if (rc == -LOAM_E_UNSUPPORTED && meta->options.weak_durability) {
		loam_err_clear(err); /* the operator accepts a store that may forget */
		return 0;
	}
	return rc;
}

int loam_meta_settle(struct loam_meta *meta, struct loam_err *err)
{
	int rc = loam_meta_barrier(meta, err);
	if (rc != -LOAM_E_UNSUPPORTED)
		return rc;
	loam_err_clear(err);
	return 0;
}

int loam_meta_forgets(struct loam_meta *meta, struct loam_err *err)
{
	int rc = meta->engine->ops->barrier(meta->engine, err);
	if (rc != -LOAM_E_UNSUPPORTED)
		return rc;
	loam_err_clear(err);
	return 1;
}

int loam_meta_ping(struct loam_meta *meta, struct loam_err *err)
{
	int64_t seconds = 0;
	int rc = loam_rules_alive(meta, err);
	if (rc < 0)
		return rc;

	return meta->engine->ops->now(meta->engine, &seconds, err);
}

/* What format finds in the database. */
struct present {
	bool setting, root;
};

static int look(struct loam_engine *engine, struct present *out, struct loam_value values[2],
		const struct loam_record records[2], bool force, struct loam_err *err)
{
	int rc = engine->ops->read(engine, records, 2, values, err);
	if (rc < 0)
		return rc;

	out->setting = values[0].present;
	out->root = values[1].present;
	if (out->setting && !force)
		return loam_fail(err, LOAM_E_EXISTS, "a volume is there already");
	if (out->setting || force)
		return 0;

	int empty = engine->ops->is_empty(engine, err);
	if (empty < 0)
		return empty;
	return empty ? 0 : loam_fail(err, LOAM_E_EXISTS, "the database holds something else");
}

static void add_dir(struct loam_write *write, struct loam_record record, uint8_t *bytes,
		    const struct loam_attr *attr)
{
	*write = (struct loam_write){ .op = LOAM_WRITE_PUT, .record = record, .data = bytes };
	write->data_bytes = (uint32_t)loam_attr_encode(attr, bytes);
}

static int write_volume(struct loam_engine *engine, const struct loam_buf *setting,
			const struct loam_attr *root, bool with_trash, bool force,
			struct loam_err *err)
{
	struct loam_record records[2] = { loam_rec(LOAM_REC_SETTING, 0, 0),
					  loam_rec(LOAM_REC_ATTR, LOAM_INO_ROOT, 0) };
	struct loam_value values[2] = { 0 }, differs_value[2] = { 0 };
	bool differs[2] = { false };
	struct present present = { 0 };
	uint8_t root_bytes[LOAM_ATTR_BYTES_MAX], trash_bytes[LOAM_ATTR_BYTES_MAX];
	struct loam_write writes[3] = { { .op = LOAM_WRITE_PUT,
					  .record = records[0],
					  .data = setting->data,
					  .data_bytes = (uint32_t)setting->bytes } };
	size_t count = 1;
	int rc = look(engine, &present, values, records, force, err);
	if (rc == 0 && !present.root)
		add_dir(&writes[count++], records[1], root_bytes, root);
	if (rc == 0 && with_trash) {
		struct loam_attr trash = *root;
		trash.uid = trash.gid = 0;
		trash.mode = 0555;
		add_dir(&writes[count++], loam_rec(LOAM_REC_ATTR, LOAM_INO_TRASH_ROOT, 0),
			trash_bytes, &trash);
	}
	if (rc == 0) {
		struct loam_check checks[2] = { { records[0], values[0] },
						{ records[1], values[1] } };
		rc = engine->ops->commit(engine, checks, 2, writes, count, 0, differs_value,
					 differs, err);
		if (rc == 0)
			rc = loam_fail(err, LOAM_E_CONFLICT, "somebody else formats it now");
	}
	for (int i = 0; i < 2; i++) {
		loam_value_release(&values[i]);
		loam_value_release(&differs_value[i]);
	}
	return rc < 0 ? rc : 0;
}

int loam_meta_format_volume(struct loam_engine *engine, const struct loam_format *format,
			    uint32_t root_uid, uint32_t root_gid, uint16_t root_mode, bool force,
			    struct loam_err *err)
{
	loam_auto_buf struct loam_buf setting = LOAM_BUF(SETTING_BYTES_MAX);
	int rc = loam_format_print(format, &setting, err);
	if (rc < 0)
		return rc;

	struct timespec now = { .tv_sec = loam_clock_now().tv_sec };
	struct loam_attr root = { .type = LOAM_TYPE_DIR,
				  .mode = root_mode & 07777,
				  .uid = root_uid,
				  .gid = root_gid,
				  .atime = now,
				  .mtime = now,
				  .ctime = now,
				  .nlink = 2,
				  .length = LOAM_DIR_LENGTH,
				  .parent = LOAM_INO_ROOT };
	return write_volume(engine, &setting, &root, format->trash_days > 0, force, err);
}
