/*
 * A fuzzer is one function over bytes: LLVMFuzzerTestOneInput. Under gcc it is linked with
 * driver/replay.c, which runs the files of tests/fuzz/corpus/NAME and mutations of them; under
 * clang with libFuzzer (script/fuzz).
 */
#ifndef LOAM_TESTS_FUZZ_FUZZ_H
#define LOAM_TESTS_FUZZ_FUZZ_H

#include "core/auto.h"
#include "core/err.h"
#include "core/log.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes);

/* Cuts a part off the front: up to the first byte 0xFF, which is dropped. The last part is the
 * rest. For parsers that take several texts. */
static inline const uint8_t *fuzz_part(const uint8_t **data, size_t *data_bytes, size_t *out_bytes)
{
	const uint8_t *from = *data;
	const uint8_t *mark = *data_bytes ? memchr(from, 0xFF, *data_bytes) : NULL;
	*out_bytes = mark ? (size_t)(mark - from) : *data_bytes;
	size_t taken = *out_bytes + (mark ? 1 : 0);
	if (taken)
		*data += taken;
	*data_bytes -= taken;
	return from;
}

/* The bytes as text of their own: reading behind them is found by the sanitizer. free() */
static inline char *fuzz_text(const uint8_t *data, size_t data_bytes)
{
	char *text = loam_xcalloc(data_bytes + 1, 1);
	if (data_bytes)
		memcpy(text, data, data_bytes);
	return text;
}

#endif
