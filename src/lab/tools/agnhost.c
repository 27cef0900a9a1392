/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "tools.h"

static int say(enum outcome outcome)
{
	switch (outcome) {
	case REACHED: return 0;
	case REFUSED: fprintf(stderr, "REFUSED\n"); break;
	case TIMED_OUT: fprintf(stderr, "TIMEOUT\n"); break;
	case NO_NAME: fprintf(stderr, "DNS\n"); break;
	case OTHER: fprintf(stderr, "OTHER: %s\n", strerror(errno)); break;
	}
	return 1;
}

/* A datagram that nobody answers says nothing: an answer is needed. */
static enum outcome exchange(int fd, int timeout_ms)
{
	char answer[2048];

	if (write(fd, "hostname", 8) != 8)
		return errno == ECONNREFUSED ? REFUSED : OTHER;
	if (!readable(fd, timeout_ms))
		return TIMED_OUT;
	if (read(fd, answer, sizeof(answer)) >= 0)
		return REACHED;
	return errno == ECONNREFUSED ? REFUSED : OTHER;
}

static int connect_command(struct options *o)
{
	struct target to = {.type = SOCK_STREAM};
	struct option_found found;
	const char *word = NULL, *protocol = "tcp";
	char text[512];
	enum outcome outcome;
	int fd;

	while (o->at < o->argc) {
		if (!next_option(o, &found))
			word = o->argv[o->at++];
		else if (is_long(&found, "timeout"))
			to.timeout_ms = milliseconds(option_value(o, &found));
		else if (is_long(&found, "protocol"))
			protocol = option_value(o, &found);
	}
	if (word == NULL || snprintf(text, sizeof(text), "%s", word) >= (int)sizeof(text) ||
	    !split_host_port(text, &to.host, &to.port)) {
		fprintf(stderr, "usage: agnhost connect HOST:PORT [--timeout=DURATION] [--protocol=tcp|udp]\n");
		return 2;
	}
	if (strcmp(protocol, "udp") == 0)
		to.type = SOCK_DGRAM;
	else if (strcmp(protocol, "tcp") != 0) {
		errno = EPROTONOSUPPORT;
		return say(OTHER);
	}
	outcome = connect_to(&to, &fd, NULL);
	if (outcome == REACHED && to.type == SOCK_DGRAM)
		outcome = exchange(fd, to.timeout_ms);
	return say(outcome);
}

int agnhost_main(int argc, char **argv)
{
	struct options o = {.argc = argc, .argv = argv, .at = 2, .valued = ""};

	if (argc >= 2 && strcmp(argv[1], "connect") == 0)
		return connect_command(&o);
	if (argc >= 2 && strcmp(argv[1], "pause") == 0)
		for (;;)
			pause();
	fprintf(stderr, "agnhost: a stand-in knows the commands connect and pause here; it plays the servers by a pod's args\n");
	return 2;
}
