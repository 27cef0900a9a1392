// SPDX-License-Identifier: Apache-2.0
/* The book of a flow: what was sent when, what came back, what is lost. */
#include "load.h"
#include <linux/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct second *second_of(struct flow *f, uint64_t at_us)
{
	uint64_t number = at_us / 1000000;
	struct second *s = &f->seconds[number % SECONDS];

	if (s->number != number) {
		memset(s, 0, sizeof(*s));
		s->number = number;
	}
	return s;
}

struct probe *open_probe(struct flow *f, uint32_t number)
{
	struct probe *p = &f->probes[number % PROBES];

	return p->sent_us && p->number == number ? p : NULL;
}

static void end_probe(struct probe *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	p->sent_us = 0;
}

void answered(struct flow *f, struct probe *p)
{
	struct second *s = second_of(f, p->sent_us);
	uint64_t took_us = now_us() - p->sent_us;

	s->received++;
	if (took_us > s->slowest_us)
		s->slowest_us = took_us;
	end_probe(p);
}

void add_loss(struct flow *f, uint64_t at_us, uint32_t number, const char *why)
{
	struct second *s = second_of(f, at_us);

	if (s->lost < LOSSES) {
		struct loss *l = &s->losses[s->lost];

		l->at_us = at_us;
		l->number = number;
		snprintf(l->why, sizeof(l->why), "%s", why);
	}
	s->lost++;
}

void lost(struct flow *f, struct probe *p, const char *why)
{
	add_loss(f, p->sent_us, p->number, why);
	end_probe(p);
}

void count_retransmissions(struct second *s, int fd, uint32_t *retransmitted, uint32_t *spurious)
{
	struct tcp_info info = {0};
	socklen_t size = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
		return;
	s->retransmitted += info.tcpi_total_retrans - *retransmitted;
	s->spurious += info.tcpi_dsack_dups - *spurious;
	*retransmitted = info.tcpi_total_retrans;
	*spurious = info.tcpi_dsack_dups;
}

/* Of the process, by second: what is late while it stands still is not the network's doing. */
static struct {
	uint64_t number, longest_us;
} stalls[SECONDS];

void note_stall(uint64_t now, uint64_t stall_us)
{
	uint64_t number = now / 1000000;

	if (stalls[number % SECONDS].number != number)
		stalls[number % SECONDS].longest_us = 0;
	stalls[number % SECONDS].number = number;
	if (stall_us > stalls[number % SECONDS].longest_us)
		stalls[number % SECONDS].longest_us = stall_us;
}

static void print_second(const struct flow *f, const struct second *s)
{
	printf("{\"flow\":\"%s\",\"at\":%llu,\"sent\":%llu,\"received\":%llu,\"lost\":%u,\"slowestMs\":%.1f", f->name,
	       (unsigned long long)s->number * 1000, (unsigned long long)s->sent, (unsigned long long)s->received, s->lost,
	       s->slowest_us / 1e3);
	if (stalls[s->number % SECONDS].number == s->number)
		printf(",\"stallMs\":%.0f", stalls[s->number % SECONDS].longest_us / 1e3);
	if (s->retransmitted || s->spurious)
		printf(",\"retransmitted\":%d,\"spurious\":%d", s->retransmitted, s->spurious);
	for (uint32_t i = 0; i < s->lost && i < LOSSES; i++)
		printf("%s{\"at\":%.1f,\"number\":%u,\"why\":\"%s\"}", i ? "," : ",\"losses\":[", s->losses[i].at_us / 1e3,
		       s->losses[i].number, s->losses[i].why);
	printf(s->lost ? "]}\n" : "}\n");
}

/* The last second of which nothing can come any more. */
static uint64_t complete(uint64_t now)
{
	return (now - LOST_US - 2 * TICK_US) / 1000000 - 1;
}

static void expire(struct flow *f, uint64_t now)
{
	for (; f->oldest != f->next_number; f->oldest++) {
		struct probe *p = open_probe(f, f->oldest);

		if (p && now - p->sent_us < LOST_US)
			return;
		if (p)
			lost(f, p, "no answer");
	}
}

static void print_complete(struct flow *f, uint64_t now)
{
	uint64_t last = complete(now);

	if (f->printed == 0)
		f->printed = now / 1000000 - 1;
	/* A machine that stood still for long: what is not kept any more was not sent either. */
	if (last > f->printed + SECONDS)
		f->printed = last - SECONDS;
	while (f->printed < last) {
		struct second *s = &f->seconds[++f->printed % SECONDS];

		if (s->number == f->printed)
			print_second(f, s);
	}
}

static void send_due(struct flow *f, uint64_t now)
{
	uint64_t every_us = 1000000 / f->per_second;

	/* What was missed while the process stood still is not made up for. */
	if (f->next_us + 1000000 < now)
		f->next_us = now;
	for (; f->next_us <= now; f->next_us += every_us) {
		struct probe *p = &f->probes[f->next_number % PROBES];

		if (p->sent_us)
			return;
		*p = (struct probe){.sent_us = now_us(), .number = f->next_number++, .fd = -1};
		second_of(f, p->sent_us)->sent++;
		f->kind->send(f, p);
	}
}

void flow_tick(struct flow *f, uint64_t now, bool stopping)
{
	expire(f, now);
	print_complete(f, now);
	if (f->kind->tick)
		f->kind->tick(f, now);
	if (f->kind->send && !stopping)
		send_due(f, now);
}

bool flow_done(const struct flow *f, uint64_t stopped_us)
{
	return f->printed >= stopped_us / 1000000;
}
