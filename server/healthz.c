/*
 * GET /healthz: 200 once requests will succeed, 503 with the reason else.
 */
#include "server/server.h"

#include "core/banned.h"

static int finish_health(struct loam_web_request *request, struct loam_err *err)
{
	struct loam_server *server = request->context;
	struct loam_err ping = { 0 };
	if (loam_meta_ping(server->volume->meta, &ping) == 0) {
		loam_web_answer_text(request, 200, "ok\n");
		return 0;
	}
	loam_web_answer_text(request, 503, loam_code_meaning(ping.code));
	return loam_buf_printf(&request->response.body, err, " (the metadata store: %s)\n",
			       loam_code_name(ping.code));
}

static const struct loam_web_handler health = { .finish = finish_health };
static const struct loam_web_route rows[] = {
	{ LOAM_GET, "/healthz", 0, LOAM_ERRORS_TEXT, &health },
};
const struct loam_route_table loam_health_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
