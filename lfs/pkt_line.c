/*
 * pkt-lines (lfs/pkt_line.h). Step 3 of a push over SSH.
 */
#include "lfs/pkt_line.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/limits.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define HEAD_BYTES 4
#define STEP_MS	   1000

struct loam_pkt *loam_pkt_new(const struct loam_pkt_io *io)
{
	struct loam_pkt *pkt = loam_xnew(struct loam_pkt);
	pkt->io = io;
	loam_buf_init(&pkt->out, LOAM_PKT_OUT_BYTES_MAX);
	return pkt;
}

void loam_pkt_free(struct loam_pkt *pkt)
{
	if (!pkt)
		return;
	loam_buf_release(&pkt->out);
	free(pkt);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* 1 more has come, 0 the end. */
static int fill(struct loam_pkt *pkt, struct loam_err *err)
{
	if (pkt->begin > 0) {
		memmove(pkt->in, pkt->in + pkt->begin, pkt->end - pkt->begin);
		pkt->end -= pkt->begin;
		pkt->begin = 0;
	}
	struct loam_deadline deadline = loam_deadline_in(LOAM_HTTP_IDLE_SECONDS * 1000ull);
	for (;;) {
		struct pollfd ready = { .fd = pkt->io->in_fd, .events = POLLIN };
		int count = poll(&ready, 1, STEP_MS);
		if (count < 0 && errno != EINTR)
			return loam_fail_errno(err, "wait for the client");
		int rc = pkt->io->still(pkt->io->arg, err);
		if (rc < 0)
			return rc;
		if (count > 0)
			break;
		if (loam_deadline_left_ms(deadline) == 0)
			return loam_fail(err, LOAM_E_UNAVAILABLE, "the client sends nothing");
	}
	ssize_t got = read(pkt->io->in_fd, pkt->in + pkt->end, sizeof(pkt->in) - pkt->end);
	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return 1;
	if (got <= 0)
		return 0;
	pkt->end += (size_t)got;
	return 1;
}

static int need(struct loam_pkt *pkt, size_t bytes, struct loam_err *err)
{
	while (pkt->end - pkt->begin < bytes) {
		int rc = fill(pkt, err);
		if (rc <= 0)
			return rc;
	}
	return 1;
}

static int length_of(const uint8_t head[HEAD_BYTES])
{
	int length = 0;
	for (int i = 0; i < HEAD_BYTES; i++) {
		uint8_t c = head[i];
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;
		if (digit < 0)
			return -1;
		length = length * 16 + digit;
	}
	return length;
}

static int cut_short(struct loam_err *err)
{
	return loam_fail(err, LOAM_E_INVALID, "the client ended within a packet");
}

int loam_pkt_read(struct loam_pkt *pkt, const uint8_t **out_data, size_t *out_bytes,
		  struct loam_err *err)
{
	int rc = need(pkt, HEAD_BYTES, err);
	if (rc == 0)
		return pkt->end == pkt->begin ? (int)LOAM_PKT_END : cut_short(err);
	if (rc < 0)
		return rc;
	int length = length_of(pkt->in + pkt->begin);
	if (length == 0 || length == 1) {
		pkt->begin += HEAD_BYTES;
		return length == 0 ? LOAM_PKT_FLUSH : LOAM_PKT_DELIM;
	}
	if (length < HEAD_BYTES || length > LOAM_PKT_BYTES_MAX)
		return loam_fail(err, LOAM_E_INVALID, "the client sent no pkt-line");
	rc = need(pkt, (size_t)length, err);
	if (rc <= 0)
		return rc < 0 ? rc : cut_short(err);
	*out_data = pkt->in + pkt->begin + HEAD_BYTES;
	*out_bytes = (size_t)length - HEAD_BYTES;
	pkt->begin += (size_t)length;
	return LOAM_PKT_DATA;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void put_length(uint8_t *at, size_t bytes)
{
	static const char digits[] = "0123456789abcdef";
	size_t length = bytes + HEAD_BYTES;
	for (int i = 0; i < HEAD_BYTES; i++)
		at[i] = (uint8_t)digits[length >> (12 - 4 * i) & 0xF];
}

int loam_pkt_line(struct loam_pkt *pkt, struct loam_err *err, const char *fmt, ...)
{
	char *text = NULL;
	va_list args;
	va_start(args, fmt);
	int bytes = vasprintf(&text, fmt, args);
	va_end(args);
	loam_assert(bytes >= 0);
	loam_auto_free char *owned = text;
	if (bytes + 1 > LOAM_PKT_PAYLOAD_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE, "an answer of %d bytes in one line", bytes);
	uint8_t head[HEAD_BYTES];
	put_length(head, (size_t)bytes + 1);
	int rc = loam_buf_add(&pkt->out, head, sizeof(head), err);
	if (rc == 0)
		rc = loam_buf_add(&pkt->out, owned, (size_t)bytes, err);
	return rc < 0 ? rc : loam_buf_add(&pkt->out, "\n", 1, err);
}

int loam_pkt_delim(struct loam_pkt *pkt, struct loam_err *err)
{
	return loam_buf_add(&pkt->out, "0001", HEAD_BYTES, err);
}

static int send_gathered(struct loam_pkt *pkt, struct loam_err *err)
{
	int rc = pkt->out.bytes ? pkt->io->write(pkt->io->arg, pkt->out.data, pkt->out.bytes, err)
				: 0;
	loam_buf_clear(&pkt->out);
	return rc;
}

int loam_pkt_flush(struct loam_pkt *pkt, struct loam_err *err)
{
	int rc = loam_buf_add(&pkt->out, "0000", HEAD_BYTES, err);
	return rc < 0 ? rc : send_gathered(pkt, err);
}

int loam_pkt_send(struct loam_pkt *pkt, uint8_t *frame, size_t bytes, struct loam_err *err)
{
	loam_assert(bytes > 0 && bytes <= LOAM_PKT_PAYLOAD_MAX);
	put_length(frame, bytes);
	int rc = send_gathered(pkt, err);
	return rc < 0 ? rc : pkt->io->write(pkt->io->arg, frame, HEAD_BYTES + bytes, err);
}
