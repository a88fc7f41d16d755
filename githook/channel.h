/*
 * What hooks and `loam serve` say to each other over hook.sock: JSON objects, one a line.
 *
 *   hook                                                           serve
 *   {"op":"holds","ticket":T,"objects":[{"oid":O,"size":N},…]} {"missing":[O,…],"wrong_size":[O,…]}
 *   {"op":"locks","ticket":T,"cursor":C}   {"locks":[LOCK,…],"next_cursor":C}
 *   {"op":"publish","ticket":T,"first":"refs/heads/x"}             {"line":"…"} …, {"done":true}
 *   {"op":"updated","ticket":T,"updates":[[REF,OLD,NEW],…]}        {"done":true}
 *   {"op":"refused","ticket":T,"reason":"…"}                       {"done":true}
 *   any                                                            {"error":"one readable line"}
 *
 * The last two are for the audit log: refs that have moved, and a push that pre-receive refuses for
 * a reason of its own.
 *
 * A ticket is random, made for one push and bound to its repository and pusher. Hooks in a bare
 * repository of another Git server send "repo" and "key" instead: the key that `loam hook install`
 * left beside that repository; the gate holds its hash.
 *
 * "locks" gives those that others than the pusher hold (shape: lfs/lock_store.h), page by page; the
 * first call has no cursor, the last answer none. Whoever shows a key is not known by name: none.
 *
 * Limits: 1 MiB a line, 1,000 objects, 100 locks or 200 refs a message. A hook holds no credential
 * of the volume.
 * Source: design.md §2.7, §2.11.
 */
#ifndef LOAM_GITHOOK_CHANNEL_H
#define LOAM_GITHOOK_CHANNEL_H

#include "core/clock.h"
#include "core/json.h"
#include "core/stream.h"

#define LOAM_HOOK_SOCKET_ENV "LOAM_HOOK_SOCKET"
#define LOAM_HOOK_TICKET_ENV "LOAM_HOOK_TICKET"
#define LOAM_HOOK_KEY_FILE   "loam-hook.key"	 /* in a bare repository of another server, 0600 */
#define LOAM_XATTR_HOOK	     "trusted.loam.hook" /* on the gate: SHA-256 of that key, hex */

struct loam_channel {
	struct loam_stream *stream;
	struct loam_buf received; /* behind the last line that was taken */
	char *ticket;		  /* or */
	char *repo, *key;
};

/* From the environment that serve gives, else from the bare repository at "." (installed hooks).
 * Errors: UNAVAILABLE when serve does not answer, INVALID when nothing says where it is. */
int loam_channel_open(struct loam_channel *out, struct loam_err *err);
void loam_channel_close(struct loam_channel *channel);
/* Adds the credentials to message (taken over) and sends it. */
int loam_channel_send(struct loam_channel *channel, json_t *message, struct loam_err *err);
/* The next line; an {"error"} becomes DENIED with its text. *out_message: json_decref. */
int loam_channel_receive(struct loam_channel *channel, struct loam_deadline deadline,
			 json_t **out_message, struct loam_err *err);

/* Shared by both ends: takes one line off buf. 1 line (json_decref), 0 not yet whole. */
int loam_channel_take(struct loam_buf *buf, json_t **out_message, struct loam_err *err);

#endif
