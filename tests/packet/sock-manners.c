// SPDX-License-Identifier: Apache-2.0
/*
 * How a TCP connection behaves beyond carrying bytes, said in a line each, so that two worlds can be compared.
 *
 *   sock-manners SERVER_NETNS ADDRESS PORT
 *
 * Runs in the client's namespace; the server's sockets are made in the other.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int listener;
static struct addrinfo *server;

struct pair {
	int a, b; /* client, server */
};

/* Long enough for a busy machine; nothing here waits for it where all is well. */
static void limit(int fd, int sec)
{
	struct timeval t = { .tv_sec = sec };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

/* The option is switched on before the handshake; 0: none. */
static struct pair connected_with(int option)
{
	struct pair p = { .a = socket(server->ai_family, SOCK_STREAM, 0) };
	int on = 1;

	if (option)
		setsockopt(p.a, SOL_SOCKET, option, &on, sizeof(on));
	if (connect(p.a, server->ai_addr, server->ai_addrlen) < 0) {
		perror("connect");
		exit(2);
	}
	p.b = accept(listener, NULL, NULL);
	limit(p.a, 5);
	limit(p.b, 5);
	return p;
}

static struct pair connected(void)
{
	return connected_with(0);
}

static void over(struct pair p)
{
	close(p.a);
	close(p.b);
}

static void say(const char *what, const char *form, long value)
{
	printf("%s: ", what);
	printf(form, value);
	printf("\n");
	fflush(stdout);
}

static long outcome(ssize_t n)
{
	return n < 0 ? -errno : n;
}

static void wait_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	poll(&p, 1, 5000);
}

/* Until all that the other end has sent is here, and its end. */
static void wait_ended(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	poll(&p, 1, 5000);
}

static atomic_bool is_back; /* the main thread, from what it waited for */

static bool main_thread_sleeps(void)
{
	char path[64], line[256] = "", *state;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
	f = fopen(path, "r");
	if (!f)
		exit(2);
	state = fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
	fclose(f);
	return state && state[2] == 'S';
}

/* For another thread: until the main one waits in the kernel, or has come back from there. */
static void until_it_waits(void)
{
	while (!is_back && !main_thread_sleeps())
		sched_yield();
}

static void asks_how_much(void)
{
	struct pair p = connected();
	char bytes[100] = "";
	int n = -1;

	send(p.a, bytes, 100, 0);
	wait_readable(p.b);
	ioctl(p.b, FIONREAD, &n);
	say("FIONREAD with 100 bytes to read", "%ld", n);
	over(p);
}

/* What is sent to who waits for more than one byte goes by TCP. */
static void asks_how_much_of_tcp(void)
{
	static char bytes[70000];
	struct pair p = connected();
	ssize_t got = 0;
	int n = -1, mark = 2;

	setsockopt(p.b, SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof(mark));
	send(p.a, bytes, sizeof(bytes), MSG_DONTWAIT);
	wait_readable(p.b);
	ioctl(p.b, FIONREAD, &n);
	printf("FIONREAD of what came by TCP: %s\n", n > 0 ? "some" : "none");
	shutdown(p.a, SHUT_WR);
	while ((n = recv(p.b, bytes, sizeof(bytes), 0)) > 0)
		got += n;
	say("read of it", "%ld", got);
	over(p);
}

static void *send_later(void *arg)
{
	until_it_waits();
	send((int)(intptr_t)arg, "0123456789", 10, 0);
	return NULL;
}

static void waits_for_all(void)
{
	struct pair p = connected();
	char bytes[20];
	pthread_t t;
	long got;

	send(p.a, "0123456789", 10, 0);
	wait_readable(p.b);
	is_back = false;
	pthread_create(&t, NULL, send_later, (void *)(intptr_t)p.a);
	got = outcome(recv(p.b, bytes, 20, MSG_WAITALL));
	is_back = true;
	say("MSG_WAITALL for 20 bytes that come in two parts", "%ld", got);
	pthread_join(t, NULL);
	over(p);
}

static void peeks(void)
{
	struct pair p = connected();
	char bytes[20] = "";

	send(p.a, "0123456789", 10, 0);
	wait_readable(p.b);
	say("MSG_PEEK of 4 bytes of 10", "%ld", outcome(recv(p.b, bytes, 4, MSG_PEEK)));
	say("then read", "%ld", outcome(recv(p.b, bytes, 20, 0)));
	over(p);
}

static void sends_urgent(void)
{
	struct pair p = connected();
	char bytes[20] = "", urgent = '-';
	ssize_t got = 0, n;

	send(p.a, "ab", 2, 0);
	send(p.a, "x", 1, MSG_OOB);
	send(p.a, "cd", 2, 0);
	shutdown(p.a, SHUT_WR);
	wait_ended(p.b);
	recv(p.b, &urgent, 1, MSG_OOB | MSG_DONTWAIT);
	while ((n = recv(p.b, bytes + got, 20 - got, 0)) > 0)
		got += n;
	printf("urgent byte: '%c', the others: '%.*s'\n", urgent, (int)got, bytes);
	over(p);
}

static void splices_out(void)
{
	struct pair p = connected();
	int pipes[2];

	if (pipe(pipes) < 0)
		exit(2);
	limit(p.b, 1);
	send(p.a, "0123456789", 10, 0);
	wait_readable(p.b);
	say("splice from the socket, 10 bytes to read", "%ld", outcome(splice(p.b, NULL, pipes[1], NULL, 100, 0)));
	close(pipes[0]);
	close(pipes[1]);
	over(p);
}

static void sends_file(void)
{
	struct pair p = connected();
	int fd = memfd_create("file", 0);
	char bytes[300];

	if (ftruncate(fd, 200) < 0)
		exit(2);
	say("sendfile of 200 bytes", "%ld", outcome(sendfile(p.a, fd, NULL, 200)));
	wait_readable(p.b);
	say("read of them", "%ld", outcome(recv(p.b, bytes, 300, 0)));
	close(fd);
	over(p);
}

static void send_zerocopy(struct pair p, const char *when, bool completes)
{
	char *bytes = calloc(1, 10000), control[200];
	struct msghdr m = { .msg_control = control, .msg_controllen = sizeof(control) };
	struct pollfd e = { .fd = p.a };

	printf("MSG_ZEROCOPY of 10000 bytes, %s: %ld\n", when, outcome(send(p.a, bytes, 10000, MSG_ZEROCOPY)));
	wait_readable(p.b);
	recv(p.b, bytes, 10000, 0);
	poll(&e, 1, completes ? 5000 : 0);
	printf("its completion, %s: %ld\n", when, outcome(recvmsg(p.a, &m, MSG_ERRQUEUE | MSG_DONTWAIT)));
	free(bytes);
	over(p);
}

static void sends_zerocopy(void)
{
	struct pair p = connected();
	int on = 1;
	long can = outcome(setsockopt(p.a, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)));

	say("SO_ZEROCOPY of a connection", "%ld", can);
	send_zerocopy(p, "asked for when connected", can == 0);
	p = connected_with(SO_ZEROCOPY);
	send_zerocopy(p, "asked for before", true);
}

static void has_low_water(void)
{
	struct pair p = connected();
	struct pollfd r = { .fd = p.b, .events = POLLIN };
	int mark = 100;

	setsockopt(p.b, SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof(mark));
	send(p.a, "0123456789", 10, 0);
	say("readable with 10 bytes under SO_RCVLOWAT 100", "%ld", poll(&r, 1, 200));
	over(p);
}

static void sends_after_shutdown(void)
{
	struct pair p = connected();

	shutdown(p.a, SHUT_WR);
	say("send after own shutdown", "%ld", outcome(send(p.a, "x", 1, MSG_NOSIGNAL)));
	say("the other end still sends", "%ld", outcome(send(p.b, "yy", 2, MSG_NOSIGNAL)));
	wait_readable(p.a);
	over(p);
}

static void sends_to_closed(void)
{
	struct pair p = connected();
	long last = 0;

	close(p.b);
	for (int i = 0; i < 50 && last >= 0; i++) {
		last = outcome(send(p.a, "x", 1, MSG_NOSIGNAL));
		usleep(10000);
	}
	say("send to who has closed, in the end", "%ld", last);
	close(p.a);
}

static void closes_unread(void)
{
	struct pair p = connected();
	char byte;

	send(p.a, "0123456789", 10, 0);
	wait_readable(p.b);
	close(p.b);
	say("read from who closed without reading", "%ld", outcome(recv(p.a, &byte, 1, 0)));
	close(p.a);
}

static void closes_after_sending(void)
{
	struct pair p = connected();
	char bytes[20];

	send(p.a, "0123456789", 10, 0);
	close(p.a);
	wait_ended(p.b);
	say("read of what was sent before a close", "%ld", outcome(recv(p.b, bytes, 20, 0)));
	say("then", "%ld", outcome(recv(p.b, bytes, 20, 0)));
	close(p.b);
}

/* What is sent comes when the reader has either gone on waiting or come back. */
static void *shut_down_then_send(void *arg)
{
	const struct pair *p = arg;

	until_it_waits();
	shutdown(p->b, SHUT_WR);
	until_it_waits();
	send(p->a, "0123456789", 10, 0);
	return NULL;
}

static void reads_while_shut_down(void)
{
	struct pair p = connected();
	char bytes[20];
	pthread_t t;
	long got;

	is_back = false;
	pthread_create(&t, NULL, shut_down_then_send, &p);
	got = outcome(recv(p.b, bytes, 20, 0));
	is_back = true;
	say("read while another thread shuts down the other half", "%ld", got);
	pthread_join(t, NULL);
	over(p);
}

static void times_out(void)
{
	struct pair p = connected();
	struct timeval t = { .tv_usec = 100000 };
	char byte;

	setsockopt(p.b, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	say("read with a time-out and nothing to read", "%ld", outcome(recv(p.b, &byte, 1, 0)));
	over(p);
}

/* Nobody reads: a writer that does not block is stopped within bounds, and nothing of what it wrote is lost. */
static void fills_up(size_t chunk)
{
	struct pair p = connected();
	char *bytes = calloc(1, 4 << 20);
	struct pollfd w = { .fd = p.a, .events = POLLOUT };
	size_t sent = 0, got = 0;
	ssize_t n;

	while (sent < 64 << 20) {
		n = send(p.a, bytes, chunk, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			sent += n;
		else if (poll(&w, 1, 100) == 0)
			break;
	}
	shutdown(p.a, SHUT_WR);
	while ((n = recv(p.b, bytes, 4 << 20, 0)) > 0)
		got += n;
	printf("writes of %zu without a reader: stopped below %d MB, %s\n", chunk, sent < 16 << 20 ? 16 : 64,
	       got == sent ? "all arrived" : "NOT ALL ARRIVED");
	fprintf(stderr, "writes of %zu: %zu sent, %zu arrived\n", chunk, sent, got);
	free(bytes);
	over(p);
}

int main(int argc, char **argv)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
	int own = open("/proc/self/ns/net", O_RDONLY), other, on = 1;

	if (argc != 4 || getaddrinfo(argv[2], argv[3], &hints, &server)) {
		fprintf(stderr, "usage: sock-manners SERVER_NETNS ADDRESS PORT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	other = open(argv[1], O_RDONLY);
	if (setns(other, CLONE_NEWNET) < 0)
		return 2;
	listener = socket(server->ai_family, SOCK_STREAM, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, server->ai_addr, server->ai_addrlen) < 0 || listen(listener, 16) < 0)
		return 2;
	if (setns(own, CLONE_NEWNET) < 0)
		return 2;
	asks_how_much();
	asks_how_much_of_tcp();
	waits_for_all();
	peeks();
	sends_urgent();
	splices_out();
	sends_file();
	sends_zerocopy();
	has_low_water();
	sends_after_shutdown();
	sends_to_closed();
	closes_unread();
	closes_after_sending();
	reads_while_shut_down();
	times_out();
	fills_up(100);
	fills_up(20000);
	fills_up(4 << 20);
	return 0;
}
