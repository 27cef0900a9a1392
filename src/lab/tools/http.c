/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "tools.h"

#define HEAD_BYTES 65536

/* wget and curl, as far as asking an HTTP server goes: nothing is written to files. */
struct http {
	bool is_curl, quiet, spider, discard, fail, show_head, head_only;
	struct target to;
	int max_ms;
	const char *method, *body, *format, *url;
	char headers[8192];
	char host[512], path[4096];
	int status;
};

static void add_header(struct http *h, const char *line)
{
	size_t used = strlen(h->headers);
	snprintf(h->headers + used, sizeof(h->headers) - used, "%s\r\n", line);
}

/* http://host[:port][/path], with or without the scheme; host:port stay in `host`. */
static bool parse_url(struct http *h)
{
	static char authority[512];
	const char *at = strncmp(h->url, "http://", 7) == 0 ? h->url + 7 : h->url;
	size_t size = strcspn(at, "/?#");
	char *tail;

	if (strstr(h->url, "://") != NULL && at == h->url)
		return false;
	if (size == 0 || size >= sizeof(authority))
		return false;
	snprintf(authority, sizeof(authority), "%.*s", (int)size, at);
	snprintf(h->host, sizeof(h->host), "%s", authority);
	snprintf(h->path, sizeof(h->path), "%s%s", at[size] == '/' ? "" : "/", at + size);
	h->to.port = "80";
	tail = authority[0] == '[' ? strchr(authority, ']') : authority;
	if (tail != NULL && strchr(tail, ':') != NULL)
		return split_host_port(authority, &h->to.host, &h->to.port);
	if (authority[0] == '[' && tail != NULL) {
		*tail = '\0';
		h->to.host = authority + 1;
	} else {
		h->to.host = authority;
	}
	return true;
}

static int fail_with(const struct http *h, enum outcome outcome)
{
	static const char *const words[] = {"", "Connection refused", "timed out", "bad address", "unreachable"};
	static const int curl_codes[] = {0, 7, 28, 6, 7};

	if (!h->is_curl)
		fprintf(stderr, "wget: %s: %s\n", h->host, outcome == TIMED_OUT ? "download timed out" : words[outcome]);
	else if (!h->quiet)
		fprintf(stderr, "curl: (%d) %s: %s\n", curl_codes[outcome], h->host, words[outcome]);
	return h->is_curl ? curl_codes[outcome] : 1;
}

static bool send_request(const struct http *h, int fd)
{
	char request[16384];
	int size = snprintf(request, sizeof(request), "%s %s HTTP/1.0\r\nHost: %s\r\nUser-Agent: %s/weft-lab\r\nAccept: */*\r\n%s",
			    h->method, h->path, h->host, h->is_curl ? "curl" : "wget", h->headers);

	if (h->body != NULL)
		size += snprintf(request + size, sizeof(request) - (size_t)size, "Content-Length: %zu\r\n\r\n%s", strlen(h->body),
				 h->body);
	else
		size += snprintf(request + size, sizeof(request) - (size_t)size, "\r\n");
	return size < (int)sizeof(request) && write_all(fd, request, (size_t)size);
}

static bool wants_body(const struct http *h)
{
	if (h->discard || h->spider || h->head_only)
		return false;
	return h->status < 400 || (h->is_curl && !h->fail);
}

/* Reads head and body (to the end of the connection) and prints what was asked for. */
static enum outcome read_answer(struct http *h, int fd)
{
	static char head[HEAD_BYTES + 1];
	size_t size = 0;
	char *end = NULL;

	while (end == NULL) {
		if (size == HEAD_BYTES || !readable(fd, h->max_ms))
			return TIMED_OUT;
		ssize_t got = read(fd, head + size, HEAD_BYTES - size);
		if (got <= 0)
			return got < 0 && errno == ECONNRESET ? REFUSED : OTHER;
		size += (size_t)got;
		head[size] = '\0';
		end = strstr(head, "\r\n\r\n");
	}
	sscanf(head, "HTTP/%*s %d", &h->status);
	end += 4;
	if (h->show_head)
		write_all(1, head, (size_t)(end - head));
	if (!wants_body(h))
		return REACHED;
	write_all(1, end, size - (size_t)(end - head));
	for (char more[16384];;) {
		if (!readable(fd, h->max_ms))
			return TIMED_OUT;
		ssize_t got = read(fd, more, sizeof(more));
		if (got <= 0)
			return REACHED;
		write_all(1, more, (size_t)got);
	}
}

/* What -w asks for: the status code and line ends. */
static void print_format(const struct http *h)
{
	static const char code[] = "%{http_code}", response[] = "%{response_code}";

	for (const char *at = h->format; at != NULL && *at != '\0';) {
		size_t skip = strncmp(at, code, sizeof(code) - 1) == 0           ? sizeof(code) - 1
			      : strncmp(at, response, sizeof(response) - 1) == 0 ? sizeof(response) - 1
										 : 0;
		if (skip > 0) {
			printf("%03d", h->status);
			at += skip;
		} else if (strncmp(at, "\\n", 2) == 0) {
			putchar('\n');
			at += 2;
		} else {
			putchar(*at++);
		}
	}
	fflush(stdout);
}

static int ask(struct http *h)
{
	int fd = -1;
	enum outcome outcome = connect_to(&h->to, &fd, NULL);

	if (outcome == REACHED && !send_request(h, fd))
		outcome = OTHER;
	if (outcome == REACHED)
		outcome = read_answer(h, fd);
	print_format(h);
	if (outcome != REACHED)
		return fail_with(h, outcome);
	if (h->status >= 400 && (!h->is_curl || h->fail)) {
		if (!h->is_curl)
			fprintf(stderr, "wget: server returned error: HTTP %d\n", h->status);
		return h->is_curl ? 22 : 1;
	}
	if (!h->is_curl && h->spider && !h->quiet)
		fprintf(stderr, "remote file exists\n");
	return 0;
}

/* No answer is written to a file of the machine: only to stdout or nowhere. */
static void output(struct http *h, const char *where)
{
	if (strcmp(where, "/dev/null") == 0) {
		h->discard = true;
	} else if (strcmp(where, "-") != 0 && strcmp(where, "/dev/stdout") != 0) {
		fprintf(stderr, "%s: writes to - or /dev/null only\n", h->is_curl ? "curl" : "wget");
		exit(2);
	}
}

static void curl_option(struct http *h, struct options *o, const struct option_found *f)
{
	if (f->letter == 's' || is_long(f, "silent"))
		h->quiet = true;
	else if (f->letter == 'S' || is_long(f, "show-error"))
		h->quiet = false;
	else if (f->letter == 'f' || is_long(f, "fail"))
		h->fail = true;
	else if (f->letter == 'i' || is_long(f, "include"))
		h->show_head = true;
	else if (f->letter == 'I' || is_long(f, "head")) {
		h->head_only = h->show_head = true;
		h->method = "HEAD";
	} else if (f->letter == 'm' || is_long(f, "max-time"))
		h->max_ms = milliseconds(option_value(o, f));
	else if (is_long(f, "connect-timeout"))
		h->to.timeout_ms = milliseconds(option_value(o, f));
	else if (f->letter == 'o' || is_long(f, "output"))
		output(h, option_value(o, f));
	else if (f->letter == 'w' || is_long(f, "write-out"))
		h->format = option_value(o, f);
	else if (f->letter == 'X' || is_long(f, "request"))
		h->method = option_value(o, f);
	else if (f->letter == 'd' || is_long(f, "data")) {
		h->body = option_value(o, f);
		if (strcmp(h->method, "GET") == 0)
			h->method = "POST";
	} else if (f->letter == 'H' || is_long(f, "header"))
		add_header(h, option_value(o, f));
	else if (f->letter == 'A' || is_long(f, "retry") || is_long(f, "user-agent") || is_long(f, "retry-delay"))
		(void)option_value(o, f);
	else if (f->letter == '4' || f->letter == '6')
		h->to.family = f->letter == '4' ? AF_INET : AF_INET6;
}

static void wget_option(struct http *h, struct options *o, const struct option_found *f)
{
	if (f->letter == 'q' || is_long(f, "quiet"))
		h->quiet = true;
	else if (f->letter == 'S' || is_long(f, "server-response"))
		h->show_head = true;
	else if (is_long(f, "spider"))
		h->spider = true;
	else if (f->letter == 'T' || is_long(f, "timeout"))
		h->max_ms = milliseconds(option_value(o, f));
	else if (f->letter == 'O' || is_long(f, "output-document"))
		output(h, option_value(o, f));
	else if (is_long(f, "header"))
		add_header(h, option_value(o, f));
	else if (is_long(f, "post-data")) {
		h->body = option_value(o, f);
		h->method = "POST";
	} else if (f->letter == 't' || f->letter == 'U' || is_long(f, "tries"))
		(void)option_value(o, f);
}

int http_main(int argc, char **argv)
{
	struct http h = {.is_curl = strcmp(argv[0], "curl") == 0, .to = {.type = SOCK_STREAM}, .method = "GET"};
	struct options o = {.argc = argc, .argv = argv, .at = 1, .valued = h.is_curl ? "mowXdHA" : "TOtU"};
	struct option_found found;

	while (o.at < o.argc || o.cluster != NULL) {
		if (next_option(&o, &found))
			(h.is_curl ? curl_option : wget_option)(&h, &o, &found);
		else if (o.at < o.argc)
			h.url = argv[o.at++];
	}
	if (h.url == NULL) {
		fprintf(stderr, "usage: %s [OPTION]... URL\n", argv[0]);
		return 2;
	}
	if (!parse_url(&h)) {
		fprintf(stderr, "%s: %s: only http:// is served here\n", argv[0], h.url);
		return 1;
	}
	if (h.to.timeout_ms == 0)
		h.to.timeout_ms = h.max_ms;
	return ask(&h);
}
