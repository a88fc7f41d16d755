/*
 * The node table and the gate's decision, without a kernel. Names are sentences.
 */
#include "core/auto.h"
#include "core/clock.h"
#include "fs/mount/gate.h"
#include "fs/mount/node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct loam_attr file_attr = {
	.type = LOAM_TYPE_FILE, .mode = 0444, .uid = 7, .length = 10, .mtime = { 100, 5 }
};

static void a_node_lives_while_the_kernel_holds_it(void **state)
{
	struct loam_nodes *nodes = loam_nodes_new(1);
	struct loam_node_info info;
	assert_int_equal(loam_nodes_ref(nodes, 50, 1, &file_attr, 1), 50);
	assert_int_equal(loam_nodes_ref(nodes, 50, 1, &file_attr, 1), 50);
	loam_nodes_forget(nodes, 50, 1);
	assert_true(loam_nodes_find(nodes, 50, &info));
	assert_int_equal(info.ino, 50);
	assert_int_equal(info.parent, 1);
	loam_nodes_forget(nodes, 50, 99); /* more than there were: no harm */
	assert_false(loam_nodes_find(nodes, 50, &info));
	loam_nodes_forget(nodes, 1, 99); /* the root stays */
	assert_true(loam_nodes_find(nodes, 1, &info));
	assert_int_equal(loam_nodes_count(nodes), 1);
	loam_nodes_free(nodes);
}

static void a_hundred_thousand_nodes_are_found_again(void **state)
{
	struct loam_nodes *nodes = loam_nodes_new(1);
	struct loam_node_info info;
	for (uint64_t ino = 2; ino < 100000; ino++)
		assert_int_equal(loam_nodes_ref(nodes, ino, 1, &file_attr, 1), ino);
	for (uint64_t ino = 2; ino < 100000; ino++) {
		assert_true(loam_nodes_find(nodes, ino, &info));
		assert_int_equal(info.ino, ino);
		if (ino % 3 == 0)
			loam_nodes_forget(nodes, ino, 1);
	}
	for (uint64_t ino = 2; ino < 100000; ino++)
		assert_int_equal(loam_nodes_peek(nodes, ino, &info), ino % 3 != 0);
	loam_nodes_free(nodes);
}

static int open_as(struct loam_nodes *nodes, uint64_t id, const void *backing, bool writes,
		   bool *out_passthrough)
{
	struct loam_err err = { 0 };
	bool keep;
	int rc = loam_nodes_open(nodes, id, &backing, writes, &file_attr, &keep, &err);
	*out_passthrough = backing != NULL;
	return rc;
}

static void an_open_in_another_mode_gets_a_fresh_node(void **state)
{
	struct loam_nodes *nodes = loam_nodes_new(1);
	bool passed;
	int one, two; /* two contents */
	uint64_t first = loam_nodes_ref(nodes, 50, 1, &file_attr, 1);
	assert_int_equal(open_as(nodes, first, &one, false, &passed), 0);
	assert_int_equal(open_as(nodes, first, &one, false, &passed), 0);
	assert_true(passed);
	assert_int_equal(open_as(nodes, first, NULL, true, &passed), -LOAM_E_STALE);
	assert_true(loam_nodes_split(nodes, 50));
	uint64_t second = loam_nodes_ref(nodes, 50, 1, &file_attr, 1);
	assert_true(second != first);
	assert_true(loam_nodes_split(nodes, 50));
	assert_false(loam_nodes_split(nodes, 51));
	struct loam_node_info info;
	assert_true(loam_nodes_find(nodes, second, &info));
	assert_int_equal(info.ino, 50);
	/* the writer comes back to a node that no reader has taken for passthrough meanwhile */
	assert_int_equal(open_as(nodes, second, &one, false, &passed), 0);
	assert_false(passed);
	assert_int_equal(open_as(nodes, second, NULL, true, &passed), 0);
	/* the old node takes no more opens while the file is written */
	assert_int_equal(open_as(nodes, first, &one, false, &passed), -LOAM_E_STALE);
	/* while the file is written, readers join */
	loam_clock_sleep_ms(150);
	assert_int_equal(open_as(nodes, second, &two, false, &passed), 0);
	assert_false(passed);
	loam_nodes_close(nodes, second, true);
	/* afterwards a reader of the complete file gets a node for passthrough */
	assert_int_equal(open_as(nodes, second, &two, false, &passed), -LOAM_E_STALE);
	uint64_t third = loam_nodes_ref(nodes, 50, 1, &file_attr, 1);
	assert_true(third != second && third != first);
	assert_int_equal(open_as(nodes, third, &two, false, &passed), 0);
	assert_true(passed);

	loam_nodes_close(nodes, first, false);
	loam_nodes_close(nodes, first, false);
	loam_nodes_close(nodes, second, false);
	loam_nodes_close(nodes, second, false);
	loam_nodes_close(nodes, third, false);
	loam_nodes_forget(nodes, first, 1);
	loam_nodes_forget(nodes, second, 1);
	assert_false(loam_nodes_split(nodes, 50)); /* only the present one is left */
	loam_nodes_forget(nodes, third, 1);
	assert_int_equal(loam_nodes_count(nodes), 1);
	/* all forgotten: the inode begins again with its own number */
	assert_int_equal(loam_nodes_ref(nodes, 50, 1, &file_attr, 1), 50);
	loam_nodes_free(nodes);
}

static void a_race_between_lookup_and_open_ends_at_the_second_try(void **state)
{
	struct loam_nodes *nodes = loam_nodes_new(1);
	bool passed;
	int one;
	/* an ordinary reader; then the file is complete and the next reader gets a new version */
	uint64_t first = loam_nodes_ref(nodes, 50, 1, &file_attr, 1);
	assert_int_equal(open_as(nodes, first, NULL, false, &passed), 0);
	assert_int_equal(open_as(nodes, first, &one, false, &passed), -LOAM_E_STALE);
	uint64_t second = loam_nodes_ref(nodes, 50, 1, &file_attr, 1);
	assert_int_equal(open_as(nodes, second, &one, false, &passed), 0);
	assert_true(passed);
	/* a reader with the older version joins it */
	assert_int_equal(open_as(nodes, first, &one, false, &passed), 0);
	assert_false(passed);
	/* a writer with it comes back to a version that fits */
	assert_int_equal(open_as(nodes, first, NULL, true, &passed), -LOAM_E_STALE);
	uint64_t third = loam_nodes_ref(nodes, 50, 1, &file_attr, 1);
	assert_true(third != second);
	assert_int_equal(open_as(nodes, third, NULL, true, &passed), 0);
	loam_nodes_close(nodes, third, true);
	/* so soon after it readers do not raise again */
	assert_int_equal(open_as(nodes, third, NULL, false, &passed), 0);
	assert_int_equal(open_as(nodes, third, &one, false, &passed), 0);
	assert_false(passed);
	loam_nodes_free(nodes);
}

static bool opens_and_keeps(struct loam_nodes *nodes, uint64_t id, const struct loam_attr *attr)
{
	struct loam_err err = { 0 };
	const void *backing = NULL;
	bool keep = false;
	assert_int_equal(loam_nodes_open(nodes, id, &backing, false, attr, &keep, &err), 0);
	loam_nodes_close(nodes, id, false);
	return keep;
}

static void pages_are_kept_while_length_and_time_agree(void **state)
{
	struct loam_nodes *nodes = loam_nodes_new(1);
	struct loam_attr attr = file_attr;
	uint64_t id = loam_nodes_ref(nodes, 50, 1, &attr, 1);
	assert_false(opens_and_keeps(nodes, id, &attr));
	assert_true(opens_and_keeps(nodes, id, &attr));
	attr.mtime.tv_nsec++;
	assert_false(opens_and_keeps(nodes, id, &attr));
	attr.length++;
	assert_false(opens_and_keeps(nodes, id, &attr));
	assert_true(opens_and_keeps(nodes, id, &attr));
	loam_nodes_free(nodes);
}

static void an_old_answer_does_not_undo_a_newer_one(void **state)
{
	struct loam_nodes *nodes = loam_nodes_new(1);
	struct loam_attr newer = file_attr;
	struct loam_node_info info;
	newer.access_acl = 3;
	uint64_t now = loam_clock_ns();
	loam_nodes_ref(nodes, 50, 1, &file_attr, now);
	loam_nodes_saw(nodes, 50, &newer, now + 10);
	loam_nodes_saw(nodes, 50, &file_attr, now + 5);
	assert_true(loam_nodes_peek(nodes, 50, &info));
	assert_int_equal(info.access_acl, 3);
	struct loam_attr recent;
	assert_true(loam_nodes_recent(nodes, 50, 1000000000, &recent));
	assert_int_equal(recent.access_acl, 3);
	/* a change of ours: nothing that was asked for before it counts */
	loam_nodes_changed(nodes, 50);
	assert_false(loam_nodes_recent(nodes, 50, 1000000000, &recent));
	assert_true(loam_nodes_peek(nodes, 50, &info));
	assert_int_equal(info.asked_ns, 0);
	loam_nodes_saw(nodes, 50, &file_attr, now + 20);
	assert_false(loam_nodes_recent(nodes, 50, 1000000000, &recent));
	loam_nodes_saw(nodes, 50, &file_attr, loam_clock_ns());
	assert_true(loam_nodes_recent(nodes, 50, 1000000000, &recent));
	loam_nodes_free(nodes);
}

/* ---- the gate's decision --------------------------------------------------------------------- */

static uint16_t perm(unsigned *seed)
{
	return (uint16_t)(rand_r(seed) % 8);
}

static void the_gate_asks_for_groups_only_when_they_decide(void **state)
{
	enum { OWNER = 1, OWNER_GROUP = 10, GROUPS = 6 };
	unsigned seed = 42, asked = 0;
	for (unsigned round = 0; round < 20000; round++) {
		struct loam_acl_entry users[2] = { { 2, perm(&seed) }, { 3, perm(&seed) } };
		struct loam_acl_entry groups[2] = { { 11, perm(&seed) }, { 12, perm(&seed) } };
		struct loam_acl acl = { .owner = perm(&seed),
					.group = perm(&seed),
					.mask = perm(&seed),
					.other = perm(&seed),
					.users = users,
					.groups = groups,
					.user_count = (uint32_t)(rand_r(&seed) % 3),
					.group_count = (uint32_t)(rand_r(&seed) % 3) };
		uint32_t uid = 1 + (uint32_t)rand_r(&seed) % 4;
		uint32_t gid = OWNER_GROUP + (uint32_t)rand_r(&seed) % 5;
		enum loam_gate_answer answer =
			loam_gate_decide(&acl, OWNER, OWNER_GROUP, uid, gid, 1);
		asked += answer == LOAM_GATE_ASK_GROUPS;
		for (unsigned set = 0; set < 1u << GROUPS && answer != LOAM_GATE_ASK_GROUPS;
		     set++) {
			uint32_t list[GROUPS + 1] = { gid };
			size_t count = 1;
			for (unsigned i = 0; i < GROUPS; i++) {
				if (set >> i & 1)
					list[count++] = OWNER_GROUP + i;
			}
			bool allowed = loam_acl_allows(&acl, OWNER, OWNER_GROUP, uid, list, count,
						       1, true);
			assert_int_equal(answer, allowed ? LOAM_GATE_ALLOW : LOAM_GATE_DENY);
		}
	}
	assert_in_range(asked, 1, 15000);
}

static void a_gates_mask_never_writes(void **state)
{
	struct loam_acl acl;
	loam_acl_init(&acl);
	acl.owner = 7;
	acl.group = 7;
	acl.mask = 7;
	acl.other = 7;
	loam_gate_mask_acl(&acl);
	assert_int_equal(acl.owner, 7);
	assert_int_equal(acl.group, 7);
	assert_int_equal(acl.mask, 5);
	assert_int_equal(acl.other, 5);
	acl.mask = LOAM_ACL_ABSENT;
	loam_gate_mask_acl(&acl);
	assert_int_equal(acl.group, 5);
	assert_int_equal(loam_gate_mask_mode(02777), 02755);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_node_lives_while_the_kernel_holds_it),
		cmocka_unit_test(a_hundred_thousand_nodes_are_found_again),
		cmocka_unit_test(an_open_in_another_mode_gets_a_fresh_node),
		cmocka_unit_test(a_race_between_lookup_and_open_ends_at_the_second_try),
		cmocka_unit_test(pages_are_kept_while_length_and_time_agree),
		cmocka_unit_test(an_old_answer_does_not_undo_a_newer_one),
		cmocka_unit_test(the_gate_asks_for_groups_only_when_they_decide),
		cmocka_unit_test(a_gates_mask_never_writes),
	};
	return cmocka_run_group_tests_name("mount_node", tests, NULL, NULL);
}
