/*
 * One Git service for one caller on one repository, whichever door he came by (steps 5 to 7 of a
 * push): his place among the children, the ticket of its hooks, the lock of a push, the child.
 *
 * The door has asked for the right before, and asks again while it runs.
 *
 * Owner:   the door keeps the struct; loam_git_service_end releases what it holds.
 * Threads: one at a time per service.
 */
#ifndef LOAM_SERVER_GIT_SERVICE_H
#define LOAM_SERVER_GIT_SERVICE_H

#include "server/git_run.h"
#include "server/git_slots.h"
#include "server/server.h"

enum loam_git_kind { LOAM_UPLOAD_PACK, LOAM_RECEIVE_PACK, LOAM_UPLOAD_ARCHIVE };

#define LOAM_PKT_HEAD_BYTES 4

/* The commands of a push, counted as they stream by: pkt-lines up to the first flush. */
struct loam_git_commands {
	char head[LOAM_PKT_HEAD_BYTES];
	size_t head_bytes;
	size_t left; /* of the present packet */
	size_t count;
	bool over; /* the flush has passed, or git will refuse what this is */
};
/* TOO_LARGE once there are more than LOAM_GIT_PUSH_REFS_MAX. */
int loam_git_commands_count(struct loam_git_commands *commands, const void *data, size_t bytes,
			    struct loam_err *err);

struct loam_git_service {
	enum loam_git_kind kind;
	struct loam_server *server;
	struct loam_repo repo;
	struct loam_principal who;
	struct loam_git_run *run; /* once started */
	char slot[LOAM_GIT_SLOT_BYTES];
	char ticket[LOAM_TICKET_BYTES];
	size_t asked; /* refs that a push wants changed, for the audit log; 0: not known */
};

/* Under which key a principal's work is counted (server/git_slots.h). */
void loam_git_slot_of(const struct loam_principal *who, const char *peer,
		      char out[LOAM_GIT_SLOT_BYTES]);
/* false: too many of this caller's children run already. */
bool loam_git_service_enter(struct loam_git_service *service, const char *peer);

struct loam_git_start {
	const char *door, *peer;
	const char *protocol;	  /* GIT_PROTOCOL, valid, or NULL */
	const char *const *words; /* between the command and the directory, NULL-ended */
	bool changes;		  /* this child may push: lock, ticket and hooks */
	bool has_input;
	const int *fds;				       /* as in loam_git_run_spec */
	int (*still)(void *arg, struct loam_err *err); /* likewise */
	bool (*is_gone)(void *arg);		       /* likewise */
	void *still_arg;
};
/* NOT_FOUND when the repository has no Git data here. */
int loam_git_service_start(struct loam_git_service *service, const struct loam_git_start *start,
			   struct loam_err *err);
/* Ends the child if it still runs, and publishes when nobody knows what it did. */
void loam_git_service_end(struct loam_git_service *service);

#endif
