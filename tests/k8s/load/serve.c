// SPDX-License-Identifier: Apache-2.0
/* Answers TCP and UDP with what came. On SIGTERM it goes on for a while, as a server behind a Service has to. */
#define _GNU_SOURCE
#include "load.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define MAX_FD 16384
#define LAME_DUCK_S 5

enum role { NONE, LISTENER, DATAGRAMS, CONNECTION };

/* By fd: what it is, and of a connection what could not be written yet. */
static struct {
	enum role role;
	uint8_t *waiting;
	size_t size;
} table[MAX_FD];
static int epoll_fd;

static void want(int fd, uint32_t events, bool anew)
{
	struct epoll_event e = {.events = events, .data.fd = fd};

	if (epoll_ctl(epoll_fd, anew ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &e) != 0)
		die("epoll_ctl");
}

static void listen_on(int port, int type)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){0}, sizeof(int));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) != 0)
		die("bind");
	if (type == SOCK_STREAM && listen(fd, 1024) != 0)
		die("listen");
	table[fd].role = type == SOCK_STREAM ? LISTENER : DATAGRAMS;
	want(fd, EPOLLIN, true);
}

static void end_connection(int fd)
{
	free(table[fd].waiting);
	memset(&table[fd], 0, sizeof(table[fd]));
	close(fd);
}

static void accept_all(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (fd >= MAX_FD) {
			close(fd);
			continue;
		}
		table[fd].role = CONNECTION;
		want(fd, EPOLLIN, true);
	}
}

static void echo_datagrams(int fd)
{
	uint8_t bytes[65536];
	struct sockaddr_in6 from;
	socklen_t from_size = sizeof(from);
	ssize_t size;

	while ((size = recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &from_size)) >= 0) {
		(void)sendto(fd, bytes, size, 0, (struct sockaddr *)&from, from_size);
		from_size = sizeof(from);
	}
}

/* Reads only when all that came before is written. false: the connection is over. */
static bool echo_stream(int fd)
{
	uint8_t bytes[65536];
	ssize_t size, sent;

	if (table[fd].waiting) {
		sent = send(fd, table[fd].waiting, table[fd].size, MSG_NOSIGNAL);
		if (sent < 0)
			return errno == EAGAIN;
		table[fd].size -= sent;
		memmove(table[fd].waiting, table[fd].waiting + sent, table[fd].size);
		if (table[fd].size > 0)
			return true;
		free(table[fd].waiting);
		table[fd].waiting = NULL;
		want(fd, EPOLLIN, false);
	}
	while ((size = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
		sent = send(fd, bytes, size, MSG_NOSIGNAL);
		if (sent < 0 && errno != EAGAIN)
			return false;
		if (sent < 0)
			sent = 0;
		if (sent == size)
			continue;
		table[fd].size = size - sent;
		table[fd].waiting = malloc(table[fd].size);
		if (!table[fd].waiting)
			return false;
		memcpy(table[fd].waiting, bytes + sent, table[fd].size);
		want(fd, EPOLLOUT, false);
		return true;
	}
	return size < 0 && errno == EAGAIN;
}

/* As a container's first process it ends by no signal it does not handle. */
static void on_signal(int number)
{
	if (number == SIGALRM)
		_exit(0);
	alarm(LAME_DUCK_S);
}

int serve(int ports, char **port)
{
	struct sigaction term = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct epoll_event events[256];

	sigaction(SIGTERM, &term, NULL);
	sigaction(SIGINT, &term, NULL);
	sigaction(SIGALRM, &term, NULL);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < ports; i++) {
		listen_on(atoi(port[i]), SOCK_STREAM);
		listen_on(atoi(port[i]), SOCK_DGRAM);
	}
	for (;;) {
		int found = epoll_wait(epoll_fd, events, 256, -1);

		for (int i = 0; i < found; i++) {
			int fd = events[i].data.fd;

			if (table[fd].role == LISTENER)
				accept_all(fd);
			else if (table[fd].role == DATAGRAMS)
				echo_datagrams(fd);
			else if (table[fd].role == CONNECTION && !echo_stream(fd))
				end_connection(fd);
		}
	}
}
