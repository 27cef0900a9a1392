/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "identity.h"
#include "socket-tuple.h"

/*
 * The node's own connections are tracked from the moment it has policies. One that was open before is taken over in the
 * direction it was opened in, which its sockets know: who was asked listens.
 */

static __always_inline void socket_tuple(const struct pkt *p, bool to_node, struct bpf_sock_tuple *t)
{
	const struct addr *local = to_node ? &p->daddr : &p->saddr, *remote = to_node ? &p->saddr : &p->daddr;
	__be16 local_port = to_node ? p->dport : p->sport, remote_port = to_node ? p->sport : p->dport;

	if (is_v6(p)) {
		__builtin_memcpy(t->ipv6.saddr, remote->words, 16);
		__builtin_memcpy(t->ipv6.daddr, local->words, 16);
		t->ipv6.sport = remote_port;
		t->ipv6.dport = local_port;
		return;
	}
	t->ipv4.saddr = remote->words[3];
	t->ipv4.daddr = local->words[3];
	t->ipv4.sport = remote_port;
	t->ipv4.dport = local_port;
}

static __always_inline void forget_remote(const struct pkt *p, struct bpf_sock_tuple *t)
{
	if (is_v6(p)) {
		__builtin_memset(t->ipv6.saddr, 0, 16);
		t->ipv6.sport = 0;
	} else {
		t->ipv4.saddr = 0;
		t->ipv4.sport = 0;
	}
}

/* Sets PKT_REPLY on a packet of the node's that answers who opened a connection nobody tracked. TCP only. */
__noinline int adopt_open(struct __sk_buff *skb, struct pkt *p)
{
	struct bpf_sock_tuple tuple = {};
	bool to_node, listens;
	__u32 size;

	if (!p)
		return 0;
	to_node = p->dst.id == HOST_ENDPOINT;
	socket_tuple(p, to_node, &tuple);
	size = is_v6(p) ? sizeof(tuple.ipv6) : sizeof(tuple.ipv4);
	if (tcp_socket_at(skb, &tuple, size) != SOCKET_OPEN)
		return 0;
	forget_remote(p, &tuple);
	listens = tcp_socket_at(skb, &tuple, size) == SOCKET_LISTENS;
	if (to_node != listens)
		p->flags |= PKT_REPLY;
	return 0;
}
