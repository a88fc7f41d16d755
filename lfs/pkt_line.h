/*
 * Git's pkt-lines on the two descriptors of a session.
 *
 * Shape:   4 hex digits, the length with them, then the bytes; "0000" flush, "0001" delimiter.
 *          At most 65,520 bytes; what is longer, or no length, ends the conversation.
 * Errors:  INVALID for what is no pkt-line; INTERRUPTED when the session is over; UNAVAILABLE when
 *          the peer sends nothing for LOAM_HTTP_IDLE_SECONDS.
 * Threads: one at a time.
 * Source:  git Documentation/gitprotocol-common.txt; protocols.md A.8.
 */
#ifndef LOAM_LFS_PKT_LINE_H
#define LOAM_LFS_PKT_LINE_H

#include "core/buf.h"

#include <stdbool.h>

#define LOAM_PKT_BYTES_MAX     65520
#define LOAM_PKT_PAYLOAD_MAX   (LOAM_PKT_BYTES_MAX - 4)
#define LOAM_PKT_IN_BYTES      (128u << 10)
#define LOAM_PKT_OUT_BYTES_MAX (1u << 20) /* of one answer without its data */

struct loam_pkt_io {
	int in_fd; /* borrowed; may block, is polled */
	int (*write)(void *arg, const void *data, size_t bytes, struct loam_err *err);
	int (*still)(void *arg, struct loam_err *err); /* 0, or why the conversation ends */
	void *arg;
};

enum loam_pkt_kind { LOAM_PKT_END, LOAM_PKT_FLUSH, LOAM_PKT_DELIM, LOAM_PKT_DATA };

struct loam_pkt {
	const struct loam_pkt_io *io;
	size_t begin, end; /* of what is buffered */
	struct loam_buf out;
	uint8_t in[LOAM_PKT_IN_BYTES];
};

struct loam_pkt *loam_pkt_new(const struct loam_pkt_io *io);
void loam_pkt_free(struct loam_pkt *pkt);

/* The next one, an enum loam_pkt_kind; data points into pkt until the next call. END: the peer
 * sends no more, between two packets. */
int loam_pkt_read(struct loam_pkt *pkt, const uint8_t **out_data, size_t *out_bytes,
		  struct loam_err *err);

/* Gathered until the flush, which sends it. TOO_LARGE over LOAM_PKT_OUT_BYTES_MAX. */
int loam_pkt_line(struct loam_pkt *pkt, struct loam_err *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int loam_pkt_delim(struct loam_pkt *pkt, struct loam_err *err);
int loam_pkt_flush(struct loam_pkt *pkt, struct loam_err *err);
/* One packet of data, sent at once with what was gathered before it. frame holds bytes of data
 * (1 to LOAM_PKT_PAYLOAD_MAX) behind 4 that are filled here. */
int loam_pkt_send(struct loam_pkt *pkt, uint8_t *frame, size_t bytes, struct loam_err *err);

#endif
