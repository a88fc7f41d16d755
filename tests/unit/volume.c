/*
 * Opening a volume: what is not one is refused, and nothing is left behind.
 */
#include "fs/volume.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void what_is_no_volume_is_refused(void **state)
{
	const struct loam_volume_options options = { 0 };
	struct loam_volume *volume = NULL;
	struct loam_err err = { 0 };
	assert_int_equal(loam_volume_open("mem://", &options, &volume, &err), -LOAM_E_NOT_FOUND);
	loam_err_clear(&err);
	assert_int_equal(loam_volume_open("nonsense", &options, &volume, &err), -LOAM_E_INVALID);
	assert_null(volume);
	loam_volume_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_no_volume_is_refused) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
