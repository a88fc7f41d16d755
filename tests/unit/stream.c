/*
 * core/stream: deadlines, ends, and TLS that checks the peer's name. The peers are threads of this
 * program; the TLS one shows a certificate made here for "localhost".
 */
#include "core/stream.h"

#include "core/auto.h"
#include "core/hash.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define LONG_MS	    20000
#define BULK_BYTES  (3u << 20)
#define UNIX_SOCKET "sock"

static char dir[] = "/tmp/loam-unit-stream-XXXXXX";
static EVP_PKEY *key;
static X509 *certificate;

struct peer {
	int listen_fd;
	char port[8];
	bool tls;
	size_t answer_bytes; /* bytes of 'z' sent behind what was read */
	size_t read_bytes;   /* read first */
	size_t got_bytes;
	pthread_t thread;
};

static void make_certificate(void)
{
	key = EVP_EC_gen("P-256");
	certificate = X509_new();
	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_set_pubkey(certificate, key);
	X509_NAME *name = X509_get_subject_name(certificate);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1,
				   -1, 0);
	X509_set_issuer_name(certificate, name);
	X509_EXTENSION *names =
		X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:localhost");
	X509_add_ext(certificate, names, -1);
	X509_EXTENSION_free(names);
	X509_sign(certificate, key, EVP_sha256());
}

static int set_up(void **state)
{
	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(dir))
		return -1;
	make_certificate();
	loam_auto_free char *path = loam_xasprintf("%s/roots.pem", dir);
	loam_auto_file FILE *file = fopen(path, "we");
	setenv("SSL_CERT_FILE", path, 1);
	return file && PEM_write_X509(file, certificate) == 1 ? 0 : -1;
}

static int tear_down(void **state)
{
	loam_auto_free char *roots = loam_xasprintf("%s/roots.pem", dir);
	loam_auto_free char *path = loam_xasprintf("%s/" UNIX_SOCKET, dir);
	unlink(roots);
	unlink(path);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return rmdir(dir);
}

static void talk_tls(struct peer *peer, int fd)
{
	char bytes[4096];
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	SSL_CTX_use_certificate(context, certificate);
	SSL_CTX_use_PrivateKey(context, key);
	SSL *tls = SSL_new(context);
	SSL_set_fd(tls, fd);
	if (SSL_accept(tls) == 1) {
		size_t got = 0;
		while (peer->got_bytes < peer->read_bytes &&
		       SSL_read_ex(tls, bytes, sizeof(bytes), &got) == 1)
			peer->got_bytes += got;
		memset(bytes, 'z', sizeof(bytes));
		for (size_t left = peer->answer_bytes; left > 0;) {
			size_t step = left < sizeof(bytes) ? left : sizeof(bytes);
			if (SSL_write_ex(tls, bytes, step, &got) != 1)
				break;
			left -= got;
		}
		SSL_shutdown(tls);
	}
	SSL_free(tls);
	SSL_CTX_free(context);
}

static void talk_plain(struct peer *peer, int fd)
{
	char bytes[4096];
	while (peer->got_bytes < peer->read_bytes) {
		ssize_t got = read(fd, bytes, sizeof(bytes));
		if (got <= 0)
			return;
		peer->got_bytes += (size_t)got;
	}
	memset(bytes, 'z', sizeof(bytes));
	for (size_t left = peer->answer_bytes; left > 0;) {
		ssize_t put =
			send(fd, bytes, left < sizeof(bytes) ? left : sizeof(bytes), MSG_NOSIGNAL);
		if (put <= 0)
			return;
		left -= (size_t)put;
	}
}

static void *serve_one(void *arg)
{
	struct peer *peer = arg;
	loam_auto_fd int fd = accept4(peer->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0 && peer->tls)
		talk_tls(peer, fd);
	else if (fd >= 0)
		talk_plain(peer, fd);
	return NULL;
}

static void start_peer(struct peer *peer)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t address_bytes = sizeof(address);
	peer->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(peer->listen_fd, (struct sockaddr *)&address, address_bytes), 0);
	assert_int_equal(listen(peer->listen_fd, 1), 0);
	getsockname(peer->listen_fd, (struct sockaddr *)&address, &address_bytes);
	snprintf(peer->port, sizeof(peer->port), "%u", (unsigned)ntohs(address.sin_port));
	assert_int_equal(pthread_create(&peer->thread, NULL, serve_one, peer), 0);
}

static void end_peer(struct peer *peer)
{
	pthread_join(peer->thread, NULL);
	close(peer->listen_fd);
}

/* Sends BULK_BYTES, reads what comes back to its end. */
static void exchange_bulk(bool tls)
{
	struct loam_err err = { 0 };
	struct peer peer = { .tls = tls, .read_bytes = BULK_BYTES, .answer_bytes = BULK_BYTES };
	struct loam_stream *stream = NULL;
	struct loam_deadline deadline = loam_deadline_in(LONG_MS);
	loam_auto_free char *data = loam_xcalloc(1, BULK_BYTES);
	start_peer(&peer);
	assert_int_equal(loam_stream_connect_tcp("localhost", peer.port, tls, deadline, &stream,
						 &err),
			 0);
	assert_int_equal(loam_stream_write(stream, data, BULK_BYTES, deadline, &err), 0);
	size_t total = 0;
	for (;;) {
		size_t got = 0;
		if (loam_stream_read(stream, data, BULK_BYTES, &got, deadline, &err) < 0)
			break;
		assert_true(got > 0 && data[0] == 'z' && data[got - 1] == 'z');
		total += got;
	}
	assert_int_equal(err.code, LOAM_E_UNAVAILABLE);
	assert_non_null(strstr(err.text, "closed"));
	assert_int_equal(total, BULK_BYTES);
	loam_stream_close(stream);
	end_peer(&peer);
	assert_int_equal(peer.got_bytes, BULK_BYTES);
}

static void bytes_go_both_ways_over_tcp(void **state)
{
	exchange_bulk(false);
}

static void bytes_go_both_ways_over_tls(void **state)
{
	exchange_bulk(true);
}

/* 127.1 reaches the same address, but is a name for the check, and not the certificate's. */
static void a_certificate_for_another_name_is_refused(void **state)
{
	static const char *const hosts[] = { "127.0.0.1", "127.1" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(hosts); i++) {
		struct loam_err err = { 0 };
		struct peer peer = { .tls = true };
		struct loam_stream *stream = NULL;
		start_peer(&peer);
		int rc = loam_stream_connect_tcp(hosts[i], peer.port, true,
						 loam_deadline_in(LONG_MS), &stream, &err);
		assert_int_equal(rc, -LOAM_E_IO);
		assert_non_null(strstr(err.text, "certificate"));
		assert_null(stream);
		end_peer(&peer);
	}
}

static void a_silent_peer_is_left_at_the_deadline(void **state)
{
	struct loam_err err = { 0 };
	struct peer peer = { .read_bytes = 1 };
	struct loam_stream *stream = NULL;
	char byte;
	size_t got = 0;
	start_peer(&peer);
	assert_int_equal(loam_stream_connect_tcp("127.0.0.1", peer.port, false,
						 loam_deadline_in(LONG_MS), &stream, &err),
			 0);
	uint64_t begin = loam_clock_ms();
	assert_int_equal(loam_stream_read(stream, &byte, 1, &got, loam_deadline_in(40), &err),
			 -LOAM_E_UNAVAILABLE);
	assert_true(loam_clock_ms() - begin >= 39);
	assert_true(loam_clock_ms() - begin < LONG_MS);
	loam_err_clear(&err);
	assert_int_equal(loam_stream_write(stream, "x", 1, loam_deadline_in(LONG_MS), &err), 0);
	loam_stream_close(stream);
	end_peer(&peer);
}

static void a_peer_that_does_not_read_stops_a_write_at_the_deadline(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_free char *path = loam_xasprintf("%s/" UNIX_SOCKET, dir);
	loam_auto_free char *data = loam_xcalloc(1, 8u << 20);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct loam_stream *stream = NULL;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	loam_auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(loam_stream_connect_unix(path, loam_deadline_in(LONG_MS), &stream, &err),
			 0);
	assert_true(loam_stream_fd(stream) >= 0);
	assert_int_equal(loam_stream_write(stream, data, 8u << 20, loam_deadline_in(50), &err),
			 -LOAM_E_UNAVAILABLE);
	loam_stream_close(stream);
}

static void nobody_there_is_unavailable(void **state)
{
	struct loam_err err = { 0 };
	struct loam_stream *stream = NULL;
	assert_int_equal(loam_stream_connect_unix("/nonexistent/s", loam_deadline_in(LONG_MS),
						  &stream, &err),
			 -LOAM_E_UNAVAILABLE);
	loam_err_clear(&err);
	/* A port that was ours a moment ago and is closed. */
	struct peer peer = { 0 };
	start_peer(&peer);
	shutdown(peer.listen_fd, SHUT_RDWR);
	end_peer(&peer);
	assert_int_equal(loam_stream_connect_tcp("127.0.0.1", peer.port, false,
						 loam_deadline_in(LONG_MS), &stream, &err),
			 -LOAM_E_UNAVAILABLE);
}

static void a_socket_path_over_its_limit_is_invalid(void **state)
{
	struct loam_err err = { 0 };
	struct loam_stream *stream = NULL;
	char path[200];
	memset(path, 'p', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(loam_stream_connect_unix(path, loam_deadline_in(10), &stream, &err),
			 -LOAM_E_INVALID);
	loam_stream_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_go_both_ways_over_tcp),
		cmocka_unit_test(bytes_go_both_ways_over_tls),
		cmocka_unit_test(a_certificate_for_another_name_is_refused),
		cmocka_unit_test(a_silent_peer_is_left_at_the_deadline),
		cmocka_unit_test(a_peer_that_does_not_read_stops_a_write_at_the_deadline),
		cmocka_unit_test(nobody_there_is_unavailable),
		cmocka_unit_test(a_socket_path_over_its_limit_is_invalid),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
