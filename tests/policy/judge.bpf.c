/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Puts questions to the datapath's own judge(): each run takes the next one from the map and writes its answer there, so
 * that one test run with as many repeats answers them all. Ends are identified as for real: pods of the node by
 * endpoints_by_addr, the node by its identity, everybody else by the ipcache.
 */
#include "lib/packet.h"
#include "lib/identity.h"
#include "lib/host.h"
#include "lib/verdict.h"

const volatile struct node_config config = {};

struct asked {
	struct addr saddr;
	struct addr daddr;
	__u16 port; /* destination's; of ICMP the type */
	__u8 proto;
	__u8 v6;
	/* out */
	__u16 flags; /* enum event_flag */
	__u8 reason;
	__u8 audited_egress; /* reasons */
	__u32 egress_rule;
	__u32 ingress_rule;
	__u8 audited_ingress;
	__u8 reply; /* asked of the packet that answers, from daddr and port to saddr */
	__u8 pad[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct asked);
} questions SEC(".maps");

/* [0]: the next question */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} turn SEC(".maps");

static __always_inline void find_end(const struct pkt *p, struct end *end, const struct addr *addr)
{
	struct endpoint *pod = endpoint_by_addr(addr);

	if (pod)
		set_end(end, pod);
	else
		end->identity = identity_of(p, ipcache_lookup(addr));
	if (end->identity == IDENTITY_HOST)
		set_host_end(end);
}

/* The type that answers, of those that have one. */
static __always_inline __u8 icmp_answer(const struct pkt *p, __u8 type)
{
	if (p->proto == IPPROTO_ICMP && type == ICMP4_ECHO)
		return ICMP4_ECHO_REPLY;
	return p->proto == IPPROTO_ICMP6 && type == ICMP6_ECHO ? ICMP6_ECHO_REPLY : type;
}

static __always_inline void set_packet(struct pkt *p, const struct asked *q)
{
	p->saddr = q->reply ? q->daddr : q->saddr;
	p->daddr = q->reply ? q->saddr : q->daddr;
	p->proto = q->proto;
	p->flags = (q->v6 ? PKT_V6 : 0) | (q->reply ? PKT_REPLY : 0);
	if (is_icmp(p))
		p->icmp_type = q->reply ? icmp_answer(p, q->port) : q->port;
	else if (q->reply)
		p->sport = bpf_htons(q->port);
	else
		p->dport = bpf_htons(q->port);
	find_end(p, &p->src, &p->saddr);
	find_end(p, &p->dst, &p->daddr);
}

SEC("tcx/ingress")
int answer(struct __sk_buff *skb)
{
	struct pkt p = {};
	struct asked *q;
	__u32 zero = 0;
	__u32 *next = bpf_map_lookup_elem(&turn, &zero);

	if (!next)
		return 1;
	q = bpf_map_lookup_elem(&questions, next);
	if (!q)
		return 2;
	*next += 1;
	set_packet(&p, q);
	q->reason = judge(&p);
	q->audited_egress = p.audited_egress;
	q->audited_ingress = p.audited_ingress;
	q->flags = p.report.flags;
	q->egress_rule = p.egress_rule;
	q->ingress_rule = p.ingress_rule;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
