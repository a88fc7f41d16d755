/*
 * How a command reaches what it works on: straight on the volume, or through a server.
 *
 * One decision, the same for every command that has both ways (loam_ask_open):
 *
 *   1. within an SSH session: in the server itself, as the user of the key;
 *   2. --server URL: over HTTP, as the user who is logged in there;
 *   3. --meta, LOAM_META, or a configuration that may be read and names meta.url: on the volume, as
 *      its administrator;
 *   4. else over HTTP, to the server of the last `loam login`.
 *
 * The operation, its words and its answer are the same in each case (auth/op.h), and so are the
 * messages of its errors.
 *
 * Threads: one at a time per ask.
 */
#ifndef LOAM_AUTH_ASK_H
#define LOAM_AUTH_ASK_H

#include "auth/instance.h"
#include "auth/op.h"

struct loam_ask_options {
	const char *meta;   /* --meta, or NULL */
	const char *server; /* --server, or NULL */
};

/* The two options of every such command; type is its option struct, which has a member `ask`. */
#define LOAM_ASK_OPTS(type)                                                                        \
	LOAM_OPT(type, ask.meta, "meta", 0, LOAM_OPT_TEXT, "URL",                                  \
		 "the volume, as its administrator (default: LOAM_META, then meta.url of the "     \
		 "configuration)"),                                                                \
		LOAM_OPT(type, ask.server, "server", 0, LOAM_OPT_TEXT, "URL",                      \
			 "as the user who is logged in there (default, where no volume is named: " \
			 "the last loam login)")
/* The paragraph that goes with them in --help. */
#define LOAM_ASK_HELP                                                                           \
	"Where a volume is named (--meta, LOAM_META, or meta.url of a configuration that you\n" \
	"may read) this works on it directly, as its administrator. Else it asks the server\n"  \
	"of `loam login`, as you; --server chooses one of several."

/* What cmd_session->caller points to, for commands that came over SSH. */
struct loam_ask_caller {
	const struct loam_op_context *context;
	const struct loam_principal *who;
	const char *base_url;
};

struct loam_ask;

/* INVALID with what to do when neither a volume nor a login is known. */
int loam_ask_open(const struct loam_ask_options *options, struct loam_ask **out_ask,
		  struct loam_err *err);
void loam_ask_close(struct loam_ask *ask);
LOAM_DEFINE_AUTO(loam_auto_ask, struct loam_ask, loam_ask_close)
#define loam_auto_ask __attribute__((cleanup(loam_auto_ask_)))

/* The user in whose name it asks; NULL: the administrator. */
const char *loam_ask_user(const struct loam_ask *ask);
/* The volume and accounts, when it works on them directly as administrator; else NULL. */
struct loam_instance *loam_ask_instance(const struct loam_ask *ask);
/* "http://host:port" of the server; "" where the volume is asked. */
const char *loam_ask_server(const struct loam_ask *ask);

/*
 * Runs op. words: of its path and query, ended by a NULL name; those with a NULL value are left
 * out. body may be NULL and is borrowed. out_answer (NULL when there is none) is the caller's.
 */
int loam_ask_op(struct loam_ask *ask, const struct loam_op *op, const struct loam_op_word *words,
		const json_t *body, json_t **out_answer, struct loam_err *err);
/* Pages of an op with the query values "after" and "limit", joined; member: of each row, "after"'s
 * value. */
int loam_ask_pages(struct loam_ask *ask, const struct loam_op *op, const char *member,
		   json_t **out_array, struct loam_err *err);

#endif
