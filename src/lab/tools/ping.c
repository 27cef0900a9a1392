/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "tools.h"

#define DATA_BYTES 56

struct echo {
	unsigned char type, code;
	unsigned short checksum, id, sequence;
	unsigned char data[DATA_BYTES];
};

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static unsigned short checksum(const void *data, size_t size)
{
	const unsigned short *word = data;
	unsigned int sum = 0;

	for (; size > 1; size -= 2)
		sum += *word++;
	sum = (sum >> 16) + (sum & 0xffff);
	return (unsigned short)~(sum + (sum >> 16));
}

/* The round trip in ms; negative: no answer in time. A raw socket hears of other pings too. */
static double one_round(int fd, int family, struct echo *request, int wait_ms)
{
	double start = now_ms();
	unsigned char packet[2048];

	request->checksum = 0;
	if (family == AF_INET) /* the kernel does it for ICMPv6 */
		request->checksum = checksum(request, sizeof(*request));
	if (send(fd, request, sizeof(*request), 0) < 0)
		return -1;
	for (;;) {
		int left = wait_ms - (int)(now_ms() - start);
		if (left <= 0 || !readable(fd, left))
			return -1;
		ssize_t got = recv(fd, packet, sizeof(packet), 0);
		size_t skip = family == AF_INET ? (size_t)(packet[0] & 15) * 4 : 0;
		struct echo reply;
		if (got < (ssize_t)(skip + 8))
			continue;
		memcpy(&reply, packet + skip, 8);
		if (reply.type == (family == AF_INET ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY) && reply.id == request->id &&
		    reply.sequence == request->sequence)
			return now_ms() - start;
	}
}

static int run(const struct addrinfo *to, const char *name, int count, int wait_ms)
{
	int family = to->ai_family, sent = 0, got = 0;
	int fd = socket(family, SOCK_RAW, family == AF_INET ? IPPROTO_ICMP : (int)IPPROTO_ICMPV6);
	struct echo request = {.type = family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST, .id = htons((unsigned short)getpid())};
	struct sockaddr_storage peer;
	char address[64];

	memcpy(&peer, to->ai_addr, to->ai_addrlen);
	address_text(&peer, address, sizeof(address));
	if (fd < 0 || connect(fd, to->ai_addr, to->ai_addrlen) != 0) {
		perror("ping");
		return 2;
	}
	printf("PING %s (%s): %d data bytes\n", name, address, DATA_BYTES);
	while (count == 0 || sent < count) {
		if (sent > 0)
			sleep(1);
		request.sequence = htons((unsigned short)++sent);
		double ms = one_round(fd, family, &request, wait_ms);
		if (ms < 0)
			continue;
		got++;
		printf("64 bytes from %s: seq=%d time=%.3f ms\n", address, sent - 1, ms);
	}
	printf("\n--- %s ping statistics ---\n", name);
	printf("%d packets transmitted, %d packets received, %d%% packet loss\n", sent, got, (sent - got) * 100 / sent);
	return got > 0 ? 0 : 1;
}

int ping_main(int argc, char **argv)
{
	struct options o = {.argc = argc, .argv = argv, .at = 1, .valued = "cWwisItMQ"};
	struct addrinfo hints = {.ai_socktype = SOCK_RAW}, *list = NULL;
	struct option_found found;
	const char *host = NULL;
	int count = 0, wait_ms = 10000;

	if (strcmp(argv[0], "ping6") == 0)
		hints.ai_family = AF_INET6;
	while (o.at < o.argc || o.cluster != NULL) {
		if (!next_option(&o, &found)) {
			if (o.at < o.argc)
				host = argv[o.at++];
			continue;
		}
		const char *value = strchr(o.valued, found.letter) != NULL ? option_value(&o, &found) : NULL;
		switch (found.letter) {
		case 'c': count = atoi(value); break;
		case 'W':
		case 'w': wait_ms = milliseconds(value); break;
		case '4': hints.ai_family = AF_INET; break;
		case '6': hints.ai_family = AF_INET6; break;
		}
	}
	if (host == NULL) {
		fprintf(stderr, "usage: ping [-46] [-c COUNT] [-W SEC] HOST\n");
		return 2;
	}
	if (getaddrinfo(host, NULL, &hints, &list) != 0) {
		fprintf(stderr, "ping: bad address '%s'\n", host);
		return 2;
	}
	return run(list, host, count, wait_ms);
}
