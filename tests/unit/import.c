/*
 * auth/import: the three formats, read into one list.
 */
#include "auth/import.h"

#include "core/auto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void fill(struct loam_buf *buf, const char *text)
{
	struct loam_err err = { 0 };
	loam_buf_init(buf, LOAM_IMPORT_BYTES_MAX);
	assert_int_equal(loam_buf_add_text(buf, text, &err), 0);
}

static const struct loam_import_entry *user(const struct loam_import *import, const char *name)
{
	const struct loam_import_entry *found = loam_import_user(import, name);
	assert_non_null(found);
	return found;
}

static void assert_members(const struct loam_import *import, const char *group, const char *names)
{
	const struct loam_import_entry *found = loam_import_group(import, group);
	char joined[256] = "";
	assert_non_null(found);
	for (size_t i = 0; i < found->members.count; i++)
		snprintf(joined + strlen(joined), sizeof(joined) - strlen(joined), "%s%s",
			 i ? " " : "", found->members.at[i]);
	assert_string_equal(joined, names);
}

static void csv_has_quotes_and_any_columns(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf text = { 0 };
	struct loam_import *import = loam_import_new();
	fill(&text, "\xef\xbb\xbfmail,NAME,Groups,uid,disabled\r\n"
		    "\"a, b\nc\",ann,\"x,y;z w\",30001,YES\r\n"
		    ",\"b\"\"ob\",,,no\n"
		    "\n"
		    "only mail\n"
		    ",cy,x,1x");
	assert_int_equal(loam_import_csv(&text, import, &err), 0);
	assert_int_equal(import->user_count, 4);
	assert_int_equal(user(import, "ann")->number, 30001);
	assert_true(user(import, "ann")->disabled);
	assert_int_equal(user(import, "ann")->line, 2);
	assert_int_equal(user(import, "b\"ob")->number, 0);
	assert_int_equal(user(import, "b\"ob")->line, 4);
	assert_false(user(import, "b\"ob")->disabled);
	assert_int_equal(user(import, "")->line, 6);
	assert_string_not_equal(user(import, "cy")->trouble, "");
	assert_members(import, "x", "ann cy");
	assert_members(import, "w", "ann");
	assert_int_equal(import->group_count, 4);
	loam_import_free(import);
}

static void what_is_no_csv_is_refused(void **state)
{
	static const char *const texts[] = { "", "nam,uid\nann,1\n", "name\n\"a", "uid\n5\n" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(texts); i++) {
		struct loam_err err = { 0 };
		loam_auto_buf struct loam_buf text = { 0 };
		struct loam_import *import = loam_import_new();
		fill(&text, texts[i]);
		assert_int_equal(loam_import_csv(&text, import, &err), -LOAM_E_INVALID);
		loam_import_free(import);
	}
}

static void a_host_brings_people_and_not_its_system(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf passwd = { 0 }, shadow = { 0 }, group = { 0 };
	struct loam_import *import = loam_import_new();
	fill(&passwd, "root:x:0:0:root:/root:/bin/sh\ndaemon:x:999:999::/:/bin/false\n"
		      "nobody:x:65534:65534::/:/bin/false\n# c\n+::::::\nbroken\n"
		      "ann:x:1000:1000:Ann:/home/ann:/bin/sh\nbob:x:1001:5000::/:/bin/sh\n"
		      "cy:x:many:1002::/:/bin/sh\n");
	fill(&shadow,
	     "root:$y$root:1::::::\nann:HASH:1::::::\nbob:!:1::::5::\ncy:*:1:::::20000:\n");
	fill(&group, "root:x:0:ann\nann:x:1000:\nshared:x:5000:ann\nnogroup:x:65534:\n");
	assert_int_equal(loam_import_passwd(&passwd, &shadow, &group, 20000, import, &err), 0);
	assert_int_equal(import->user_count, 3);
	assert_string_equal(user(import, "ann")->hash, "HASH");
	assert_int_equal(user(import, "bob")->number, 1001);
	assert_false(user(import, "bob")->disabled);
	assert_true(user(import, "cy")->disabled);
	assert_string_not_equal(user(import, "cy")->trouble, "");
	assert_int_equal(import->group_count, 1);
	assert_members(import, "shared", "ann bob");
	loam_import_free(import);
}

static void ldif_is_unfolded_and_decoded(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf text = { 0 };
	struct loam_import *import = loam_import_new();
	fill(&text,
	     "version: 1\r\n\r\ndn: uid=ann\r\nOBJECTCLASS: posixAccount\r\nuid:: YW5u\r\n"
	     "uid: second\r\nuidNumber: 30\r\n 001\r\nuserPassword: {SSHA}xyz\r\n"
	     "userPassword:: e0NSWVBUfUhBU0g=\r\nuid;lang-de: other\r\nx:< file:///etc/shadow\r\n"
	     "# a comment\r\n  that goes on\r\n\r\n\r\n"
	     "dn: cn=lab\nobjectClass: posixGroup\ncn: lab\ngidNumber: 5000\nmemberUid: ann\n"
	     "memberUid: ann\n\ndn: ou=x\nobjectClass: organizationalUnit\nou: x\n\n"
	     "dn: uid=gone\nchangetype: delete\nobjectClass: posixAccount\nuid: gone");
	assert_int_equal(loam_import_ldif(&text, import, &err), 0);
	assert_int_equal(import->user_count, 2);
	assert_int_equal(user(import, "ann")->number, 30001);
	assert_string_equal(user(import, "ann")->hash, "HASH");
	assert_int_equal(user(import, "ann")->line, 3);
	assert_string_not_equal(user(import, "gone")->trouble, "");
	assert_members(import, "lab", "ann");
	assert_int_equal(loam_import_group(import, "lab")->number, 5000);
	loam_import_free(import);
}

static void damaged_ldif_names_its_line(void **state)
{
	static const char *const texts[] = { "dn: x\nno colon\n", "dn: x\nuid:: not base64!\n",
					     "dn: x\nuid:: AGE=\n" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(texts); i++) {
		struct loam_err err = { 0 };
		loam_auto_buf struct loam_buf text = { 0 };
		struct loam_import *import = loam_import_new();
		fill(&text, texts[i]);
		assert_int_equal(loam_import_ldif(&text, import, &err), -LOAM_E_INVALID);
		assert_non_null(strstr(err.text, "line 2"));
		loam_import_free(import);
	}
}

static void a_list_has_an_end(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf text = { 0 };
	struct loam_import *import = loam_import_new();
	fill(&text, "name\n");
	for (int i = 0; i < LOAM_IMPORT_ENTRIES_MAX; i++)
		assert_int_equal(loam_buf_printf(&text, &err, "u%d\n", i), 0);
	assert_int_equal(loam_import_csv(&text, import, &err), 0);
	loam_import_free(import);
	import = loam_import_new();
	assert_int_equal(loam_buf_add_text(&text, "onemore\n", &err), 0);
	assert_int_equal(loam_import_csv(&text, import, &err), -LOAM_E_TOO_LARGE);
	loam_import_free(import);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(csv_has_quotes_and_any_columns),
		cmocka_unit_test(what_is_no_csv_is_refused),
		cmocka_unit_test(a_host_brings_people_and_not_its_system),
		cmocka_unit_test(ldif_is_unfolded_and_decoded),
		cmocka_unit_test(damaged_ldif_names_its_line),
		cmocka_unit_test(a_list_has_an_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
