/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "nat.h"

/* The ends of a packet as the kernel's look-ups of sockets want them. Returns the tuple's size, which says its family. */
static __always_inline __u32 tuple_of_ends(struct bpf_sock_tuple *tuple, const struct nat_key *ends)
{
	if (addr_is_v4(&ends->daddr)) {
		tuple->ipv4.saddr = ends->saddr.words[3];
		tuple->ipv4.daddr = ends->daddr.words[3];
		tuple->ipv4.sport = ends->sport;
		tuple->ipv4.dport = ends->dport;
		return sizeof(tuple->ipv4);
	}
	__builtin_memcpy(tuple->ipv6.saddr, ends->saddr.words, 16);
	__builtin_memcpy(tuple->ipv6.daddr, ends->daddr.words, 16);
	tuple->ipv6.sport = ends->sport;
	tuple->ipv6.dport = ends->dport;
	return sizeof(tuple->ipv6);
}

enum socket_kind { SOCKET_NONE, SOCKET_LISTENS, SOCKET_OPEN };

/* The node's socket for packets with these ends. size: says the family. */
static __always_inline int tcp_socket_at(frame_t *frame, struct bpf_sock_tuple *tuple, __u32 size)
{
	struct bpf_sock *sk = bpf_skc_lookup_tcp(frame, tuple, size, BPF_F_CURRENT_NETNS, 0);
	int kind;

	if (!sk)
		return SOCKET_NONE;
	kind = sk->state == BPF_TCP_LISTEN ? SOCKET_LISTENS : SOCKET_OPEN;
	bpf_sk_release(sk);
	return kind;
}
