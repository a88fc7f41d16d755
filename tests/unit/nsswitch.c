/*
 * auth/nsswitch: the service goes in and comes out, everything else stays byte for byte.
 */
#include "auth/nsswitch.h"

#include "core/auto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void fill(struct loam_buf *buf, const char *text)
{
	struct loam_err err = { 0 };
	loam_buf_init(buf, LOAM_NSSWITCH_BYTES_MAX);
	assert_int_equal(loam_buf_add_text(buf, text, &err), 0);
}

struct pair {
	const char *before, *after;
};

static const struct pair pairs[] = {
	{ "passwd: files\ngroup: files\nshadow: files\n",
	  "passwd: files extrausers\ngroup: files extrausers\nshadow: files extrausers\n" },
	/* Debian's, with what must stay */
	{ "# mine\n\npasswd:         files systemd\ngroup:\tfiles systemd # why\nshadow: files\n"
	  "hosts: files dns\n",
	  "# mine\n\npasswd:         files extrausers systemd\n"
	  "group:\tfiles extrausers systemd # why\n"
	  "shadow: files extrausers\nhosts: files dns\n" },
	/* an action belongs to what stood before it, and says when not to go on to sss */
	{ "passwd: files [NOTFOUND=return] sss\ngroup: files[NOTFOUND=return]sss\nshadow: sss\n",
	  "passwd: files extrausers [NOTFOUND=return] sss\n"
	  "group: files extrausers[NOTFOUND=return]sss\nshadow: sss extrausers\n" },
	/* compat, blanks at the end, no newline at the end, initgroups where it is */
	{ "passwd: compat  \ngroup: compat\nshadow:compat\n initgroups : files sss\n#passwd: x\n"
	  "netgroup: nis",
	  "passwd: compat extrausers  \ngroup: compat extrausers\nshadow:compat extrausers\n"
	  " initgroups : files extrausers sss\n#passwd: x\nnetgroup: nis" },
	/* lines that are missing */
	{ "", "passwd: files extrausers\ngroup: files extrausers\nshadow: files extrausers\n" },
	{ "group: files", "group: files extrausers\npasswd: files extrausers\nshadow: files "
			  "extrausers\n" },
};

static void the_word_goes_behind_files(void **state)
{
	struct loam_err err = { 0 };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(pairs); i++) {
		loam_auto_buf struct loam_buf before = { 0 };
		loam_auto_buf struct loam_buf after = LOAM_BUF(LOAM_NSSWITCH_BYTES_MAX);
		loam_auto_buf struct loam_buf again = LOAM_BUF(LOAM_NSSWITCH_BYTES_MAX);
		fill(&before, pairs[i].before);
		assert_int_equal(loam_nsswitch_add(&before, &after, &err), 0);
		assert_string_equal(loam_buf_text(&after), pairs[i].after);
		/* once is enough */
		assert_int_equal(loam_nsswitch_add(&after, &again, &err), 0);
		assert_string_equal(loam_buf_text(&again), pairs[i].after);
	}
}

static void it_is_taken_out_of_what_others_have_changed(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf before = { 0 }, now = { 0 };
	loam_auto_buf struct loam_buf out = LOAM_BUF(LOAM_NSSWITCH_BYTES_MAX);
	fill(&before, "passwd: files\ngroup: files extrausers\nshadow: files\nhosts: files dns\n");
	fill(&now, "passwd: files   extrausers sss # new\ngroup: files extrausers\n"
		   "shadow: extrausers\nhosts: files\n# extrausers\n");
	assert_int_equal(loam_nsswitch_remove(&now, &before, &out, &err), 0);
	/* the line that had it before we came keeps it */
	assert_string_equal(loam_buf_text(&out),
			    "passwd: files sss # new\ngroup: files extrausers\nshadow:\n"
			    "hosts: files\n# extrausers\n");
}

/* Any bytes: nothing is lost but the word, and what was added comes out again. */
static void random_texts_come_back(void **state)
{
	static const char *const words[] = {
		"passwd:", "group:", "shadow:", "initgroups:", "files",	 "compat", "systemd",
		"[A=b]",   "[",	     "]",	"#",	       " ",	 "\t",	   "\n",
		"\n",	   ":",	     "sss",	"\xff\xfe",    "hosts:", "  "
	};
	uint64_t seed = 20261126;
	for (int round = 0; round < 20000; round++) {
		struct loam_err err = { 0 };
		loam_auto_buf struct loam_buf before = LOAM_BUF(LOAM_NSSWITCH_BYTES_MAX);
		loam_auto_buf struct loam_buf after = LOAM_BUF(LOAM_NSSWITCH_BYTES_MAX);
		loam_auto_buf struct loam_buf again = LOAM_BUF(LOAM_NSSWITCH_BYTES_MAX);
		for (int i = 0; i < 24; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			loam_buf_add_text(&before, words[(seed >> 33) % LOAM_ARRAY_COUNT(words)],
					  &err);
		}
		assert_int_equal(loam_nsswitch_add(&before, &after, &err), 0);
		assert_true(after.bytes >= before.bytes);
		assert_int_equal(loam_nsswitch_add(&after, &again, &err), 0);
		assert_string_equal(loam_buf_text(&again), loam_buf_text(&after));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_word_goes_behind_files),
		cmocka_unit_test(it_is_taken_out_of_what_others_have_changed),
		cmocka_unit_test(random_texts_come_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
