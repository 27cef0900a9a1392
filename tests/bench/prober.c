// SPDX-License-Identifier: Apache-2.0
/*
 * prober: sends a UDP datagram every millisecond and says when who answers changes.
 *
 * prober --client NETNS --connect ADDR:PORT --server NETNS=ADDR:PORT=LETTER... [--client-cgroup DIR]
 *
 * Prints one line per change: when the first datagram was sent that fared differently (CLOCK_MONOTONIC, nanoseconds), and the letter of
 * who answered it, or "-" for nobody. IPv4. Ends when its stdin does.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_NS 1000000ull
/* As long without an answer means there will be none; a busy machine delays one by tens of milliseconds. */
#define LOST_NS 100000000ull
#define HISTORY 4096
#define MAX_SERVERS 8

struct probe {
	unsigned int seq;
	char who;
};

static void die(const char *what)
{
	fprintf(stderr, "prober: %s: %s\n", what, strerror(errno));
	exit(1);
}

static unsigned long long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static struct sockaddr_in address_of(const char *text)
{
	struct sockaddr_in out = { .sin_family = AF_INET };
	char host[32];
	const char *colon = strchr(text, ':');

	if (!colon || (size_t)(colon - text) >= sizeof(host))
		goto bad;
	memcpy(host, text, colon - text);
	host[colon - text] = 0;
	out.sin_port = htons(atoi(colon + 1));
	if (inet_pton(AF_INET, host, &out.sin_addr) == 1)
		return out;
bad:
	fprintf(stderr, "prober: bad address %s\n", text);
	exit(2);
}

static void enter(const char *netns, const char *cgroup)
{
	char path[512];
	int fd;

	if (cgroup) {
		snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, "0", 1) != 1)
			die(path);
		close(fd);
	}
	fd = open(netns, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(netns);
	close(fd);
}

/* NETNS=ADDR:PORT=LETTER */
static void serve(char *spec)
{
	char *at = strchr(spec, '='), *letter = at ? strchr(at + 1, '=') : NULL;
	struct sockaddr_in local;
	struct probe probe;
	int fd;

	if (!letter) {
		fprintf(stderr, "prober: bad server %s\n", spec);
		exit(2);
	}
	*at = *letter = 0;
	local = address_of(at + 1);
	enter(spec, NULL);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof(local)))
		die("bind");
	for (;;) {
		struct sockaddr_in from;
		socklen_t length = sizeof(from);

		if (recvfrom(fd, &probe, sizeof(probe), 0, (struct sockaddr *)&from, &length) != sizeof(probe))
			continue;
		probe.who = letter[1];
		sendto(fd, &probe, sizeof(probe), 0, (struct sockaddr *)&from, length);
	}
}

static char state = '?';

static void say(unsigned long long sent, char who)
{
	if (who == state)
		return;
	state = who;
	printf("%llu %c\n", sent, who);
	fflush(stdout);
}

static void probe_until_eof(const struct sockaddr_in *to)
{
	static unsigned long long sent[HISTORY];
	unsigned int seq = 0, answered = 0; /* number of the next; all before this one are settled */
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	unsigned long long next = now_ns();

	if (fd < 0)
		die("socket");
	for (;;) {
		struct pollfd fds[] = { { .fd = fd, .events = POLLIN }, { .fd = 0, .events = POLLIN } };
		unsigned long long now = now_ns();
		struct timespec left = { .tv_nsec = next > now ? next - now : 0 };
		struct probe probe = { .seq = seq };

		if (ppoll(fds, 2, &left, NULL) < 0 && errno != EINTR)
			die("poll");
		if (fds[1].revents && read(0, &probe, sizeof(probe)) <= 0)
			return;
		while (recv(fd, &probe, sizeof(probe), 0) == sizeof(probe)) {
			if (seq - probe.seq < HISTORY)
				say(sent[probe.seq % HISTORY], probe.who);
			if ((int)(probe.seq + 1 - answered) > 0)
				answered = probe.seq + 1;
		}
		now = now_ns();
		if (now >= next) {
			probe = (struct probe){ .seq = seq };
			sent[seq % HISTORY] = now;
			seq++;
			sendto(fd, &probe, sizeof(probe), 0, (const struct sockaddr *)to, sizeof(*to));
			next = now - next > 10 * INTERVAL_NS ? now + INTERVAL_NS : next + INTERVAL_NS;
		}
		if (answered != seq && now - sent[answered % HISTORY] > LOST_NS) {
			say(sent[answered % HISTORY], '-');
			answered++;
		}
	}
}

int main(int argc, char **argv)
{
	const char *client = NULL, *cgroup = NULL, *connect_to = NULL;
	char *servers[MAX_SERVERS];
	int count = 0;
	struct sched_param param = { .sched_priority = 1 };

	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--client"))
			client = argv[i + 1];
		else if (!strcmp(argv[i], "--client-cgroup"))
			cgroup = argv[i + 1];
		else if (!strcmp(argv[i], "--connect"))
			connect_to = argv[i + 1];
		else if (!strcmp(argv[i], "--server") && count < MAX_SERVERS)
			servers[count++] = argv[i + 1];
		else
			goto usage;
	}
	if (!client || !connect_to || argc % 2 == 0)
		goto usage;
	struct sockaddr_in to = address_of(connect_to);

	if (sched_setscheduler(0, SCHED_FIFO, &param))
		die("sched_setscheduler");
	for (int i = 0; i < count; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			serve(servers[i]);
		}
	}
	enter(client, cgroup);
	probe_until_eof(&to);
	return 0;
usage:
	fprintf(stderr, "prober: --client NETNS --connect A:P --server NETNS=A:P=LETTER... [--client-cgroup DIR]\n");
	return 2;
}
