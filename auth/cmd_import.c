/*
 * loam user import: accounts and groups from CSV, passwd(5) or LDIF. All conflicts are shown before
 * anything is done.
 */
#include "auth/commands.h"
#include "auth/import.h"
#include "auth/instance.h"
#include "core/json.h"
#include "core/sys.h"

#include "auth/account_store_internal.h"

#include <stdio.h>
#include <string.h>

struct import_opts {
	const char *meta, *format, *shadow, *group;
	bool dry_run, skip_conflicts, json;
};

static int read_file(const char *path, struct loam_buf *out, struct loam_err *err)
{
	int rc = strcmp(path, "-") == 0 ? loam_fd_read_all(STDIN_FILENO, out, err)
					: loam_path_read_all(path, out, err);
	return rc < 0 ? loam_context(err, "read %s", path) : 0;
}

/* What the name of the file says, where nobody says more. */
static const char *format_of(const struct import_opts *opts, const char *path)
{
	const char *dot = strrchr(path, '.');
	if (opts->format)
		return opts->format;
	if (dot && (strcmp(dot, ".csv") == 0 || strcmp(dot, ".ldif") == 0))
		return dot + 1;
	return opts->shadow || opts->group || strcmp(path, "/etc/passwd") == 0 ? "passwd" : "csv";
}

static int read_hosts(const struct import_opts *opts, const struct loam_buf *passwd,
		      struct loam_import *import, struct loam_err *err)
{
	loam_auto_buf struct loam_buf shadow = LOAM_BUF(LOAM_IMPORT_BYTES_MAX);
	loam_auto_buf struct loam_buf group = LOAM_BUF(LOAM_IMPORT_BYTES_MAX);
	int rc = opts->shadow ? read_file(opts->shadow, &shadow, err) : 0;
	if (rc == 0 && opts->group)
		rc = read_file(opts->group, &group, err);
	if (rc == 0)
		rc = loam_import_passwd(passwd, opts->shadow ? &shadow : NULL,
					opts->group ? &group : NULL, loam_account_today(), import,
					err);
	if (shadow.data)
		explicit_bzero(shadow.data, shadow.bytes);
	return rc;
}

static int read_source(const struct import_opts *opts, const char *path, struct loam_import *import,
		       struct loam_err *err)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(LOAM_IMPORT_BYTES_MAX);
	const char *format = format_of(opts, path);
	if ((opts->shadow || opts->group) && strcmp(format, "passwd") != 0)
		return loam_fail(err, LOAM_E_INVALID, "--shadow and --groups go with passwd");
	int rc = read_file(path, &text, err);
	if (rc < 0)
		return rc;
	if (strcmp(format, "csv") == 0)
		rc = loam_import_csv(&text, import, err);
	else if (strcmp(format, "ldif") == 0)
		rc = loam_import_ldif(&text, import, err);
	else if (strcmp(format, "passwd") == 0)
		rc = read_hosts(opts, &text, import, err);
	else
		return loam_fail(err, LOAM_E_INVALID, "--format is csv, passwd or ldif");
	return rc < 0 ? loam_context(err, "%s", path) : 0;
}

/* ---- the table ------------------------------------------------------------------------------- */

static void print_step(const struct loam_import_step *step)
{
	char number[24] = "next";
	if (step->entry->number != 0)
		snprintf(number, sizeof(number), "%llu", (unsigned long long)step->entry->number);
	else if (step->verdict != LOAM_IMPORT_ADD)
		snprintf(number, sizeof(number), "-");
	char rest[512] = "";
	FILE *out = fmemopen(rest, sizeof(rest), "w");
	loam_assert(out != NULL);
	if (step->verdict == LOAM_IMPORT_CONFLICT)
		fprintf(out, "  line %zu:", step->entry->line);
	if (step->joins.count > 0)
		fprintf(out, "  +%zu members", step->joins.count);
	if (step->takes_hash)
		fprintf(out, "  with its password");
	if (step->entry->disabled && step->verdict == LOAM_IMPORT_ADD)
		fprintf(out, "  disabled");
	fprintf(out, "%s%s", step->note[0] ? "  " : "", step->note);
	fclose(out);
	printf("%-8s  %-5s  %-24s  %*s%s\n", loam_import_verdict_name(step->verdict),
	       step->is_group ? "group" : "user", step->entry->name, rest[0] ? -10 : 0, number,
	       rest);
}

static int print_json(const struct loam_import_plan *plan, struct loam_err *err)
{
	loam_auto_json json_t *steps = json_array();
	for (size_t i = 0; i < plan->count; i++) {
		const struct loam_import_step *step = &plan->steps[i];
		json_t *name = json_string(step->entry->name);
		json_array_append_new(steps,
				      json_pack("{s:s, s:s, s:o, s:I, s:I, s:I, s:b, s:s}",
						"verdict", loam_import_verdict_name(step->verdict),
						"what", step->is_group ? "group" : "user", "name",
						name ? name : json_string("?"), "number",
						(json_int_t)step->entry->number, "line",
						(json_int_t)step->entry->line, "members",
						(json_int_t)step->joins.count, "password",
						step->takes_hash, "note", step->note));
	}
	return loam_json_show(steps, err);
}

static int print_plan(const struct import_opts *opts, const struct loam_import_plan *plan,
		      struct loam_err *err)
{
	if (opts->json)
		return print_json(plan, err);
	for (size_t i = 0; i < plan->count; i++)
		print_step(&plan->steps[i]);
	return 0;
}

/* ---- the command ----------------------------------------------------------------------------- */

static int carry_out(const struct import_opts *opts, const struct loam_import_plan *plan,
		     struct loam_account_store *store, struct loam_err *err)
{
	bool stops = plan->conflicts > 0 && !opts->skip_conflicts;
	if (stops)
		return loam_fail(err, LOAM_E_EXISTS,
				 "%zu conflicts, nothing was done: mend them, or leave those "
				 "entries out with --skip-conflicts",
				 plan->conflicts);
	if (opts->dry_run)
		return 0;
	int rc = loam_import_run(plan, store, err);
	if (rc < 0)
		return loam_context(err, "what was done before stays; run it again after");
	fprintf(stderr, "loam: %zu added, %zu changed, %zu left out\n", plan->adds, plan->changes,
		plan->conflicts);
	return 0;
}

static int import_file(const struct import_opts *opts, const char *path, struct loam_err *err)
{
	loam_auto_instance struct loam_instance *instance = NULL;
	struct loam_import_plan plan;
	struct loam_import *import = loam_import_new();
	int rc = read_source(opts, path, import, err);
	if (rc == 0)
		rc = loam_instance_open(&(struct loam_instance_options){ .meta_url = opts->meta },
					&instance, err);
	if (rc == 0)
		rc = loam_import_plan_make(import, loam_auth_accounts(instance->auth), &plan, err);
	if (rc == 0) {
		rc = print_plan(opts, &plan, err);
		if (rc == 0)
			rc = carry_out(opts, &plan, loam_auth_accounts(instance->auth), err);
		loam_import_plan_release(&plan);
	}
	loam_import_free(import);
	return rc;
}

static int run_import(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	return import_file(options, argv[0], &err) < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_user_import = {
	.name = "user import",
	.usage = "[options] FILE",
	.summary = "make accounts and groups from CSV, /etc/passwd or LDIF",
	.details = "Prints what it does with each entry; with a conflict (a name, number or group\n"
		   "that is somebody else's, an invalid entry) it does nothing unless\n"
		   "--skip-conflicts. Run again, it does what is missing. FILE may be '-'.\n"
		   "CSV: the first line names the columns: name, and uid, groups (separated by\n"
		   "blanks, ',' or ';'), disabled where known. Passwords are taken over as\n"
		   "yescrypt of our own cost ($y$j9T$) and as sha512crypt of 5,000 rounds ($6$);\n"
		   "other accounts have none until they get one: SSH keys and tokens work.",
	.options =
		(const struct loam_opt[]){
			LOAM_OPT(struct import_opts, meta, "meta", 0, LOAM_OPT_TEXT, "URL",
				 "the volume (default: LOAM_META, then meta.url of the "
				 "configuration)"),
			LOAM_OPT(struct import_opts, format, "format", 0, LOAM_OPT_TEXT,
				 "csv|passwd|ldif", "of FILE (by its name; else csv)"),
			LOAM_OPT(struct import_opts, shadow, "shadow", 0, LOAM_OPT_TEXT, "FILE",
				 "shadow(5) of the same host: passwords, who is disabled"),
			LOAM_OPT(struct import_opts, group, "groups", 0, LOAM_OPT_TEXT, "FILE",
				 "group(5) of the same host: groups and members"),
			LOAM_OPT(struct import_opts, dry_run, "dry-run", 'n', LOAM_OPT_FLAG, NULL,
				 "print only"),
			LOAM_OPT(struct import_opts, skip_conflicts, "skip-conflicts", 0,
				 LOAM_OPT_FLAG, NULL, "leave conflicting entries out, do the rest"),
			LOAM_OPT(struct import_opts, json, "json", 0, LOAM_OPT_FLAG, NULL,
				 "print JSON"),
			LOAM_OPT_END },
	.options_bytes = sizeof(struct import_opts),
	.args_min = 1,
	.args_max = 1,
	.run = run_import,
};
