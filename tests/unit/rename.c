/*
 * rename: moves, replacements, exchanges, loops, hard links, and what each does to nlink and
 * parents. Every test ends with a recount of the volume.
 */
#include "core/auto.h"
#include "fs/meta/txn.h"
#include "tests/support/volume.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROOT (&loam_who_root)
static const struct loam_who alice = { .uid = 1000, .gid = 1000 };
static const struct loam_who bob = { .uid = 2000, .gid = 2000 };

static int move(struct loam_meta *meta, const struct loam_who *who, uint64_t from,
		const char *old_name, uint64_t to, const char *new_name, unsigned flags,
		struct loam_err *err)
{
	return loam_meta_rename(meta, who, from, loam_name_of(old_name), to, loam_name_of(new_name),
				flags, NULL, err);
}

/* /a /b directories, /a/f file, /a/d directory, /b/f file, /b/d directory */
struct tree {
	uint64_t a, b, af, ad, bf, bd;
};

static struct tree grow(struct loam_meta *meta)
{
	struct tree t;
	t.a = loam_test_make(meta, ROOT, 1, "a", LOAM_TYPE_DIR, 0777);
	t.b = loam_test_make(meta, ROOT, 1, "b", LOAM_TYPE_DIR, 0777);
	t.af = loam_test_make(meta, ROOT, t.a, "f", LOAM_TYPE_FILE, 0666);
	t.ad = loam_test_make(meta, ROOT, t.a, "d", LOAM_TYPE_DIR, 0777);
	t.bf = loam_test_make(meta, ROOT, t.b, "f", LOAM_TYPE_FILE, 0666);
	t.bd = loam_test_make(meta, ROOT, t.b, "d", LOAM_TYPE_DIR, 0777);
	return t;
}

static void files_and_directories_move(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	struct tree t = grow(meta);
	assert_ok(move(meta, ROOT, t.a, "f", t.a, "g", 0, &err));
	assert_int_equal(loam_test_find(meta, t.a, "g"), t.af);
	assert_int_equal(loam_test_find(meta, t.a, "f"), 0);
	assert_ok(move(meta, ROOT, t.a, "g", t.b, "g", 0, &err));
	assert_int_equal(loam_test_attr(meta, t.af).parent, t.b);
	assert_ok(move(meta, ROOT, t.a, "d", t.b, "e", 0, &err));
	assert_int_equal(loam_test_attr(meta, t.ad).parent, t.b);
	assert_int_equal(loam_test_attr(meta, t.a).nlink, 2);
	assert_int_equal(loam_test_attr(meta, t.b).nlink, 4);
	assert_code(move(meta, ROOT, t.a, "none", t.b, "x", 0, &err), LOAM_E_NOT_FOUND);
	assert_code(move(meta, ROOT, t.b, "g", t.af, "x", 0, &err), LOAM_E_NOT_DIR);
	assert_code(move(meta, ROOT, t.b, "g", 9999, "x", 0, &err), LOAM_E_NOT_FOUND);
	assert_code(move(meta, ROOT, t.b, "g", 1, ".trash", 0, &err), LOAM_E_NOT_PERMITTED);
}

static void a_target_is_replaced(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	struct tree t = grow(meta);
	struct loam_attr attr;
	assert_code(move(meta, ROOT, t.a, "f", t.b, "d", 0, &err), LOAM_E_IS_DIR);
	assert_code(move(meta, ROOT, t.a, "d", t.b, "f", 0, &err), LOAM_E_NOT_DIR);
	assert_code(move(meta, ROOT, t.a, "f", t.b, "f", LOAM_RENAME_NOREPLACE, &err),
		    LOAM_E_EXISTS);
	assert_ok(move(meta, ROOT, t.a, "f", t.b, "f", 0, &err));
	assert_code(loam_meta_getattr(meta, t.bf, &attr, &err), LOAM_E_NOT_FOUND);
	assert_ok(move(meta, ROOT, t.b, "f", t.b, "g", LOAM_RENAME_NOREPLACE, &err));
	loam_test_make(meta, ROOT, t.bd, "x", LOAM_TYPE_FILE, 0644);
	assert_code(move(meta, ROOT, t.a, "d", t.b, "d", 0, &err), LOAM_E_NOT_EMPTY);
	assert_ok(loam_meta_unlink(meta, ROOT, t.bd, loam_name_of("x"), NULL, &err));
	assert_ok(move(meta, ROOT, t.a, "d", t.b, "d", 0, &err));
	assert_int_equal(loam_test_attr(meta, t.b).nlink, 3);
	assert_int_equal(loam_test_find(meta, t.b, "d"), t.ad);
	assert_code(loam_meta_getattr(meta, t.bd, &attr, &err), LOAM_E_NOT_FOUND);
}

static void an_open_target_is_sustained(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	struct tree t = grow(meta);
	struct loam_attr attr;
	loam_meta_opened(meta, t.bf);
	assert_ok(move(meta, ROOT, t.a, "f", t.b, "f", 0, &err));
	assert_int_equal(loam_test_attr(meta, t.bf).nlink, 0);
	loam_test_check(world->store);
	loam_meta_released(meta, t.bf);
	assert_code(loam_meta_getattr(meta, t.bf, &attr, &err), LOAM_E_NOT_FOUND);
}

static void exchange_swaps_anything(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	struct tree t = grow(meta);
	loam_test_make(meta, ROOT, t.bd, "kept", LOAM_TYPE_FILE, 0644);
	unsigned swap = LOAM_RENAME_EXCHANGE;
	assert_code(move(meta, ROOT, t.a, "f", t.b, "none", swap, &err), LOAM_E_NOT_FOUND);
	assert_ok(move(meta, ROOT, t.a, "f", t.b, "d", swap, &err));
	assert_int_equal(loam_test_find(meta, t.b, "d"), t.af);
	assert_int_equal(loam_test_find(meta, t.a, "f"), t.bd);
	assert_int_equal(loam_test_attr(meta, t.bd).parent, t.a);
	assert_int_equal(loam_test_attr(meta, t.af).parent, t.b);
	assert_int_equal(loam_test_attr(meta, t.a).nlink, 4);
	assert_int_equal(loam_test_attr(meta, t.b).nlink, 2);
	loam_test_check(world->store);
	assert_ok(move(meta, ROOT, t.a, "d", t.a, "f", swap, &err));
	assert_int_equal(loam_test_find(meta, t.a, "d"), t.bd);
	assert_int_equal(loam_test_find(meta, t.a, "f"), t.ad);
	assert_int_equal(loam_test_attr(meta, t.a).nlink, 4);
	assert_ok(move(meta, ROOT, t.b, "d", t.b, "f", swap, &err));
	assert_int_equal(loam_test_find(meta, t.b, "f"), t.af);
	loam_test_check(world->store);

	/* hard links */
	struct loam_attr attr;
	assert_ok(loam_meta_link(meta, ROOT, t.af, t.a, loam_name_of("l"), &attr, &err));
	assert_ok(move(meta, ROOT, t.a, "l", t.b, "d", swap, &err));
	assert_int_equal(loam_test_attr(meta, t.bf).parent, t.a);
	assert_int_equal(loam_test_find(meta, t.b, "d"), t.af);
}

static void two_names_of_one_inode_stay(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	struct tree t = grow(meta);
	struct loam_attr attr;
	assert_ok(loam_meta_link(meta, ROOT, t.af, t.b, loam_name_of("l"), &attr, &err));
	assert_ok(move(meta, ROOT, t.a, "f", t.b, "l", 0, &err));
	assert_int_equal(loam_test_find(meta, t.a, "f"), t.af);
	assert_int_equal(loam_test_find(meta, t.b, "l"), t.af);
	assert_ok(move(meta, ROOT, t.a, "f", t.a, "f", 0, &err));
	assert_ok(move(meta, ROOT, t.a, "f", t.b, "f", 0, &err));
	assert_int_equal(loam_test_attr(meta, t.af).nlink, 2);
	loam_test_check(world->store);
	assert_ok(loam_meta_link(meta, ROOT, t.af, t.a, loam_name_of("k"), &attr, &err));
	assert_ok(move(meta, ROOT, t.b, "f", t.a, "k2", 0, &err));
	assert_int_equal(loam_test_attr(meta, t.af).nlink, 3);
}

static void a_directory_never_comes_below_itself(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	struct tree t = grow(meta);
	uint64_t deep = t.ad;
	for (int i = 0; i < 150; i++)
		deep = loam_test_make(meta, ROOT, deep, "d", LOAM_TYPE_DIR, 0777);
	assert_code(move(meta, ROOT, 1, "a", t.a, "x", 0, &err), LOAM_E_NOT_PERMITTED);
	assert_code(move(meta, ROOT, 1, "a", t.ad, "x", 0, &err), LOAM_E_NOT_PERMITTED);
	assert_code(move(meta, ROOT, 1, "a", deep, "x", 0, &err), LOAM_E_NOT_PERMITTED);
	assert_code(move(meta, ROOT, 1, "a", deep, "x", LOAM_RENAME_NOREPLACE, &err),
		    LOAM_E_NOT_PERMITTED);
	uint64_t leaf = loam_test_make(meta, ROOT, deep, "leaf", LOAM_TYPE_DIR, 0777);
	assert_code(move(meta, ROOT, deep, "leaf", 1, "a", LOAM_RENAME_EXCHANGE, &err),
		    LOAM_E_NOT_PERMITTED);
	assert_code(move(meta, ROOT, 1, "a", deep, "leaf", LOAM_RENAME_EXCHANGE, &err),
		    LOAM_E_NOT_PERMITTED);
	assert_code(move(meta, ROOT, deep, "leaf", 1, "a", 0, &err), LOAM_E_NOT_EMPTY);
	assert_ok(move(meta, ROOT, 1, "b", deep, "b", 0, &err));
	assert_ok(move(meta, ROOT, deep, "leaf", 1, "leaf", 0, &err));
	assert_int_equal(loam_test_attr(meta, leaf).parent, 1);
}

struct mover {
	struct loam_meta *meta;
	uint64_t from, to;
	const char *name;
	int rc;
};

static void *run_mover(void *arg)
{
	struct mover *m = arg;
	struct loam_err err = { 0 };
	m->rc = move(m->meta, ROOT, 1, m->name, m->to, "in", 0, &err);
	return NULL;
}

/* a into b and b into a at once: one of them must fail, or both would be lost. */
static void two_movers_build_no_loop(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *other = loam_test_open(world->store);
	for (int round = 0; round < 50; round++) {
		uint64_t a = loam_test_make(world->meta, ROOT, 1, "a", LOAM_TYPE_DIR, 0777);
		uint64_t b = loam_test_make(other, ROOT, 1, "b", LOAM_TYPE_DIR, 0777);
		uint64_t b_deep = loam_test_make(other, ROOT, b, "deep", LOAM_TYPE_DIR, 0777);
		struct mover movers[2] = { { .meta = world->meta, .to = b_deep, .name = "a" },
					   { .meta = other, .to = a, .name = "b" } };
		pthread_t threads[2];
		for (int i = 0; i < 2; i++)
			pthread_create(&threads[i], NULL, run_mover, &movers[i]);
		for (int i = 0; i < 2; i++)
			pthread_join(threads[i], NULL);
		assert_int_equal((movers[0].rc == 0) + (movers[1].rc == 0), 1);
		loam_test_check(world->store);
		uint64_t inner = movers[0].rc == 0 ? b_deep : a;
		if (movers[0].rc == 0) {
			assert_ok(loam_meta_rmdir(other, ROOT, inner, loam_name_of("in"), &err));
		} else {
			assert_ok(loam_meta_rmdir(other, ROOT, b, loam_name_of("deep"), &err));
			assert_ok(loam_meta_rmdir(other, ROOT, a, loam_name_of("in"), &err));
			assert_ok(loam_meta_rmdir(other, ROOT, 1, loam_name_of("a"), &err));
			continue;
		}
		assert_ok(loam_meta_rmdir(other, ROOT, b, loam_name_of("deep"), &err));
		assert_ok(loam_meta_rmdir(other, ROOT, 1, loam_name_of("b"), &err));
	}
	loam_meta_close(other);
}

static void sticky_and_locked_are_respected(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	uint64_t tmp = loam_test_make(meta, ROOT, 1, "tmp", LOAM_TYPE_DIR, 01777);
	uint64_t out = loam_test_make(meta, ROOT, 1, "out", LOAM_TYPE_DIR, 0777);
	loam_test_make(meta, &alice, tmp, "hers", LOAM_TYPE_FILE, 0666);
	loam_test_make(meta, &bob, tmp, "his", LOAM_TYPE_FILE, 0666);
	loam_test_make(meta, &bob, out, "new", LOAM_TYPE_FILE, 0666);
	assert_code(move(meta, &bob, tmp, "hers", out, "x", 0, &err), LOAM_E_DENIED);
	assert_code(move(meta, &bob, tmp, "his", tmp, "hers", 0, &err), LOAM_E_DENIED);
	assert_code(move(meta, &bob, out, "new", tmp, "hers", 0, &err), LOAM_E_DENIED);
	assert_code(move(meta, &bob, tmp, "his", tmp, "hers", LOAM_RENAME_EXCHANGE, &err),
		    LOAM_E_DENIED);
	assert_ok(move(meta, &bob, tmp, "his", out, "x", 0, &err));
	assert_ok(move(meta, &bob, out, "new", tmp, "his", 0, &err));

	struct loam_attr values = { .flags = LOAM_FLAG_IMMUTABLE }, attr;
	assert_ok(loam_meta_setattr(meta, ROOT, out, LOAM_SET_FLAGS, &values, &attr, &err));
	assert_code(move(meta, ROOT, tmp, "his", out, "y", 0, &err), LOAM_E_NOT_PERMITTED);
	assert_code(move(meta, ROOT, out, "x", tmp, "y", 0, &err), LOAM_E_NOT_PERMITTED);
	assert_code(move(meta, ROOT, tmp, "his", tmp, "hers", 4, &err), LOAM_E_UNSUPPORTED);
	assert_code(move(meta, ROOT, tmp, "his", tmp, "hers", 3, &err), LOAM_E_INVALID);
	assert_code(move(meta, ROOT, tmp, "his", tmp, "hers", 64, &err), LOAM_E_INVALID);
}

static bool later(struct timespec a, struct timespec b)
{
	return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

static void times_follow(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	struct tree t = grow(meta);
	struct loam_attr file = loam_test_attr(meta, t.af), a = loam_test_attr(meta, t.a);
	struct loam_attr b = loam_test_attr(meta, t.b), linked;
	assert_ok(move(meta, ROOT, t.a, "f", t.b, "x", 0, &err));
	assert_true(later(loam_test_attr(meta, t.af).ctime, file.ctime));
	assert_false(later(loam_test_attr(meta, t.af).mtime, file.mtime));
	assert_true(later(loam_test_attr(meta, t.a).mtime, a.mtime));
	assert_true(later(loam_test_attr(meta, t.b).ctime, b.ctime));
	file = loam_test_attr(meta, t.af);
	assert_ok(loam_meta_link(meta, ROOT, t.af, t.a, loam_name_of("l"), &linked, &err));
	assert_true(later(linked.ctime, file.ctime));
	struct loam_attr before = linked;
	assert_ok(loam_meta_setxattr(meta, ROOT, t.af, "user.a", "b", 1, 0, &err));
	assert_false(later(loam_test_attr(meta, t.af).ctime, before.ctime));
}

#define test(function) \
	cmocka_unit_test_setup_teardown(function, loam_test_world_open, loam_test_world_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(files_and_directories_move),
		test(a_target_is_replaced),
		test(an_open_target_is_sustained),
		test(exchange_swaps_anything),
		test(two_names_of_one_inode_stay),
		test(a_directory_never_comes_below_itself),
		test(two_movers_build_no_loop),
		test(sticky_and_locked_are_respected),
		test(times_follow),
	};
	return loam_test_world_run(tests, LOAM_ARRAY_COUNT(tests));
}
