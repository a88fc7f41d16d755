/*
 * Finds the row of a route table that a request's path belongs to, and takes its parameters.
 *
 * Shape:  a path is checked as a whole before any row is tried: no empty segment, no "." or "..",
 *         no backslash, control byte or %2f, no bad escape, and none of these behind a second
 *         decoding. A pattern is "/literal/{name}/{repo}/…": {name} takes one segment, {repo} takes
 *         NS/NAME, or KIND/NS/NAME where the first segment is a kind; ".git" stays in the value.
 * Owner:  parameters are freed by loam_route_release().
 * Threads: any; the tables are constant.
 */
#ifndef LOAM_SERVER_ROUTE_H
#define LOAM_SERVER_ROUTE_H

#include "core/web.h"

struct loam_route_table {
	const struct loam_web_route *routes;
	size_t count;
};

struct loam_route_match {
	const struct loam_web_route *route;
	struct loam_web_param params[LOAM_WEB_PARAMS_MAX];
	size_t param_count;
	unsigned allowed; /* methods of all rows with this path, when no row takes the method */
};

/*
 * 1: found, out_match is set. 0: no row (allowed != 0: the path exists, the method does not).
 * HEAD is taken by a row that takes GET. path is raw, as sent, without the query.
 * Errors: INVALID for a path that no row may ever see (400).
 */
int loam_route_find(const struct loam_route_table *tables, size_t table_count, unsigned method,
		    const char *path, struct loam_route_match *out_match, struct loam_err *err);
void loam_route_release(struct loam_route_match *match);
/* "GET, HEAD, POST" for an Allow header. */
#define LOAM_ROUTE_ALLOW_BYTES 64
void loam_route_allow(unsigned methods, char out[LOAM_ROUTE_ALLOW_BYTES]);
/* One bit of enum loam_web_method, or 0 for a word that is none. */
unsigned loam_route_method(const char *word);

#endif
