// SPDX-License-Identifier: Apache-2.0
/* A new TCP connection each time: connect, a line there and back, close. */
#include "load.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

static void connect_send(struct flow *f, struct probe *p)
{
	watched_socket(f, p, SOCK_STREAM, 0);
	watch(p->fd, f, p, EPOLLOUT, false);
	if (connect(p->fd, (struct sockaddr *)&f->to, f->to_size) != 0 && errno != EINPROGRESS)
		lost(f, p, strerror(errno));
}

static void line_of(const struct flow *f, const struct probe *p, char *line, size_t size)
{
	snprintf(line, size, "%-40.40s %10u\n", f->name, p->number);
}

static void established(struct flow *f, struct probe *p)
{
	char line[64];
	int error = 0;
	socklen_t size = sizeof(error);

	getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (error) {
		lost(f, p, strerror(error));
		return;
	}
	line_of(f, p, line, sizeof(line));
	if (send(p->fd, line, strlen(line), MSG_NOSIGNAL) != (ssize_t)strlen(line)) {
		lost(f, p, strerror(errno));
		return;
	}
	watch(p->fd, f, p, EPOLLIN, false);
}

static void connect_ready(struct flow *f, struct probe *p, uint32_t events)
{
	char line[64], came[64];
	uint32_t retransmitted = 0, spurious = 0;
	ssize_t size;

	if (events & EPOLLOUT || (events & (EPOLLERR | EPOLLHUP) && !(events & EPOLLIN))) {
		established(f, p);
		return;
	}
	size = recv(p->fd, came, sizeof(came), 0);
	if (size < 0 && errno == EAGAIN)
		return;
	line_of(f, p, line, sizeof(line));
	count_retransmissions(second_of(f, p->sent_us), p->fd, &retransmitted, &spurious);
	if (size < 0)
		lost(f, p, strerror(errno));
	else if (size == 0)
		lost(f, p, "closed without an answer");
	else if ((size_t)size == strlen(line) && memcmp(line, came, size) == 0)
		answered(f, p);
	else
		lost(f, p, "answer was changed");
}

const struct kind kind_connect = {"connect", NULL, connect_send, connect_ready, NULL};
