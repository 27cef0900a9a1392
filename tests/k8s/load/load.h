/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weft-load: traffic that never stops, and says exactly what was lost when. One static program, one thread.
 *
 *   weft-load run FLOW...      FLOW: "NAME KIND ADDRESS PORT PER_SECOND [DNS-NAME]", KIND: icmp udp connect dns stream flood
 *   weft-load serve PORT...    answers TCP and UDP on these ports with what came
 *
 * `run` prints a line of JSON a second and flow: of what was sent in that second, how much came back. An answer that
 * takes longer than LOST_US counts as lost. It ends on SIGTERM, when all it sent is accounted for.
 */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define LOST_US 10000000ull /* so long that an answer which waits for a processor is not taken for lost */
#define TICK_US 10000ull
#define STALL_US 50000ull
#define PROBES 2048 /* open at a time per flow, a power of two: more than the rate times LOST_US */
#define SECONDS 16  /* kept per flow, a power of two: a second is printed when nothing of it can come any more */
#define LOSSES 16   /* told one by one per second; the others are only counted */

struct loss {
	uint64_t at_us;
	uint32_t number;
	char why[40];
};

/* What became of what was sent in one second. Streams: bytes, by when they were sent and when they came. */
struct second {
	uint64_t number; /* of the epoch; 0: not in use */
	uint64_t sent, received;
	uint64_t slowest_us;
	uint32_t lost;
	int32_t retransmitted; /* by TCP */
	int32_t spurious;      /* of these, what the other end says it had already */
	struct loss losses[LOSSES];
};

/* A question that waits for its answer. */
struct probe {
	uint64_t sent_us; /* 0: not in use */
	uint32_t number;
	int fd; /* its own socket, -1: the flow's */
};

struct flow {
	char name[64];
	const struct kind *kind;
	struct sockaddr_storage to;
	socklen_t to_size;
	uint32_t per_second;
	char question[256];
	uint16_t id; /* of ICMP */
	int fd;
	uint64_t next_us;
	uint32_t next_number, oldest; /* probes in between may be open */
	struct probe probes[PROBES];
	struct second seconds[SECONDS];
	uint64_t printed; /* the last second that was */
	struct stream *stream;
};

/* What a kind of flow does; a function may be missing. */
struct kind {
	const char *name;
	void (*open)(struct flow *);
	void (*send)(struct flow *, struct probe *);
	/* Something can be read or written, on the flow's socket or (probe) on that of a question. */
	void (*ready)(struct flow *, struct probe *, uint32_t events);
	void (*tick)(struct flow *, uint64_t now_us);
};

extern const struct kind kind_icmp, kind_udp, kind_connect, kind_dns, kind_stream, kind_flood;

/* Microseconds of the epoch that never jump. */
uint64_t now_us(void);
void die(const char *what);

/* A socket of the flow, not blocking and watched; probe NULL: the flow's own. */
int watched_socket(struct flow *, struct probe *, int type, int protocol);
void watch(int fd, struct flow *, struct probe *, uint32_t events, bool anew);

struct second *second_of(struct flow *, uint64_t at_us);
void answered(struct flow *, struct probe *);
void lost(struct flow *, struct probe *, const char *why);
void add_loss(struct flow *, uint64_t at_us, uint32_t number, const char *why);
/* The open question of that number, or NULL. */
struct probe *open_probe(struct flow *, uint32_t number);
/* Sends what is due, gives up what is overdue, prints what is complete. */
void flow_tick(struct flow *, uint64_t now, bool stopping);
/* The process has not run for so long. */
void note_stall(uint64_t now, uint64_t stall_us);
bool flow_done(const struct flow *, uint64_t now);

/* Adds what the kernel sent again on a TCP socket since *retransmitted and *spurious. */
void count_retransmissions(struct second *, int fd, uint32_t *retransmitted, uint32_t *spurious);

int serve(int ports, char **port);
