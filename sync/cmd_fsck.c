/*
 * loam fsck: all checks of a volume, one line per finding (reliability.md §1).
 *
 * Reads only; works while others use the volume. Order: the volume, the accounts, LFS objects,
 * published trees. Exit status 0 clean, 1 findings or failure.
 */
#include "auth/fsck_accounts.h"
#include "auth/tree.h"
#include "core/auto.h"
#include "core/cmd.h"
#include "core/config.h"
#include "core/json.h"
#include "fs/files.h"
#include "fs/fsck.h"
#include "lfs/fsck_lfs.h"
#include "sync/commands.h"
#include "sync/fsck_tree.h"

#include <stdio.h>
#include <string.h>

typedef unsigned long long ull;

struct fsck_opts {
	const char *meta, *repos;
	bool deep, json;
};

struct output {
	bool json, terminal, line_open; /* a progress line stands on the terminal */
	json_t *findings;
	uint64_t count;
};

static void close_line(struct output *output)
{
	if (output->line_open)
		fprintf(stderr, "\r\033[K");
	output->line_open = false;
}

/* Names of files need not be UTF-8; JSON must. */
static json_t *json_text(const char *text)
{
	json_t *value = json_string(text);
	if (value)
		return value;
	loam_auto_free char *ascii = loam_xstrdup(text);
	for (char *at = ascii; *at; at++) {
		if ((unsigned char)*at >= 0x80)
			*at = '?';
	}
	return json_string(ascii);
}

static void print_finding(void *arg, const char *id, const char *text)
{
	struct output *output = arg;
	output->count++;
	close_line(output);
	if (!output->json) {
		printf("%s %s\n", id, text);
		return;
	}
	json_t *finding = json_object();
	json_object_set_new(finding, "id", json_text(id));
	json_object_set_new(finding, "text", json_text(text));
	json_array_append_new(output->findings, finding);
}

static void print_progress(void *arg, const char *what, uint64_t done)
{
	struct output *output = arg;
	if (!output->terminal)
		return;
	fprintf(stderr, "\r\033[K%s: %llu", what, (ull)done);
	output->line_open = true;
}

struct all_stats {
	struct loam_fsck_stats volume;
	struct loam_fsck_lfs_stats lfs;
	struct loam_fsck_tree_stats tree;
	bool has_tree, has_git;
};

/* Loam's tree on the volume: 1, 0 it has none. */
static int find_tree(struct loam_volume *volume, const struct loam_config *config,
		     struct loam_tree *out, struct loam_err *err)
{
	struct loam_err own = { 0 };
	int rc = loam_tree_open(volume, config->tree_root, false, out, &own);
	if (rc == 0)
		return 1;
	if (own.code == LOAM_E_UNAVAILABLE || own.code == LOAM_E_CORRUPT || own.code == LOAM_E_IO)
		return loam_fail(err, own.code, "%s", own.text);
	fprintf(stderr, "loam fsck: only the volume is checked: %s\n", own.text);
	return 0;
}

static int check_tree(const struct loam_tree *tree, const struct fsck_opts *opts,
		      const struct loam_config *config, const struct loam_fsck_sink *sink,
		      struct all_stats *stats, struct loam_err *err)
{
	int rc = loam_fsck_accounts(tree, sink, err);
	struct loam_fsck_lfs_options lfs = { .deep = opts->deep,
					     .staging_seconds = config->lfs_staging_seconds };
	if (rc == 0)
		rc = loam_fsck_lfs(tree, &lfs, sink, &stats->lfs, err);
	if (rc < 0)
		return rc;
	const char *git_root = opts->repos ? opts->repos : config->server_repos;
	stats->has_git = access(git_root, R_OK | X_OK) == 0;
	if (!stats->has_git && opts->repos)
		return loam_fail_errno(err, "--repos %s", opts->repos);
	struct loam_fsck_tree_options published = { .deep = opts->deep,
						    .git_root = stats->has_git ? git_root : NULL };
	rc = loam_fsck_tree(tree, &published, sink, &stats->tree, err);
	if (rc == 0 && !stats->has_git && stats->tree.repositories > 0)
		fprintf(stderr,
			"loam fsck: published trees are not compared: the bare repositories are "
			"not at %s (--repos DIR)\n",
			git_root);
	return rc;
}

static int check_all(struct loam_volume *volume, const struct fsck_opts *opts,
		     const struct loam_config *config, const struct loam_fsck_sink *sink,
		     struct all_stats *stats, struct loam_err *err)
{
	struct loam_tree tree;
	struct loam_fsck_options options = { .grace_seconds = LOAM_FSCK_GRACE_SECONDS };
	int has_tree = find_tree(volume, config, &tree, err);
	if (has_tree < 0)
		return has_tree;
	stats->has_tree = has_tree == 1;
	if (stats->has_tree) {
		char path[LOAM_PATH_BYTES_MAX];
		struct loam_attr attr;
		loam_tree_state_path(&tree, "staging", path);
		int rc = loam_files_lookup(volume, path, &options.staging_ino, &attr, err);
		if (rc < 0)
			return rc;
	}
	int rc = loam_fsck_volume(volume, &options, sink, &stats->volume, err);
	if (rc < 0 || !stats->has_tree)
		return rc;
	return check_tree(&tree, opts, config, sink, stats, err);
}

static void print_json(const struct output *output, const struct all_stats *stats)
{
	const struct loam_fsck_stats *volume = &stats->volume;
	loam_auto_json json_t *summary =
		json_pack("{s:O, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:I, s:I, s:I}",
			  "findings", output->findings, "inodes", (json_int_t)volume->inodes,
			  "usedBytes", (json_int_t)volume->used_bytes, "slices",
			  (json_int_t)volume->slices, "blocks", (json_int_t)volume->blocks,
			  "blockBytes", (json_int_t)volume->block_bytes, "extraBlocks",
			  (json_int_t)volume->extra_blocks, "extraBytes",
			  (json_int_t)volume->extra_bytes, "leftChunks",
			  (json_int_t)volume->left_chunks, "usageUndecided",
			  (int)volume->usage_undecided, "lfsObjects",
			  (json_int_t)stats->lfs.objects, "lfsBytes", (json_int_t)stats->lfs.bytes,
			  "repositories", (json_int_t)stats->tree.repositories, "publishedFiles",
			  (json_int_t)stats->tree.files);
	loam_auto_buf struct loam_buf text = LOAM_BUF(SIZE_MAX / 2);
	struct loam_err err = { 0 };
	if (summary && loam_json_print(summary, &text, &err) == 0)
		printf("%s\n", loam_buf_text(&text));
}

static void print_summary(const struct output *output, const struct all_stats *stats)
{
	const struct loam_fsck_stats *volume = &stats->volume;
	fprintf(stderr,
		"loam fsck: %llu finding%s in %llu inodes, %llu slices, %llu blocks (%.1f MiB)",
		(ull)output->count, output->count == 1 ? "" : "s", (ull)volume->inodes,
		(ull)volume->slices, (ull)volume->blocks, (double)volume->block_bytes / (1 << 20));
	if (stats->has_tree)
		fprintf(stderr, ", %llu LFS objects, %llu repositories with %llu files",
			(ull)stats->lfs.objects, (ull)stats->tree.repositories,
			(ull)stats->tree.files);
	if (volume->extra_blocks > 0)
		fprintf(stderr, "; %llu blocks of no slice (%.1f MiB) are for gc",
			(ull)volume->extra_blocks, (double)volume->extra_bytes / (1 << 20));
	if (volume->left_chunks > 0)
		fprintf(stderr, "; %llu chunk lists of no file are for gc",
			(ull)volume->left_chunks);
	if (volume->usage_undecided)
		fprintf(stderr, "; used space not decided, the volume was never still");
	fprintf(stderr, "\n");
}

static int open_volume(const char *argument, const struct loam_config *config,
		       struct loam_volume **out, struct loam_err *err)
{
	const char *url;
	int rc = loam_config_meta(config, argument, &url, err);
	if (rc < 0)
		return rc;
	struct loam_volume_options options = { .meta = { .read_only = true } };
	return loam_volume_open(url, &options, out, err);
}

static int run_fsck(const void *options, int argc, char **argv)
{
	const struct fsck_opts *opts = options;
	if (argc == 1 && !strstr(argv[0], "://"))
		return loam_cmd_misused("'%s' is no META, which contains ://", argv[0]);
	if (argc == 1 && opts->meta)
		return loam_cmd_misused("META is given twice");
	struct loam_err err = { 0 };
	struct loam_config *config = NULL;
	struct loam_volume *volume = NULL;
	struct all_stats stats = { 0 };
	struct output output = { .json = opts->json, .terminal = isatty(STDERR_FILENO) };
	output.findings = json_array();
	struct loam_fsck_sink sink = { print_finding, print_progress, &output };
	int rc = loam_config_load(NULL, &config, &err);
	if (rc == 0)
		rc = open_volume(argc == 1 ? argv[0] : opts->meta, config, &volume, &err);
	if (rc == 0)
		rc = check_all(volume, opts, config, &sink, &stats, &err);
	close_line(&output);
	if (rc == 0 && opts->json)
		print_json(&output, &stats);
	if (rc == 0)
		print_summary(&output, &stats);
	loam_volume_close(volume);
	loam_config_free(config);
	json_decref(output.findings);
	return rc < 0 ? loam_cmd_failed(&err) : output.count > 0;
}

const struct loam_cmd loam_cmd_fsck = {
	.name = "fsck",
	.usage = "[options] [META]",
	.summary = "check a volume: metadata, blocks, accounts, LFS objects, published trees",
	.details = "Changes nothing; works while the volume is in use. One line per finding on "
		   "stdout, beginning with the number of what does not hold; exit status 1 when "
		   "there are any.",
	.options =
		(const struct loam_opt[]){
			LOAM_OPT(struct fsck_opts, meta, "meta", 0, LOAM_OPT_TEXT, "URL",
				 "the volume (default: LOAM_META, then meta.url of the "
				 "configuration)"),
			LOAM_OPT(struct fsck_opts, deep, "deep", 0, LOAM_OPT_FLAG, NULL,
				 "read every byte of LFS objects and published files, and run git "
				 "fsck"),
			LOAM_OPT(struct fsck_opts, json, "json", 0, LOAM_OPT_FLAG, NULL,
				 "print JSON"),
			LOAM_OPT(struct fsck_opts, repos, "repos", 0, LOAM_OPT_TEXT, "DIR",
				 "where the bare repositories stand (default: server.repos)"),
			LOAM_OPT_END },
	.options_bytes = sizeof(struct fsck_opts),
	.args_max = 1,
	.run = run_fsck,
};
