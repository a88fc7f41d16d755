/*
 * Streams with deadlines (core/stream.h). Sockets are non-blocking: an operation is tried first and
 * waited for with poll(2) only when it would block, so a deadline of 0 still takes what is there.
 *
 * Known limit: getaddrinfo(3) has no deadline of its own; its resolver's applies.
 */
#include "core/stream.h"

#include "core/auto.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define CONNECT_AGAIN_MS 5 /* the backlog of a Unix socket is full */

struct loam_stream {
	int fd;
	SSL *tls; /* NULL: plain */
};

static pthread_once_t tls_once = PTHREAD_ONCE_INIT;
static SSL_CTX *tls_context; /* set once, NULL when OpenSSL refused */

LOAM_DEFINE_AUTO(auto_stream, struct loam_stream, loam_stream_close)
LOAM_DEFINE_AUTO(auto_addresses, struct addrinfo, freeaddrinfo)

static struct loam_stream *stream_new(int fd)
{
	struct loam_stream *stream = loam_xnew(struct loam_stream);
	stream->fd = fd;
	return stream;
}

static int wait_for(int fd, short events, struct loam_deadline deadline, struct loam_err *err)
{
	for (;;) {
		int left = loam_deadline_left_ms(deadline);
		struct pollfd wait = { .fd = fd, .events = events };
		int rc = poll(&wait, 1, left);
		if (rc > 0)
			return 0;
		if (rc < 0 && errno != EINTR)
			return loam_fail_errno(err, "poll");
		if (left == 0)
			return loam_fail(err, LOAM_E_UNAVAILABLE, "no answer in time");
	}
}

/* A peer that is not there is UNAVAILABLE, whatever the errno; a refusal by rights is DENIED. */
static int fail_connect(int why, const char *peer, struct loam_err *err)
{
	errno = why;
	if (why == EACCES || why == EPERM)
		return loam_fail_errno(err, "connect to %s", peer);
	return loam_fail(err, LOAM_E_UNAVAILABLE, "connect to %s: %s", peer, strerror(why));
}

static int connect_fd(int fd, const struct sockaddr *address, socklen_t address_bytes,
		      const char *peer, struct loam_deadline deadline, struct loam_err *err)
{
	while (connect(fd, address, address_bytes) < 0) {
		if (errno == EISCONN)
			return 0;
		if (errno == EAGAIN && loam_deadline_left_ms(deadline) > 0) {
			loam_clock_sleep_ms(CONNECT_AGAIN_MS);
			continue;
		}
		if (errno != EINPROGRESS && errno != EINTR && errno != EALREADY)
			return fail_connect(errno, peer, err);
		if (wait_for(fd, POLLOUT, deadline, err) < 0)
			return loam_context(err, "connect to %s", peer);
		int why = 0;
		socklen_t why_bytes = sizeof(why);
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &why_bytes);
		return why ? fail_connect(why, peer, err) : 0;
	}
	return 0;
}

int loam_stream_listen_unix(const char *path, unsigned mode, int backlog, int *out_fd,
			    struct loam_err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address.sun_path))
		return loam_fail(err, LOAM_E_NAME_TOO_LONG, "%s is too long for a socket", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	loam_auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return loam_fail_errno(err, "make a socket");
	unlink(path); /* of a server that died */
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || chmod(path, mode) < 0 ||
	    listen(fd, backlog) < 0)
		return loam_fail_errno(err, "listen at %s", path);
	*out_fd = loam_steal_fd(&fd);
	return 0;
}

int loam_stream_connect_unix(const char *path, struct loam_deadline deadline,
			     struct loam_stream **out_stream, struct loam_err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t path_bytes = strlen(path);
	if (path_bytes == 0 || path_bytes >= sizeof(address.sun_path))
		return loam_fail(err, LOAM_E_INVALID, "socket path '%s' is empty or over %zu bytes",
				 path, sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, path_bytes);

	loam_auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return loam_fail_errno(err, "socket");
	int rc = connect_fd(fd, (const struct sockaddr *)&address, sizeof(address), path, deadline,
			    err);
	if (rc < 0)
		return rc;
	*out_stream = stream_new(loam_steal_fd(&fd));
	return 0;
}

/* Tries one address after the other; the last one's error stays. */
static int connect_any(const struct addrinfo *addresses, const char *peer,
		       struct loam_deadline deadline, int *out_fd, struct loam_err *err)
{
	for (const struct addrinfo *at = addresses; at; at = at->ai_next) {
		loam_err_clear(err);
		loam_auto_fd int fd =
			socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			       IPPROTO_TCP);
		if (fd < 0) {
			fail_connect(errno, peer, err);
			continue;
		}
		if (connect_fd(fd, at->ai_addr, at->ai_addrlen, peer, deadline, err) < 0)
			continue;
		const int on = 1;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
		*out_fd = loam_steal_fd(&fd);
		return 0;
	}
	return -(int)err->code;
}

static void make_tls_context(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	if (!context)
		return;
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(context,
			 SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (SSL_CTX_set_default_verify_paths(context) != 1) {
		SSL_CTX_free(context);
		return;
	}
	tls_context = context;
}

/* What OpenSSL says about a failed call that was not merely "try again". */
static int fail_tls(const struct loam_stream *stream, int reason, int saved_errno,
		    const char *doing, struct loam_err *err)
{
	long verified = SSL_get_verify_result(stream->tls);
	unsigned long code = ERR_get_error();
	ERR_clear_error();
	if (reason == SSL_ERROR_ZERO_RETURN)
		return loam_fail(err, LOAM_E_UNAVAILABLE, "the peer closed the connection");
	if (verified != X509_V_OK)
		return loam_fail(err, LOAM_E_IO, "%s: certificate: %s", doing,
				 X509_verify_cert_error_string(verified));
	if (code != 0 && ERR_GET_REASON(code) != SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return loam_fail(err, LOAM_E_IO, "%s: %s", doing, ERR_reason_error_string(code));
	if (code != 0 || saved_errno == 0)
		return loam_fail(err, LOAM_E_UNAVAILABLE, "the peer closed the connection");
	errno = saved_errno;
	return loam_fail_errno(err, "%s", doing);
}

/* After a call that returned rc <= 0. 0: waited, call again. */
static int wait_tls(struct loam_stream *stream, int rc, const char *doing,
		    struct loam_deadline deadline, struct loam_err *err)
{
	int saved_errno = errno;
	int reason = SSL_get_error(stream->tls, rc);
	if (reason == SSL_ERROR_WANT_READ)
		return wait_for(stream->fd, POLLIN, deadline, err);
	if (reason == SSL_ERROR_WANT_WRITE)
		return wait_for(stream->fd, POLLOUT, deadline, err);
	return fail_tls(stream, reason, saved_errno, doing, err);
}

static bool name_peer(SSL *tls, const char *host)
{
	struct in6_addr ignored;
	bool is_address =
		inet_pton(AF_INET, host, &ignored) == 1 || inet_pton(AF_INET6, host, &ignored) == 1;
	if (is_address)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), host) == 1;
	return SSL_set1_host(tls, host) == 1 && SSL_set_tlsext_host_name(tls, host) == 1;
}

static int start_tls(struct loam_stream *stream, const char *host, struct loam_deadline deadline,
		     struct loam_err *err)
{
	pthread_once(&tls_once, make_tls_context);
	ERR_clear_error();
	if (tls_context)
		stream->tls = SSL_new(tls_context);
	if (!stream->tls || !name_peer(stream->tls, host) ||
	    SSL_set_fd(stream->tls, stream->fd) != 1)
		return loam_fail(err, LOAM_E_IO, "TLS to %s cannot be set up", host);
	for (;;) {
		ERR_clear_error();
		errno = 0;
		int rc = SSL_connect(stream->tls);
		if (rc == 1)
			return 0;
		if (wait_tls(stream, rc, "TLS handshake", deadline, err) < 0)
			return loam_context(err, "connect to %s", host);
	}
}

int loam_stream_connect_tcp(const char *host, const char *port, bool tls,
			    struct loam_deadline deadline, struct loam_stream **out_stream,
			    struct loam_err *err)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	__attribute__((cleanup(auto_addresses_))) struct addrinfo *addresses = NULL;
	int failed = getaddrinfo(host, port, &hints, &addresses);
	if (failed) {
		addresses = NULL;
		return loam_fail(err, LOAM_E_UNAVAILABLE, "look up %s port %s: %s", host, port,
				 gai_strerror(failed));
	}
	loam_auto_free char *peer = loam_xasprintf("%s port %s", host, port);
	int fd = -1;
	int rc = connect_any(addresses, peer, deadline, &fd, err);
	if (rc < 0)
		return rc;

	__attribute__((cleanup(auto_stream_))) struct loam_stream *stream = stream_new(fd);
	if (tls)
		rc = start_tls(stream, host, deadline, err);
	if (rc < 0)
		return rc;
	*out_stream = loam_steal(&stream);
	return 0;
}

/* One write: bytes taken, or -code. */
static int write_some(struct loam_stream *stream, const void *data, size_t data_bytes,
		      struct loam_deadline deadline, size_t *out_done, struct loam_err *err)
{
	for (;;) {
		errno = 0;
		if (stream->tls) {
			ERR_clear_error();
			int rc = SSL_write_ex(stream->tls, data, data_bytes, out_done);
			if (rc == 1)
				return 0;
			rc = wait_tls(stream, rc, "write", deadline, err);
			if (rc < 0)
				return rc;
			continue;
		}
		ssize_t put = send(stream->fd, data, data_bytes, MSG_NOSIGNAL);
		if (put >= 0) {
			*out_done = (size_t)put;
			return 0;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return loam_fail_errno(err, "write");
		int rc = wait_for(stream->fd, POLLOUT, deadline, err);
		if (rc < 0)
			return rc;
	}
}

int loam_stream_write(struct loam_stream *stream, const void *data, size_t data_bytes,
		      struct loam_deadline deadline, struct loam_err *err)
{
	size_t done = 0;
	while (done < data_bytes) {
		size_t step = 0;
		int rc = write_some(stream, (const char *)data + done, data_bytes - done, deadline,
				    &step, err);
		if (rc < 0)
			return rc;
		done += step;
	}
	return 0;
}

int loam_stream_read(struct loam_stream *stream, void *out, size_t out_bytes, size_t *out_read,
		     struct loam_deadline deadline, struct loam_err *err)
{
	loam_assert(out_bytes > 0);
	for (;;) {
		errno = 0;
		if (stream->tls) {
			ERR_clear_error();
			int rc = SSL_read_ex(stream->tls, out, out_bytes, out_read);
			if (rc == 1)
				return 0;
			rc = wait_tls(stream, rc, "read", deadline, err);
			if (rc < 0)
				return rc;
			continue;
		}
		ssize_t got = recv(stream->fd, out, out_bytes, 0);
		if (got > 0) {
			*out_read = (size_t)got;
			return 0;
		}
		if (got == 0)
			return loam_fail(err, LOAM_E_UNAVAILABLE, "the peer closed the connection");
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return loam_fail_errno(err, "read");
		int rc = wait_for(stream->fd, POLLIN, deadline, err);
		if (rc < 0)
			return rc;
	}
}

int loam_stream_fd(const struct loam_stream *stream)
{
	return stream->fd;
}

void loam_stream_close(struct loam_stream *stream)
{
	if (!stream)
		return;
	if (stream->tls) {
		/* One attempt at a goodbye, never waited for. */
		ERR_clear_error();
		SSL_shutdown(stream->tls);
		SSL_free(stream->tls);
		ERR_clear_error();
	}
	if (stream->fd >= 0)
		close(stream->fd);
	free(stream);
}
