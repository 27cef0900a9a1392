/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tools.h"

static enum outcome outcome_of(int error)
{
	switch (error) {
	case 0: return REACHED;
	case ECONNREFUSED: return REFUSED;
	case ETIMEDOUT: return TIMED_OUT;
	default: return OTHER;
	}
}

static enum outcome connect_one(const struct addrinfo *address, int timeout_ms, int *out)
{
	int fd = socket(address->ai_family, address->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error = 0;
	socklen_t size = sizeof(error);
	enum outcome outcome;

	if (fd < 0)
		return OTHER;
	if (connect(fd, address->ai_addr, address->ai_addrlen) != 0)
		error = errno;
	if (error == EINPROGRESS) {
		struct pollfd wait = {.fd = fd, .events = POLLOUT};
		if (poll(&wait, 1, timeout_ms > 0 ? timeout_ms : -1) == 0)
			error = ETIMEDOUT;
		else
			getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	}
	outcome = outcome_of(error);
	if (outcome != REACHED) {
		close(fd);
		errno = error;
		return outcome;
	}
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	*out = fd;
	return REACHED;
}

enum outcome connect_to(const struct target *to, int *fd, struct sockaddr_storage *peer)
{
	struct addrinfo hints = {.ai_family = to->family, .ai_socktype = to->type}, *list = NULL;
	enum outcome outcome = NO_NAME;

	if (getaddrinfo(to->host, to->port, &hints, &list) != 0)
		return NO_NAME;
	for (const struct addrinfo *one = list; one != NULL; one = one->ai_next) {
		outcome = connect_one(one, to->timeout_ms, fd);
		if (outcome == REACHED && peer != NULL)
			memcpy(peer, one->ai_addr, one->ai_addrlen);
		/* Silence of one address is no reason to wait for another one as long again. */
		if (outcome == REACHED || outcome == TIMED_OUT)
			break;
	}
	freeaddrinfo(list);
	return outcome;
}

bool readable(int fd, int timeout_ms)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	return poll(&wait, 1, timeout_ms > 0 ? timeout_ms : -1) > 0;
}

bool write_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t written = write(fd, at, size);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return false;
		at += written;
		size -= (size_t)written;
	}
	return true;
}

int relay(int fd, int idle_ms)
{
	struct pollfd ends[2] = {{.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
	char buffer[16384];

	for (;;) {
		int ready = poll(ends, 2, idle_ms > 0 ? idle_ms : -1);
		if (ready == 0)
			return 0;
		if (ends[0].revents != 0) {
			ssize_t got = read(fd, buffer, sizeof(buffer));
			if (got < 0)
				return 1;
			if (got == 0)
				return 0;
			if (!write_all(1, buffer, (size_t)got))
				return 1;
		}
		if (ends[1].revents != 0) {
			ssize_t got = read(0, buffer, sizeof(buffer));
			if (got > 0 && !write_all(fd, buffer, (size_t)got))
				return 1;
			if (got <= 0) {
				shutdown(fd, SHUT_WR);
				ends[1].fd = -1;
			}
		}
	}
}

int milliseconds(const char *text)
{
	char *unit;
	double number = strtod(text, &unit);

	if (strcmp(unit, "ms") == 0)
		return (int)number;
	return (int)(number * (strcmp(unit, "m") == 0 ? 60000 : 1000));
}

bool split_host_port(char *text, const char **host, const char **port)
{
	char *colon = strrchr(text, ':');

	if (colon == NULL || colon[1] == '\0')
		return false;
	*colon = '\0';
	*port = colon + 1;
	*host = text;
	if (text[0] == '[' && colon > text + 1 && colon[-1] == ']') {
		colon[-1] = '\0';
		*host = text + 1;
	}
	return true;
}

void address_text(const struct sockaddr_storage *address, char *out, size_t size)
{
	socklen_t length = address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	if (getnameinfo((const struct sockaddr *)address, length, out, (socklen_t)size, NULL, 0, NI_NUMERICHOST) != 0)
		snprintf(out, size, "?");
}
