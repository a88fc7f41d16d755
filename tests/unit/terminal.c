/*
 * core/terminal: what somebody else wrote is shown on a terminal, not obeyed by it.
 */
#include "core/terminal.h"

#include "core/auto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void plain_text_stays_and_the_rest_is_marked(void **state)
{
	static const struct {
		const char *text, *plain;
	} cases[] = {
		{ "", "" },
		{ "two lines\n\tand a tab", "two lines\n\tand a tab" },
		{ "caf\xc3\xa9 \xe4\xb8\xad \xd8\xa7 \xe2\x82\xac",
		  "caf\xc3\xa9 \xe4\xb8\xad \xd8\xa7 \xe2\x82\xac" },
		{ "\x1b[2J\a\r\x7f", "?[2J???" },
		{ "\xc2\x9b"
		  "2J\xc2\xa0",
		  "?2J\xc2\xa0" },
		{ "a\xe2\x80\xae"
		  "b\xe2\x81\xa6"
		  "c\xe2\x80\x8f\xd8\x9c",
		  "a?b?c??" },
		{ "\xc2", "\xc2" },
		{ "\xe2\x80", "\xe2\x80" },
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		char text[64];
		snprintf(text, sizeof(text), "%s", cases[i].text);
		loam_terminal_plain(text);
		assert_string_equal(text, cases[i].plain);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_text_stays_and_the_rest_is_marked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
