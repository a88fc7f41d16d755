/*
 * server/git_http.c with the real git: clone, fetch and push in each protocol version, what a
 * status makes the client say, and what is left when a client dies. Rights are those of a small
 * table here: alice may push to team/tiny, bob may read it, nobody else may anything.
 */
#include "core/auto.h"
#include "core/clock.h"
#include "core/cmd.h"
#include "core/process.h"
#include "core/sys.h"
#include "server/git_env.h"
#include "server/git_slots.h"
#include "server/http.h"
#include "server/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <zlib.h>

#define OUTPUT_BYTES_MAX (4u << 20)
#define ARGS_MAX	 32

static char top[64], bare[160];
static struct loam_server server;
static struct loam_http *http;
static uint16_t port;
static char output[OUTPUT_BYTES_MAX]; /* of the last git, or of the last raw request */
static size_t output_bytes;
static int tickets_open;

/* ---- the server's side ------------------------------------------------------------------- */

static int authorize(struct loam_server *self, struct loam_web_request *request,
		     const struct loam_repo *repo, enum loam_want want,
		     struct loam_watch *out_watch, struct loam_err *err)
{
	const char *header = request->header(request, "Authorization");
	struct loam_principal *out_who = &out_watch->who;
	*out_who = (struct loam_principal){ .kind = LOAM_ANONYMOUS };
	if (!header)
		return loam_fail(err, LOAM_E_UNAUTHENTICATED, "log in to use this server");
	bool is_alice = strcmp(header, "Basic YWxpY2U6cHc=") == 0;
	bool is_bob = strcmp(header, "Basic Ym9iOnB3") == 0;
	if (!is_alice && !is_bob)
		return loam_fail(err, LOAM_E_UNAUTHENTICATED, "wrong user name or password");
	out_who->kind = LOAM_USER;
	out_who->uid = is_alice ? 20001 : 20002;
	snprintf(out_who->user, sizeof(out_who->user), "%s", is_alice ? "alice" : "bob");
	snprintf(request->user, sizeof(request->user), "%s", out_who->user);
	if (!repo || repo->kind != LOAM_KIND_MODELS || strcmp(repo->ns, "team") != 0 ||
	    strcmp(repo->name, "tiny") != 0)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no such repository");
	if (want != LOAM_WANT_READ && !is_alice)
		return loam_fail(err, LOAM_E_DENIED, "bob may read but not push");
	return 0;
}

static atomic_bool revoked;

static int still(struct loam_watch *watch, struct loam_err *err)
{
	return atomic_load(&revoked)
		       ? loam_fail(err, LOAM_E_UNAUTHENTICATED, "%s is disabled", watch->who.user)
		       : 0;
}

static int ticket_new(struct loam_server *self, const struct loam_repo *repo,
		      const struct loam_principal *who, char out_ticket[LOAM_TICKET_BYTES],
		      struct loam_err *err)
{
	tickets_open++;
	snprintf(out_ticket, LOAM_TICKET_BYTES, "ticket-of-%s", who->user);
	return 0;
}

static void ticket_end(struct loam_server *self, const char *ticket, size_t asked)
{
	tickets_open--;
}

/* ---- the client's side ------------------------------------------------------------------- */

static int run(const char *dir, const char *const *argv)
{
	loam_auto_free char *home = loam_xasprintf("HOME=%s", top);
	const char *const env[] = { "PATH=/usr/bin:/bin",
				    "LC_ALL=C",
				    "GIT_TERMINAL_PROMPT=0",
				    "GIT_CONFIG_NOSYSTEM=1",
				    "GIT_AUTHOR_NAME=a",
				    "GIT_AUTHOR_EMAIL=a@b",
				    "GIT_COMMITTER_NAME=a",
				    "GIT_COMMITTER_EMAIL=a@b",
				    home,
				    NULL };
	loam_auto_fd int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct loam_process_spec spec = { .argv = argv,
					  .env = env,
					  .dir = dir,
					  .stdin_fd = -1,
					  .stdout_fd = fd,
					  .stderr_fd = fd,
					  .new_group = true };
	struct loam_process process;
	struct loam_err err = { 0 };
	int status = -1;
	assert_int_equal(loam_process_start(&spec, &process, &err), 0);
	if (loam_process_wait(&process, 60000, &status, &err) != 1) {
		loam_process_stop(&process, 100);
		fail_msg("%s %s does not end", argv[0], argv[1]);
	}
	size_t got = 0;
	assert_int_equal(loam_sys_pread(fd, output, sizeof(output) - 1, 0, &got, &err), 0);
	output[got] = '\0';
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* git(DIR, words…): exit status; what it said is in output. */
#define git(dir, ...) run((dir), (const char *const[]){ "git", __VA_ARGS__, NULL })

static void must(int status)
{
	if (status != 0)
		fail_msg("exit status %d: %.2000s", status, output);
}

static const char *url(const char *user, const char *repo)
{
	static char text[4][256];
	static int at;
	at = (at + 1) % 4;
	snprintf(text[at], sizeof(text[at]), "http://%s%s127.0.0.1:%u/%s", user,
		 user[0] ? ":pw@" : "", (unsigned)port, repo);
	return text[at];
}

static const char *in_top(const char *name)
{
	static char text[4][256];
	static int at;
	at = (at + 1) % 4;
	snprintf(text[at], sizeof(text[at]), "%s/%s", top, name);
	return text[at];
}

static void write_file(const char *dir, const char *name, const void *data, size_t bytes)
{
	loam_auto_free char *path = loam_path_join(dir, name);
	struct loam_err err = { 0 };
	loam_auto_fd int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0755);
	assert_true(fd >= 0);
	assert_int_equal(loam_sys_write_all(fd, data, bytes, &err), 0);
}

static void commit_file(const char *dir, const char *name, const void *data, size_t bytes)
{
	write_file(dir, name, data, bytes);
	must(git(dir, "add", "-A"));
	must(git(dir, "commit", "-qm", name));
}

static int dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* A raw request; the answer is in output. user: "alice", "bob" or "". */
static const char *raw(const char *method, const char *path, const char *user, const char *headers,
		       const void *body, size_t body_bytes)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf text = LOAM_BUF(16u << 20);
	const char *basic = strcmp(user, "alice") == 0 ? "Authorization: Basic YWxpY2U6cHc=\r\n"
			    : strcmp(user, "bob") == 0 ? "Authorization: Basic Ym9iOnB3\r\n"
						       : "";
	assert_int_equal(loam_buf_printf(&text, &err,
					 "%s %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%s%s",
					 method, path, basic, headers),
			 0);
	if (body)
		assert_int_equal(loam_buf_printf(&text, &err, "Content-Length: %zu\r\n",
						 body_bytes),
				 0);
	assert_int_equal(loam_buf_add(&text, "\r\n", 2, &err), 0);
	if (body)
		assert_int_equal(loam_buf_add(&text, body, body_bytes, &err), 0);
	loam_auto_fd int fd = dial();
	for (size_t done = 0; done < text.bytes;) {
		ssize_t put = send(fd, text.data + done, text.bytes - done, MSG_NOSIGNAL);
		if (put <= 0)
			break;
		done += (size_t)put;
	}
	output_bytes = 0;
	for (;;) {
		struct pollfd ready = { .fd = fd, .events = POLLIN };
		if (poll(&ready, 1, 10000) <= 0)
			fail_msg("no end of the answer to %s %s", method, path);
		ssize_t got = recv(fd, output + output_bytes, sizeof(output) - 1 - output_bytes, 0);
		if (got <= 0)
			break;
		output_bytes += (size_t)got;
	}
	output[output_bytes] = '\0';
	return output;
}

static void expect(const char *answer, const char *status, const char *text)
{
	if (strncmp(answer + strlen("HTTP/1.1 "), status, 3) != 0)
		fail_msg("%s expected, got %.300s", status, answer);
	if (text && !strstr(answer, text))
		fail_msg("'%s' expected in %.600s", text, answer);
}

/* ---- set up ------------------------------------------------------------------------------ */

static int set_up(void **state)
{
	struct loam_err err = { 0 };
	snprintf(top, sizeof(top), "/tmp/loam-git-XXXXXX");
	assert_non_null(mkdtemp(top));
	snprintf(bare, sizeof(bare), "%s/repos/models/team/tiny.git", top);
	assert_int_equal(loam_mkdir_all(bare, 0700, &err), 0);
	must(git(top, "init", "-q", "--bare", "-b", "main", bare));
	static struct loam_route_table tables[1];
	tables[0] = loam_git_routes;
	server = (struct loam_server){ .authorize = authorize,
				       .still = still,
				       .ticket_new = ticket_new,
				       .ticket_end = ticket_end,
				       .hook_socket = "/tmp/loam-hook.sock" };
	server.repos = loam_xasprintf("%s/repos", top);
	server.hooks_dir = loam_xasprintf("%s/hooks", top);
	assert_int_equal(loam_mkdir_all(server.hooks_dir, 0700, &err), 0);
	server.git_slots = loam_git_slots_new(LOAM_GIT_CHILDREN_MAX);
	setenv("LOAM_CANARY", "never in a child", 1);
	struct loam_http_options options = { .listen = "127.0.0.1:0",
					     .workers = 16,
					     .tables = tables,
					     .table_count = 1,
					     .context = &server };
	assert_int_equal(loam_http_start(&options, &http, &err), 0);
	uint64_t number;
	assert_int_equal(loam_parse_u64(strrchr(loam_http_address(http), ':') + 1, 1, 65535,
					&number, &err),
			 0);
	port = (uint16_t)number;
	return 0;
}

static int tear_down(void **state)
{
	assert_true(loam_http_stop(http, 5000, NULL));
	assert_int_equal(tickets_open, 0);
	loam_git_slots_free(server.git_slots);
	free((char *)server.repos);
	free((char *)server.hooks_dir);
	return run("/", (const char *const[]){ "rm", "-rf", top, NULL });
}

static void clone_with_one_commit(const char *name)
{
	must(git(top, "clone", "-q", url("alice", "team/tiny.git"), name));
	must(git(in_top(name), "symbolic-ref", "HEAD", "refs/heads/main"));
	commit_file(in_top(name), "readme", "hello\n", 6);
	must(git(in_top(name), "push", "-q", "origin", "main"));
}

/* ---- tests ------------------------------------------------------------------------------- */

static void clone_fetch_and_push_work_in_every_version(void **state)
{
	clone_with_one_commit("first");
	static const char *const versions[] = { "protocol.version=0", "protocol.version=1",
						"protocol.version=2" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(versions); i++) {
		char name[16];
		snprintf(name, sizeof(name), "clone%zu", i);
		must(git(top, "-c", versions[i], "clone", "-q", url("bob", "models/team/tiny"),
			 name));
		char *dir = loam_xstrdup(in_top(name));
		must(git(dir, "log", "-1", "--format=%H %s"));
		commit_file(in_top("first"), name, name, strlen(name));
		must(git(in_top("first"), "-c", versions[i], "push", "-q", "origin", "main"));
		must(git(dir, "-c", versions[i], "pull", "-q"));
		loam_auto_free char *pulled = loam_path_join(dir, name);
		assert_int_equal(access(pulled, F_OK), 0);
		free(dir);
	}
	must(git(bare, "fsck", "--strict"));
}

static void a_large_push_comes_chunked_behind_a_probe(void **state)
{
	static char noise[3u << 20];
	uint64_t seed = 88172645463325252ull;
	for (size_t i = 0; i < sizeof(noise); i++) {
		seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
		noise[i] = (char)seed;
	}
	clone_with_one_commit("first");
	commit_file(in_top("first"), "noise", noise, sizeof(noise));
	must(git(in_top("first"), "-c", "http.postBuffer=65536", "push", "-q", "origin", "main"));
	must(git(top, "clone", "-q", url("alice", "team/tiny"), "second"));
	must(run(top, (const char *const[]){ "cmp", "first/noise", "second/noise", NULL }));
}

static size_t gzip_into(void *out, size_t out_bytes, const void *data, size_t bytes)
{
	z_stream stream = { 0 };
	assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	stream.next_in = (uint8_t *)data;
	stream.avail_in = (unsigned)bytes;
	stream.next_out = out;
	stream.avail_out = (unsigned)out_bytes;
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	size_t made = out_bytes - stream.avail_out;
	deflateEnd(&stream);
	return made;
}

#define UPLOAD_TYPE  "Content-Type: application/x-git-upload-pack-request\r\n"
#define RECEIVE_TYPE "Content-Type: application/x-git-receive-pack-request\r\n"

static void a_gzipped_request_is_inflated(void **state)
{
	static const char ask[] = "0014command=ls-refs\n00010009peel\n0000";
	char packed[256];
	size_t bytes = gzip_into(packed, sizeof(packed), ask, strlen(ask));
	clone_with_one_commit("first");
	expect(raw("POST", "/team/tiny.git/git-upload-pack", "bob",
		   UPLOAD_TYPE "Git-Protocol: version=2\r\nContent-Encoding: gzip\r\n", packed,
		   bytes),
	       "200", "refs/heads/main");
	/* and the real client, which packs its list of haves */
	must(git(top, "clone", "-q", url("alice", "team/tiny"), "second"));
	for (int i = 0; i < 60; i++)
		must(git(in_top("second"), "commit", "-q", "--allow-empty", "-m", "mine"));
	commit_file(in_top("first"), "more", "more\n", 5);
	must(git(in_top("first"), "push", "-q", "origin", "main"));
	must(git(in_top("second"), "fetch", "-q"));
}

static void statuses_are_what_clients_need(void **state)
{
	static const char refs[] = "/team/tiny.git/info/refs?service=git-upload-pack";
	static const char push[] = "/team/tiny.git/info/refs?service=git-receive-pack";
	expect(raw("GET", refs, "", "", NULL, 0), "401", "WWW-Authenticate: Basic realm=\"Loam\"");
	expect(raw("GET", push, "", "", NULL, 0), "401", "WWW-Authenticate: Basic realm=\"Loam\"");
	expect(raw("GET", "/no/such.git/info/refs?service=git-upload-pack", "", "", NULL, 0), "401",
	       "WWW-Authenticate");
	expect(raw("GET", "/api/x.git/info/refs?service=git-upload-pack", "", "", NULL, 0), "401",
	       NULL);
	expect(raw("GET", "/no/such.git/info/refs?service=git-upload-pack", "bob", "", NULL, 0),
	       "404", "text/plain");
	expect(raw("GET", push, "bob", "", NULL, 0), "403", "bob may read but not push");
	expect(raw("GET", refs, "bob", "", NULL, 0), "200",
	       "application/x-git-upload-pack-advertisement");
	assert_non_null(strstr(output, "001e# service=git-upload-pack\n0000"));
	assert_non_null(strstr(output, "Expires: Fri, 01 Jan 1980 00:00:00 GMT"));
	expect(raw("GET", refs, "bob", "Git-Protocol: version=2\r\n", NULL, 0), "200",
	       "000eversion 2\n");
	assert_null(strstr(output, "# service"));
	expect(raw("GET", push, "alice", "Git-Protocol: version=2\r\n", NULL, 0), "200",
	       "001f# service=git-receive-pack\n0000");
	expect(raw("HEAD", refs, "bob", "", NULL, 0), "200", NULL);
	expect(raw("GET", "/team/tiny.git/info/refs?service=git-x", "alice", "", NULL, 0), "403",
	       NULL);
	expect(raw("POST", "/team/tiny.git/git-upload-pack", "bob", "Content-Type: text/plain\r\n",
		   "0000", 4),
	       "415", NULL);
	expect(raw("POST", "/team/tiny.git/git-receive-pack", "bob", RECEIVE_TYPE, "0000", 4),
	       "403", NULL);
	expect(raw("POST", "/team/tiny.git/git-receive-pack", "", RECEIVE_TYPE, "0000", 4), "401",
	       "WWW-Authenticate");
	expect(raw("GET", "/team/tiny.git/git-upload-pack", "bob", "", NULL, 0), "405", "Allow: ");
	expect(raw("POST", "/team/tiny.git/git-upload-pack", "bob", UPLOAD_TYPE, "garbage", 7),
	       "400", "git refused this request");
}

static void git_16_dumb_paths_do_not_exist(void **state)
{
	static const char *const paths[] = { "/team/tiny.git/config",
					     "/team/tiny.git/hooks/x",
					     "/team/tiny.git/objects/info/alternates",
					     "/team/tiny.git/objects/info/packs",
					     "/team/tiny.git/HEAD",
					     "/team/tiny.git/info/refs" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(paths); i++)
		expect(raw("GET", paths[i], "alice", "", NULL, 0), "404", NULL);
}

static void the_probe_is_answered_with_nothing(void **state)
{
	expect(raw("POST", "/team/tiny.git/git-receive-pack", "alice", RECEIVE_TYPE, "0000", 4),
	       "200", "application/x-git-receive-pack-result");
	assert_non_null(strstr(output, "\r\n\r\n0\r\n\r\n"));
}

static bool has_quarantine(void)
{
	loam_auto_free char *objects = loam_path_join(bare, "objects");
	DIR *dir = opendir(objects);
	bool found = false;
	assert_non_null(dir);
	for (struct dirent *at = readdir(dir); at; at = readdir(dir))
		found |= strncmp(at->d_name, "tmp_objdir", 10) == 0;
	closedir(dir);
	return found;
}

/* Is a process running whose working directory is the bare repository? */
static bool has_child(void)
{
	DIR *dir = opendir("/proc");
	bool found = false;
	assert_non_null(dir);
	for (struct dirent *at = readdir(dir); at; at = readdir(dir)) {
		char link[300], target[300];
		snprintf(link, sizeof(link), "/proc/%s/cwd", at->d_name);
		ssize_t bytes = readlink(link, target, sizeof(target) - 1);
		if (bytes <= 0)
			continue;
		target[bytes] = '\0';
		found |= strncmp(target, bare, strlen(bare)) == 0;
	}
	closedir(dir);
	return found;
}

static bool gone_within(uint64_t ms)
{
	struct loam_deadline deadline = loam_deadline_in(ms);
	while (has_child() || has_quarantine()) {
		if (loam_deadline_left_ms(deadline) == 0)
			return false;
		loam_clock_sleep_ms(20);
	}
	return true;
}

/* A whole push as bytes, recorded from git itself. */
static size_t record_push(char *out, size_t out_bytes)
{
	static char noise[200000];
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (char)(i * 2654435761u >> 13);
	must(git(top, "init", "-q", "-b", "main", "work"));
	commit_file(in_top("work"), "noise", noise, sizeof(noise));
	must(git(in_top("work"), "rev-parse", "main"));
	char head[64];
	snprintf(head, sizeof(head), "%.40s", output);
	char line[256];
	int line_bytes = snprintf(line, sizeof(line), "%s %s refs/heads/main%c report-status\n",
				  "0000000000000000000000000000000000000000", head, '\0');
	int done = snprintf(out, out_bytes, "%04x", line_bytes + 4);
	memcpy(out + done, line, (size_t)line_bytes);
	done += line_bytes;
	done += snprintf(out + done, 8, "0000");
	write_file(top, "names", head, 40);
	must(run(in_top("work"), (const char *const[]){ "git", "-c", "core.compression=0", "repack",
							"-adqF", NULL }));
	must(run(in_top("work"),
		 (const char *const[]){ "sh", "-c", "cat .git/objects/pack/*.pack > ../pack",
					NULL }));
	struct loam_err err = { 0 };
	loam_auto_fd int fd = open(in_top("pack"), O_RDONLY | O_CLOEXEC);
	size_t got = 0;
	assert_int_equal(loam_sys_pread(fd, out + done, out_bytes - (size_t)done, 0, &got, &err),
			 0);
	assert_true(got > 100000);
	return (size_t)done + got;
}

/* F08, G02 */
static void a_client_that_dies_in_a_push_leaves_nothing(void **state)
{
	static char push[1u << 20];
	size_t bytes = record_push(push, sizeof(push));
	char head[512];
	int head_bytes = snprintf(head, sizeof(head),
				  "POST /team/tiny.git/git-receive-pack HTTP/1.1\r\nHost: h\r\n"
				  "Authorization: Basic YWxpY2U6cHc=\r\n" RECEIVE_TYPE
				  "Content-Length: %zu\r\n\r\n",
				  bytes);
	int fd = dial();
	assert_int_equal(send(fd, head, (size_t)head_bytes, 0), head_bytes);
	assert_int_equal(send(fd, push, bytes / 2, 0), bytes / 2);
	struct loam_deadline deadline = loam_deadline_in(5000);
	while (!has_quarantine() && loam_deadline_left_ms(deadline) > 0)
		loam_clock_sleep_ms(10);
	assert_true(has_quarantine());
	assert_true(has_child());
	close(fd);
	assert_true(gone_within(5000));
	must(git(bare, "for-each-ref"));
	assert_string_equal(output, "");
	/* the same bytes, whole, are a push */
	expect(raw("POST", "/team/tiny.git/git-receive-pack", "alice", RECEIVE_TYPE, push, bytes),
	       "200", "unpack ok");
	must(git(bare, "for-each-ref"));
	assert_non_null(strstr(output, "refs/heads/main"));
}

/* acl-8: the half that came is thrown away, the client is told in plain text. */
static void a_push_ends_when_its_right_does(void **state)
{
	static char push[1u << 20];
	size_t bytes = record_push(push, sizeof(push));
	char head[512], answer[2048];
	int head_bytes = snprintf(head, sizeof(head),
				  "POST /team/tiny.git/git-receive-pack HTTP/1.1\r\nHost: h\r\n"
				  "Authorization: Basic YWxpY2U6cHc=\r\n" RECEIVE_TYPE
				  "Content-Length: %zu\r\n\r\n",
				  bytes);
	loam_auto_fd int fd = dial();
	assert_int_equal(send(fd, head, (size_t)head_bytes, 0), head_bytes);
	assert_int_equal(send(fd, push, bytes / 2, 0), bytes / 2);
	struct loam_deadline deadline = loam_deadline_in(10000);
	while (!has_quarantine() && loam_deadline_left_ms(deadline) > 0)
		loam_clock_sleep_ms(10);
	assert_true(has_quarantine());
	atomic_store(&revoked, true);
	assert_true(send(fd, push + bytes / 2, bytes - bytes / 2, MSG_NOSIGNAL) > 0);
	size_t got = 0;
	for (ssize_t more = 1; more > 0 && got<sizeof(answer) - 1; got += more> 0 ? more : 0)
		more = recv(fd, answer + got, sizeof(answer) - 1 - got, 0);
	answer[got] = '\0';
	expect(answer, "403", "alice is disabled");
	assert_true(gone_within(5000));
	atomic_store(&revoked, false);
	must(git(bare, "for-each-ref"));
	assert_string_equal(output, "");
}

/* F08: the hook runs, nothing moves, and the client goes. */
static void a_client_that_dies_while_a_hook_runs_ends_the_hook(void **state)
{
	static char push[1u << 20];
	static const char hook[] = "#!/bin/sh\ntouch started\nsleep 60\n";
	size_t bytes = record_push(push, sizeof(push));
	write_file(server.hooks_dir, "pre-receive", hook, strlen(hook));
	char head[512];
	int head_bytes = snprintf(head, sizeof(head),
				  "POST /team/tiny.git/git-receive-pack HTTP/1.1\r\nHost: h\r\n"
				  "Authorization: Basic YWxpY2U6cHc=\r\n" RECEIVE_TYPE
				  "Content-Length: %zu\r\n\r\n",
				  bytes);
	loam_auto_free char *started = loam_path_join(bare, "started");
	int fd = dial();
	assert_int_equal(send(fd, head, (size_t)head_bytes, 0), head_bytes);
	assert_int_equal(send(fd, push, bytes, 0), bytes);
	struct loam_deadline deadline = loam_deadline_in(8000);
	while (access(started, F_OK) != 0 && loam_deadline_left_ms(deadline) > 0)
		loam_clock_sleep_ms(10);
	assert_int_equal(access(started, F_OK), 0);
	close(fd);
	assert_true(gone_within(5000));
	must(git(bare, "for-each-ref"));
	assert_string_equal(output, "");
}

static void git_12_too_many_refs_are_refused_before_unpacking(void **state)
{
	clone_with_one_commit("first");
	must(git(bare, "rev-parse", "main"));
	char head[64];
	snprintf(head, sizeof(head), "%.40s", output);
	for (int extra = 0; extra < 2; extra++) {
		struct loam_err err = { 0 };
		loam_auto_buf struct loam_buf body = LOAM_BUF(4u << 20);
		char line[256];
		for (int i = 0; i < LOAM_GIT_PUSH_REFS_MAX + extra; i++) {
			int line_bytes = snprintf(line, sizeof(line),
						  "0000000000000000000000000000000000000000 %s "
						  "refs/loam/b%d%s",
						  head, i, i == 0 ? "" : "\n");
			if (i == 0)
				line_bytes += 1 + snprintf(line + line_bytes + 1, 64,
							   " report-status atomic\n");
			assert_int_equal(loam_buf_printf(&body, &err, "%04x", line_bytes + 4), 0);
			assert_int_equal(loam_buf_add(&body, line, (size_t)line_bytes, &err), 0);
		}
		assert_int_equal(loam_buf_printf(&body, &err, "0000PACK%c%c%c%c%c%c%c%c", 0, 0, 0,
						 2, 0, 0, 0, 0),
				 0);
		static const uint8_t empty_sum[] = { 0x02, 0x9d, 0x08, 0x82, 0x3b, 0xd8, 0xa8,
						     0xea, 0xb5, 0x10, 0xad, 0x6a, 0xc7, 0x5c,
						     0x82, 0x3c, 0xfd, 0x3e, 0xd3, 0x1e };
		assert_int_equal(loam_buf_add(&body, empty_sum, sizeof(empty_sum), &err), 0);
		const char *answer =
			raw("POST", "/team/tiny.git/git-receive-pack", "alice",
			    RECEIVE_TYPE "Expect: 100-continue\r\n", body.data, body.bytes);
		if (extra) /* behind the 100 that invited the body */
			assert_non_null(strstr(answer, "413 "));
		else
			assert_non_null(strstr(answer, "unpack ok"));
	}
}

static void git_1_and_git_11_refusals(void **state)
{
	clone_with_one_commit("first");
	char *dir = loam_xstrdup(in_top("first"));
	assert_int_not_equal(git(dir, "push", "origin", "HEAD:refs/loam/x"), 0);
	assert_non_null(strstr(output, "hidden ref"));
	assert_int_not_equal(git(dir, "push", "origin", "HEAD:refs/replace/x"), 0);
	must(git(dir, "hash-object", "-w", "readme"));
	char blob[64];
	snprintf(blob, sizeof(blob), "%.40s", output);
	static const char *const names[] = { ".git",
					     ".GIT",
					     "git~1",
					     ".git ",
					     ".git.",
					     ".git::$INDEX_ALLOCATION",
					     ".g\xe2\x80\x8cit" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(names); i++) {
		char script[512];
		snprintf(script, sizeof(script),
			 "set -e; t=$(printf '100644 blob %s\\t%s\\0' | git mktree -z); "
			 "c=$(git commit-tree -m bad $t); "
			 "! git push -q origin $c:refs/heads/bad%zu 2>&1",
			 blob, names[i], i);
		must(run(dir, (const char *const[]){ "sh", "-c", script, NULL }));
		if (!strstr(output, "hasDotgit"))
			fail_msg("'%s': %.600s", names[i], output);
	}
	assert_true(gone_within(3000));
	free(dir);
}

static void hooks_see_the_ticket_and_nothing_of_ours(void **state)
{
	static const char hook[] = "#!/bin/sh\nenv > seen\n";
	static const char own[] = "#!/bin/sh\ntouch own-hook-ran\n";
	loam_auto_free char *own_hooks = loam_path_join(bare, "hooks");
	write_file(server.hooks_dir, "pre-receive", hook, strlen(hook));
	write_file(own_hooks, "post-receive", own, strlen(own));
	clone_with_one_commit("first");
	loam_auto_free char *ran = loam_path_join(bare, "own-hook-ran");
	assert_int_equal(access(ran, F_OK), -1); /* what a repository brings along is never run */
	loam_auto_free char *seen = loam_path_join(bare, "seen");
	must(run("/", (const char *const[]){ "cat", seen, NULL }));
	assert_non_null(strstr(output, "LOAM_HOOK_TICKET=ticket-of-alice\n"));
	assert_non_null(strstr(output, "LOAM_HOOK_SOCKET=/tmp/loam-hook.sock\n"));
	assert_non_null(strstr(output, "LOAM_REPO=models/team/tiny\n"));
	assert_non_null(strstr(output, "REMOTE_USER=alice\n"));
	assert_null(strstr(output, "CANARY"));
	assert_null(strstr(output, "YWxpY2U6cHc"));
}

static void a_principal_has_eight_children_at_once(void **state)
{
	struct loam_git_slots *slots = loam_git_slots_new(8);
	for (int i = 0; i < 8; i++)
		assert_true(loam_git_slots_take(slots, "u:20001", 0));
	assert_false(loam_git_slots_take(slots, "u:20001", 30));
	assert_true(loam_git_slots_take(slots, "a:127.0.0.1", 0));
	loam_git_slots_give(slots, "u:20001");
	assert_true(loam_git_slots_take(slots, "u:20001", 0));
	for (int i = 0; i < 8; i++)
		loam_git_slots_give(slots, "u:20001");
	loam_git_slots_give(slots, "a:127.0.0.1");
	loam_git_slots_free(slots);
}

static void git_protocol_is_checked(void **state)
{
	assert_true(loam_git_protocol_is_valid("version=2:x.y_z-1"));
	assert_false(loam_git_protocol_is_valid(""));
	assert_false(loam_git_protocol_is_valid("version=2;rm"));
	assert_false(loam_git_protocol_is_valid("Version=2"));
	assert_true(loam_git_protocol_is_v2("a:version=2"));
	assert_false(loam_git_protocol_is_v2("version=21"));
	assert_false(loam_git_protocol_is_v2(NULL));
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVED(clone_fetch_and_push_work_in_every_version),
		SERVED(a_large_push_comes_chunked_behind_a_probe),
		SERVED(a_gzipped_request_is_inflated),
		SERVED(statuses_are_what_clients_need),
		SERVED(git_16_dumb_paths_do_not_exist),
		SERVED(the_probe_is_answered_with_nothing),
		SERVED(a_client_that_dies_in_a_push_leaves_nothing),
		SERVED(a_push_ends_when_its_right_does),
		SERVED(a_client_that_dies_while_a_hook_runs_ends_the_hook),
		SERVED(git_12_too_many_refs_are_refused_before_unpacking),
		SERVED(git_1_and_git_11_refusals),
		SERVED(hooks_see_the_ticket_and_nothing_of_ours),
		cmocka_unit_test(a_principal_has_eight_children_at_once),
		cmocka_unit_test(git_protocol_is_checked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
