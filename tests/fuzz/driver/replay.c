/*
 * Runs a fuzzer without libFuzzer: every file of its corpus as it is, cut at every one of its first
 * bytes, and LOAM_FUZZ_RUNS mutations of the files (default 2,000). The seed is printed; LOAM_SEED
 * repeats a run. Arguments, if any, are files to run instead: one that was found elsewhere.
 *
 * Usage: PROGRAM [FILE ...]     in the folder tests/
 */
#include "core/auto.h"
#include "core/buf.h"
#include "core/hash.h"
#include "core/sys.h"
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <libgen.h>

#define INPUT_BYTES_MAX (1u << 20)
#define FILES_MAX	4096
#define CUTS_MAX	256
#define RUNS_DEFAULT	2000
#define CHANGES_MAX	8

static struct loam_buf inputs[FILES_MAX];
static size_t input_count;
static uint64_t random_state;

static uint64_t draw(uint64_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % below;
}

static void add_input(const char *path)
{
	struct loam_err err = { 0 };
	loam_assert(input_count < FILES_MAX);
	struct loam_buf *input = &inputs[input_count];
	loam_buf_init(input, INPUT_BYTES_MAX);
	if (loam_path_read_all(path, input, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
	input_count++;
}

static void add_corpus(const char *name)
{
	loam_auto_free char *dir = loam_xasprintf("fuzz/corpus/%s", name);
	DIR *listing = opendir(dir);
	if (!listing) {
		fprintf(stderr, "no corpus at %s: run this in the folder tests\n", dir);
		exit(1);
	}
	for (struct dirent *entry; (entry = readdir(listing));) {
		if (entry->d_name[0] == '.')
			continue;
		loam_auto_free char *path = loam_path_join(dir, entry->d_name);
		add_input(path);
	}
	closedir(listing);
}

/* In memory of exactly its size, so that a sanitizer sees the first byte read behind it. */
static void run(const uint8_t *data, size_t bytes)
{
	uint8_t *copy = malloc(bytes ? bytes : 1);
	loam_assert(copy != NULL);
	if (bytes)
		memcpy(copy, data, bytes);
	LLVMFuzzerTestOneInput(copy, bytes);
	free(copy);
}

static size_t mutate(uint8_t *data, size_t bytes, size_t max)
{
	static const char telling[] = "\0\xff\x7f\n\r:/%\"{}[]0 ";
	for (uint64_t change = 1 + draw(CHANGES_MAX); change > 0; change--) {
		size_t at = bytes ? (size_t)draw(bytes) : 0;
		uint64_t what = bytes ? draw(5) : 4;
		if (what == 0)
			data[at] ^= (uint8_t)(1u << draw(8));
		else if (what == 1)
			data[at] = (uint8_t)telling[draw(sizeof(telling) - 1)];
		else if (what == 2)
			bytes = at;
		else if (what == 3) {
			size_t length = (size_t)draw(bytes - at) + 1;
			memmove(data + at, data + at + length, bytes - at - length);
			bytes -= length;
		} else if (bytes < max / 2) {
			const struct loam_buf *other = &inputs[draw(input_count)];
			size_t from = other->bytes ? (size_t)draw(other->bytes) : 0;
			size_t length = other->bytes - from;
			memmove(data + at + length, data + at, bytes - at);
			if (length)
				memcpy(data + at, other->data + from, length);
			bytes += length;
		}
	}
	return bytes;
}

static void run_mutations(uint64_t runs)
{
	uint8_t *work = malloc(2 * INPUT_BYTES_MAX);
	loam_assert(work != NULL);
	for (uint64_t i = 0; i < runs; i++) {
		const struct loam_buf *input = &inputs[draw(input_count)];
		if (input->bytes)
			memcpy(work, input->data, input->bytes);
		size_t bytes = mutate(work, input->bytes, INPUT_BYTES_MAX);
		run(work, bytes);
	}
	free(work);
}

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);
	return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

/* build/tests/fuzz_acl is the fuzzer acl. */
static const char *fuzzer_name(char *program)
{
	const char *name = basename(program);
	return strncmp(name, "fuzz_", 5) == 0 ? name + 5 : name;
}

int main(int argc, char **argv)
{
	uint64_t runs = number_of("LOAM_FUZZ_RUNS", RUNS_DEFAULT);
	loam_random(&random_state, sizeof(random_state));
	random_state = number_of("LOAM_SEED", random_state) | 1;
	loam_log_set_level(LOAM_LOG_ERROR);
	for (int i = 1; i < argc; i++)
		add_input(argv[i]);
	if (argc < 2)
		add_corpus(fuzzer_name(argv[0]));
	printf("%zu inputs, LOAM_SEED=%llu\n", input_count, (unsigned long long)random_state);
	fflush(stdout);
	for (size_t i = 0; i < input_count; i++) {
		run(inputs[i].data, inputs[i].bytes);
		for (size_t cut = 0; argc < 2 && cut < inputs[i].bytes && cut < CUTS_MAX; cut++)
			run(inputs[i].data, cut);
	}
	if (argc < 2 && input_count > 0)
		run_mutations(runs);
	for (size_t i = 0; i < input_count; i++)
		loam_buf_release(&inputs[i]);
	return input_count > 0 ? 0 : 1;
}
