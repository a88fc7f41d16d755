/*
 * A byte stream to a peer with deadlines: TCP, Unix socket, TLS over TCP.
 *
 * Errors: UNAVAILABLE when the deadline passes or the peer is gone, IO else.
 * Threads: one at a time per stream. TLS writes may raise SIGPIPE: programs ignore it.
 */
#ifndef LOAM_CORE_STREAM_H
#define LOAM_CORE_STREAM_H

#include "core/clock.h"
#include "core/err.h"

#include <stdbool.h>
#include <stddef.h>

struct loam_stream;

/* A descriptor that accepts on a Unix socket at path, which is removed first: the caller holds the
 * lock that says that no living server listens there. backlog: connections that may wait. */
int loam_stream_listen_unix(const char *path, unsigned mode, int backlog, int *out_fd,
			    struct loam_err *err);
int loam_stream_connect_unix(const char *path, struct loam_deadline deadline,
			     struct loam_stream **out_stream, struct loam_err *err);
/* tls: certificate checked against host and the system's roots. */
int loam_stream_connect_tcp(const char *host, const char *port, bool tls,
			    struct loam_deadline deadline, struct loam_stream **out_stream,
			    struct loam_err *err);
int loam_stream_write(struct loam_stream *stream, const void *data, size_t data_bytes,
		      struct loam_deadline deadline, struct loam_err *err);
/* At least one byte, or UNAVAILABLE at the end of the stream. */
int loam_stream_read(struct loam_stream *stream, void *out, size_t out_bytes, size_t *out_read,
		     struct loam_deadline deadline, struct loam_err *err);
int loam_stream_fd(const struct loam_stream *stream);
/* Accepts NULL. */
void loam_stream_close(struct loam_stream *stream);

#endif
