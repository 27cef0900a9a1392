/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "addr.h"

/* One record of the ring buffer. Addresses and ports are those of the packet where it was seen. */
struct flow_event {
	__u64 time_ns; /* CLOCK_BOOTTIME */
	__u64 bytes;   /* CT counters of the packet's direction at this moment (0 when there is no entry) */
	struct addr saddr;
	struct addr daddr;
	__u32 packets;
	__u32 length;       /* of this packet, IP header on */
	__u32 src_identity;
	__u32 dst_identity;
	__u32 ifindex;      /* where it was seen */
	__u32 frontend;     /* service frontend the connection was opened to; 0: none */
	__u32 egress_rule;  /* for a drop or a new flow: the rules that decided, per direction; 0: none matched */
	__u32 ingress_rule;
	__be16 sport;       /* ICMP: type */
	__be16 dport;       /* ICMP: code */
	__u16 src_endpoint; /* endpoint ids when local, else 0 */
	__u16 dst_endpoint;
	__u16 line;         /* of the drop, in the file numbered below */
	__u8 file;          /* enum event_file */
	__u8 type;          /* enum event_type */
	__u8 reason;        /* drop: enum drop_reason; trace: enum trace_reason */
	__u8 point;         /* enum trace_point; for a drop the point it happened at */
	__u8 proto;
	__u8 tcp_flags;
	__u16 flags;        /* enum event_flag */
	__u16 tunnel;       /* 0, or 1: came or goes through VXLAN */
	__u32 untold;       /* drop: how many like it, before it, have no record of their own */
};

enum event_type {
	EVENT_DROP = 1,
	EVENT_TRACE = 4,
	EVENT_VERDICT = 5, /* a policy verdict that did not drop (audit) */
};

enum event_flag {
	EVENT_REPLY = 1,
	EVENT_IPV6 = 2,
	EVENT_INGRESS = 4,  /* drop, verdict: judged by the destination's policy; else the source's */
	EVENT_EGRESS_JUDGED = 8,  /* the flow passed a policy of this direction on this node */
	EVENT_INGRESS_JUDGED = 16,
	EVENT_FIRST = 32,   /* first packet of a new connection */
	EVENT_LAST = 64,    /* the packet that closed it */
	EVENT_AUDIT = 128,  /* would have been dropped */
	EVENT_EXPLICIT_DENY = 256,
	EVENT_DNAT = 512,   /* the destination was translated on this node */
	EVENT_SNAT = 1024,
};

/* Numbers of the flow API (trace observation points, trace reasons). */
enum trace_point {
	TRACE_TO_PROXY = 1,
	TRACE_TO_HOST = 2,
	TRACE_TO_STACK = 3,
	TRACE_TO_OVERLAY = 4,
	TRACE_FROM_ENDPOINT = 5,
	TRACE_FROM_PROXY = 6,
	TRACE_FROM_HOST = 7,
	TRACE_FROM_STACK = 8,
	TRACE_FROM_OVERLAY = 9,
	TRACE_FROM_NETWORK = 10,
	TRACE_TO_NETWORK = 11,
	TRACE_TO_ENDPOINT = 101,
};

enum trace_reason { TRACE_REASON_NEW = 1, TRACE_REASON_ESTABLISHED = 2, TRACE_REASON_REPLY = 3, TRACE_REASON_RELATED = 4 };

/* In the place of a rule: what decides without being one. Policies' rules have other numbers. */
enum rule_number { RULE_PREFILTER = 1 };

enum event_file { FILE_POD = 1, FILE_HOST = 2, FILE_OVERLAY = 3, FILE_SOCK = 4, FILE_XDP = 5 };

/*
 * Counted for every packet that ends here: per-CPU array metrics, whose index is METRIC_DIRECTION * direction + reason
 * (0: forwarded, else enum drop_reason; enum policy_direction).
 */
enum metric_index { METRIC_DIRECTION = 256 };

struct metric {
	__u64 packets;
	__u64 bytes;
};
