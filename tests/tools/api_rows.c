/*
 * Prints the rows of the API as the server has them, a JSON array: tests hold docs/openapi.yaml
 * against it.
 */
#include "core/json.h"
#include "server/api.h"
#include "server/route.h"

#include <stdio.h>
#include <string.h>

static const char *want_name(enum loam_want want)
{
	return want == 0 ? "none" : loam_want_name(want);
}

int main(void)
{
	loam_auto_json json_t *rows = json_array();
	const struct loam_op *op;
	struct loam_err err = { 0 };
	for (size_t i = 0; (op = loam_api_op(i)); i++) {
		char method[LOAM_ROUTE_ALLOW_BYTES];
		json_t *query = json_array();
		for (const char *const *name = op->query; name && *name; name++)
			json_array_append_new(query, json_string(*name));
		loam_route_allow(op->method, method);
		method[strcspn(method, ",")] = '\0';
		json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:o}", "name",
						      op->name, "method", method, "path", op->path,
						      "members", op->members ? op->members : "",
						      "status", op->status, "want",
						      want_name(op->want), "query", query));
	}
	return loam_json_show(rows, &err) < 0;
}
