/*
 * Git services, as all doors run them (server/git_service.h). Steps 5 to 7 of a push.
 */
#include "server/git_service.h"

#include "core/auto.h"
#include "server/git_confine.h"
#include "server/git_env.h"
#include "sync/git_push.h"
#include "sync/publish.h"

#include "core/banned.h"

#include <string.h>
#include <sys/stat.h>

#define SLOT_WAIT_MS 20000
#define WORDS_MAX    8

static const char *const commands_of[] = { [LOAM_UPLOAD_PACK] = "upload-pack",
					   [LOAM_RECEIVE_PACK] = "receive-pack",
					   [LOAM_UPLOAD_ARCHIVE] = "upload-archive" };

void loam_git_slot_of(const struct loam_principal *who, const char *peer,
		      char out[LOAM_GIT_SLOT_BYTES])
{
	if (who->kind == LOAM_ANONYMOUS)
		snprintf(out, LOAM_GIT_SLOT_BYTES, "a:%s", peer);
	else if (who->kind == LOAM_DEPLOY)
		snprintf(out, LOAM_GIT_SLOT_BYTES, "k:%s", who->token_id);
	else
		snprintf(out, LOAM_GIT_SLOT_BYTES, "u:%u", who->uid);
}

bool loam_git_service_enter(struct loam_git_service *service, const char *peer)
{
	char slot[LOAM_GIT_SLOT_BYTES];
	loam_git_slot_of(&service->who, peer, slot);
	if (!loam_git_slots_take(service->server->git_slots, slot, SLOT_WAIT_MS))
		return false;
	memcpy(service->slot, slot, sizeof(slot));
	return true;
}

static int find_dir(const struct loam_git_service *service, char out[LOAM_PATH_BYTES_MAX],
		    struct loam_err *err)
{
	struct loam_server *server = service->server;
	const struct loam_repo *repo = &service->repo;
	if (server->git_dir)
		return server->git_dir(server, repo, out, err);
	snprintf(out, LOAM_PATH_BYTES_MAX, "%s/%s/%s/%s.git", server->repos,
		 loam_kind_name(repo->kind), repo->ns, repo->name);
	struct stat there;
	if (stat(out, &there) < 0 || !S_ISDIR(there.st_mode))
		return loam_fail(err, LOAM_E_NOT_FOUND, "this repository has no Git data here");
	return 0;
}

/* The lock that the push holds, unless the repository is another server's, and its ticket. */
static int begin_push(struct loam_git_service *service, const char *dir, int *out_fd,
		      struct loam_err *err)
{
	struct loam_server *server = service->server;
	size_t repos_bytes = strlen(server->repos);
	int rc = 0;
	if (strncmp(dir, server->repos, repos_bytes) == 0 && dir[repos_bytes] == '/')
		rc = loam_git_push_enter(dir, out_fd, err);
	if (rc == 0 && server->ticket_new)
		rc = server->ticket_new(server, &service->repo, &service->who, service->ticket,
					err);
	return rc;
}

static int spawn(struct loam_git_service *service, const struct loam_git_start *start,
		 const char *dir, int push_fd, struct loam_err *err)
{
	struct loam_server *server = service->server;
	char repo[LOAM_REPO_TEXT_BYTES];
	loam_repo_text(&service->repo, repo);
	struct loam_git_env_spec env_spec = {
		.dir = dir,
		.home = server->repos,
		.protocol = start->protocol,
		.user = loam_principal_name(&service->who),
		.peer = start->peer,
		.door = start->door,
		.repo = repo,
		.hook_socket = server->hook_socket,
		.hook_ticket = service->ticket[0] ? service->ticket : NULL,
		.hooks_dir = service->ticket[0] ? server->hooks_dir : NULL,
	};
	const char *argv[WORDS_MAX] = { "git", commands_of[service->kind] };
	size_t count = 2;
	for (size_t i = 0; start->words[i]; i++) {
		loam_assert(count < WORDS_MAX - 2);
		argv[count++] = start->words[i];
	}
	argv[count] = ".";
	struct loam_git_env env;
	struct loam_git_confine confine;
	loam_git_env_init(&env, &env_spec);
	loam_git_confine_init(&confine, dir, start->changes, env_spec.hooks_dir);
	struct loam_git_run_spec spec = { .argv = argv,
					  .env = env.env,
					  .dir = dir,
					  .spool_dir = server->repos,
					  .has_input = start->has_input,
					  .fds = start->fds,
					  .keep_fd = push_fd < 0 ? 0 : push_fd,
					  .confine = &confine.confine,
					  .still = start->still,
					  .is_gone = start->is_gone,
					  .still_arg = start->still_arg };
	int rc = loam_git_run_start(&spec, &service->run, err);
	loam_git_env_release(&env);
	return rc;
}

int loam_git_service_start(struct loam_git_service *service, const struct loam_git_start *start,
			   struct loam_err *err)
{
	char dir[LOAM_PATH_BYTES_MAX];
	loam_auto_fd int push_fd = -1;
	int rc = find_dir(service, dir, err);
	if (rc == 0 && start->changes)
		rc = begin_push(service, dir, &push_fd, err);
	return rc < 0 ? rc : spawn(service, start, dir, push_fd, err);
}

void loam_git_service_end(struct loam_git_service *service)
{
	struct loam_server *server = service->server;
	bool unsure = service->ticket[0] && service->run && !loam_git_run_went_well(service->run);
	loam_git_run_free(loam_steal(&service->run));
	if (unsure && server->publisher)
		loam_publish_soon(server->publisher, &service->repo);
	if (service->slot[0])
		loam_git_slots_give(server->git_slots, service->slot);
	service->slot[0] = '\0';
	if (service->ticket[0] && server->ticket_end)
		server->ticket_end(server, service->ticket, service->asked);
	explicit_bzero(service->ticket, sizeof(service->ticket));
}

/* ---- the commands of a push ------------------------------------------------------------------ */

static int hex_value(const char head[LOAM_PKT_HEAD_BYTES])
{
	int value = 0;
	for (int i = 0; i < LOAM_PKT_HEAD_BYTES; i++) {
		const char *digits = "0123456789abcdef";
		const char *at =
			head[i] ? strchr(digits, head[i] | (head[i] > '9' ? 0x20 : 0)) : NULL;
		if (!at)
			return -1;
		value = value * 16 + (int)(at - digits);
	}
	return value;
}

int loam_git_commands_count(struct loam_git_commands *commands, const void *bytes_in, size_t bytes,
			    struct loam_err *err)
{
	const uint8_t *data = bytes_in;
	while (bytes > 0 && !commands->over) {
		if (commands->left > 0) {
			size_t take = bytes < commands->left ? bytes : commands->left;
			commands->left -= take;
			data += take;
			bytes -= take;
			continue;
		}
		commands->head[commands->head_bytes++] = (char)*data++;
		bytes--;
		if (commands->head_bytes < LOAM_PKT_HEAD_BYTES)
			continue;
		commands->head_bytes = 0;
		int value = hex_value(commands->head);
		commands->over = value <= LOAM_PKT_HEAD_BYTES;
		if (commands->over)
			return 0;
		commands->left = (size_t)value - LOAM_PKT_HEAD_BYTES;
		if (++commands->count > LOAM_GIT_PUSH_REFS_MAX)
			return loam_fail(err, LOAM_E_TOO_LARGE, "a push may change at most %d refs",
					 LOAM_GIT_PUSH_REFS_MAX);
	}
	return 0;
}
