/*
 * Requests as a client, on libcurl (core/fetch.h).
 */
#include "core/fetch.h"

#include "core/auto.h"
#include "core/web.h"

#include <curl/curl.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>

#define CONNECT_SECONDS 10
#define WHOLE_SECONDS	600 /* a server may work on one call for minutes, and says nothing then */
#define USER_AGENT	"loam/" LOAM_VERSION

LOAM_DEFINE_AUTO(auto_curl, CURL, curl_easy_cleanup)
LOAM_DEFINE_AUTO(auto_url, CURLU, curl_url_cleanup)
LOAM_DEFINE_AUTO(auto_list, struct curl_slist, curl_slist_free_all)
#define auto_curl __attribute__((cleanup(auto_curl_)))
#define auto_url  __attribute__((cleanup(auto_url_)))
#define auto_list __attribute__((cleanup(auto_list_)))

static void start_library(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void start(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, start_library);
}

/* A part of the URL into out ("" when it has none); false when it does not fit. */
static bool part(CURLU *url, CURLUPart what, unsigned flags, char *out, size_t out_bytes)
{
	char *text = NULL;
	out[0] = '\0';
	if (curl_url_get(url, what, &text, flags) != CURLUE_OK)
		return true;
	size_t bytes = strlen(text);
	if (bytes < out_bytes)
		memcpy(out, text, bytes + 1);
	curl_free(text);
	return bytes < out_bytes;
}

static int not_a_server(const char *url, struct loam_err *err)
{
	return loam_fail(err, LOAM_E_INVALID,
			 "'%.200s' is no server: say http://HOST:PORT or "
			 "https://HOST",
			 url);
}

int loam_fetch_server(const char *text, char out[LOAM_FETCH_URL_BYTES], struct loam_err *err)
{
	static const CURLUPart never[] = { CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY,
					   CURLUPART_FRAGMENT };
	start();
	auto_url CURLU *url = curl_url();
	char scheme[8], host[256], port[8], path[8], other[8];
	if (!url || curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK ||
	    !part(url, CURLUPART_SCHEME, 0, scheme, sizeof(scheme)) ||
	    !part(url, CURLUPART_HOST, 0, host, sizeof(host)) ||
	    !part(url, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT, port, sizeof(port)) ||
	    !part(url, CURLUPART_PATH, 0, path, sizeof(path)))
		return not_a_server(text, err);
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(never); i++)
		if (!part(url, never[i], 0, other, sizeof(other)) || other[0])
			return not_a_server(text, err);
	if ((strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0) || !host[0] ||
	    strcmp(path, "/") != 0)
		return not_a_server(text, err);
	for (char *at = host; *at; at++)
		if (*at >= 'A' && *at <= 'Z')
			*at = (char)(*at - 'A' + 'a');
	snprintf(out, LOAM_FETCH_URL_BYTES, "%s://%s%s%s", scheme, host, port[0] ? ":" : "", port);
	return 0;
}

bool loam_fetch_is_private(const char *server)
{
	if (strncmp(server, "https://", 8) == 0)
		return true;
	const char *host = server + strlen("http://");
	size_t bytes = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");
	return (bytes == 9 && memcmp(host, "localhost", 9) == 0) ||
	       (bytes == 5 && memcmp(host, "[::1]", 5) == 0) ||
	       (strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == bytes);
}

char *loam_fetch_segment(const char *text)
{
	start();
	char *made = curl_easy_escape(NULL, text, 0);
	loam_assert(made != NULL);
	char *copy = loam_xstrdup(made);
	curl_free(made);
	return copy;
}

struct reading {
	struct loam_buf *body;
	struct loam_err err;
};

static size_t take_body(char *data, size_t size, size_t count, void *arg)
{
	struct reading *reading = arg;
	size_t bytes = size * count;
	return loam_buf_add(reading->body, data, bytes, &reading->err) < 0 ? 0 : bytes;
}

static CURLcode set_credentials(CURL *curl, const struct loam_fetch *fetch)
{
	CURLcode rc = CURLE_OK;
	if (fetch->token) {
		rc = curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
		if (rc == CURLE_OK)
			rc = curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, fetch->token);
	} else if (fetch->user) {
		rc = curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
		if (rc == CURLE_OK)
			rc = curl_easy_setopt(curl, CURLOPT_USERNAME, fetch->user);
		if (rc == CURLE_OK)
			rc = curl_easy_setopt(curl, CURLOPT_PASSWORD, fetch->password);
	}
	return rc;
}

/* Plain HTTP within this machine does not go round by the proxy of the environment. */
static bool must_go_directly(const char *url)
{
	return strncmp(url, "http://", 7) == 0 && loam_fetch_is_private(url);
}

static CURLcode set_limits(CURL *curl, const char *url)
{
	const char *roots = getenv("SSL_CERT_FILE");
	CURLcode rc = curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)WHOLE_SECONDS);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(curl, CURLOPT_USERAGENT, USER_AGENT);
	if (rc == CURLE_OK && must_go_directly(url))
		rc = curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	if (rc == CURLE_OK && roots && roots[0])
		rc = curl_easy_setopt(curl, CURLOPT_CAINFO, roots);
	return rc;
}

static CURLcode set_request(CURL *curl, const struct loam_fetch *fetch, struct curl_slist *headers,
			    struct reading *reading)
{
	CURLcode rc = curl_easy_setopt(curl, CURLOPT_URL, fetch->url);
	if (rc == CURLE_OK && fetch->body)
		rc = curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
				      (curl_off_t)fetch->body_bytes);
	if (rc == CURLE_OK && fetch->body)
		rc = curl_easy_setopt(curl, CURLOPT_POSTFIELDS, (const char *)fetch->body);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, fetch->method);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(curl, CURLOPT_WRITEDATA, reading);
	return rc;
}

static int failed(CURLcode rc, const struct loam_fetch *fetch, const char *why,
		  struct loam_err *err)
{
	char server[LOAM_FETCH_URL_BYTES];
	size_t bytes = strcspn(fetch->url, ":");
	bytes += strspn(fetch->url + bytes, ":/");
	bytes += strcspn(fetch->url + bytes, "/");
	snprintf(server, sizeof(server), "%.*s", (int)bytes, fetch->url);
	return loam_fail(err, LOAM_E_UNAVAILABLE, "%s does not answer: %s", server,
			 why[0] ? why : curl_easy_strerror(rc));
}

int loam_fetch_run(const struct loam_fetch *fetch, struct loam_fetched *out, struct loam_err *err)
{
	start();
	loam_auto_buf struct loam_buf body = LOAM_BUF(LOAM_WEB_ANSWER_BYTES_MAX);
	struct reading reading = { .body = &body };
	char why[CURL_ERROR_SIZE] = "";
	auto_list struct curl_slist *headers =
		curl_slist_append(NULL, fetch->body ? "Content-Type: application/json"
						    : "Accept: application/json");
	auto_curl CURL *curl = curl_easy_init();
	if (!curl || !headers)
		return loam_fail(err, LOAM_E_BUSY, "no memory for a request");
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
	CURLcode rc = set_limits(curl, fetch->url);
	if (rc == CURLE_OK)
		rc = set_credentials(curl, fetch);
	if (rc == CURLE_OK)
		rc = set_request(curl, fetch, headers, &reading);
	if (rc == CURLE_OK)
		rc = curl_easy_perform(curl);
	if (reading.err.code != LOAM_E_OK) {
		*err = reading.err;
		return loam_context(err, "the answer of the server");
	}
	if (rc != CURLE_OK)
		return failed(rc, fetch, why, err);
	long status = 0;
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	out->status = (int)status;
	out->body = body;
	loam_buf_init(&body, 0);
	return 0;
}

void loam_fetched_release(struct loam_fetched *fetched)
{
	loam_buf_release(&fetched->body);
}
