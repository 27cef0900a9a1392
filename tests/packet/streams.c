// SPDX-License-Identifier: Apache-2.0
/*
 * Streams of random length both ways over TCP, every byte checked where it arrives.
 *
 *   streams serve ADDRESS PORT             serves until stdin and all that has begun have ended
 *   streams call ADDRESS PORT CONNECTIONS AT_ONCE SEED MAX_BYTES MANNERS
 *
 * A caller's first 32 bytes say what follows: a seed, the bytes to come, the bytes asked for, and a manner. Each side
 * ends its half when it has sent all. A byte of a stream is a function of seed and position, so that loss, repetition
 * and disorder show as a wrong byte with its place.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum manner {
	SLOW_READERS = 1,   /* pauses between reads, small reads */
	ANSWER_LATE = 2,    /* the answer begins when the question has ended: half-closed */
	NON_BLOCKING = 4,   /* poll and partial writes */
	HUGE_WRITES = 8,    /* up to 4 MB a write */
	PEEKS = 16,         /* MSG_PEEK before reading */
	HUGE_ANYWAY = 32,   /* huge writes though they do not block: see largest_write */
};

/* Times a blocking read came back with EAGAIN long before its time-out: see receive. */
static uint64_t early_returns;

struct order {
	uint64_t seed, up, down, manner;
};

enum { IO_TIMEOUT_SEC = 30, HUGE_BYTES = 4 << 20, CHUNK_BYTES = 64 << 10 };

struct half {
	int fd;
	uint64_t seed, length;
	unsigned manner;
	char *failure; /* of 160 bytes; "": none */
};

static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ull;
	return x ^ (x >> 33);
}

/* Eight bytes of the stream, from a position that is a multiple of eight. */
static uint64_t word_at(uint64_t seed, uint64_t position)
{
	return mix(seed + position);
}

static void fill(unsigned char *bytes, uint64_t seed, uint64_t position, size_t n)
{
	for (size_t i = 0; i < n;) {
		uint64_t at = position + i, word = word_at(seed, at & ~7ull);
		size_t skip = at & 7, take = 8 - skip < n - i ? 8 - skip : n - i;

		memcpy(bytes + i, (char *)&word + skip, take);
		i += take;
	}
}

static uint64_t dice(uint64_t *state)
{
	return *state = mix(*state + 0x9e3779b97f4a7c15ull);
}

/* Spread over magnitudes: as often tiny as huge. */
static uint64_t size_up_to(uint64_t *state, uint64_t max)
{
	unsigned bits = 0;

	while (bits < 63 && (1ull << bits) < max)
		bits++;
	uint64_t top = 1ull << (dice(state) % (bits + 1));
	uint64_t size = 1 + dice(state) % top;

	return size < max ? size : max;
}

static int wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, IO_TIMEOUT_SEC * 1000) == 1 ? 0 : -1;
}

/*
 * The kernel takes a write as one message or several: 17 pieces each, of 32 kB or, when it has no pages in a row, of 4. A
 * message that it passes by TCP and that stops half-way at a full buffer leaves its verdict to the message after it, of
 * which no program is asked. So that the two are the same bytes, a write that may stop is no larger than one message
 * always is.
 */
static size_t largest_write(unsigned manner)
{
	if (!(manner & HUGE_WRITES))
		return CHUNK_BYTES;
	return (manner & (NON_BLOCKING | HUGE_ANYWAY)) == NON_BLOCKING ? CHUNK_BYTES : HUGE_BYTES;
}

static void *send_half(void *arg)
{
	struct half *h = arg;
	uint64_t state = h->seed ^ 1, sent = 0;
	size_t room = largest_write(h->manner);
	unsigned char *bytes = malloc(room);

	while (sent < h->length) {
		size_t want = size_up_to(&state, room), done = 0;

		if (want > h->length - sent)
			want = h->length - sent;
		fill(bytes, h->seed, sent, want);
		while (done < want) {
			ssize_t n;

			if ((h->manner & NON_BLOCKING) && wait_for(h->fd, POLLOUT) < 0) {
				snprintf(h->failure, 160, "not writable at byte %llu of %llu",
					 (unsigned long long)(sent + done), (unsigned long long)h->length);
				goto out;
			}
			n = send(h->fd, bytes + done, want - done,
				 MSG_NOSIGNAL | (h->manner & NON_BLOCKING ? MSG_DONTWAIT : 0));
			if (n < 0 && errno == EAGAIN && (h->manner & NON_BLOCKING))
				continue;
			if (n <= 0) {
				snprintf(h->failure, 160, "send at byte %llu of %llu: %s",
					 (unsigned long long)(sent + done), (unsigned long long)h->length, strerror(errno));
				goto out;
			}
			done += n;
		}
		sent += want;
	}
	if (shutdown(h->fd, SHUT_WR) < 0)
		snprintf(h->failure, 160, "shutdown: %s", strerror(errno));
out:
	free(bytes);
	return NULL;
}

static time_t now_sec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* A blocking read. The kernel's reader of redirected data takes any wake-up for the end of its wait (seen on 6.18). */
static ssize_t receive(int fd, void *bytes, size_t room)
{
	time_t began = now_sec();

	for (;;) {
		ssize_t n = recv(fd, bytes, room, 0);

		if (n >= 0 || errno != EAGAIN || now_sec() - began >= IO_TIMEOUT_SEC)
			return n;
		__atomic_fetch_add(&early_returns, 1, __ATOMIC_RELAXED);
	}
}

static void *receive_half(void *arg)
{
	struct half *h = arg;
	uint64_t state = h->seed ^ 2, got = 0;
	unsigned char *bytes = malloc(CHUNK_BYTES), *wanted = malloc(CHUNK_BYTES);

	for (;;) {
		size_t room = h->manner & SLOW_READERS ? size_up_to(&state, 8192) : CHUNK_BYTES;
		ssize_t n;

		if ((h->manner & SLOW_READERS) && dice(&state) % 16 == 0)
			usleep(dice(&state) % 3000);
		if ((h->manner & NON_BLOCKING) && wait_for(h->fd, POLLIN) < 0) {
			snprintf(h->failure, 160, "nothing to read at byte %llu of %llu", (unsigned long long)got,
				 (unsigned long long)h->length);
			break;
		}
		if (h->manner & PEEKS) {
			n = recv(h->fd, bytes, room, MSG_PEEK);
			if (n > 0)
				room = n;
		}
		n = h->manner & NON_BLOCKING ? recv(h->fd, bytes, room, MSG_DONTWAIT) : receive(h->fd, bytes, room);
		if (n < 0 && errno == EAGAIN && (h->manner & NON_BLOCKING))
			continue;
		if (n < 0) {
			snprintf(h->failure, 160, "receive at byte %llu of %llu: %s", (unsigned long long)got,
				 (unsigned long long)h->length, strerror(errno));
			break;
		}
		if (n == 0) {
			if (got != h->length)
				snprintf(h->failure, 160, "ended at byte %llu of %llu", (unsigned long long)got,
					 (unsigned long long)h->length);
			break;
		}
		fill(wanted, h->seed, got, n);
		if (got + n > h->length || memcmp(bytes, wanted, n)) {
			size_t i = 0;

			while (i < (size_t)n && bytes[i] == wanted[i])
				i++;
			snprintf(h->failure, 160, "wrong byte %llu of %llu", (unsigned long long)(got + i),
				 (unsigned long long)h->length);
			break;
		}
		got += n;
	}
	free(bytes);
	free(wanted);
	return NULL;
}

/* How many bytes of n came. */
static size_t read_all(int fd, void *to, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t more = receive(fd, (char *)to + done, n - done);

		if (more <= 0)
			break;
		done += more;
	}
	return done;
}

/* Both halves of one side at once; true when all was right. */
static bool run_side(int fd, const struct order *o, bool caller, char *failure)
{
	char sending[160] = "", receiving[160] = "";
	struct half out = { fd, caller ? o->seed : ~o->seed, caller ? o->up : o->down, o->manner, sending };
	struct half in = { fd, caller ? ~o->seed : o->seed, caller ? o->down : o->up, o->manner, receiving };
	pthread_t sender;

	if (!caller && (o->manner & ANSWER_LATE)) {
		receive_half(&in);
		send_half(&out);
	} else {
		pthread_create(&sender, NULL, send_half, &out);
		receive_half(&in);
		if (receiving[0]) /* wakes a sender that nobody reads from */
			shutdown(fd, SHUT_RDWR);
		pthread_join(sender, NULL);
	}
	if (!sending[0] && !receiving[0])
		return true;
	snprintf(failure, 512, "%s%s%s (manner %llu, up %llu, down %llu)", receiving, receiving[0] && sending[0] ? "; " : "",
		 sending, (unsigned long long)o->manner, (unsigned long long)o->up, (unsigned long long)o->down);
	return false;
}

static void set_timeouts(int fd)
{
	struct timeval limit = { .tv_sec = IO_TIMEOUT_SEC };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

static struct {
	pthread_mutex_t lock;
	pthread_cond_t all_ended;
	unsigned open;
} served = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 };

static void count_open(int more)
{
	pthread_mutex_lock(&served.lock);
	served.open += more;
	if (!served.open)
		pthread_cond_signal(&served.all_ended);
	pthread_mutex_unlock(&served.lock);
}

static void *serve_one(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char failure[512] = "";
	struct order o;
	size_t came;

	set_timeouts(fd);
	errno = 0;
	came = read_all(fd, &o, sizeof(o));
	if (came < sizeof(o))
		fprintf(stderr, "server: %zu bytes of an order: %s\n", came, errno ? strerror(errno) : "ended");
	else if (!run_side(fd, &o, false, failure))
		fprintf(stderr, "server: %s\n", failure);
	close(fd);
	count_open(-1);
	return NULL;
}

static struct addrinfo *resolve(const char *address, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST }, *found;

	if (getaddrinfo(address, port, &hints, &found)) {
		fprintf(stderr, "not an address: %s\n", address);
		exit(2);
	}
	return found;
}

static void *accept_all(void *arg)
{
	int listener = (int)(intptr_t)arg;

	for (;;) {
		pthread_t thread;
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			continue;
		count_open(1);
		pthread_create(&thread, NULL, serve_one, (void *)(intptr_t)fd);
		pthread_detach(thread);
	}
	return NULL;
}

static int serve(const char *address, const char *port)
{
	struct addrinfo *a = resolve(address, port);
	int fd = socket(a->ai_family, SOCK_STREAM, 0), on = 1;
	pthread_t thread;
	char byte;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, 1024) < 0) {
		perror("listen");
		return 2;
	}
	pthread_create(&thread, NULL, accept_all, (void *)(intptr_t)fd);
	if (write(1, "ready\n", 6) != 6)
		return 2;
	while (read(0, &byte, 1) > 0)
		;
	pthread_mutex_lock(&served.lock);
	while (served.open)
		pthread_cond_wait(&served.all_ended, &served.lock);
	return 0;
}

static struct {
	struct addrinfo *server;
	uint64_t connections, seed, max_bytes, manners, next, failed, bytes;
} calls;

/*
 * A port of its own for each connection. The kernel would give one again that a process still has an ended socket of: the
 * second goes by TCP alone then, and is not counted.
 */
static int bind_own_port(int fd, uint64_t number)
{
	struct sockaddr_storage own = { .ss_family = calls.server->ai_family };
	int on = 1;

	((struct sockaddr_in *)&own)->sin_port = htons(10000 + number % 50000); /* IPv6 has it at the same place */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return bind(fd, (struct sockaddr *)&own, calls.server->ai_addrlen);
}

static bool call_once(uint64_t number)
{
	uint64_t state = mix(calls.seed + number);
	struct order o = { .seed = dice(&state) };
	char failure[512] = "";
	int fd = socket(calls.server->ai_family, SOCK_STREAM, 0);
	bool right;

	o.up = size_up_to(&state, calls.max_bytes) - 1;
	o.down = size_up_to(&state, calls.max_bytes) - 1;
	o.manner = dice(&state) % calls.manners;
	set_timeouts(fd);
	right = bind_own_port(fd, number) == 0 && connect(fd, calls.server->ai_addr, calls.server->ai_addrlen) == 0 &&
		send(fd, &o, sizeof(o), MSG_NOSIGNAL) == sizeof(o);
	if (!right)
		snprintf(failure, sizeof(failure), "connect: %s", strerror(errno));
	else
		right = run_side(fd, &o, true, failure);
	close(fd);
	if (!right)
		fprintf(stderr, "connection %llu: %s\n", (unsigned long long)number, failure);
	__atomic_fetch_add(&calls.bytes, o.up + o.down, __ATOMIC_RELAXED);
	return right;
}

static void *call_some(void *arg)
{
	(void)arg;
	for (;;) {
		uint64_t number = __atomic_fetch_add(&calls.next, 1, __ATOMIC_RELAXED);

		if (number >= calls.connections)
			return NULL;
		if (!call_once(number))
			__atomic_fetch_add(&calls.failed, 1, __ATOMIC_RELAXED);
	}
}

static int call(char **argv)
{
	int at_once = atoi(argv[5]);
	pthread_t threads[256];

	calls.server = resolve(argv[2], argv[3]);
	calls.connections = strtoull(argv[4], NULL, 0);
	calls.seed = strtoull(argv[6], NULL, 0);
	calls.max_bytes = strtoull(argv[7], NULL, 0);
	calls.manners = strtoull(argv[8], NULL, 0);
	if (at_once > 256)
		at_once = 256;
	for (int i = 0; i < at_once; i++)
		pthread_create(&threads[i], NULL, call_some, NULL);
	for (int i = 0; i < at_once; i++)
		pthread_join(threads[i], NULL);
	printf("{\"connections\":%llu,\"failed\":%llu,\"bytes\":%llu,\"earlyReturns\":%llu}\n",
	       (unsigned long long)calls.connections, (unsigned long long)calls.failed, (unsigned long long)calls.bytes,
	       (unsigned long long)early_returns);
	return calls.failed ? 1 : 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "serve"))
		return serve(argv[2], argv[3]);
	if (argc == 9 && !strcmp(argv[1], "call"))
		return call(argv);
	fprintf(stderr, "usage: streams serve ADDRESS PORT | call ADDRESS PORT CONNECTIONS AT_ONCE SEED MAX_BYTES MANNERS\n");
	return 2;
}
