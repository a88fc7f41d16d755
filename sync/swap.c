/*
 * The publish transaction (sync/swap.h; step 8 of a push).
 *
 * It relies on the gate's attr and user.loam.commit: whoever publishes changes both, so no two
 * publishes come between one another, and everything below the gate changes through publishes only.
 * And on the job's attr: a sweep changes that before it takes anything out of the job.
 * The old dentries are looked at, not relied on; what stands there is moved into the job under the
 * number of its successor, whence it is removed later.
 */
#include "sync/swap.h"

#include "auth/gate.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/cmd.h"
#include "fs/files.h"
#include "fs/meta/txn.h"
#include "lfs/staging.h"

#include <stdio.h>
#include <string.h>

#define XATTR_BYTES_MAX 8192

/* ---- the state before ------------------------------------------------------------------------ */

/* 1 with the text, 0 absent. */
static int read_text(struct loam_meta *meta, uint64_t ino, const char *name, char *out,
		     size_t out_bytes, struct loam_err *err)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(out_bytes - 1);
	int rc = loam_meta_getxattr(meta, ino, name, &text, err);
	if (rc == -LOAM_E_NO_DATA) {
		loam_err_clear(err);
		return 0;
	}
	if (rc < 0)
		return rc;
	snprintf(out, out_bytes, "%s", loam_buf_text(&text));
	return 1;
}

static bool parse_totals(const char *text, uint64_t *files, uint64_t *bytes)
{
	char copy[48];
	snprintf(copy, sizeof(copy), "%s", text);
	char *blank = strchr(copy, ' ');
	struct loam_err ignored = { 0 };
	if (!blank)
		return false;
	*blank = '\0';
	return loam_parse_u64(copy, 0, INT64_MAX, files, &ignored) == 0 &&
	       loam_parse_u64(blank + 1, 0, INT64_MAX, bytes, &ignored) == 0;
}

int loam_gate_state_read(const struct loam_tree *tree, const struct loam_repo *repo,
			 struct loam_gate_state *out, struct loam_err *err)
{
	struct loam_meta *meta = tree->volume->meta;
	char path[LOAM_PATH_BYTES_MAX], totals[48] = "", branch[8];
	struct loam_name last;
	*out = (struct loam_gate_state){ 0 };
	loam_tree_gate_path(tree, repo, path);
	int rc = loam_files_parent(tree->volume, path, &out->namespace_ino, &last, err);
	if (rc == 0)
		rc = loam_meta_lookup(meta, &loam_who_root, out->namespace_ino, last, &out->ino,
				      &out->attr, err);
	if (rc == 0)
		rc = read_text(meta, out->ino, LOAM_XATTR_COMMIT, out->commit, sizeof(out->commit),
			       err);
	if (rc >= 0)
		rc = read_text(meta, out->ino, LOAM_XATTR_TOTALS, totals, sizeof(totals), err);
	if (rc >= 0)
		rc = read_text(meta, out->ino, LOAM_XATTR_BRANCH, branch, sizeof(branch), err);
	if (rc < 0)
		return rc;
	out->was_published = rc == 1;
	memcpy(out->name, repo->name, sizeof(out->name));
	/* A gate that shows nothing has nothing in it; otherwise its totals must be known. */
	out->has_totals = out->commit[0] == '\0' || parse_totals(totals, &out->files, &out->bytes);
	return 0;
}

/* ---- the transaction ------------------------------------------------------------------------- */

struct swap {
	const struct loam_gate_state *state;
	const struct loam_changes *changes;
	const struct loam_gate_next *next;
	struct loam_attr *dirs; /* attrs of the changed live directories, gate first */
};

static struct loam_record gate_xattr(uint64_t ino, const char *name)
{
	return loam_rec_named(LOAM_REC_XATTR, ino, loam_name_of(name));
}

static int lost_race(struct loam_err *err)
{
	return loam_fail(err, LOAM_E_CONFLICT, "somebody else published meanwhile");
}

/* The gate still shows what the difference began from. */
static int check_gate(struct loam_txn *txn, const struct loam_gate_state *state,
		      struct loam_attr *out_gate, struct loam_err *err)
{
	struct loam_record commit = gate_xattr(state->ino, LOAM_XATTR_COMMIT);
	const struct loam_value *value;
	int rc = loam_txn_attr(txn, state->ino, out_gate, err);
	if (rc <= 0)
		return rc < 0 ? rc : lost_race(err);
	rc = loam_txn_read(txn, &commit, &value, err);
	if (rc < 0)
		return rc;
	size_t bytes = strlen(state->commit);
	bool same =
		rc == 0 ? bytes == 0
			: value->bytes == bytes && memcmp(value->data, state->commit, bytes) == 0;
	return same ? 0 : lost_race(err);
}

/* Commit, totals and the mark that something was published, on the gate that will be seen. */
static void put_marks(struct loam_txn *txn, uint64_t gate_ino, const struct loam_gate_next *next)
{
	struct loam_record commit = gate_xattr(gate_ino, LOAM_XATTR_COMMIT);
	struct loam_record totals = gate_xattr(gate_ino, LOAM_XATTR_TOTALS);
	struct loam_record branch = gate_xattr(gate_ino, LOAM_XATTR_BRANCH);
	char text[48];
	int bytes = snprintf(text, sizeof(text), "%llu %llu", (unsigned long long)next->files,
			     (unsigned long long)next->bytes);
	if (next->commit[0] != '\0')
		loam_txn_put(txn, &commit, next->commit, strlen(next->commit));
	else
		loam_txn_delete(txn, &commit);
	loam_txn_put(txn, &totals, text, (size_t)bytes);
	loam_txn_put(txn, &branch, "1", 1);
}

static int peek_attr(struct loam_txn *txn, uint64_t ino, struct loam_attr *out,
		     struct loam_err *err)
{
	struct loam_record record = loam_rec(LOAM_REC_ATTR, ino, 0);
	const struct loam_value *value;
	int rc = loam_txn_peek(txn, &record, &value, err);
	if (rc <= 0)
		return rc < 0 ? rc : lost_race(err);
	return loam_attr_decode(value->data, value->bytes, out, err);
}

/* 1 with the dentry, 0 absent; not relied on. */
static int peek_dentry(struct loam_txn *txn, uint64_t dir, struct loam_name name,
		       struct loam_dentry *out, struct loam_err *err)
{
	struct loam_record record = loam_rec_named(LOAM_REC_DENTRY, dir, name);
	const struct loam_value *value;
	int rc = loam_txn_peek(txn, &record, &value, err);
	if (rc <= 0)
		return rc;
	rc = loam_dentry_decode(value->data, value->bytes, out, err);
	return rc < 0 ? rc : 1;
}

static int was_swept(struct loam_err *err)
{
	return loam_fail(err, LOAM_E_CONFLICT,
			 "the staging directory was swept: this process was held up for too long");
}

/* The job is still ours at the commit: what is moved out of it is there, whole. */
static int need_job(struct loam_txn *txn, uint64_t job_ino, struct loam_attr *out_job,
		    struct loam_err *err)
{
	int rc = loam_txn_attr(txn, job_ino, out_job, err);
	if (rc < 0)
		return rc;
	return rc == 1 && loam_job_is_alive(out_job) ? 0 : was_swept(err);
}

static void want_all(struct loam_txn *txn, const struct swap *swap)
{
	struct loam_record commit = gate_xattr(swap->state->ino, LOAM_XATTR_COMMIT);
	loam_txn_want_attr(txn, swap->next->job_ino);
	loam_txn_want(txn, &commit);
	for (size_t i = 0; i < swap->changes->dir_count; i++)
		loam_txn_want_attr(txn, swap->changes->dirs[i].ino);
	for (size_t i = 0; i < swap->changes->change_count; i++) {
		const struct loam_change *change = &swap->changes->changes[i];
		char number[24];
		snprintf(number, sizeof(number), "%zu", i);
		loam_txn_want_dentry(txn, swap->changes->dirs[change->dir].ino,
				     loam_name_of(change->name));
		loam_txn_want_dentry(txn, swap->next->job_ino, loam_name_of(number));
	}
}

static int swap_one(struct loam_txn *txn, struct swap *swap, size_t index, struct loam_attr *job,
		    struct loam_err *err)
{
	const struct loam_change *change = &swap->changes->changes[index];
	uint64_t dir = swap->changes->dirs[change->dir].ino;
	struct loam_name name = loam_name_of(change->name);
	char text[24];
	snprintf(text, sizeof(text), "%zu", index);
	struct loam_name number = loam_name_of(text);
	struct loam_dentry old, staged;
	int had = peek_dentry(txn, dir, name, &old, err);
	if (had < 0)
		return had;
	int has = 0;
	if (change->kind != LOAM_CHANGE_REMOVE) {
		has = peek_dentry(txn, swap->next->job_ino, number, &staged, err);
		if (has <= 0)
			return has < 0 ? has : was_swept(err);
		loam_txn_put_dentry(txn, dir, name, &staged);
	} else if (had) {
		loam_txn_delete_dentry(txn, dir, name);
	}
	if (had)
		loam_txn_put_dentry(txn, swap->next->job_ino, number, &old);
	else if (has)
		loam_txn_delete_dentry(txn, swap->next->job_ino, number);
	int moved = (has && staged.type == LOAM_TYPE_DIR) - (had && old.type == LOAM_TYPE_DIR);
	swap->dirs[change->dir].nlink += (uint32_t)moved;
	job->nlink -= (uint32_t)moved;
	return 0;
}

static int run_entries(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct swap *swap = arg;
	const struct loam_changes *changes = swap->changes;
	struct loam_attr job;
	want_all(txn, swap);
	int rc = check_gate(txn, swap->state, &swap->dirs[0], err);
	for (size_t i = 1; rc == 0 && i < changes->dir_count; i++)
		rc = peek_attr(txn, changes->dirs[i].ino, &swap->dirs[i], err);
	if (rc == 0)
		rc = need_job(txn, swap->next->job_ino, &job, err);
	for (size_t i = 0; rc == 0 && i < changes->change_count; i++)
		rc = swap_one(txn, swap, i, &job, err);
	if (rc < 0)
		return rc;
	struct timespec now = loam_clock_now();
	for (size_t i = 0; i < changes->dir_count; i++) {
		swap->dirs[i].mtime = swap->dirs[i].ctime = now;
		loam_txn_put_attr(txn, changes->dirs[i].ino, &swap->dirs[i]);
	}
	loam_txn_put_attr(txn, swap->next->job_ino, &job);
	put_marks(txn, swap->state->ino, swap->next);
	return 0;
}

int loam_swap_entries(struct loam_meta *meta, const struct loam_gate_state *state,
		      const struct loam_changes *changes, const struct loam_gate_next *next,
		      struct loam_err *err)
{
	loam_auto_free struct loam_attr *dirs =
		loam_xcalloc(changes->dir_count, sizeof(struct loam_attr));
	struct swap swap = { .state = state, .changes = changes, .next = next, .dirs = dirs };
	return loam_meta_run(meta, LOAM_TXN_BULK, run_entries, &swap, err);
}

/* ---- a whole new gate ------------------------------------------------------------------------ */

/* All that the old gate carries beside what a publish sets goes over to the new one. */
static int carry_xattrs(struct loam_txn *txn, uint64_t from, uint64_t to, struct loam_err *err)
{
	struct loam_record all = loam_rec(LOAM_REC_XATTRS, from, 0);
	const struct loam_value *packed;
	int rc = loam_txn_read(txn, &all, &packed, err);
	if (rc <= 0)
		return rc;
	size_t offset = 0;
	struct loam_name name;
	const void *data;
	uint32_t bytes;
	while ((rc = loam_packed_next(packed, &offset, &name, &data, &bytes, err)) == 1) {
		struct loam_record record = loam_rec_named(LOAM_REC_XATTR, to, name);
		if (name.bytes != strlen(LOAM_XATTR_COMMIT) ||
		    memcmp(name.data, LOAM_XATTR_COMMIT, name.bytes) != 0)
			loam_txn_put(txn, &record, data, bytes);
	}
	return rc;
}

static int run_gate(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct swap *swap = arg;
	const struct loam_gate_state *state = swap->state;
	struct loam_name name = loam_name_of(state->name), zero = loam_name_of("0");
	struct loam_record commit = gate_xattr(state->ino, LOAM_XATTR_COMMIT);
	struct loam_record all = loam_rec(LOAM_REC_XATTRS, state->ino, 0);
	loam_txn_want_attr(txn, state->ino);
	loam_txn_want(txn, &commit);
	loam_txn_want(txn, &all);
	loam_txn_want_attr(txn, state->namespace_ino);
	loam_txn_want_dentry(txn, state->namespace_ino, name);
	loam_txn_want_attr(txn, swap->next->job_ino);
	loam_txn_want_dentry(txn, swap->next->job_ino, zero);

	struct loam_attr gate, ns, job;
	struct loam_dentry here, staged;
	int rc = check_gate(txn, state, &gate, err);
	if (rc == 0)
		rc = need_job(txn, swap->next->job_ino, &job, err);
	if (rc == 0)
		rc = loam_txn_dentry(txn, state->namespace_ino, name, &here, err);
	if (rc < 0)
		return rc;
	if (rc == 0 || here.ino != state->ino)
		return lost_race(err);
	rc = loam_txn_dentry(txn, swap->next->job_ino, zero, &staged, err);
	if (rc == 1)
		rc = loam_txn_attr(txn, state->namespace_ino, &ns, err);
	if (rc <= 0)
		return rc < 0 ? rc : was_swept(err);

	loam_txn_put_dentry(txn, state->namespace_ino, name, &staged);
	loam_txn_put_dentry(txn, swap->next->job_ino, zero, &here);
	ns.mtime = ns.ctime = gate.mtime = gate.ctime = loam_clock_now();
	loam_txn_put_attr(txn, state->namespace_ino, &ns);
	gate.nlink = swap->next->new_gate_nlink;
	gate.parent = state->namespace_ino;
	loam_txn_put_attr(txn, swap->next->new_gate, &gate);
	rc = carry_xattrs(txn, state->ino, swap->next->new_gate, err);
	if (rc < 0)
		return rc;
	put_marks(txn, swap->next->new_gate, swap->next);
	return 0;
}

int loam_swap_gate(struct loam_meta *meta, const struct loam_gate_state *state,
		   const struct loam_gate_next *next, struct loam_err *err)
{
	struct swap swap = { .state = state, .next = next };
	return loam_meta_run(meta, LOAM_TXN_BULK, run_gate, &swap, err);
}
