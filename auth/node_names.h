/*
 * The accounts and groups of a volume as a node's name service shows them: three texts for
 * libnss-extrausers (passwd, group, shadow).
 *
 * What the node itself knows wins: a name or a number that its own passwd or group has for somebody
 * else is left out, and with it every membership that would fall to the local bearer of the name.
 * Never a number below 1000, never a hash.
 * Owner: loam_node_names_release, loam_node_local_free.
 */
#ifndef LOAM_AUTH_NODE_NAMES_H
#define LOAM_AUTH_NODE_NAMES_H

#include "auth/account.h"

struct loam_node_local; /* names and numbers of the node's own files */

/* Texts of /etc/passwd and /etc/group. Lines that are none are passed over. */
struct loam_node_local *loam_node_local_parse(const struct loam_buf *passwd,
					      const struct loam_buf *group);
void loam_node_local_free(struct loam_node_local *local);

struct loam_node_look {
	const char *mount; /* where the volume's root is seen: homes are MOUNT/users/NAME */
	const char *shell; /* of accounts that are not disabled */
};

struct loam_node_names {
	struct loam_buf passwd, group, shadow;
	struct loam_buf left_out; /* one line for each, with the reason */
	size_t users, groups, left_out_count;
};

/* Results only on success. Errors: TOO_LARGE. */
int loam_node_names_make(const struct loam_accounts *accounts, const struct loam_node_local *local,
			 const struct loam_node_look *look, struct loam_node_names *out,
			 struct loam_err *err);
void loam_node_names_release(struct loam_node_names *names);

/* May it stand in a line of passwd(5)? An absolute path without ':' and control bytes. */
bool loam_node_path_is_valid(const char *path);

#endif
