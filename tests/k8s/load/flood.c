// SPDX-License-Identifier: Apache-2.0
/* UDP to ever new ports, from ever new ones: each packet is a flow nobody has seen. No answer is expected. */
#include "load.h"
#include <netinet/in.h>
#include <string.h>

#define SOCKETS 8

static void flood_tick(struct flow *f, uint64_t now)
{
	static int fds[SOCKETS];
	uint32_t count = f->per_second * TICK_US / 1000000;
	struct second *s = second_of(f, now);

	for (int i = 0; i < SOCKETS; i++)
		if (fds[i] == 0)
			fds[i] = watched_socket(f, NULL, SOCK_DGRAM, 0);
	for (; count > 0; count--) {
		struct sockaddr_storage to = f->to;
		uint32_t number = f->next_number++;

		/* IPv4 and IPv6 have the port at the same place. */
		((struct sockaddr_in *)&to)->sin_port = htons(1024 + number / SOCKETS % 64000);
		if (sendto(fds[number % SOCKETS], "flood", 5, 0, (struct sockaddr *)&to, f->to_size) == 5)
			s->sent++;
	}
}

const struct kind kind_flood = {"flood", NULL, NULL, NULL, flood_tick};
