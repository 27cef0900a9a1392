/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "geneve.h"
#include "dsr-unwrap.h"

/*
 * The backend's node under direct server return by Geneve: it takes out what a node of the cluster sent with the option of
 * ours. All else of that port is the stack's, which may have a device for it.
 */

static __always_inline bool is_geneve(const struct pkt *p)
{
	return p->proto == IPPROTO_UDP && p->dport == bpf_htons(GENEVE_PORT);
}

/* The frontend that the header, from UDP's at `off` on, tells, and what is inside: ETH_P_*, network byte order; 0: it is none of ours. */
static __always_inline __be16 geneve_read(struct __sk_buff *skb, __u32 off, struct peer *told)
{
	struct geneve head = {};
	__u32 size;

	if (frame_load(skb, off, &head, GENEVE_SIZE_V4) < 0 || head.udp.check || head.flags != GENEVE_CRITICAL ||
	    head.class != bpf_htons(GENEVE_CLASS) || head.type != GENEVE_FRONTEND)
		return 0;
	size = head.protocol == bpf_htons(ETH_P_IPV6) ? GENEVE_SIZE_V6 : GENEVE_SIZE_V4;
	if (head.words != GENEVE_WORDS(size) || head.option_words != GENEVE_WORDS(size) - 1)
		return 0;
	told->port = head.port;
	if (head.protocol == bpf_htons(ETH_P_IP)) {
		addr_set_v4(&told->addr, head.addr[0]);
		return head.protocol;
	}
	if (head.protocol != bpf_htons(ETH_P_IPV6) ||
	    frame_load(skb, off + offsetof(struct geneve, addr), &told->addr, sizeof(told->addr)) < 0 ||
	    addr_is_v4(&told->addr))
		return 0;
	return head.protocol;
}

/*
 * For what comes from the device: what another node led here is unwrapped, PKT_DIRECT says so; all else is left as it is.
 * 0 or a drop reason.
 */
__noinline int geneve_arrive(struct __sk_buff *skb, struct pkt *p)
{
	struct peer told = {};
	__be16 inner;
	int reason;

	if (!p)
		return DROP_INVALID_PACKET_DROPPED;
	if (!is_between_nodes(p))
		return 0;
	inner = geneve_read(skb, p->l4, &told);
	if (!inner)
		return 0;
	reason = dsr_unwrap(skb, p, p->l4 - ETH_HLEN + (addr_is_v4(&told.addr) ? GENEVE_SIZE_V4 : GENEVE_SIZE_V6), inner);
	if (reason)
		return reason;
	if (!is_port_protocol(p->proto))
		return DROP_UNSUPPORTED_PROTOCOL_FOR_DSR_ENCAP;
	if (!is_backend_here(p))
		return DROP_SERVICE_BACKEND_NOT_FOUND;
	reason = dsr_told(p, &told);
	if (p->tcp_flags & (TCP_FIN | TCP_RST))
		dsr_note_end(p);
	return reason;
}
