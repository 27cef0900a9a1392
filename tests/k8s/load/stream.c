// SPDX-License-Identifier: Apache-2.0
/*
 * One long TCP connection to an echo server, PER_SECOND KiB/s: bytes of a generator there, compared with the same generator
 * one by one when they come back. A connection that breaks is a loss, and made anew a second later.
 */
#include "load.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define SEED 0x9e3779b97f4a7c15ull

struct stream {
	bool open;
	uint64_t there, back; /* states of the generators */
	uint64_t sent, received, last_us, again_us;
	uint32_t connections, retransmitted, spurious;
};

/* xorshift64 (Marsaglia 2003). */
static uint8_t next_byte(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint8_t)(*state >> 24);
}

static void stream_open(struct flow *f)
{
	struct stream *s = f->stream ? f->stream : calloc(1, sizeof(*s));

	if (!s)
		die("calloc");
	*s = (struct stream){.there = SEED, .back = SEED, .last_us = now_us(), .connections = s->connections + 1};
	f->stream = s;
	f->fd = watched_socket(f, NULL, SOCK_STREAM, 0);
	setsockopt(f->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	watch(f->fd, f, NULL, EPOLLOUT | EPOLLIN, false);
	(void)connect(f->fd, (struct sockaddr *)&f->to, f->to_size);
}

static void broken(struct flow *f, const char *why)
{
	add_loss(f, now_us(), f->stream->connections, why);
	close(f->fd);
	f->fd = -1;
	f->stream->open = false;
	f->stream->again_us = now_us() + 1000000;
}

static void stream_ready(struct flow *f, struct probe *none, uint32_t events)
{
	struct stream *s = f->stream;
	uint8_t bytes[65536];
	ssize_t size;

	(void)none;
	if (!s->open && events & EPOLLOUT) {
		s->open = true;
		s->last_us = now_us();
		watch(f->fd, f, NULL, EPOLLIN, false);
	}
	while ((size = recv(f->fd, bytes, sizeof(bytes), 0)) > 0) {
		s->received += size;
		s->last_us = now_us();
		second_of(f, s->last_us)->received += size;
		for (ssize_t i = 0; i < size; i++) {
			if (bytes[i] == next_byte(&s->back))
				continue;
			broken(f, "bytes came back changed");
			return;
		}
	}
	if (size == 0)
		broken(f, "closed by the other end");
	else if (errno != EAGAIN && errno != ENOTCONN)
		broken(f, strerror(errno));
}

static void write_some(struct flow *f, uint64_t now)
{
	struct stream *s = f->stream;
	uint8_t bytes[65536];
	uint64_t before = s->there;
	size_t size = (size_t)f->per_second * 1024 * TICK_US / 1000000;
	ssize_t sent;

	if (size > sizeof(bytes))
		size = sizeof(bytes);
	/* What is under way stays small: a loss has to show at once. */
	if (s->sent - s->received > 1 << 20)
		return;
	for (size_t i = 0; i < size; i++)
		bytes[i] = next_byte(&s->there);
	sent = send(f->fd, bytes, size, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN) {
		broken(f, strerror(errno));
		return;
	}
	if (sent < (ssize_t)size) {
		s->there = before;
		for (ssize_t i = 0; i < sent; i++)
			next_byte(&s->there);
	}
	if (sent > 0) {
		if (s->sent == s->received)
			s->last_us = now;
		s->sent += sent;
		second_of(f, now)->sent += sent;
	}
}

static void stream_tick(struct flow *f, uint64_t now)
{
	struct stream *s = f->stream;
	struct second *second = second_of(f, now);

	if (f->fd < 0) {
		if (now >= s->again_us)
			stream_open(f);
		return;
	}
	if (!s->open) {
		if (now - s->last_us > LOST_US)
			broken(f, "no connection");
		return;
	}
	if (s->sent > s->received && now - s->last_us > second->slowest_us)
		second->slowest_us = now - s->last_us;
	count_retransmissions(second, f->fd, &s->retransmitted, &s->spurious);
	write_some(f, now);
}

const struct kind kind_stream = {"stream", stream_open, NULL, stream_ready, stream_tick};
