// SPDX-License-Identifier: Apache-2.0
/*
 * nb: one short window of request/response, connect/request/response/close, UDP request/response or stream traffic between two network
 * namespaces, both ends on one core. Prints one JSON line: operations (stream: bytes), wall time, CPU time of both ends.
 *
 * nb --mode tcp_rr|tcp_crr|udp_rr|stream --server NETNS --client NETNS --listen ADDR:PORT [--ports N] [--connect ADDR:PORT]
 *    [--client-cgroup DIR] [--server-cgroup DIR] [--ms N] [--core N] [--fifo]
 *
 * --ports: the server listens on so many ports from PORT on, as the endpoints of one service would.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_PORTS 16

enum mode { TCP_RR, TCP_CRR, UDP_RR, STREAM };

static const char *mode_names[] = { "tcp_rr", "tcp_crr", "udp_rr", "stream" };

struct options {
	enum mode mode;
	const char *server_netns, *client_netns, *client_cgroup, *server_cgroup;
	struct sockaddr_storage listen, connect;
	socklen_t listen_len, connect_len;
	int ms, core, fifo, ports;
};

/* What the server tells the client through shared memory. */
struct shared {
	volatile int ready;
	volatile unsigned long long cpu_ns;
	volatile unsigned long long bytes;
};

static volatile sig_atomic_t stopped;

static void on_stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static void die(const char *what)
{
	fprintf(stderr, "nb: %s: %s\n", what, strerror(errno));
	exit(1);
}

static unsigned long long now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* "10.0.0.1:80" or "[fd00::1]:80" */
static socklen_t parse_address(const char *text, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
	char host[64];
	const char *colon = strrchr(text, ':');
	int bracket = text[0] == '[';
	size_t length = colon ? colon - text - 2 * bracket : 0;

	if (!colon || length == 0 || length >= sizeof(host))
		goto bad;
	memcpy(host, text + bracket, length);
	host[length] = 0;
	memset(out, 0, sizeof(*out));
	if (!bracket && inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(atoi(colon + 1));
		return sizeof(*v4);
	}
	if (bracket && inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(atoi(colon + 1));
		return sizeof(*v6);
	}
bad:
	fprintf(stderr, "nb: bad address %s\n", text);
	exit(2);
}

static void enter(const char *netns, const char *cgroup)
{
	int fd;

	if (cgroup) {
		char path[512];

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

static int make_socket(const struct options *o, const struct sockaddr_storage *address)
{
	int type = o->mode == UDP_RR ? SOCK_DGRAM : SOCK_STREAM, one = 1;
	int fd = socket(address->ss_family, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static void serve_stream(int fd, struct shared *shared, enum mode mode)
{
	static char buffer[262144];
	ssize_t n;

	while (!stopped && (n = read(fd, buffer, mode == STREAM ? sizeof(buffer) : 64)) > 0) {
		if (mode == STREAM)
			shared->bytes += n;
		else if (write(fd, buffer, n) != n)
			break;
	}
	close(fd);
}

/* A socket at the address of the options, `index` ports further on. */
static int listening(const struct options *o, int index)
{
	struct sockaddr_storage at = o->listen;
	in_port_t *port = at.ss_family == AF_INET ? &((struct sockaddr_in *)&at)->sin_port : &((struct sockaddr_in6 *)&at)->sin6_port;
	int fd;

	*port = htons(ntohs(*port) + index);
	fd = make_socket(o, &at);
	if (bind(fd, (struct sockaddr *)&at, o->listen_len))
		die("bind");
	if (o->mode != UDP_RR && listen(fd, 128))
		die("listen");
	return fd;
}

/* The one of the sockets that somebody talks to; -1 when told to stop. */
static int asked(struct pollfd *sockets, int count)
{
	if (count == 1)
		return sockets[0].fd;
	while (!stopped) {
		if (poll(sockets, count, 100) <= 0)
			continue;
		for (int i = 0; i < count; i++)
			if (sockets[i].revents)
				return sockets[i].fd;
	}
	return -1;
}

static void answer_datagrams(int fd)
{
	while (!stopped) {
		struct sockaddr_storage from;
		socklen_t length = sizeof(from);
		char byte[64];
		ssize_t n = recvfrom(fd, byte, sizeof(byte), 0, (struct sockaddr *)&from, &length);

		if (n > 0)
			sendto(fd, byte, n, 0, (struct sockaddr *)&from, length);
	}
}

static void serve(const struct options *o, struct shared *shared)
{
	struct sigaction stop = { .sa_handler = on_stop };
	struct pollfd sockets[MAX_PORTS];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigaction(SIGTERM, &stop, NULL);
	enter(o->server_netns, o->server_cgroup);
	for (int i = 0; i < o->ports; i++)
		sockets[i] = (struct pollfd){ .fd = listening(o, i), .events = POLLIN };
	shared->ready = 1;
	while (!stopped) {
		int fd = asked(sockets, o->ports), peer, one = 1;

		if (fd < 0)
			break;
		if (o->mode == UDP_RR) {
			/* The client has one socket, so all of it comes to this one. */
			answer_datagrams(fd);
			break;
		}
		peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		if (peer < 0)
			continue;
		setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		serve_stream(peer, shared, o->mode);
	}
	shared->cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	exit(0);
}

static int connected(const struct options *o)
{
	int fd = make_socket(o, &o->connect);
	struct timeval limit = { .tv_sec = 2 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&o->connect, o->connect_len))
		die("connect");
	return fd;
}

static void request(int fd)
{
	char byte = 'x';

	if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
		die("request");
}

static void run_client(const struct options *o, struct shared *shared, pid_t server)
{
	static char block[262144];
	unsigned long long start, end, cpu, operations = 0;
	int fd = -1, status;

	enter(o->client_netns, o->client_cgroup);
	if (o->mode != TCP_CRR) {
		fd = connected(o);
		if (o->mode != STREAM)
			request(fd);
	} else {
		close(connected(o));
	}
	start = now_ns(CLOCK_MONOTONIC);
	cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	end = start + o->ms * 1000000ull;
	while (now_ns(CLOCK_MONOTONIC) < end) {
		if (o->mode == STREAM) {
			if (write(fd, block, sizeof(block)) < 0)
				die("write");
		} else if (o->mode == TCP_CRR) {
			fd = connected(o);
			request(fd);
			close(fd);
		} else {
			request(fd);
		}
		operations++;
	}
	end = now_ns(CLOCK_MONOTONIC);
	cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	if (fd >= 0 && o->mode != TCP_CRR)
		close(fd);
	kill(server, SIGTERM);
	waitpid(server, &status, 0);
	printf("{\"mode\":\"%s\",\"ops\":%llu,\"wallNs\":%llu,\"cpuNs\":%llu}\n", mode_names[o->mode],
	       o->mode == STREAM ? (unsigned long long)shared->bytes : operations, end - start, cpu + shared->cpu_ns);
}

static void parse(int argc, char **argv, struct options *o)
{
	const char *mode = NULL, *listen_at = NULL, *connect_to = NULL;

	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (!strcmp(argv[i], "--fifo")) {
			o->fifo = 1;
			continue;
		}
		if (!strcmp(argv[i], "--mode"))
			mode = value;
		else if (!strcmp(argv[i], "--server"))
			o->server_netns = value;
		else if (!strcmp(argv[i], "--client"))
			o->client_netns = value;
		else if (!strcmp(argv[i], "--client-cgroup"))
			o->client_cgroup = value;
		else if (!strcmp(argv[i], "--server-cgroup"))
			o->server_cgroup = value;
		else if (!strcmp(argv[i], "--listen"))
			listen_at = value;
		else if (!strcmp(argv[i], "--connect"))
			connect_to = value;
		else if (!strcmp(argv[i], "--ms"))
			o->ms = atoi(value);
		else if (!strcmp(argv[i], "--ports"))
			o->ports = atoi(value);
		else if (!strcmp(argv[i], "--core"))
			o->core = atoi(value);
		else
			goto usage;
		i++;
	}
	for (int m = TCP_RR; mode && m <= STREAM; m++) {
		if (strcmp(mode, mode_names[m]))
			continue;
		o->mode = m;
		if (!o->server_netns || !o->client_netns || !listen_at || o->ms < 1 || o->ms > 10000 || o->ports < 1 ||
		    o->ports > MAX_PORTS)
			break;
		o->listen_len = parse_address(listen_at, &o->listen);
		o->connect_len = parse_address(connect_to ? connect_to : listen_at, &o->connect);
		return;
	}
usage:
	fprintf(stderr, "nb: --mode tcp_rr|tcp_crr|udp_rr|stream --server NETNS --client NETNS --listen A:P [--ports 1..16] "
			"[--connect A:P] [--client-cgroup DIR] [--server-cgroup DIR] [--ms 1..10000] [--core N] [--fifo]\n");
	exit(2);
}

int main(int argc, char **argv)
{
	struct options o = { .ms = 80, .core = -1, .ports = 1 };
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t server;

	parse(argc, argv, &o);
	if (shared == MAP_FAILED)
		die("mmap");
	signal(SIGPIPE, SIG_IGN);
	alarm(15);
	if (o.core >= 0) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(o.core, &set);
		if (sched_setaffinity(0, sizeof(set), &set))
			die("sched_setaffinity");
	}
	if (o.fifo) {
		struct sched_param param = { .sched_priority = 1 };

		if (sched_setscheduler(0, SCHED_FIFO, &param))
			die("sched_setscheduler");
	}
	server = fork();
	if (server < 0)
		die("fork");
	if (server == 0)
		serve(&o, shared);
	while (!shared->ready) {
		struct timespec pause = { .tv_nsec = 200000 };

		nanosleep(&pause, NULL);
		if (waitpid(server, NULL, WNOHANG) == server)
			exit(1);
	}
	run_client(&o, shared, server);
	return 0;
}
