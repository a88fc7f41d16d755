/*
 * What the HTTP server needs from root: its port, which may be below 1024, and the private key
 * (server/http.h). Step 1 of a push.
 */
#include "core/auto.h"
#include "core/sys.h"
#include "server/http_internal.h"

#include "core/banned.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

#define PEM_BYTES_MAX (1u << 20)

/* "ADDR:PORT", "[ADDR]:PORT", ":PORT" */
static int split_listen(const char *listen_on, char **out_host, char **out_port,
			struct loam_err *err)
{
	const char *colon = strrchr(listen_on, ':');
	if (!colon || colon[1] == '\0' || strspn(colon + 1, "0123456789") != strlen(colon + 1))
		return loam_fail(err, LOAM_E_INVALID, "'%s' is not ADDR:PORT", listen_on);
	size_t bytes = (size_t)(colon - listen_on);
	if (bytes >= 2 && listen_on[0] == '[' && colon[-1] == ']')
		*out_host = loam_xstrndup(listen_on + 1, bytes - 2);
	else
		*out_host = loam_xstrndup(listen_on, bytes);
	*out_port = loam_xstrdup(colon + 1);
	return 0;
}

static int fail_listen(const char *listen_on, struct loam_err *err)
{
	if (errno == EADDRINUSE)
		return loam_fail(err, LOAM_E_EXISTS, "%s is in use by another program", listen_on);
	return loam_fail_errno(err, "listen on %s", listen_on);
}

/* Bound only: a port that takes connections is one that will serve them. */
static int open_socket(const char *listen_on, int *out_fd, struct loam_err *err)
{
	loam_auto_free char *host = NULL;
	loam_auto_free char *port = NULL;
	int rc = split_listen(listen_on, &host, &port, err);
	if (rc < 0)
		return rc;
	struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
				  .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	int failed = getaddrinfo(host[0] ? host : NULL, port, &hints, &found);
	if (failed)
		return loam_fail(err, LOAM_E_INVALID, "listen on '%s': %s", listen_on,
				 gai_strerror(failed));
	int one = 1;
	loam_auto_fd int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		rc = loam_fail_errno(err, "make a socket");
	else if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
		 bind(fd, found->ai_addr, found->ai_addrlen) < 0)
		rc = fail_listen(listen_on, err);
	freeaddrinfo(found);
	if (rc == 0)
		*out_fd = loam_steal_fd(&fd);
	return rc;
}

static int read_pem(const char *path, char **out, struct loam_err *err)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(PEM_BYTES_MAX);
	int rc = loam_path_read_all(path, &text, err);
	if (rc == 0)
		*out = loam_buf_steal(&text);
	return rc;
}

static int read_tls(const struct loam_http_options *options, struct loam_http_listener *listener,
		    struct loam_err *err)
{
	const char *cert = options->tls_cert, *key = options->tls_key;
	bool has_cert = cert && cert[0], has_key = key && key[0];
	if (has_cert != has_key)
		return loam_fail(err, LOAM_E_INVALID,
				 "TLS needs both a certificate and a key (--tls-cert, --tls-key)");
	if (!has_cert)
		return 0;
	int rc = read_pem(cert, &listener->cert_pem, err);
	return rc < 0 ? rc : read_pem(key, &listener->key_pem, err);
}

int loam_http_listen(const struct loam_http_options *options,
		     struct loam_http_listener **out_listener, struct loam_err *err)
{
	struct loam_http_listener *listener = loam_xnew(struct loam_http_listener);
	listener->fd = -1;
	int rc = read_tls(options, listener, err);
	if (rc == 0)
		rc = open_socket(options->listen ? options->listen : "", &listener->fd, err);
	if (rc < 0)
		loam_http_listener_free(listener);
	else
		*out_listener = listener;
	return rc;
}

int loam_http_listener_open(struct loam_http_listener *listener, const char *listen_on,
			    struct loam_err *err)
{
	return listen(listener->fd, SOMAXCONN) < 0 ? fail_listen(listen_on, err) : 0;
}

void loam_http_listener_free(struct loam_http_listener *listener)
{
	if (!listener)
		return;
	if (listener->fd >= 0)
		close(listener->fd);
	if (listener->key_pem)
		explicit_bzero(listener->key_pem, strlen(listener->key_pem));
	free(listener->cert_pem);
	free(listener->key_pem);
	free(listener);
}
