/*
 * The "ref" member of LFS calls (lfs/ref.h). Step 3 of a push.
 */
#include "lfs/ref.h"

#include <stdbool.h>
#include <string.h>

#define REF_BYTES_MAX 1024

/* One component of a ref, by git's rules. */
static bool is_component(const char *text, size_t bytes)
{
	if (bytes == 0 || text[0] == '.' || text[bytes - 1] == '.')
		return false;
	if (bytes >= 5 && memcmp(text + bytes - 5, ".lock", 5) == 0)
		return false;
	for (size_t i = 0; i < bytes; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c <= ' ' || c == 0x7f || strchr("~^:?*[\\", c))
			return false;
		if (i > 0 && ((text[i - 1] == '.' && c == '.') || (text[i - 1] == '@' && c == '{')))
			return false;
	}
	return true;
}

static bool is_ref(const char *name)
{
	if (strlen(name) > REF_BYTES_MAX || strcmp(name, "@") == 0)
		return false;
	for (;;) {
		size_t bytes = strcspn(name, "/");
		if (!is_component(name, bytes))
			return false;
		if (name[bytes] == '\0')
			return true;
		name += bytes + 1;
	}
}

int loam_lfs_ref_check(const json_t *call, struct loam_err *err)
{
	const json_t *ref = json_object_get(call, "ref");
	const char *name = NULL;
	if (!ref || json_is_null(ref))
		return 0;
	if (!json_is_object(ref))
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "'ref' is no object");
	int found = loam_json_text(ref, "name", &name, err);
	if (found < 0)
		return found;
	if (found && !is_ref(name))
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "'ref' names no valid ref");
	return 0;
}
