/*
 * core/web: decoding, parameters, answers.
 */
#include "core/web.h"

#include "core/auto.h"
#include "core/json.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void escapes_are_decoded_once(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },	    { "a%20b", "a b" },	      { "%2e%2E", ".." },
		{ "%2525", "%25" }, { "%c3%a9", "\xc3\xa9" }, { "a+b", "a+b" }
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		loam_auto_free char *text = loam_web_decode(cases[i][0], strlen(cases[i][0]));
		assert_non_null(text);
		assert_string_equal(text, cases[i][1]);
	}
}

static void bad_escapes_and_control_bytes_are_refused(void **state)
{
	static const char *const cases[] = { "%",   "%2",   "%zz", "a%0", "%00", "%0a",
					     "%7f", "a\nb", "%+1", "% 1", "\x01" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++)
		assert_null(loam_web_decode(cases[i], strlen(cases[i])));
	assert_null(loam_web_decode("%41", 2));
}

static void query_values_are_found_by_their_whole_name(void **state)
{
	struct loam_web_request request = { .query = "service=git%2Dx&exp=&sig&last=1=2&bad=%0" };
	loam_auto_free char *service = loam_web_query(&request, "service");
	loam_auto_free char *empty = loam_web_query(&request, "exp");
	loam_auto_free char *bare = loam_web_query(&request, "sig");
	loam_auto_free char *last = loam_web_query(&request, "last");
	assert_string_equal(service, "git-x");
	assert_string_equal(empty, "");
	assert_string_equal(bare, "");
	assert_string_equal(last, "1=2");
	assert_null(loam_web_query(&request, "serv"));
	assert_null(loam_web_query(&request, "ervice"));
	assert_null(loam_web_query(&request, "bad"));
	request.query = "";
	assert_null(loam_web_query(&request, "service"));
}

static void parameters_are_found_by_name(void **state)
{
	char value[] = "models/a/b";
	struct loam_web_request request = { .params = { { "repo", value } }, .param_count = 1 };
	assert_string_equal(loam_web_param(&request, "repo"), "models/a/b");
	assert_null(loam_web_param(&request, "oid"));
}

static const char *header(const struct loam_web_request *request, const char *name)
{
	for (size_t i = 0; i < request->response.header_count; i++)
		if (strcmp(request->response.headers[i].name, name) == 0)
			return request->response.headers[i].value;
	return NULL;
}

static void a_header_set_again_replaces_the_first(void **state)
{
	struct loam_web_request request = { 0 };
	loam_web_response_init(&request.response);
	loam_web_set_header(&request, "X-A", "1");
	loam_web_set_header(&request, "x-a", "2");
	loam_web_set_header(&request, "X-B", "3");
	assert_int_equal(request.response.header_count, 2);
	assert_string_equal(header(&request, "X-A"), "2");
	loam_web_response_release(&request.response);
	assert_int_equal(request.response.header_count, 0);
}

static void a_later_answer_replaces_an_earlier_one(void **state)
{
	struct loam_web_request request = { 0 };
	loam_auto_json json_t *json = json_pack("{s:s}", "message", "no");
	loam_web_response_init(&request.response);
	loam_web_answer_text(&request, 200, "fine\n");
	assert_string_equal(loam_buf_text(&request.response.body), "fine\n");
	loam_web_answer_json(&request, 404, "application/vnd.git-lfs+json", json);
	assert_int_equal(request.response.status, 404);
	assert_string_equal(loam_buf_text(&request.response.body), "{\"message\":\"no\"}");
	assert_string_equal(header(&request, "Content-Type"), "application/vnd.git-lfs+json");
	loam_web_response_release(&request.response);
}

static void an_answer_over_its_limit_becomes_500(void **state)
{
	struct loam_web_request request = { 0 };
	loam_auto_json json_t *json = json_pack("[s]", "0123456789012345678901234567890123456789");
	loam_web_response_init(&request.response);
	request.response.body.max_bytes = 30;
	loam_web_answer_json(&request, 200, NULL, json);
	assert_int_equal(request.response.status, 500);
	assert_string_equal(header(&request, "Content-Type"), "text/plain; charset=utf-8");
	loam_web_response_release(&request.response);
}

static void count_release(void *arg)
{
	++*(int *)arg;
}

static void releasing_ends_the_stream_once_and_closes_the_file(void **state)
{
	struct loam_web_response response;
	int released = 0;
	loam_web_response_init(&response);
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	response.file_fd = fd;
	response.source_free = count_release;
	response.source_arg = &released;
	loam_web_response_release(&response);
	loam_web_response_release(&response);
	assert_int_equal(released, 1);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escapes_are_decoded_once),
		cmocka_unit_test(bad_escapes_and_control_bytes_are_refused),
		cmocka_unit_test(query_values_are_found_by_their_whole_name),
		cmocka_unit_test(parameters_are_found_by_name),
		cmocka_unit_test(a_header_set_again_replaces_the_first),
		cmocka_unit_test(a_later_answer_replaces_an_earlier_one),
		cmocka_unit_test(an_answer_over_its_limit_becomes_500),
		cmocka_unit_test(releasing_ends_the_stream_once_and_closes_the_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
