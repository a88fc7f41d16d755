/*
 * The audit log: one JSON line for each change of state and each refusal at a door.
 *
 * How a line comes to be. A door opens a scope on its thread (which door, which address, which
 * request) and closes it behind the request. Proving who asks fills the scope's principal:
 * loam_auth_header, loam_auth_user and the command line do so. What changes something says so once,
 * where it is done, with the result:
 *
 *   return loam_audit(&(struct loam_audit_entry){ .action = "grant", .repo = repo }, rc, err);
 *
 * and the door that answers a refusal which nobody has written down writes it (loam_audit_count).
 * The same function called by HTTP, SSH or the command line therefore gives the same line with
 * another door.
 *
 * Shape:   {"time":"2026-11-26T10:00:00.123Z","door":"git-http","action":"git.push",
 *          "result":"ok","user":"alice","uid":20001,"token":"…","from":"127.0.0.1",
 *          "repo":"models/qwen/tiny","ref":"refs/heads/main","old":"…","new":"…","request":"…"}
 *          Members without a value are left out; the command line says "host_uid" for who
 *          is logged in on the host. result: ok, or the name of a code (core/err.h), then
 *          "reason". Never a secret: entries name ids of tokens and keys, not their text.
 * Files:   audit.path, 0600, one write(2) a line with O_APPEND, so several processes share it. Over
 *          audit.maxMiB it becomes PATH.1, PATH.1 becomes PATH.2 … audit.keep of them are kept. A
 *          file that was moved or removed is opened anew, by SIGHUP (loam_audit_reopen) or at the
 *          next line.
 * Errors:  a line that cannot be written (disk full) stops nobody: it is counted, the log says so,
 *          and the first line that can be written again is preceded by "audit.dropped" with the
 *          number. docs/decisions/0002-audit-log.md.
 * Threads: any. Without loam_audit_open nothing is written.
 * Source:  reliability.md S08, S04, F54.
 */
#ifndef LOAM_AUTH_AUDIT_H
#define LOAM_AUTH_AUDIT_H

#include "auth/auth.h"
#include "core/config.h"

#define LOAM_AUDIT_LINE_MAX 16384

enum loam_audit_door {
	LOAM_DOOR_NONE, /* not in a request: the default of the process */
	LOAM_DOOR_GIT_HTTP,
	LOAM_DOOR_LFS_HTTP,
	LOAM_DOOR_HTTP, /* no route was found */
	LOAM_DOOR_API,
	LOAM_DOOR_SSH,
	LOAM_DOOR_HOOK,	 /* hooks of another Git server */
	LOAM_DOOR_CLI,	 /* the administrator's command line */
	LOAM_DOOR_SERVER /* what serve does by itself: reconciling, sweeping */
};
const char *loam_audit_door_name(enum loam_audit_door door);

/* Opens the log that the configuration names (audit.path; empty: log/audit.log beside the
 * configuration file, else /var/log/loam/audit.log, where such a directory exists; "off": none).
 * door: where lines outside of a scope come from. Opening again replaces path and door.
 * Errors: the directory cannot be written. */
int loam_audit_open(const struct loam_config *config, enum loam_audit_door door,
		    struct loam_err *err);
void loam_audit_close(void);
/* Where numbers get their names; NULL: they stay numbers. Borrowed until it is taken back. */
void loam_audit_know(struct loam_account_store *accounts);
/* After SIGHUP: the next line opens the path again. Async-signal-safe. */
void loam_audit_reopen(void);
/* Where the log of this configuration stands; NULL for none; free(). */
char *loam_audit_path(const struct loam_config *config);
/* Lines that could not be written since the log was opened. */
uint64_t loam_audit_dropped(void);

/* ---- scopes ---------------------------------------------------------------------------------- */

/* What a thread works on. Copied to another thread or to a ticket where the work goes on there. */
struct loam_audit_scope {
	enum loam_audit_door door;
	char from[64];	  /* address */
	char request[20]; /* id */
	bool proven;	  /* the members below are filled */
	enum loam_principal_kind kind;
	char user[LOAM_USER_NAME_BYTES_MAX + 1];
	uint32_t uid;
	char token_id[24]; /* or the id of an SSH key: */
	char key_id[24];
	char claimed[LOAM_USER_NAME_BYTES_MAX + 1]; /* whose login failed */
	unsigned count;				    /* lines written in this scope */
};

/* Begins a scope on this thread (the previous one is forgotten). from and request may be NULL. */
void loam_audit_begin(enum loam_audit_door door, const char *from, const char *request);
/* The door is known later than the address: a route was found. */
void loam_audit_set_door(enum loam_audit_door door);
/* Who is proven; NULL takes it back (a new attempt, S06). key_id: of an SSH key; NULL: the
 * principal's, if he came by one. */
void loam_audit_who(const struct loam_principal *who, const char *key_id);
/* An account that somebody tried to log in as, and did not prove. */
void loam_audit_claim(const char *account);
void loam_audit_end(void);
/* This thread's scope, to be kept; an empty one without. */
struct loam_audit_scope loam_audit_scope_copy(void);
void loam_audit_scope_resume(const struct loam_audit_scope *scope);
/* Lines written since the scope began: 0 means that a refusal is still to be written. */
unsigned loam_audit_count(void);

/* ---- lines ----------------------------------------------------------------------------------- */

/* Members that are NULL, "" or 0 are left out. Texts are cut at 512 bytes, bad bytes become '?'. */
struct loam_audit_entry {
	const char *action; /* "area.verb": repo.create, grant, git.push, lfs.upload … */
	const struct loam_repo *repo;
	const char *ref, *old_id, *new_id;  /* of a ref or of a published tree */
	const char *oid;		    /* of an LFS object */
	const char *account, *group;	    /* the one that is changed, not the one who acts; or */
	const struct loam_grantee *grantee; /* by number, named in the line if it can be */
	const char *ns;			    /* of what happens to a namespace */
	const char *token, *key;	    /* ids of what is made or revoked */
	const char *detail; /* one word or text: the right, the visibility, a path */
	uint64_t count;	    /* of things, when one line stands for many */
	unsigned status;    /* HTTP status of a refusal */
};

/*
 * Writes the line: rc 0 (or above) as "ok", -LOAM_E_x with its name and err's text. Returns rc, err
 * is left as it is; err may be NULL when rc is 0.
 */
int loam_audit(const struct loam_audit_entry *entry, int rc, const struct loam_err *err);

#endif
