// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static int epoll_fd;
static volatile sig_atomic_t stop;
static struct flow *flows;
static const struct kind *const kinds[] = {&kind_icmp, &kind_udp, &kind_connect, &kind_dns, &kind_stream, &kind_flood};

void die(const char *what)
{
	fprintf(stderr, "weft-load: %s: %s\n", what, strerror(errno));
	exit(1);
}

uint64_t now_us(void)
{
	static uint64_t offset_us;
	struct timespec t;
	uint64_t us;

	clock_gettime(CLOCK_MONOTONIC, &t);
	us = t.tv_sec * 1000000ull + t.tv_nsec / 1000;
	if (!offset_us) {
		clock_gettime(CLOCK_REALTIME, &t);
		offset_us = t.tv_sec * 1000000ull + t.tv_nsec / 1000 - us;
	}
	return us + offset_us;
}

void watch(int fd, struct flow *f, struct probe *p, uint32_t events, bool anew)
{
	/* Which flow, and which of its questions (0: none). */
	uint64_t who = (uint64_t)(f - flows) << 32 | (p ? p - f->probes + 1 : 0);
	struct epoll_event e = {.events = events, .data.u64 = who};

	if (epoll_ctl(epoll_fd, anew ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &e) != 0)
		die("epoll_ctl");
}

int watched_socket(struct flow *f, struct probe *p, int type, int protocol)
{
	int fd = socket(f->to.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		die("socket");
	if (p)
		p->fd = fd;
	watch(fd, f, p, EPOLLIN, true);
	return fd;
}

static void parse_flow(struct flow *f, const char *text, uint16_t id)
{
	char kind[16], address[64];
	unsigned port, per_second;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&f->to;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&f->to;
	int words = sscanf(text, "%63s %15s %63s %u %u %255s", f->name, kind, address, &port, &per_second, f->question);

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (words >= 5 && strcmp(kinds[i]->name, kind) == 0)
			f->kind = kinds[i];
	if (!f->kind || port > 65535 || per_second == 0 || (f->kind == &kind_dns && words < 6)) {
		fprintf(stderr, "weft-load: not a flow: %s\n", text);
		exit(2);
	}
	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		f->to_size = sizeof(*v4);
	} else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = f->kind == &kind_icmp ? 0 : htons(port);
		f->to_size = sizeof(*v6);
	} else {
		fprintf(stderr, "weft-load: not an address: %s\n", address);
		exit(2);
	}
	f->per_second = per_second;
	f->id = id;
	f->fd = -1;
}

static void handle(const struct epoll_event *e)
{
	struct flow *f = &flows[e->data.u64 >> 32];
	uint32_t slot = (uint32_t)e->data.u64;
	struct probe *p = slot ? &f->probes[slot - 1] : NULL;

	/* Ended by an event before it in the same batch. */
	if (!f->kind->ready || (p ? p->fd < 0 : f->fd < 0))
		return;
	f->kind->ready(f, p, e->events);
}

static void run(int count)
{
	struct epoll_event events[256];
	uint64_t stopped_us = 0;

	for (bool done = false; !done;) {
		int found;

		/* All that came is read before anything is given up. */
		found = epoll_wait(epoll_fd, events, 256, TICK_US / 1000);
		do {
			for (int i = 0; i < found; i++)
				handle(&events[i]);
			found = found == 256 ? epoll_wait(epoll_fd, events, 256, 0) : 0;
		} while (found > 0);
		uint64_t now = now_us();
		static uint64_t next_tick;

		if (now < next_tick)
			continue;
		if (next_tick && now - next_tick > STALL_US)
			note_stall(now, now - next_tick);
		next_tick = now + TICK_US / 2;
		if (stop && !stopped_us)
			stopped_us = now;
		done = stopped_us != 0;
		for (int i = 0; i < count; i++) {
			flow_tick(&flows[i], now, stopped_us != 0);
			done = done && flow_done(&flows[i], stopped_us);
		}
		fflush(stdout);
	}
}

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct rlimit files = {16384, 16384};

	if (argc >= 3 && strcmp(argv[1], "serve") == 0)
		return serve(argc - 2, argv + 2);
	if (argc < 3 || strcmp(argv[1], "run") != 0) {
		fprintf(stderr, "usage: weft-load run \"NAME KIND ADDRESS PORT PER_SECOND [DNS-NAME]\"... | serve PORT...\n");
		return 2;
	}
	setrlimit(RLIMIT_NOFILE, &files);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	signal(SIGPIPE, SIG_DFL);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	flows = calloc(argc - 2, sizeof(*flows));
	if (epoll_fd < 0 || !flows)
		die("start");
	for (int i = 0; i < argc - 2; i++) {
		parse_flow(&flows[i], argv[i + 2], (uint16_t)(getpid() * 31 + i));
		if (flows[i].kind->open)
			flows[i].kind->open(&flows[i]);
	}
	run(argc - 2);
	return 0;
}
