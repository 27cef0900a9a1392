// SPDX-License-Identifier: Apache-2.0
/* Questions for the A record of a name (RFC 1035), each from a socket of its own, as resolvers do. */
#include "load.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static size_t encode_name(const char *name, uint8_t *out)
{
	size_t at = 0;

	while (*name) {
		size_t label = strcspn(name, ".");

		out[at++] = (uint8_t)label;
		memcpy(out + at, name, label);
		at += label;
		name += label + (name[label] == '.');
	}
	out[at++] = 0;
	return at;
}

static void dns_send(struct flow *f, struct probe *p)
{
	/* id, flags: recursion desired, one question */
	uint8_t packet[512] = {p->number >> 8 & 0xff, p->number & 0xff, 1, 0, 0, 1};
	size_t size = 12 + encode_name(f->question, packet + 12);

	packet[size + 1] = 1; /* A */
	packet[size + 3] = 1; /* IN */
	size += 4;
	watched_socket(f, p, SOCK_DGRAM, 0);
	if (connect(p->fd, (struct sockaddr *)&f->to, f->to_size) != 0 || send(p->fd, packet, size, 0) < 0)
		lost(f, p, strerror(errno));
}

static void dns_ready(struct flow *f, struct probe *p, uint32_t events)
{
	uint8_t packet[1500];
	ssize_t size = recv(p->fd, packet, sizeof(packet), 0);
	char why[32];

	(void)events;
	if (size < 0 && errno == EAGAIN)
		return;
	if (size < 0) {
		lost(f, p, strerror(errno));
		return;
	}
	if (size < 12 || packet[0] != (p->number >> 8 & 0xff) || packet[1] != (p->number & 0xff) || !(packet[2] & 0x80))
		return;
	if ((packet[3] & 0xf) == 0 && (packet[6] | packet[7]) != 0) {
		answered(f, p);
		return;
	}
	snprintf(why, sizeof(why), "rcode %d, %d answers", packet[3] & 0xf, packet[6] << 8 | packet[7]);
	lost(f, p, why);
}

const struct kind kind_dns = {"dns", NULL, dns_send, dns_ready, NULL};
