/*
 * Gates (gate.h). Serves step 9: the gate is asked once more at OPEN and OPENDIR below it, because
 * a process may already stand inside when its right is taken away.
 *
 *   tree root ─ models|datasets|code ─ <namespace> ─ GATE ─ …
 *
 * The kernel reaches nothing below a kind directory without having looked its name up here, so the
 * three inode numbers are learned from lookups and cost no question.
 */
#include "fs/mount/gate.h"

#include "core/auto.h"
#include "core/clock.h"

#include <string.h>

#define DEPTH_MAX	 1024
#define RESOLVE_AGAIN_NS 1000000000ull
#define WANT_ENTER	 5u /* r-x or nothing, as at every other door */

static const char *const kind_names[] = { "models", "datasets", "code" };

struct loam_gates {
	struct loam_meta *meta;
	struct loam_nodes *nodes;
	char *tree_root;
	uint32_t service_uid;
	uint64_t attr_age_ns;
	struct loam_roster *roster; /* may be NULL */
	pthread_mutex_t lock;	    /* of what follows; never held during a question */
	uint64_t root_ino;	    /* of the tree, 0 unknown */
	uint64_t asked_ns;
	uint64_t kinds[LOAM_ARRAY_COUNT(kind_names)];
};

struct loam_gates *loam_gates_new(struct loam_meta *meta, struct loam_nodes *nodes,
				  const char *tree_root, uint32_t service_uid, uint64_t attr_age_ns)
{
	struct loam_gates *gates = loam_xnew(struct loam_gates);
	gates->meta = meta;
	gates->nodes = nodes;
	gates->tree_root = loam_xstrdup(tree_root);
	gates->service_uid = service_uid;
	gates->attr_age_ns = attr_age_ns;
	pthread_mutex_init(&gates->lock, NULL);
	return gates;
}

void loam_gates_free(struct loam_gates *gates)
{
	if (!gates)
		return;
	pthread_mutex_destroy(&gates->lock);
	free(gates->tree_root);
	free(gates);
}

void loam_gates_use(struct loam_gates *gates, struct loam_roster *roster)
{
	gates->roster = roster;
}

/* 0 while a component is missing or the store does not answer: there is no gate to find then. */
static uint64_t resolve(struct loam_gates *gates)
{
	uint64_t ino = LOAM_INO_ROOT;
	const char *at = gates->tree_root;
	while (*(at += strspn(at, "/")) != '\0') {
		struct loam_name name = { at, (uint16_t)strcspn(at, "/") };
		struct loam_attr attr;
		struct loam_err err = { 0 };
		if (loam_meta_lookup(gates->meta, &loam_who_root, ino, name, &ino, &attr, &err))
			return 0;
		at += name.bytes;
	}
	return ino;
}

static uint64_t tree_root(struct loam_gates *gates)
{
	uint64_t now = loam_clock_ns();
	{
		loam_guard(&gates->lock);
		if (gates->root_ino != 0 ||
		    (gates->asked_ns != 0 && now - gates->asked_ns < RESOLVE_AGAIN_NS))
			return gates->root_ino;
		gates->asked_ns = now;
	}
	uint64_t ino = resolve(gates);
	loam_guard(&gates->lock);
	gates->root_ino = ino;
	return ino;
}

void loam_gates_saw(struct loam_gates *gates, uint64_t parent, struct loam_name name, uint64_t ino,
		    const struct loam_attr *attr)
{
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(kind_names); i++) {
		if (name.bytes != strlen(kind_names[i]) ||
		    memcmp(name.data, kind_names[i], name.bytes) != 0)
			continue;
		if (parent != tree_root(gates))
			return;
		bool ours = attr->type == LOAM_TYPE_DIR && attr->uid == gates->service_uid;
		loam_guard(&gates->lock);
		gates->kinds[i] = ours ? ino : 0;
		return;
	}
}

static bool kinds_known(struct loam_gates *gates, uint64_t out[LOAM_ARRAY_COUNT(kind_names)])
{
	bool known = false;
	loam_guard(&gates->lock);
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(kind_names); i++) {
		out[i] = gates->kinds[i];
		known |= out[i] != 0;
	}
	return known;
}

static int parent_of(struct loam_gates *gates, uint64_t ino, uint64_t *out_parent,
		     struct loam_err *err)
{
	struct loam_node_info info;
	if (loam_nodes_peek(gates->nodes, ino, &info) && info.parent != 0) {
		*out_parent = info.parent;
		return 0;
	}
	struct loam_attr attr;
	int rc = loam_meta_getattr(gates->meta, ino, &attr, err);
	if (rc)
		return rc;

	*out_parent = attr.parent;
	return 0;
}

int loam_gates_find(struct loam_gates *gates, uint64_t ino, uint64_t *out_gate,
		    struct loam_err *err)
{
	uint64_t kinds[LOAM_ARRAY_COUNT(kind_names)];
	if (!kinds_known(gates, kinds))
		return 0;

	uint64_t below = 0, below_two = 0; /* one and two levels under `ino` on the way down */
	for (size_t depth = 0; ino > LOAM_INO_ROOT; depth++) {
		if (depth > DEPTH_MAX)
			return loam_fail(err, LOAM_E_CORRUPT, "inode %llu lies in a ring",
					 (unsigned long long)ino);
		for (size_t i = 0; i < LOAM_ARRAY_COUNT(kinds); i++) {
			if (ino != kinds[i])
				continue;
			*out_gate = below_two;
			return below_two != 0;
		}
		below_two = below;
		below = ino;
		int rc = parent_of(gates, ino, &ino, err);
		if (rc)
			return rc;
	}
	return 0;
}

/* The gate's rule, owner and group as they were at most attr_age_ns ago. */
static int read_gate(struct loam_gates *gates, uint64_t gate, struct loam_node_info *info,
		     struct loam_acl *out_acl, struct loam_err *err)
{
	uint64_t now = loam_clock_ns();
	if (!loam_nodes_peek(gates->nodes, gate, info) ||
	    info->asked_ns + gates->attr_age_ns < now) {
		struct loam_attr attr;
		int rc = loam_meta_getattr(gates->meta, gate, &attr, err);
		if (rc)
			return rc;
		loam_nodes_saw(gates->nodes, gate, &attr, now);
		*info = (struct loam_node_info){ .uid = attr.uid,
						 .gid = attr.gid,
						 .mode = attr.mode,
						 .access_acl = attr.access_acl };
	}
	if (info->access_acl != 0)
		return loam_meta_acl_rule(gates->meta, info->access_acl, out_acl, err);

	loam_acl_init(out_acl);
	out_acl->owner = info->mode >> 6 & 7;
	out_acl->group = info->mode >> 3 & 7;
	out_acl->other = info->mode & 7;
	return 0;
}

static uint16_t masked(const struct loam_acl *acl, uint16_t perm)
{
	return acl->mask == LOAM_ACL_ABSENT ? perm : perm & acl->mask;
}

enum loam_gate_answer loam_gate_decide(const struct loam_acl *acl, uint32_t owner_uid,
				       uint32_t owner_gid, uint32_t uid, uint32_t gid,
				       unsigned want)
{
	bool named = uid == owner_uid;
	for (uint32_t i = 0; i < acl->user_count && !named; i++)
		named = acl->users[i].id == uid;
	if (!named) {
		bool group_grants = (masked(acl, acl->group) & want) == want;
		bool group_denies = !group_grants;
		for (uint32_t i = 0; i < acl->group_count; i++) {
			bool grants = (masked(acl, acl->groups[i].perm) & want) == want;
			group_grants |= grants;
			group_denies |= !grants;
		}
		bool others = (acl->other & want) == want;
		bool by_primary =
			loam_acl_allows(acl, owner_uid, owner_gid, uid, &gid, 1, want, true);
		/* More groups can only turn a no into a yes (one grants), or the others' yes into a
		 * no (one is named and does not grant). */
		if (by_primary ? others && group_denies : group_grants)
			return LOAM_GATE_ASK_GROUPS;
		return by_primary ? LOAM_GATE_ALLOW : LOAM_GATE_DENY;
	}
	return loam_acl_allows(acl, owner_uid, owner_gid, uid, &gid, 1, want, true)
		       ? LOAM_GATE_ALLOW
		       : LOAM_GATE_DENY;
}

static size_t keep_groups(struct loam_gates *gates, uint32_t uid, uint32_t *groups, size_t count)
{
	return gates->roster ? loam_roster_keep_groups(gates->roster, uid, groups, count) : count;
}

/* A process keeps the groups it began with; here count those that its user is still in. */
static int ask_groups(struct loam_gates *gates, const struct loam_node_info *info,
		      struct loam_caller *caller, const struct loam_acl *acl, bool *out_allowed,
		      struct loam_err *err)
{
	struct loam_who who;
	int rc = loam_caller_who_with_groups(caller, &who, err);
	if (rc)
		return rc;
	loam_auto_free uint32_t *groups = loam_xcalloc(who.group_count + 1, sizeof(*groups));
	if (who.group_count > 0)
		memcpy(groups, who.groups, who.group_count * sizeof(*groups));
	size_t count = keep_groups(gates, who.uid, groups, who.group_count);
	*out_allowed = loam_acl_allows(acl, info->uid, info->gid, who.uid, groups, count,
				       WANT_ENTER, true);
	return 0;
}

static int ask(struct loam_gates *gates, uint64_t gate, struct loam_caller *caller,
	       struct loam_acl *acl, struct loam_err *err)
{
	struct loam_node_info info;
	int rc = read_gate(gates, gate, &info, acl, err);
	if (rc)
		return rc;

	uint32_t gid = caller->gid;
	if (keep_groups(gates, caller->uid, &gid, 1) == 0)
		gid = UINT32_MAX; /* nobody's */
	bool allowed = false;
	switch (loam_gate_decide(acl, info.uid, info.gid, caller->uid, gid, WANT_ENTER)) {
	case LOAM_GATE_ALLOW:
		return 0;
	case LOAM_GATE_DENY:
		break;
	case LOAM_GATE_ASK_GROUPS:
		rc = ask_groups(gates, &info, caller, acl, &allowed, err);
		if (rc || allowed)
			return rc;
		break;
	}
	return loam_fail(err, LOAM_E_DENIED, "uid %u may not pass the gate %llu", caller->uid,
			 (unsigned long long)gate);
}

int loam_gates_check(struct loam_gates *gates, uint64_t ino, struct loam_caller *caller,
		     struct loam_err *err)
{
	if (caller->uid == 0)
		return 0;
	uint64_t gate;
	int found = loam_gates_find(gates, ino, &gate, err);
	if (found <= 0)
		return found;

	struct loam_acl acl;
	loam_acl_init(&acl);
	int rc = ask(gates, gate, caller, &acl, err);
	loam_acl_release(&acl);
	return rc;
}

void loam_gate_mask_acl(struct loam_acl *acl)
{
	if (acl->mask != LOAM_ACL_ABSENT)
		acl->mask &= ~2;
	else if (acl->group != LOAM_ACL_ABSENT)
		acl->group &= ~2;
	if (acl->other != LOAM_ACL_ABSENT)
		acl->other &= ~2;
}

uint16_t loam_gate_mask_mode(uint16_t mode)
{
	return mode & (uint16_t)~0022;
}
