/*
 * /api/v1: the operations of auth/ and sync/ over HTTP, in JSON. docs/openapi.yaml describes it.
 *
 * Owner:   the table of routes is made from the rows of operations and lives as long as the api.
 * Threads: any, once it is open.
 */
#ifndef LOAM_SERVER_API_H
#define LOAM_SERVER_API_H

#include "auth/op.h"
#include "server/route.h"

struct loam_api;

/* context is borrowed and must outlive it. */
struct loam_api *loam_api_new(const struct loam_op_context *context);
/* Accepts NULL. */
void loam_api_free(struct loam_api *api);
struct loam_route_table loam_api_routes(const struct loam_api *api);
const struct loam_op_context *loam_api_context(const struct loam_api *api);
/* Counts one call of who, of whatever door. LIMITED. */
int loam_api_count(struct loam_api *api, const struct loam_principal *who, const char *peer,
		   struct loam_err *err);
/* Every operation, by its number; NULL behind the last one. */
const struct loam_op *loam_api_op(size_t index);

#endif
