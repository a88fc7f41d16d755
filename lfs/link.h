/*
 * Presigned transfer links: who may move one object of one repository in one direction, until when.
 *
 * Shape:   BASE/_lfs/KIND/NS/NAME/OID[/verify]?exp=SECONDS&size=BYTES&who=USER[.TOKEN]&sig=HEX
 *          (TOKEN: the id of a token or SSH key; a deploy key has no USER)
 *          sig is HMAC-SHA-256 over method, repository, oid, size, principal and expiry, one a
 *          line. who is empty for anonymous callers.
 *          The keys are /.loam/etc/keys/link.1 and link.2: 64 hex digits each. Links are signed
 *          with link.1, both are taken; replacing link.2 by link.1 and link.1 by a new one changes
 *          the key while links that are out stay good. Read again when a signature does not fit.
 * Threads: any.
 * Source:  design.md §2.12; reliability.md §3 rule 5 and lfs-9.
 */
#ifndef LOAM_LFS_LINK_H
#define LOAM_LFS_LINK_H

#include "auth/auth.h"
#include "core/hash.h"
#include "core/web.h"

struct loam_link {
	unsigned method; /* LOAM_GET (HEAD too), LOAM_PUT, or LOAM_POST for verify */
	struct loam_repo repo;
	char oid[LOAM_SHA256_HEX + 1];
	uint64_t bytes;
	char user[LOAM_USER_NAME_BYTES_MAX + 1]; /* "" anonymous */
	char token_id[24];			 /* "" no token, no key */
	int64_t expires;			 /* unix seconds */
};

struct loam_link_keys;
/* tree is borrowed. Makes the keys that are missing. CORRUPT for a file that holds no key. */
int loam_link_keys_open(const struct loam_tree *tree, struct loam_link_keys **out_keys,
			struct loam_err *err);
void loam_link_keys_close(struct loam_link_keys *keys);
/* The signature of any text whose first line no other use has. */
void loam_link_keys_sign(struct loam_link_keys *keys, const char *text,
			 uint8_t out_mac[LOAM_SHA256_BYTES]);
/* 1 mac is a signature of text by a live key, 0 not. */
int loam_link_keys_fit(struct loam_link_keys *keys, const char *text,
		       const uint8_t mac[LOAM_SHA256_BYTES], struct loam_err *err);

/* The absolute link; free(). */
char *loam_link_print(struct loam_link_keys *keys, const char *base_url,
		      const struct loam_link *link);
/* The link that a request came by: parameters kind, ns, name, oid and the query. DENIED, with one
 * text for whatever does not fit and another when it has expired. *out_forged (set in either case)
 * says whether this server never signed it. */
int loam_link_check(struct loam_link_keys *keys, const struct loam_web_request *request,
		    struct loam_link *out_link, bool *out_forged, struct loam_err *err);

#endif
