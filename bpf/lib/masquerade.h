/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "conntrack.h"
#include "translate.h"
#include "identity.h"
#include "nat.h"

#define NAT_TRIES 32

enum nat_timeout_sec {
	NAT_TIMEOUT_FRESH = 60, /* no answer yet, or closing */
	NAT_TIMEOUT_TCP = 21600,
	NAT_TIMEOUT_DATAGRAM = 180,
	NAT_REFRESH = 15, /* how often the sender's packets look after the answer's entry */
};

/* How the packet was sent: the key of its mapping. */
static __always_inline void nat_sent_key(const struct pkt *p, struct nat_key *key)
{
	key->saddr = p->saddr;
	key->daddr = p->daddr;
	key->sport = p->sport;
	key->dport = p->dport;
	key->proto = p->proto;
	key->reply = 0;
	key->pad = 0;
}

/* How the answer to the packet comes when it leaves with this source. An echo's answer has the id on both sides. */
static __always_inline void nat_answer_key(const struct pkt *p, const struct addr *source, __be16 port,
					   struct nat_key *key)
{
	key->saddr = p->daddr;
	key->daddr = *source;
	key->sport = p->flags & PKT_ICMP_ECHO ? port : p->dport;
	key->dport = port;
	key->proto = p->proto;
	key->reply = 1;
	key->pad = 0;
}

static __always_inline bool is_port_protocol(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP;
}

/* Takes a free port for the answers' key (key->dport) and enters where they go. 0 or a drop reason. */
static __always_inline int nat_take_port(struct pkt *p, struct nat_key *key, struct nat_entry *entry)
{
	__u32 count = config.nat_port_max - config.nat_port_min + 1;
	__u32 start = bpf_get_prandom_u32() % count;
	struct nat_entry *taken;
	__u32 i;

	for (i = 0; i < NAT_TRIES; i++) {
		key->dport = bpf_htons(config.nat_port_min + (start + i) % count);
		if (p->flags & PKT_ICMP_ECHO)
			key->sport = key->dport;
		taken = bpf_map_lookup_elem(&nat, key);
		if (taken && !expired(taken->expires_sec, p->now))
			continue;
		if (bpf_map_update_elem(&nat, key, entry, taken ? BPF_ANY : BPF_NOEXIST) == 0)
			return 0;
	}
	return DROP_NO_MAPPING_FOR_NAT_MASQUERADE;
}

/* A new mapping for `sent`; *port is the source port it leaves with. 0 or a drop reason. */
static __always_inline int nat_allocate(struct pkt *p, const struct nat_key *sent, const struct addr *source,
					__be16 *port)
{
	struct nat_entry entry = { .addr = sent->saddr, .port = sent->sport, .frontend = p->frontend };
	struct nat_key key;
	int reason;

	if (!is_port_protocol(p->proto) && !(p->flags & PKT_ICMP_ECHO))
		return DROP_UNSUPPORTED_PROTOCOL_FOR_NAT_MASQUERADE;
	nat_answer_key(p, source, 0, &key);
	entry.expires_sec = p->now + NAT_TIMEOUT_FRESH;
	reason = nat_take_port(p, &key, &entry);
	if (reason)
		return reason;
	*port = key.dport;
	entry.addr = *source;
	entry.port = *port;
	entry.expires_sec = p->now + NAT_REFRESH;
	if (bpf_map_update_elem(&nat, sent, &entry, BPF_ANY) < 0)
		return DROP_NO_MAPPING_FOR_NAT_MASQUERADE;
	return 0;
}

/* Keeps the answers' entry alive while the sender sends. False: the port is lost to another flow. */
static __always_inline bool nat_refresh(struct pkt *p, const struct nat_key *sent, struct nat_entry *known)
{
	struct nat_entry entry = { .addr = sent->saddr, .port = sent->sport, .frontend = p->frontend };
	__u32 until = p->now + NAT_TIMEOUT_FRESH;
	struct nat_entry *answer;
	struct nat_key key;

	nat_answer_key(p, &known->addr, known->port, &key);
	known->expires_sec = p->now + NAT_REFRESH;
	answer = bpf_map_lookup_elem(&nat, &key);
	if (!answer) {
		entry.expires_sec = until;
		return bpf_map_update_elem(&nat, &key, &entry, BPF_NOEXIST) == 0;
	}
	if (!addr_equal(&answer->addr, &sent->saddr) || answer->port != sent->sport)
		return false;
	if (p->tcp_flags & (TCP_FIN | TCP_RST)) {
		answer->flags |= NAT_CLOSING;
		answer->expires_sec = until;
	} else if (begins_tcp(p)) {
		answer->flags &= ~NAT_CLOSING;
	}
	if ((__s32)(answer->expires_sec - until) < 0)
		answer->expires_sec = until;
	return true;
}

/*
 * Sends the packet, sent as `sent`, with another source address and a port of the node's own range. 0 or a drop
 * reason.
 */
__noinline int nat_source(struct __sk_buff *skb, struct pkt *p, const struct nat_key *sent, const struct addr *source)
{
	struct nat_entry *known;
	struct nat_key key;
	__be16 port = 0;
	int reason;

	if (!p || !sent || !source)
		return DROP_INVALID_PACKET_DROPPED;
	key = *sent;
	known = bpf_map_lookup_elem(&nat, &key);
	if (known && !addr_equal(&known->addr, source))
		known = NULL;
	if (known && (expired(known->expires_sec, p->now) || (p->tcp_flags & (TCP_FIN | TCP_RST | TCP_SYN))) &&
	    !nat_refresh(p, &key, known))
		known = NULL;
	if (known) {
		port = known->port;
	} else {
		reason = nat_allocate(p, &key, source, &port);
		if (reason)
			return reason;
	}
	p->report.flags |= EVENT_SNAT;
	return show_source(skb, p, source, port);
}

static __always_inline bool in_nat_range(__be16 port)
{
	__u16 n = bpf_ntohs(port);

	return n >= config.nat_port_min && n <= config.nat_port_max;
}

/* The key of the mapping the packet answers, or, for an ICMP error, of the one the embedded packet (*e) left by. */
static __always_inline bool nat_answered_key(struct __sk_buff *skb, struct pkt *p, struct embedded *e,
					     struct nat_key *key)
{
	key->reply = 1;
	key->pad = 0;
	if (!(p->flags & PKT_ICMP_ERROR)) {
		key->saddr = p->saddr;
		key->daddr = p->daddr;
		key->sport = p->sport;
		key->dport = p->dport;
		key->proto = p->proto;
		return in_nat_range(key->dport);
	}
	if (!embedded_parse(skb, p, e) || !addr_equal(&e->saddr, &p->daddr))
		return false;
	key->saddr = e->daddr;
	key->daddr = e->saddr;
	key->sport = e->dport;
	key->dport = e->sport;
	key->proto = e->proto;
	return in_nat_range(key->dport);
}

static __always_inline void nat_keep(const struct pkt *p, struct nat_entry *entry)
{
	__u32 timeout = p->proto == IPPROTO_TCP ? NAT_TIMEOUT_TCP : NAT_TIMEOUT_DATAGRAM;

	if (p->tcp_flags & (TCP_FIN | TCP_RST))
		entry->flags |= NAT_CLOSING;
	if (entry->flags & NAT_CLOSING)
		timeout = NAT_TIMEOUT_FRESH;
	if (entry->expires_sec != p->now + timeout)
		entry->expires_sec = p->now + timeout;
}

/*
 * Undoes a translated source when the packet answers one: destination and port become the original sender's, and in
 * an ICMP error also the embedded source. PKT_RESTORED says that it did. 0 or a drop reason.
 */
__noinline int nat_restore(struct __sk_buff *skb, struct pkt *p)
{
	struct nat_entry *entry;
	struct embedded e = {};
	struct peer to = {};
	struct nat_key key;
	int reason;

	if (!p)
		return DROP_INVALID_PACKET_DROPPED;
	if (!nat_answered_key(skb, p, &e, &key))
		return 0;
	entry = bpf_map_lookup_elem(&nat, &key);
	if (!entry || expired(entry->expires_sec, p->now))
		return 0;
	p->flags |= PKT_RESTORED;
	p->frontend = entry->frontend;
	to.addr = entry->addr;
	to.port = entry->port;
	if (!(p->flags & PKT_ICMP_ERROR)) {
		nat_keep(p, entry);
		return set_destination(skb, p, &to.addr, to.port);
	}
	reason = set_embedded(skb, p, &e, SIDE_SOURCE, &to);
	if (!reason)
		reason = write_address(skb, p, SIDE_DESTINATION, &p->daddr, &to.addr);
	p->daddr = to.addr;
	return reason;
}

/* An ICMP error of ours about a packet that came in through a mapping shows the outside what the outside sent. */
__noinline int nat_own_error(struct __sk_buff *skb, struct pkt *p)
{
	struct nat_key key = {};
	struct nat_entry *entry;
	struct embedded e = {};
	struct peer to = {};
	int reason;

	if (!p || !embedded_parse(skb, p, &e))
		return 0;
	key.saddr = e.daddr;
	key.daddr = e.saddr;
	key.sport = e.dport;
	key.dport = e.sport;
	key.proto = e.proto;
	if (e.proto == IPPROTO_ICMP || e.proto == IPPROTO_ICMP6)
		return 0;
	entry = bpf_map_lookup_elem(&nat, &key);
	if (!entry)
		return 0;
	to.addr = entry->addr;
	to.port = entry->port;
	reason = set_embedded(skb, p, &e, SIDE_DESTINATION, &to);
	if (reason || !p->src.id)
		return reason;
	return write_address(skb, p, SIDE_SOURCE, &p->saddr, &to.addr);
}

static __always_inline bool in_prefix(const struct addr *a, const struct addr *prefix, __u32 bits)
{
	__u64 mask;

	if (bits == 0)
		return false;
	if (bits <= 64) {
		mask = ~0ull << (64 - bits);
		return ((bpf_be64_to_cpu(a->halves[0]) ^ bpf_be64_to_cpu(prefix->halves[0])) & mask) == 0;
	}
	if (a->halves[0] != prefix->halves[0])
		return false;
	mask = bits >= 128 ? ~0ull : ~0ull << (128 - bits);
	return ((bpf_be64_to_cpu(a->halves[1]) ^ bpf_be64_to_cpu(prefix->halves[1])) & mask) == 0;
}

static __always_inline bool in_native_range(const struct pkt *p)
{
	struct addr prefix;

	if (is_v6(p)) {
		prefix = config_address(&config.native_v6);
		return in_prefix(&p->daddr, &prefix, config.native_v6_bits);
	}
	prefix = config_address(&config.native_v4);
	return config.native_v4_bits && in_prefix(&p->daddr, &prefix, 96 + config.native_v4_bits);
}

/* Whether a pod's packet leaves the cluster's own address space. */
static __always_inline bool leaves_cluster(const struct pkt *p)
{
	struct ipcache_entry *entry;
	__u32 identity;

	if (in_native_range(p))
		return false;
	entry = ipcache_lookup(&p->daddr);
	identity = identity_of(p, entry);
	if (identity == world_identity(p) || identity == IDENTITY_WORLD || identity >= IDENTITY_FIRST_CIDR)
		return true;
	if (identity == IDENTITY_KUBE_APISERVER) /* may stand outside the cluster */
		return true;
	/* other nodes reach pods by the tunnel only, not by these addresses' routes */
	return identity == IDENTITY_REMOTE_NODE && config.tunnel_ifindex != 0;
}

/* The packet answers a connection that somebody opened to the pod's own address. */
static __always_inline bool answers_direct_connection(const struct pkt *p)
{
	struct ct_entry *ct;
	struct flow f;

	flow_of_packet(p, &f);
	ct = ct_lookup(&f, p->now);
	return ct && is_reply(&f, ct);
}
