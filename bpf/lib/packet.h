/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "frame.h"
#include "addr.h"
#include "config.h"
#include "endpoint.h"
#include "ct.h"
#include "protocols.h"
#include "clock.h"

extern const volatile struct node_config config;

enum pkt_flag {
	PKT_V6 = 1,
	PKT_LATER_FRAGMENT = 2, /* a fragment without a transport header: ports are those of the first fragment */
	PKT_DSR = 4,            /* another node's backend is to answer it, past this node */
	PKT_ICMP_ECHO = 8,      /* sport and dport are the echo's id */
	PKT_ICMP_ERROR = 16,    /* carries the head of the packet it is about */
	PKT_REPLY = 32,         /* answers the connection's originator */
	PKT_RELATED = 64,       /* an ICMP error about a tracked connection */
	PKT_NEW = 128,          /* began its connection */
	PKT_REPORT = 256,       /* worth an event */
	PKT_LAST = 512,         /* closed its connection */
	PKT_TUNNEL = 1024,      /* came or goes through VXLAN */
	PKT_NODEPORT = 2048,    /* was sent to a node's frontend */
	PKT_RESTORED = 4096,    /* answers something whose source this node had translated */
	PKT_HAIRPIN = 8192,     /* from a pod to itself through a service */
	PKT_DIRECT = 16384,     /* came from a node that is not to see the answers; says for which frontend they are */
	PKT_BESIDE = 32768,     /* met a service connection of the same ends: beside.h */
};

/* One end of a packet, as far as judging and reporting need it. */
struct end {
	__u32 identity;
	__u32 policy_id;
	__u32 policy_rev;
	__u16 id;    /* of the endpoint; 0: no pod of this node */
	__u16 flags; /* enum endpoint_flag */
};

/* The event to emit; see flow_event. */
struct report {
	__u64 bytes;
	__u32 packets;
	__u32 untold;
	__u16 line;
	__u16 flags;
	__u8 type;
	__u8 reason;
	__u8 point;
	__u8 file;
};

/*
 * One packet on its way through one hook. The tuple follows the packet's header: who rewrites the header (translate.h)
 * rewrites the tuple too. No pointers in it: the steps are global functions, which the verifier checks once each
 * instead of once per path that leads there.
 */
struct pkt {
	struct addr saddr;
	struct addr daddr;
	struct end src;
	struct end dst;
	struct report report;
	__u32 length;       /* IP header on */
	__u32 now;          /* seconds of CLOCK_MONOTONIC */
	__u32 frontend;     /* translated from this frontend; 0: none */
	__u32 egress_rule;  /* the rules that decided */
	__u32 ingress_rule;
	__be16 sport;
	__be16 dport;
	__be16 client_port; /* what answers have as destination in place of the connection's source port; 0: that */
	__u16 l4;           /* offset of the transport header in the frame */
	__u16 flags;        /* enum pkt_flag */
	__u16 ct_flags;     /* enum ct_flag of its connection; 0: has none */
	__u8 proto;
	__u8 ttl;
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 direction : 4; /* enum policy_direction: of the hook, for metrics */
	__u8 l4_words : 4;  /* length of the transport header in words of four bytes */
	__u8 audited_egress;  /* enum drop_reason: why an end in audit would have dropped it; 0: it would not */
	__u8 audited_ingress;
};

static __always_inline bool is_v6(const struct pkt *p)
{
	return p->flags & PKT_V6;
}

static __always_inline bool is_port_protocol(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP;
}

static __always_inline bool is_icmp(const struct pkt *p)
{
	return p->proto == IPPROTO_ICMP || p->proto == IPPROTO_ICMP6;
}

static __always_inline void set_end(struct end *end, const struct endpoint *ep)
{
	end->identity = ep->identity;
	end->policy_id = ep->policy_id;
	end->policy_rev = ep->policy_rev;
	end->id = ep->id;
	end->flags = ep->flags;
}
