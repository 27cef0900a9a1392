/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "conntrack.h"
#include "identity.h"
#include "source-nat.h"

/* Which packets of pods leave with the node's address. */

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

/* Nobody of the cluster: no pod, no node. */
static __always_inline bool is_outside(const struct pkt *p, __u32 identity)
{
	return identity == world_identity(p) || identity == IDENTITY_WORLD || identity >> 24 == IDENTITY_SCOPE_CIDR;
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
	if (is_outside(p, identity))
		return true;
	/* other nodes reach pods by the tunnel only, not by these addresses' routes */
	return is_remote_node(identity) && config.tunnel_ifindex != 0;
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

/*
 * The destination is on the list of those that know pods by their own addresses. Under tunnel routing the network
 * between the nodes knows no pod, so other nodes never are.
 */
static __always_inline bool is_exempt(const struct pkt *p)
{
	struct ipcache_key key = { .prefixlen = 128, .addr = p->daddr };

	if (!bpf_map_lookup_elem(&masq_exempt, &key))
		return false;
	return !config.tunnel_ifindex || !is_remote_node(identity_of(p, ipcache_lookup(&p->daddr)));
}

/* The packet belongs to a connection that is translated: it stays so, whatever the list says by now. */
static __always_inline bool is_translated(const struct pkt *p, const struct nat_entry *known)
{
	if (!known || begins_tcp(p))
		return false;
	return p->proto == IPPROTO_TCP || !expired(known->expires_sec + NAT_TIMEOUT_DATAGRAM, p->now);
}
