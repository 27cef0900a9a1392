// SPDX-License-Identifier: Apache-2.0
/* Echo by ICMP and by UDP: one socket, numbered questions. */
#include "load.h"
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <string.h>
#include <unistd.h>

static uint16_t checksum(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < size; i += 2)
		sum += bytes[i] << 8 | bytes[i + 1];
	sum = (sum >> 16) + (sum & 0xffff);
	return htons(~(sum + (sum >> 16)) & 0xffff);
}

/* What lies in a question behind the headers; answers have to bring it back. */
struct content {
	uint32_t number;
	uint32_t flow;
	uint8_t filling[24];
};

struct echo {
	uint8_t type, code;
	uint16_t checksum, id, sequence;
	struct content content;
};

static void fill(const struct flow *f, const struct probe *p, struct content *c)
{
	*c = (struct content){.number = p->number, .flow = f->id};
	for (size_t i = 0; i < sizeof(c->filling); i++)
		c->filling[i] = (uint8_t)(p->number * 7 + i);
}

static void check(struct flow *f, const struct content *came)
{
	struct probe *p = open_probe(f, came->number);
	struct content wanted;

	if (!p || came->flow != f->id)
		return;
	fill(f, p, &wanted);
	if (memcmp(&wanted, came, sizeof(wanted)) == 0)
		answered(f, p);
	else
		lost(f, p, "answer was changed");
}

static bool is_v6(const struct flow *f)
{
	return f->to.ss_family == AF_INET6;
}

static void icmp_open(struct flow *f)
{
	f->fd = watched_socket(f, NULL, SOCK_RAW, is_v6(f) ? (int)IPPROTO_ICMPV6 : (int)IPPROTO_ICMP);
	/* Without a way there the questions say so, one by one. */
	(void)connect(f->fd, (struct sockaddr *)&f->to, f->to_size);
}

static void icmp_send(struct flow *f, struct probe *p)
{
	struct echo e = {.type = is_v6(f) ? ICMP6_ECHO_REQUEST : ICMP_ECHO,
			 .id = htons(f->id),
			 .sequence = htons(p->number & 0xffff)};

	fill(f, p, &e.content);
	if (!is_v6(f))
		e.checksum = checksum(&e, sizeof(e));
	if (send(f->fd, &e, sizeof(e), 0) >= 0)
		return;
	lost(f, p, strerror(errno));
	(void)connect(f->fd, (struct sockaddr *)&f->to, f->to_size);
}

static void icmp_ready(struct flow *f, struct probe *none, uint32_t events)
{
	uint8_t packet[2048];
	ssize_t size;

	(void)none;
	(void)events;
	while ((size = recv(f->fd, packet, sizeof(packet), 0)) >= 0) {
		size_t at = is_v6(f) ? 0 : (packet[0] & 0xf) * 4;
		struct echo e;

		if ((size_t)size < at + sizeof(e))
			continue;
		memcpy(&e, packet + at, sizeof(e));
		if (e.type == (is_v6(f) ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY) && e.id == htons(f->id))
			check(f, &e.content);
	}
}

static void udp_open(struct flow *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = watched_socket(f, NULL, SOCK_DGRAM, 0);
	(void)connect(f->fd, (struct sockaddr *)&f->to, f->to_size);
}

static void udp_send(struct flow *f, struct probe *p)
{
	struct content c;

	fill(f, p, &c);
	if (send(f->fd, &c, sizeof(c), 0) < 0)
		lost(f, p, strerror(errno));
}

static void udp_ready(struct flow *f, struct probe *none, uint32_t events)
{
	struct content c;
	ssize_t size;

	(void)none;
	(void)events;
	for (;;) {
		size = recv(f->fd, &c, sizeof(c), 0);
		if (size == sizeof(c))
			check(f, &c);
		else if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
	}
}

/* As programs do whose service does not answer: after a second of silence with questions open, a new socket. */
static void udp_tick(struct flow *f, uint64_t now)
{
	const struct second *last = &f->seconds[(now / 1000000 - 2) % SECONDS];

	if (last->number == now / 1000000 - 2 && last->sent > 0 && last->received == 0 && now % 1000000 < TICK_US)
		udp_open(f);
}

const struct kind kind_icmp = {"icmp", icmp_open, icmp_send, icmp_ready, NULL};
const struct kind kind_udp = {"udp", udp_open, udp_send, udp_ready, udp_tick};
