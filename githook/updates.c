/*
 * Reading a hook's stdin (githook/updates.h).
 */
#include "githook/updates.h"

#include "core/auto.h"
#include "core/limits.h"

#include <string.h>

#define LINE_BYTES_MAX 4096

static int parse_line(char *line, struct loam_update *out, struct loam_err *err)
{
	line[strcspn(line, "\n")] = '\0';
	char *new_text = strchr(line, ' ');
	char *ref = new_text ? strchr(new_text + 1, ' ') : NULL;
	if (!ref)
		return loam_fail(err, LOAM_E_INVALID, "not a line of git: '%.80s'", line);
	*new_text++ = '\0';
	*ref++ = '\0';
	if (git_oid_fromstr(&out->old_oid, line) < 0 ||
	    git_oid_fromstr(&out->new_oid, new_text) < 0 || ref[0] == '\0')
		return loam_fail(err, LOAM_E_INVALID, "not an update of git: '%.80s'", ref);
	out->ref = loam_xstrdup(ref);
	return 0;
}

int loam_updates_read(FILE *from, struct loam_updates *out, struct loam_err *err)
{
	*out = (struct loam_updates){ 0 };
	char line[LINE_BYTES_MAX];
	git_libgit2_init(); /* to say what is wrong with an id; it stays until the hook ends */
	int rc = 0;
	while (rc == 0 && fgets(line, sizeof(line), from)) {
		if (out->count == LOAM_GIT_PUSH_REFS_MAX) {
			rc = loam_fail(err, LOAM_E_TOO_LARGE, "over %d refs in one push",
				       LOAM_GIT_PUSH_REFS_MAX);
			break;
		}
		struct loam_update update;
		if (!strchr(line, '\n') && !feof(from))
			rc = loam_fail(err, LOAM_E_INVALID, "a ref name over %d bytes",
				       LINE_BYTES_MAX);
		else
			rc = parse_line(line, &update, err);
		if (rc < 0)
			break;
		out->updates = reallocarray(out->updates, out->count + 1, sizeof(out->updates[0]));
		loam_assert(out->updates != NULL);
		out->updates[out->count++] = update;
	}
	if (rc < 0)
		loam_updates_release(out);
	return rc;
}

void loam_updates_release(struct loam_updates *updates)
{
	for (size_t i = 0; i < updates->count; i++)
		free(updates->updates[i].ref);
	free(updates->updates);
	*updates = (struct loam_updates){ 0 };
}
