/*
 * auth/account: what damaged account files do to the account in the damaged line, and not to
 * others (reliability.md meta-6).
 */
#include "auth/account.h"

#include "auth/auth.h"
#include "core/auto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define TODAY 20000
#define ALICE "alice:x:20001:20001::/users/alice:/bin/bash\n"
#define BOB   "bob:x:20002:20002::/users/bob:/bin/bash\n"
#define IN    "alice:$y$a:1:0:99999:7:::\nbob:$y$b:1:0:99999:7:::\n"

static struct loam_accounts *parse_all(const char *passwd, size_t passwd_bytes, const char *group,
				       const char *gshadow, const char *shadow, const char *tokens)
{
	struct loam_err err = { 0 };
	struct loam_buf texts[LOAM_ACCOUNT_FILES];
	for (size_t i = 0; i < LOAM_ACCOUNT_FILES; i++)
		loam_buf_init(&texts[i], 4u << 20);
	assert_int_equal(loam_buf_add(&texts[LOAM_FILE_PASSWD], passwd, passwd_bytes, &err), 0);
	assert_int_equal(loam_buf_add_text(&texts[LOAM_FILE_GROUP], group, &err), 0);
	assert_int_equal(loam_buf_add_text(&texts[LOAM_FILE_SHADOW], shadow, &err), 0);
	assert_int_equal(loam_buf_add_text(&texts[LOAM_FILE_GSHADOW], gshadow, &err), 0);
	assert_int_equal(loam_buf_add_text(&texts[LOAM_FILE_TOKENS], tokens, &err), 0);
	struct loam_accounts *accounts = loam_accounts_parse(texts, TODAY);
	for (size_t i = 0; i < LOAM_ACCOUNT_FILES; i++)
		loam_buf_release(&texts[i]);
	return accounts;
}

static struct loam_accounts *parse_bytes(const char *passwd, size_t passwd_bytes, const char *group,
					 const char *shadow, const char *tokens)
{
	return parse_all(passwd, passwd_bytes, group, "", shadow, tokens);
}

static struct loam_accounts *parse(const char *passwd, const char *shadow)
{
	return parse_bytes(passwd, strlen(passwd), "", shadow, "");
}

/* Alice is not there or is refused, bob is well. */
static void expect_only_bob(struct loam_accounts *accounts)
{
	const struct loam_account *alice = loam_accounts_by_name(accounts, "alice");
	const struct loam_account *bob = loam_accounts_by_name(accounts, "bob");
	assert_true(!alice || alice->disabled);
	assert_non_null(bob);
	assert_int_equal(bob->uid, 20002);
	assert_false(bob->disabled);
	assert_int_equal(accounts->finding_count, 1);
	loam_accounts_free(accounts);
}

static void sound_files_are_read(void **state)
{
	struct loam_accounts *accounts =
		parse_bytes(ALICE BOB, strlen(ALICE BOB),
			    "alice:x:20001:\nlab:x:20009:bob,alice,nobodyknows\n", IN, "");
	assert_int_equal(accounts->finding_count, 0);
	const struct loam_account *alice = loam_accounts_by_uid(accounts, 20001);
	assert_string_equal(alice->name, "alice");
	assert_string_equal(alice->home, "/users/alice");
	assert_string_equal(alice->hash, "$y$a");
	assert_int_equal(alice->group_count, 1);
	assert_int_equal(alice->groups[0], 20009);
	assert_int_equal(loam_accounts_group(accounts, "lab")->gid, 20009);
	assert_null(loam_accounts_by_name(accounts, "ali"));
	loam_accounts_free(accounts);
	accounts = parse("", "");
	assert_int_equal(accounts->finding_count, 0);
	loam_accounts_free(accounts);
}

static void a_damaged_line_in_passwd_denies_its_account_only(void **state)
{
	static const char *const lines[] = {
		"alice:x:20001:20001::/users/alice",		 /* cut */
		"alice:x:20001:20001::/users/alice:/bin/bash:x", /* one too many */
		"alice:x:0:20001::/users/alice:/bin/bash",	 /* uid 0 */
		"alice:x:20001:0::/users/alice:/bin/bash",	 /* gid 0 */
		"alice:x:999:20001::/users/alice:/bin/bash",	 /* of the host */
		"alice:x:20000:20001::/users/alice:/bin/bash",	 /* the service's */
		"alice:x:65534:20001::/users/alice:/bin/bash",	 /* nobody's */
		"alice:x:-1:20001::/users/alice:/bin/bash",
		"alice:x:+20001:20001::/users/alice:/bin/bash",
		"alice:x: 20001:20001::/users/alice:/bin/bash",
		"alice:x:4294987297:20001::/users/alice:/bin/bash", /* 2^32 + 20001 */
		"alice:x:20001:20001::/users/alice:/bin/bash\r",
		"Alice:x:20001:20001::/users/alice:/bin/bash",
		"root:x:20001:20001::/root:/bin/bash",
		":x:20001:20001::/users/alice:/bin/bash",
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(lines); i++) {
		loam_auto_free char *before = loam_xasprintf("%s\n%s", lines[i], BOB);
		expect_only_bob(parse(before, IN));
		loam_auto_free char *behind = loam_xasprintf("%s%s", BOB, lines[i]);
		expect_only_bob(parse(behind, IN));
	}
	static const char nul[] = "alice:x:20001:20001:\0:/users/alice:/bin/bash\n" BOB;
	expect_only_bob(parse_bytes(nul, sizeof(nul) - 1, "", IN, ""));
}

static void the_second_line_of_a_number_or_name_is_denied(void **state)
{
	expect_only_bob(parse(BOB "alice:x:20002:20001::/users/alice:/bin/bash\n", IN));
	struct loam_accounts *accounts = parse(BOB "bob:x:20003:20003::/x:/bin/sh\n", IN);
	assert_null(loam_accounts_by_uid(accounts, 20003));
	expect_only_bob(accounts);
}

static void a_million_fields_cost_one_line(void **state)
{
	const size_t bytes = 1000000;
	loam_auto_free char *text = loam_xcalloc(bytes + sizeof(BOB) + 1, 1);
	memset(text, ':', bytes);
	text[bytes] = '\n';
	memcpy(text + bytes + 1, BOB, sizeof(BOB));
	expect_only_bob(parse(text, IN));
}

static void a_damaged_line_in_shadow_refuses_its_account_only(void **state)
{
	static const char *const lines[] = {
		"alice:$y$a:1:0:99999:7::1",   /* cut */
		"alice:$y$a:1:0:99999:7:::\r", /* CRLF */
		"alice:$y$a:1:0:99999:7::x:",  /* no day */
		"alice:$y$a:1:0:99999:7::-1:", "alice:$y$a:1:0:99999:7::99999999999999999999:",
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(lines); i++) {
		loam_auto_free char *text =
			loam_xasprintf("%s\nbob:$y$b:1:0:99999:7:::\n", lines[i]);
		expect_only_bob(parse(ALICE BOB, text));
	}
	struct loam_accounts *accounts = parse(ALICE BOB, "bob:$y$b:1:0:99999:7:::\n");
	assert_true(loam_accounts_by_name(accounts, "alice")->disabled);
	assert_false(loam_accounts_by_name(accounts, "bob")->disabled);
	loam_accounts_free(accounts);
}

static void a_hash_too_long_refuses_the_account(void **state)
{
	char hash[400];
	memset(hash, 'h', sizeof(hash) - 1);
	hash[sizeof(hash) - 1] = '\0';
	loam_auto_free char *text =
		loam_xasprintf("alice:%s:1:0:99999:7:::\nbob:$y$b:1:0:99999:7:::\n", hash);
	expect_only_bob(parse(ALICE BOB, text));
}

static void an_account_ends_on_the_day_of_its_expiry(void **state)
{
	static const struct {
		const char *day;
		bool disabled;
	} cases[] = {
		{ "", false }, { "20001", false }, { "20000", true }, { "1", true }, { "0", true }
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		loam_auto_free char *text =
			loam_xasprintf("alice:!:1:0:99999:7::%s:\n", cases[i].day);
		struct loam_accounts *accounts = parse(ALICE, text);
		assert_int_equal(loam_accounts_by_name(accounts, "alice")->disabled,
				 cases[i].disabled);
		loam_accounts_free(accounts);
	}
}

static void lines_that_are_written_are_read_again(void **state)
{
	char passwd[LOAM_ACCOUNT_LINE_BYTES_MAX], group[LOAM_ACCOUNT_LINE_BYTES_MAX],
		shadow[LOAM_ACCOUNT_LINE_BYTES_MAX];
	loam_account_passwd_line("alice", 20001, 20002, "/users/alice", passwd);
	loam_account_group_line("alice", 20002, group);
	for (int disabled = 0; disabled < 2; disabled++) {
		loam_account_shadow_line("alice", "!", TODAY, disabled, shadow);
		struct loam_accounts *accounts =
			parse_bytes(passwd, strlen(passwd), group, shadow, "");
		const struct loam_account *alice = loam_accounts_by_name(accounts, "alice");
		assert_int_equal(accounts->finding_count, 0);
		assert_int_equal(alice->gid, 20002);
		assert_int_equal(alice->disabled, disabled);
		assert_string_equal(alice->hash, "!");
		loam_accounts_free(accounts);
	}
}

static void findings_are_bounded(void **state)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(1u << 20);
	struct loam_err err = { 0 };
	for (int i = 0; i < 5000; i++)
		assert_int_equal(loam_buf_add_text(&text, "damaged\n", &err), 0);
	assert_int_equal(loam_buf_add_text(&text, BOB, &err), 0);
	struct loam_accounts *accounts = parse(loam_buf_text(&text), IN);
	assert_int_equal(accounts->finding_count, 1000);
	assert_non_null(strstr(accounts->findings[2], "passwd line 3:"));
	assert_non_null(loam_accounts_by_name(accounts, "bob"));
	loam_accounts_free(accounts);
}

static void numbers_of_accounts_are_known(void **state)
{
	static const uint64_t good[] = { 1000, 19999, 20001, 65533, 65535, 0x7FFFFFFE };
	static const uint64_t bad[] = { 0, 1, 999, 20000, 65534, 0x7FFFFFFF, 1ull << 32 };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(good); i++)
		assert_true(loam_account_number_is_valid(good[i]));
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(bad); i++)
		assert_false(loam_account_number_is_valid(bad[i]));
}

static void a_group_has_members_managers_and_a_word_means_one_of_both(void **state)
{
	struct loam_accounts *accounts =
		parse_all(ALICE BOB, strlen(ALICE BOB),
			  "alice:x:20001:\nlab:x:20009:bob,alice,nobodyknows,,Bad\n",
			  "lab:!:alice:\nlab:!:bob:\nnone:!:bob:\n", IN, "");
	assert_int_equal(accounts->finding_count, 1);
	const struct loam_group *lab = loam_accounts_group_by_gid(accounts, 20009);
	const struct loam_group *own = loam_accounts_group(accounts, "alice");
	assert_int_equal(lab->members.count, 3);
	assert_true(loam_names_hold(&lab->members, "nobodyknows"));
	assert_true(loam_names_hold(&lab->managers, "alice"));
	assert_false(loam_names_hold(&lab->managers, "bob"));
	assert_true(loam_accounts_is_own_group(accounts, own));
	assert_false(loam_accounts_is_own_group(accounts, lab));

	static const struct {
		const char *text;
		int code;
		bool is_group;
		uint32_t id;
		const char *word;
	} cases[] = {
		{ "alice", 0, false, 20001, "alice" },
		{ "lab", 0, true, 20009, "lab" },
		{ "u:20002", 0, false, 20002, "bob" },
		{ "u:20009", 0, false, 20009, "u:20009" },
		{ "g:20001", 0, true, 20001, "alice" },
		{ "g:30000", 0, true, 30000, "g:30000" },
		{ "carol", LOAM_E_NOT_FOUND, false, 0, NULL },
		{ "", LOAM_E_NOT_FOUND, false, 0, NULL },
		{ "u", LOAM_E_NOT_FOUND, false, 0, NULL },
		{ "u:", LOAM_E_UNPROCESSABLE, false, 0, NULL },
		{ "u:0", LOAM_E_UNPROCESSABLE, false, 0, NULL },
		{ "u:20000", LOAM_E_UNPROCESSABLE, false, 0, NULL },
		{ "g:4294967295", LOAM_E_UNPROCESSABLE, false, 0, NULL },
		{ "g:x", LOAM_E_UNPROCESSABLE, false, 0, NULL },
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		struct loam_grantee who = { 0 };
		struct loam_err err = { 0 };
		char word[LOAM_GRANTEE_TEXT_BYTES];
		assert_int_equal(-loam_accounts_who(accounts, cases[i].text, &who, &err),
				 cases[i].code);
		if (cases[i].code != 0)
			continue;
		assert_int_equal(who.is_group, cases[i].is_group);
		assert_int_equal(who.id, cases[i].id);
		loam_accounts_who_text(accounts, &who, word);
		assert_string_equal(word, cases[i].word);
	}
	loam_accounts_free(accounts);
}

static void a_group_may_have_two_thousand_members(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf line = LOAM_BUF(1u << 20);
	assert_int_equal(loam_buf_printf(&line, &err, "lab:x:20009:"), 0);
	for (int i = 0; i < LOAM_GROUP_MEMBERS_MAX - 1; i++)
		assert_int_equal(loam_buf_printf(&line, &err, "u%031d,", i), 0);
	assert_int_equal(loam_buf_printf(&line, &err, "bob\n"), 0);
	struct loam_accounts *accounts =
		parse_bytes(BOB, strlen(BOB), loam_buf_text(&line), IN, "");
	assert_int_equal(accounts->finding_count, 0);
	assert_int_equal(loam_accounts_group(accounts, "lab")->members.count,
			 LOAM_GROUP_MEMBERS_MAX);
	assert_int_equal(loam_accounts_by_name(accounts, "bob")->group_count, 1);
	loam_accounts_free(accounts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sound_files_are_read),
		cmocka_unit_test(a_damaged_line_in_passwd_denies_its_account_only),
		cmocka_unit_test(the_second_line_of_a_number_or_name_is_denied),
		cmocka_unit_test(a_million_fields_cost_one_line),
		cmocka_unit_test(a_damaged_line_in_shadow_refuses_its_account_only),
		cmocka_unit_test(a_hash_too_long_refuses_the_account),
		cmocka_unit_test(an_account_ends_on_the_day_of_its_expiry),
		cmocka_unit_test(lines_that_are_written_are_read_again),
		cmocka_unit_test(findings_are_bounded),
		cmocka_unit_test(numbers_of_accounts_are_known),
		cmocka_unit_test(a_group_has_members_managers_and_a_word_means_one_of_both),
		cmocka_unit_test(a_group_may_have_two_thousand_members),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
