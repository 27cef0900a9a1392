/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "nat.h"

/* How long a mapping lives. */

enum nat_timeout_sec {
	NAT_TIMEOUT_FRESH = 60, /* no answer yet, or one side has ended */
	NAT_TIMEOUT_CLOSED = 10, /* both have: ports are few, and many short connections to one place need them again soon */
	NAT_TIMEOUT_TCP = 21600,
	NAT_TIMEOUT_DATAGRAM = 180,
	NAT_REFRESH = 15, /* how often the sender's packets look after the answer's entry */
};

static __always_inline bool nat_closed(const struct nat_entry *entry)
{
	return (entry->flags & (NAT_CLOSING | NAT_CLOSING_BACK)) == (NAT_CLOSING | NAT_CLOSING_BACK);
}

/* Notes the end of a TCP connection's one direction, which a reset is of both. */
static __always_inline void nat_note_end(const struct pkt *p, struct nat_entry *entry, __u16 direction)
{
	if (p->tcp_flags & TCP_RST)
		entry->flags |= NAT_CLOSING | NAT_CLOSING_BACK;
	else if (p->tcp_flags & TCP_FIN)
		entry->flags |= direction;
}

/* The packet is an answer. */
static __always_inline void nat_keep(const struct pkt *p, struct nat_entry *entry)
{
	__u32 timeout = p->proto == IPPROTO_TCP ? NAT_TIMEOUT_TCP : NAT_TIMEOUT_DATAGRAM;

	nat_note_end(p, entry, NAT_CLOSING_BACK);
	if (entry->flags & (NAT_CLOSING | NAT_CLOSING_BACK))
		timeout = nat_closed(entry) ? NAT_TIMEOUT_CLOSED : NAT_TIMEOUT_FRESH;
	if (entry->expires_sec != p->now + timeout)
		entry->expires_sec = p->now + timeout;
}
