/*
 * The node table (node.h). Serves step 9: a process on a node opens a file.
 *
 * One hash table by node id; about 110 bytes a node, because a mount keeps a million of them
 * (design.md §7). The few inodes whose version was raised stand in a second table, by inode:
 *
 *   nodes:  id ──> struct node { ino, lookups, attributes, open state }
 *   raised: ino ──> present id, number of live nodes of this inode
 *
 * Whoever gets ESTALE comes back once, through a LOOKUP. So that nobody is sent away twice:
 *   - a version raised for a writer takes no passthrough for COME_BACK_NS;
 *   - readers raise a version at most once in COME_BACK_NS, else they join what is there;
 *   - a reader that comes with an older version may still join that, unless the file is being
 * written;
 *   - a writer that comes with an older version makes the present one fit before he is sent back.
 *
 * Invariants: a node lives while lookups > 0 or it is open. A raised entry lives while any node of
 * its inode does. The root is never forgotten.
 */
#include "fs/mount/node.h"

#include "core/auto.h"
#include "core/clock.h"

#include <string.h>
#include <uthash.h>

#define ID_RAISED     (1ull << 63)
#define ID_ROOT	      1u
#define BUCKETS_FIRST (1u << 12)
#define RECENT_COUNT  512u
#define COME_BACK_NS  100000000ull

struct open_state {
	uint32_t count, writers;
	const void *backing; /* NULL: ordinary */
	struct loam_attr attr;
};

struct node {
	struct node *next;
	struct open_state *open; /* NULL while closed */
	uint64_t id, ino, parent, lookups, asked_ns;
	uint64_t pages_length; /* of the content whose pages the kernel may hold */
	int64_t pages_seconds;
	uint32_t pages_nanoseconds;
	uint32_t uid, gid, access_acl, default_acl;
	uint16_t mode;
	uint8_t type;
	uint8_t flags;
	bool stale; /* changed since asked_ns in a way we have not seen */
};

struct raised {
	uint64_t ino, id;
	uint64_t raised_ns;
	uint64_t ordinary_until_ns; /* the present version takes no passthrough so long */
	size_t nodes;
	UT_hash_handle hh;
};

struct recent {
	uint64_t ino, asked_ns; /* ino 0: empty */
	struct loam_attr attr;
	bool stale;
};

struct loam_nodes {
	pthread_mutex_t lock;
	struct node **buckets;
	size_t bucket_count; /* a power of two */
	size_t count;
	struct raised *raised;
	uint64_t next_id;
	uint64_t root_ino;
	struct recent recent[RECENT_COUNT];
};

static size_t bucket_of(const struct loam_nodes *nodes, uint64_t id)
{
	return (id * 0x9E3779B97F4A7C15ull >> 32) & (nodes->bucket_count - 1);
}

static struct node *find(struct loam_nodes *nodes, uint64_t id)
{
	for (struct node *node = nodes->buckets[bucket_of(nodes, id)]; node; node = node->next) {
		if (node->id == id)
			return node;
	}
	return NULL;
}

static void grow(struct loam_nodes *nodes)
{
	size_t old_count = nodes->bucket_count;
	struct node **old = nodes->buckets;
	nodes->bucket_count = old_count * 2;
	nodes->buckets = loam_xcalloc(nodes->bucket_count, sizeof(*nodes->buckets));
	for (size_t i = 0; i < old_count; i++) {
		while (old[i]) {
			struct node *node = old[i];
			old[i] = node->next;
			struct node **bucket = &nodes->buckets[bucket_of(nodes, node->id)];
			node->next = *bucket;
			*bucket = node;
		}
	}
	free(old);
}

static struct raised *find_raised(struct loam_nodes *nodes, uint64_t ino)
{
	struct raised *entry = NULL;
	HASH_FIND(hh, nodes->raised, &ino, sizeof(ino), entry);
	return entry;
}

static uint64_t present_id(struct loam_nodes *nodes, uint64_t ino)
{
	if (ino == nodes->root_ino)
		return ID_ROOT;
	struct raised *entry = find_raised(nodes, ino);
	return entry ? entry->id : ino;
}

static struct node *add(struct loam_nodes *nodes, uint64_t id, uint64_t ino)
{
	if (nodes->count >= nodes->bucket_count)
		grow(nodes);
	struct node *node = loam_xnew(struct node);
	node->id = id;
	node->ino = ino;
	struct node **bucket = &nodes->buckets[bucket_of(nodes, id)];
	node->next = *bucket;
	*bucket = node;
	nodes->count++;
	struct raised *entry = find_raised(nodes, ino);
	if (entry)
		entry->nodes++;
	return node;
}

static void drop(struct loam_nodes *nodes, struct node *node)
{
	struct node **link = &nodes->buckets[bucket_of(nodes, node->id)];
	while (*link != node)
		link = &(*link)->next;
	*link = node->next;
	nodes->count--;
	struct raised *entry = find_raised(nodes, node->ino);
	if (entry && --entry->nodes == 0) {
		HASH_DEL(nodes->raised, entry);
		free(entry);
	}
	free(node->open);
	free(node);
}

static void drop_if_unused(struct loam_nodes *nodes, struct node *node)
{
	if (node->lookups == 0 && !node->open && node->id != ID_ROOT)
		drop(nodes, node);
}

static struct recent *recent_of(struct loam_nodes *nodes, uint64_t ino)
{
	return &nodes->recent[ino % RECENT_COUNT];
}

static void keep_recent(struct loam_nodes *nodes, uint64_t ino, const struct loam_attr *attr,
			uint64_t asked_ns)
{
	struct recent *recent = recent_of(nodes, ino);
	if (recent->ino != ino || asked_ns >= recent->asked_ns)
		*recent = (struct recent){ .ino = ino, .asked_ns = asked_ns, .attr = *attr };
}

static void store(struct node *node, const struct loam_attr *attr, uint64_t asked_ns)
{
	if (asked_ns < node->asked_ns)
		return;
	node->asked_ns = asked_ns;
	node->stale = false;
	node->uid = attr->uid;
	node->gid = attr->gid;
	node->access_acl = attr->access_acl;
	node->default_acl = attr->default_acl;
	node->mode = attr->mode;
	node->type = attr->type;
	node->flags = attr->flags;
	if (attr->parent != 0)
		node->parent = attr->parent;
	if (node->open)
		node->open->attr = *attr;
}

struct loam_nodes *loam_nodes_new(uint64_t root_ino)
{
	struct loam_nodes *nodes = loam_xnew(struct loam_nodes);
	pthread_mutex_init(&nodes->lock, NULL);
	nodes->bucket_count = BUCKETS_FIRST;
	nodes->buckets = loam_xcalloc(nodes->bucket_count, sizeof(*nodes->buckets));
	nodes->root_ino = root_ino;
	struct node *root = add(nodes, ID_ROOT, root_ino);
	root->lookups = 1;
	root->parent = root_ino;
	root->type = LOAM_TYPE_DIR;
	return nodes;
}

void loam_nodes_free(struct loam_nodes *nodes)
{
	if (!nodes)
		return;
	for (size_t i = 0; i < nodes->bucket_count; i++) {
		while (nodes->buckets[i])
			drop(nodes, nodes->buckets[i]);
	}
	struct raised *entry, *next;
	HASH_ITER (hh, nodes->raised, entry, next) {
		HASH_DEL(nodes->raised, entry);
		free(entry);
	}
	free(nodes->buckets);
	pthread_mutex_destroy(&nodes->lock);
	free(nodes);
}

size_t loam_nodes_count(struct loam_nodes *nodes)
{
	loam_guard(&nodes->lock);
	return nodes->count;
}

uint64_t loam_nodes_ref(struct loam_nodes *nodes, uint64_t ino, uint64_t parent,
			const struct loam_attr *attr, uint64_t asked_ns)
{
	loam_guard(&nodes->lock);
	uint64_t id = present_id(nodes, ino);
	struct node *node = find(nodes, id);
	if (!node)
		node = add(nodes, id, ino);
	node->lookups++;
	store(node, attr, asked_ns);
	keep_recent(nodes, ino, attr, asked_ns);
	if (id != ID_ROOT)
		node->parent = parent;
	return id;
}

void loam_nodes_forget(struct loam_nodes *nodes, uint64_t id, uint64_t count)
{
	loam_guard(&nodes->lock);
	struct node *node = find(nodes, id);
	if (!node || id == ID_ROOT)
		return;
	node->lookups -= count < node->lookups ? count : node->lookups;
	drop_if_unused(nodes, node);
}

static void describe(const struct node *node, struct loam_node_info *out)
{
	*out = (struct loam_node_info){
		.ino = node->ino,
		.parent = node->parent,
		.uid = node->uid,
		.gid = node->gid,
		.access_acl = node->access_acl,
		.default_acl = node->default_acl,
		.mode = node->mode,
		.type = node->type,
		.flags = node->flags,
		.asked_ns = node->stale ? 0 : node->asked_ns,
	};
}

bool loam_nodes_find(struct loam_nodes *nodes, uint64_t id, struct loam_node_info *out)
{
	loam_guard(&nodes->lock);
	struct node *node = find(nodes, id);
	if (!node)
		return false;
	describe(node, out);
	return true;
}

bool loam_nodes_peek(struct loam_nodes *nodes, uint64_t ino, struct loam_node_info *out)
{
	loam_guard(&nodes->lock);
	struct node *node = find(nodes, present_id(nodes, ino));
	if (!node)
		node = find(nodes, ino);
	if (!node || node->ino != ino)
		return false;
	describe(node, out);
	return true;
}

/* The versions of an inode that later requests will meet: the first and the present one. */
static size_t versions(struct loam_nodes *nodes, uint64_t ino, struct node *out[2])
{
	size_t count = 0;
	uint64_t id = present_id(nodes, ino);
	struct node *present = find(nodes, id);
	if (present)
		out[count++] = present;
	struct node *first = id == ino ? NULL : find(nodes, ino);
	if (first && first->ino == ino)
		out[count++] = first;
	return count;
}

void loam_nodes_saw(struct loam_nodes *nodes, uint64_t ino, const struct loam_attr *attr,
		    uint64_t asked_ns)
{
	loam_guard(&nodes->lock);
	struct node *found[2];
	size_t count = versions(nodes, ino, found);
	for (size_t i = 0; i < count; i++)
		store(found[i], attr, asked_ns);
	keep_recent(nodes, ino, attr, asked_ns);
}

bool loam_nodes_recent(struct loam_nodes *nodes, uint64_t ino, uint64_t max_age_ns,
		       struct loam_attr *out_attr)
{
	loam_guard(&nodes->lock);
	struct recent *recent = recent_of(nodes, ino);
	if (recent->ino != ino || recent->stale || recent->asked_ns + max_age_ns < loam_clock_ns())
		return false;
	*out_attr = recent->attr;
	return true;
}

bool loam_nodes_split(struct loam_nodes *nodes, uint64_t ino)
{
	loam_guard(&nodes->lock);
	const struct raised *entry = find_raised(nodes, ino);
	return entry && (entry->nodes > 1 || !find(nodes, entry->id));
}

void loam_nodes_changed(struct loam_nodes *nodes, uint64_t ino)
{
	loam_guard(&nodes->lock);
	struct node *found[2];
	size_t count = versions(nodes, ino, found);
	for (size_t i = 0; i < count; i++) {
		found[i]->asked_ns = loam_clock_ns();
		found[i]->stale = true;
	}
	struct recent *recent = recent_of(nodes, ino);
	if (recent->ino == ino) {
		recent->asked_ns = loam_clock_ns();
		recent->stale = true;
	}
}

static int raise_version(struct loam_nodes *nodes, uint64_t ino, bool for_ordinary,
			 struct loam_err *err)
{
	struct raised *entry = find_raised(nodes, ino);
	if (!entry) {
		entry = loam_xnew(struct raised);
		entry->ino = ino;
		entry->nodes = 1; /* the one that stands in the way */
		HASH_ADD(hh, nodes->raised, ino, sizeof(entry->ino), entry);
	}
	uint64_t now = loam_clock_ns();
	entry->id = ID_RAISED | ++nodes->next_id;
	entry->raised_ns = now;
	entry->ordinary_until_ns = for_ordinary ? now + COME_BACK_NS : 0;
	return loam_fail(err, LOAM_E_STALE, "inode %llu is open in another mode",
			 (unsigned long long)ino);
}

/* Decides on *backing for an open of the present version. */
static int fit_present(struct loam_nodes *nodes, const struct node *node, const void **backing,
		       struct loam_err *err)
{
	uint64_t now = loam_clock_ns();
	const struct raised *entry = find_raised(nodes, node->ino);
	if (entry && now < entry->ordinary_until_ns)
		*backing = NULL;
	const struct open_state *open = node->open;
	if (!open || open->backing == *backing)
		return 0;
	bool raised_lately = entry && now < entry->raised_ns + COME_BACK_NS;
	if (!open->backing && (open->writers > 0 || raised_lately)) {
		*backing = NULL;
		return 0;
	}
	return raise_version(nodes, node->ino, *backing == NULL, err);
}

/* The same for a version that has been raised between LOOKUP and OPEN. */
static int fit_older(struct loam_nodes *nodes, const struct node *node, const void **backing,
		     bool writes, struct loam_err *err)
{
	struct raised *entry = find_raised(nodes, node->ino);
	const struct node *present = find(nodes, entry->id);
	const struct open_state *now_open = present ? present->open : NULL;
	if (!writes && (!now_open || now_open->writers == 0)) {
		if (!node->open || node->open->backing == *backing)
			return 0;
		if (!node->open->backing) {
			*backing = NULL;
			return 0;
		}
	}
	if (writes && now_open && now_open->backing)
		return raise_version(nodes, node->ino, true, err);
	if (writes)
		entry->ordinary_until_ns = loam_clock_ns() + COME_BACK_NS;
	return loam_fail(err, LOAM_E_STALE, "inode %llu has a newer version",
			 (unsigned long long)node->ino);
}

int loam_nodes_open(struct loam_nodes *nodes, uint64_t id, const void **backing, bool writes,
		    const struct loam_attr *attr, bool *out_keep, struct loam_err *err)
{
	loam_guard(&nodes->lock);
	struct node *node = find(nodes, id);
	if (!node)
		return loam_fail(err, LOAM_E_STALE, "no node %llx", (unsigned long long)id);
	int rc = present_id(nodes, node->ino) == id ? fit_present(nodes, node, backing, err)
						    : fit_older(nodes, node, backing, writes, err);
	if (rc)
		return rc;

	if (!node->open) {
		node->open = loam_xnew(struct open_state);
		node->open->backing = *backing;
	}
	node->open->count++;
	node->open->writers += writes;
	node->open->attr = *attr;
	*out_keep = !*backing && node->pages_length == attr->length &&
		    node->pages_seconds == attr->mtime.tv_sec &&
		    node->pages_nanoseconds == (uint32_t)attr->mtime.tv_nsec;
	if (!*backing) {
		node->pages_length = attr->length;
		node->pages_seconds = attr->mtime.tv_sec;
		node->pages_nanoseconds = (uint32_t)attr->mtime.tv_nsec;
	}
	return 0;
}

void loam_nodes_close(struct loam_nodes *nodes, uint64_t id, bool writes)
{
	loam_guard(&nodes->lock);
	struct node *node = find(nodes, id);
	loam_assert(node && node->open && node->open->count > 0);
	node->open->writers -= writes;
	if (--node->open->count > 0)
		return;
	free(node->open);
	node->open = NULL;
	drop_if_unused(nodes, node);
}

bool loam_nodes_open_attr(struct loam_nodes *nodes, uint64_t id, uint64_t max_age_ns,
			  struct loam_attr *out_attr, uint64_t *out_asked_ns)
{
	loam_guard(&nodes->lock);
	struct node *node = find(nodes, id);
	if (!node || !node->open || node->stale || node->asked_ns + max_age_ns < loam_clock_ns())
		return false;
	*out_attr = node->open->attr;
	*out_asked_ns = node->asked_ns;
	return true;
}
