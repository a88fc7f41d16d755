/*
 * loam format: makes a new volume, in the words of `juicefs format`.
 *
 * The order is: an object in the store, then the metadata; what a killed format leaves is
 * overwritten by the next one. Over a volume that is there (--force) the blocks of the old one stay
 * until gc: numbers of slices go on behind theirs, so that no key is ever used twice (V10, V11).
 */
#include "core/auto.h"
#include "core/cmd.h"
#include "core/config.h"
#include "core/hash.h"
#include "core/sys.h"
#include "fs/commands.h"
#include "fs/meta/meta.h"
#include "fs/store/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SERVICE_ID	  20000u
#define ROOT_MODE	  0705
#define BLOCK_KIB_MIN	  64
#define BLOCK_KIB_MAX	  16384
#define BLOCK_KIB_DEFAULT 4096
#define UUID_BYTES	  37
#define SLICE_COUNTER	  "nextchunk"

struct format_opts {
	const char *storage, *bucket, *compress;
	uint64_t block_kib, capacity_gib, inodes, trash_days;
	bool enable_acl, force;
};

static void init_format(void *options)
{
	struct format_opts *opts = options;
	opts->storage = "file";
	opts->bucket = "/var/jfs/";
	opts->compress = "none";
	opts->block_kib = BLOCK_KIB_DEFAULT;
	opts->enable_acl = true;
}

/* Random, version 4. */
static void make_uuid(char out[UUID_BYTES])
{
	uint8_t b[16];
	loam_random(b, sizeof(b));
	b[6] = (b[6] & 0x0F) | 0x40;
	b[8] = (b[8] & 0x3F) | 0x80;
	snprintf(out, UUID_BYTES,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		 b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		 b[15]);
}

static bool name_is_valid(const char *name)
{
	size_t bytes = strlen(name);
	if (bytes < 3 || bytes > 63 || name[0] == '-' || name[bytes - 1] == '-')
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == bytes;
}

static uint64_t power_of_two_below(uint64_t number)
{
	uint64_t power = BLOCK_KIB_MIN;
	while (power * 2 <= number)
		power *= 2;
	return power;
}

/* What this version can serve, said before anything is written. */
static int check_options(const struct format_opts *opts, const char *name, struct loam_err *err)
{
	if (!name_is_valid(name))
		return loam_fail(err, LOAM_E_INVALID,
				 "'%.70s' is no volume name: 3 to 63 of a-z, 0-9 and '-', with '-' "
				 "only inside",
				 name);
	if (strcmp(opts->storage, "file") != 0)
		return loam_fail(err, LOAM_E_UNSUPPORTED,
				 "--storage %.40s is not built yet: use file", opts->storage);
	if (strcmp(opts->compress, "none") != 0 && opts->compress[0] != '\0')
		return loam_fail(err, LOAM_E_UNSUPPORTED, "--compress %.40s is not built yet",
				 opts->compress);
	if (opts->trash_days != 0)
		return loam_fail(err, LOAM_E_UNSUPPORTED,
				 "--trash-days is not built yet: volumes have no trash for now");
	return 0;
}

/* An absolute path ending in a slash, as every client expects it. One that root makes here belongs
 * to the account that `loam serve` will have. */
static int bucket_path(const char *given, char **out_bucket, struct loam_err *err)
{
	bool is_new = access(given, F_OK) < 0;
	int rc = loam_mkdir_above(given, err);
	if (rc == 0)
		rc = loam_mkdir_all(given, 0700, err);
	if (rc < 0)
		return rc;
	if (is_new && geteuid() == 0 && chown(given, SERVICE_ID, SERVICE_ID) < 0)
		return loam_fail_errno(err, "give %s to the service account", given);
	loam_auto_free char *real = realpath(given, NULL);
	if (!real)
		return loam_fail_errno(err, "resolve %s", given);
	*out_bucket = loam_xasprintf("%s/", real);
	return 0;
}

static int fill_format(const struct format_opts *opts, const char *name, struct loam_format *format,
		       struct loam_err *err)
{
	char uuid[UUID_BYTES];
	make_uuid(uuid);
	format->name = loam_xstrdup(name);
	format->uuid = loam_xstrdup(uuid);
	format->storage = loam_xstrdup(opts->storage);
	format->compression = loam_xstrdup("none");
	format->encrypt_algo = loam_xstrdup("aes256gcm-rsa");
	format->block_kib = (uint32_t)power_of_two_below(opts->block_kib);
	format->capacity_bytes = opts->capacity_gib << 30;
	format->inodes = opts->inodes;
	format->meta_version = 1;
	format->min_client = loam_xstrdup(opts->enable_acl ? "1.2.0-A" : "1.1.0-A");
	format->enable_acl = opts->enable_acl;
	return bucket_path(opts->bucket, &format->bucket, err);
}

/* The object that names the volume, as the official client writes it; refuses foreign blocks. */
static int refuse_object(void *arg, const struct loam_store_entry *entry, struct loam_err *err)
{
	const char *testing = arg;
	if (entry->bytes == 0 || strncmp(entry->key, testing, strlen(testing)) == 0)
		return 0;
	return loam_fail(err, LOAM_E_EXISTS,
			 "the store holds objects of a volume of this name already (%s): choose "
			 "another name or bucket",
			 entry->key);
}

/* The greatest number of a slice among the old blocks: "…/ID_INDEX_BYTES". */
static int note_slice(void *arg, const struct loam_store_entry *entry, struct loam_err *err)
{
	uint64_t *greatest = arg;
	const char *slash = strrchr(entry->key, '/');
	const char *name = slash ? slash + 1 : entry->key;
	char *end = NULL;
	if (*name < '0' || *name > '9')
		return 0;
	uint64_t id = strtoull(name, &end, 10);
	if (*end == '_' && id > *greatest && id < INT64_MAX)
		*greatest = id;
	return 0;
}

static int raise_slice_numbers(struct loam_engine *engine, uint64_t greatest, struct loam_err *err)
{
	int64_t present = 0;
	int rc = engine->ops->add(engine, SLICE_COUNTER, 0, &present, err);
	if (rc < 0 || present > (int64_t)greatest)
		return rc;
	return engine->ops->add(engine, SLICE_COUNTER, (int64_t)greatest + 1 - present, &present,
				err);
}

/* *out_greatest: of the slices that are there; only looked for with force. */
static int prepare_store(const struct loam_format *format, bool force, uint64_t *out_greatest,
			 struct loam_err *err)
{
	struct loam_store *store = NULL;
	int rc = loam_store_open(format->storage, format->bucket, &store, err);
	if (rc < 0)
		return rc;
	char key[128], prefix[80], testing[80];
	snprintf(prefix, sizeof(prefix), "%s/", format->name);
	snprintf(testing, sizeof(testing), "%s/testing/", format->name);
	snprintf(key, sizeof(key), "%s/juicefs_uuid", format->name);
	const char *keys[] = { key };
	*out_greatest = 0;
	if (force)
		rc = store->ops->list(store, prefix, note_slice, out_greatest, err);
	else
		rc = store->ops->list(store, prefix, refuse_object, testing, err);
	if (rc == 0)
		rc = store->ops->remove(store, key, err);
	if (rc == 0)
		rc = store->ops->put(store, key, format->uuid, strlen(format->uuid), err);
	if (rc == 0)
		rc = store->ops->sync(store, keys, 1, err);
	store->ops->free(store);
	return rc;
}

static int format_volume(const struct format_opts *opts, const char *url, const char *name,
			 struct loam_err *err)
{
	struct loam_engine *engine = NULL;
	struct loam_format *format = loam_xnew(struct loam_format);
	uint64_t greatest = 0;
	int rc = check_options(opts, name, err);
	if (rc == 0)
		rc = loam_engine_open(url, &engine, err);
	if (rc == 0 && !opts->force) {
		rc = engine->ops->is_empty(engine, err);
		if (rc == 0)
			rc = loam_fail(err, LOAM_E_EXISTS,
				       "this database is not empty: choose another one (a number "
				       "behind the host), or --force to format over it");
		else if (rc == 1)
			rc = 0;
	}
	if (rc == 0)
		rc = fill_format(opts, name, format, err);
	if (rc == 0)
		rc = prepare_store(format, opts->force, &greatest, err);
	if (rc == 0 && greatest > 0)
		rc = raise_slice_numbers(engine, greatest, err);
	if (rc == 0)
		rc = loam_meta_format_volume(engine, format, SERVICE_ID, SERVICE_ID, ROOT_MODE,
					     opts->force, err);
	if (rc == 0)
		fprintf(stderr, "loam: volume %s (%s) formatted, blocks of %u KiB in %s\n",
			format->name, format->uuid, format->block_kib, format->bucket);
	if (engine)
		engine->ops->free(engine);
	loam_format_free(format);
	return rc;
}

static int run_format(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	struct loam_config *config = NULL;
	const char *url = NULL;
	const char *given = argc == 2 ? argv[0] : NULL;
	int rc = loam_config_load(NULL, &config, &err);
	if (rc == 0)
		rc = loam_config_meta(config, given, &url, &err);
	if (rc == 0)
		rc = format_volume(options, url, argv[argc - 1], &err);
	loam_config_free(config);
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_format = {
	.name = "format",
	.usage = "[options] [META] NAME",
	.summary = "create a volume in the JuiceFS format",
	.options =
		(const struct loam_opt[]){
			LOAM_OPT(struct format_opts, storage, "storage", 0, LOAM_OPT_TEXT, "TYPE",
				 "where blocks go: file (default)"),
			LOAM_OPT(struct format_opts, bucket, "bucket", 0, LOAM_OPT_TEXT, "DIR",
				 "directory of the blocks (/var/jfs)"),
			LOAM_OPT(struct format_opts, block_kib, "block-size", 0, LOAM_OPT_NUMBER,
				 "KiB", "size of a block (4096)", .min = BLOCK_KIB_MIN,
				 .max = BLOCK_KIB_MAX),
			LOAM_OPT(struct format_opts, compress, "compress", 0, LOAM_OPT_TEXT, "ALGO",
				 "none (default)"),
			LOAM_OPT(struct format_opts, capacity_gib, "capacity", 0, LOAM_OPT_NUMBER,
				 "GiB", "limit of the volume (none)", .min = 0, .max = 1u << 30),
			LOAM_OPT(struct format_opts, inodes, "inodes", 0, LOAM_OPT_NUMBER, "N",
				 "limit of inodes (none)", .min = 0, .max = INT64_MAX),
			LOAM_OPT(struct format_opts, trash_days, "trash-days", 0, LOAM_OPT_NUMBER,
				 "N", "0: no trash (default)", .min = 0, .max = 36500),
			LOAM_OPT(struct format_opts, enable_acl, "enable-acl", 0, LOAM_OPT_FLAG,
				 NULL, "POSIX ACLs, which carry Loam's rights (default)"),
			LOAM_OPT(struct format_opts, force, "force", 0, LOAM_OPT_FLAG, NULL,
				 "format over a volume that is there"),
			LOAM_OPT_END },
	.options_bytes = sizeof(struct format_opts),
	.args_min = 1,
	.args_max = 2,
	.init = init_format,
	.run = run_format,
};
