/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "conntrack.h"
#include "identity.h"
#include "report.h"
#include "sock-end.h"

/* The conntrack entry of two sockets' connection: asked, counted and told of as by its packets. */

static __always_inline void flow_of_key(const struct sock_key *key, struct flow *f)
{
	f->high = sender_is_high(&key->local, &key->remote, key->local_port, key->remote_port);
	f->key.low = f->high ? key->remote : key->local;
	f->key.high = f->high ? key->local : key->remote;
	f->key.low_port = f->high ? key->remote_port : key->local_port;
	f->key.high_port = f->high ? key->local_port : key->remote_port;
	f->key.proto = IPPROTO_TCP;
	f->key.kind = CT_FLOW;
	f->key.pad = 0;
}

/* Both ends are pods of this node, and what one sends to the other needs no judgement. */
static __always_inline bool is_settled(const struct ct_entry *ct, bool reply, const struct endpoint *sender,
				       const struct endpoint *receiver)
{
	const struct endpoint *from = reply ? receiver : sender, *to = reply ? sender : receiver;

	if ((ct->flags & CT_CLOSING) || !(ct->flags & CT_SEEN_REPLY))
		return false;
	return from->policy_rev == ct->src_rev && to->policy_rev == ct->dst_rev &&
	       from->identity == ct->src_identity && to->identity == ct->dst_identity;
}

/* A message's connection and who its ends are. */
struct talk {
	struct ct_entry *ct; /* NULL: what is sent has to be judged */
	struct endpoint *sender;
	struct endpoint *receiver;
	bool reply;
};

static __always_inline void find_talk(const struct sock_key *key, struct talk *t)
{
	struct ct_entry *ct;
	struct flow f;

	t->ct = NULL;
	t->sender = bpf_map_lookup_elem(&endpoints_by_addr, &key->local);
	t->receiver = bpf_map_lookup_elem(&endpoints_by_addr, &key->remote);
	if (!t->sender || !t->receiver)
		return;
	flow_of_key(key, &f);
	ct = ct_lookup(&f, now_sec());
	if (!ct)
		return;
	t->reply = is_reply(&f, ct);
	if (is_settled(ct, t->reply, t->sender, t->receiver))
		t->ct = ct;
}

/* Tells of the connection what a packet of this length would. */
static __noinline int report_message(const struct sock_key *key, const struct talk *t, __u32 length)
{
	struct pkt p = {
		.proto = IPPROTO_TCP,
		.tcp_flags = TCP_ACK,
		.direction = POLICY_EGRESS,
		.length = length,
		.report = { .type = EVENT_TRACE, .point = TRACE_TO_ENDPOINT, .file = FILE_SOCK },
	};
	struct ct_entry *ct = t->ct;

	if (!ct || !t->sender || !t->receiver)
		return 0;
	p.saddr = key->local;
	p.daddr = key->remote;
	p.sport = key->local_port;
	p.dport = key->remote_port;
	set_end(&p.src, t->sender);
	set_end(&p.dst, t->receiver);
	p.frontend = ct->frontend;
	p.egress_rule = ct->egress_rule;
	p.ingress_rule = ct->ingress_rule;
	p.ct_flags = ct->flags;
	p.flags = (t->reply ? PKT_REPLY : 0) | (addr_is_v4(&key->local) ? 0 : PKT_V6);
	p.report.reason = trace_reason(&p);
	p.report.packets = ct->packets[t->reply];
	p.report.bytes = ct->bytes[t->reply];
	emit_at(&p, t->sender->ifindex);
	return 0;
}

/* The connection's entry counts what a packet of this length would, and is told of as often. */
static __always_inline void account(const struct sock_key *key, const struct talk *t, __u32 size)
{
	__u32 length = size + (addr_is_v4(&key->local) ? 40 : 60), now = now_sec();
	struct ct_entry *ct = t->ct;
	bool reply = t->reply;

	ct->packets[reply]++;
	ct->bytes[reply] += length;
	if (ct->expires_sec != now + CT_TIMEOUT_TCP)
		ct->expires_sec = now + CT_TIMEOUT_TCP;
	if (!(config.flags & CONFIG_FLOWS) || now - ct->reported_sec[reply] < config.event_interval_sec)
		return;
	ct->reported_sec[reply] = now;
	report_message(key, t, length);
}
