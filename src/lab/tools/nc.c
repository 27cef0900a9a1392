/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tools.h"

struct nc {
	struct target to;
	bool scan, verbose, listen, keep;
	const char *port;
};

static int listen_on(const struct nc *nc)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)atoi(nc->port))};
	int fd = socket(AF_INET6, nc->to.type, 0), on = 1, off = 0, status = 0;
	char first[2048];

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) != 0) {
		fprintf(stderr, "nc: port %s: %s\n", nc->port, strerror(errno));
		return 1;
	}
	if (nc->to.type == SOCK_DGRAM) {
		struct sockaddr_in6 peer;
		socklen_t size = sizeof(peer);
		ssize_t got = recvfrom(fd, first, sizeof(first), 0, (struct sockaddr *)&peer, &size);
		if (got < 0 || !write_all(1, first, (size_t)got) || connect(fd, (struct sockaddr *)&peer, size) != 0)
			return 1;
		return relay(fd, nc->to.timeout_ms);
	}
	listen(fd, 16);
	do {
		int one = accept(fd, NULL, NULL);
		if (one < 0)
			return 1;
		status = relay(one, nc->to.timeout_ms);
		close(one);
	} while (nc->keep);
	return status;
}

/* A closed UDP port says so; an open one may stay silent. */
static enum outcome touch_udp(int fd, int timeout_ms)
{
	char answer[64];

	if (write(fd, "\n", 1) != 1)
		return REFUSED;
	if (!readable(fd, timeout_ms > 0 && timeout_ms < 1000 ? timeout_ms : 1000))
		return REACHED;
	return read(fd, answer, sizeof(answer)) < 0 && errno == ECONNREFUSED ? REFUSED : REACHED;
}

static int client(const struct nc *nc)
{
	static const char *const words[] = {"open", "Connection refused", "timed out", "bad address", "unreachable"};
	struct sockaddr_storage peer;
	char address[64] = "?";
	int fd = -1;
	enum outcome outcome = connect_to(&nc->to, &fd, &peer);

	if (outcome == REACHED && nc->scan && nc->to.type == SOCK_DGRAM)
		outcome = touch_udp(fd, nc->to.timeout_ms);
	if (outcome == REACHED)
		address_text(&peer, address, sizeof(address));
	if (outcome != REACHED)
		fprintf(stderr, "nc: %s:%s: %s\n", nc->to.host, nc->to.port, words[outcome]);
	else if (nc->verbose)
		fprintf(stderr, "%s (%s:%s) open\n", nc->to.host, address, nc->to.port);
	if (outcome != REACHED)
		return 1;
	return nc->scan ? 0 : relay(fd, nc->to.timeout_ms);
}

int nc_main(int argc, char **argv)
{
	struct nc nc = {.to = {.type = SOCK_STREAM}};
	struct options o = {.argc = argc, .argv = argv, .at = 1, .valued = "wpiqsI"};
	struct option_found found;

	while (o.at < o.argc || o.cluster != NULL) {
		if (!next_option(&o, &found)) {
			const char *word = o.at < o.argc ? argv[o.at++] : NULL;
			if (word == NULL)
				break;
			if (nc.listen && nc.port == NULL && word[strspn(word, "0123456789")] == '\0')
				nc.port = word;
			else if (nc.to.host == NULL)
				nc.to.host = word;
			else
				nc.to.port = word;
			continue;
		}
		const char *value = strchr(o.valued, found.letter) != NULL ? option_value(&o, &found) : NULL;
		switch (found.letter) {
		case 'z': nc.scan = true; break;
		case 'v': nc.verbose = true; break;
		case 'u': nc.to.type = SOCK_DGRAM; break;
		case 'l': nc.listen = true; break;
		case 'k': nc.keep = true; break;
		case '4': nc.to.family = AF_INET; break;
		case '6': nc.to.family = AF_INET6; break;
		case 'w': nc.to.timeout_ms = milliseconds(value); break;
		case 'p': nc.port = value; break;
		}
	}
	if (nc.listen && nc.port != NULL)
		return listen_on(&nc);
	if (nc.to.host == NULL || nc.to.port == NULL) {
		fprintf(stderr, "usage: nc [-zvu46] [-w SEC] HOST PORT | nc -l [-ku] -p PORT\n");
		return 2;
	}
	return client(&nc);
}
