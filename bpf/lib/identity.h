/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "maps.h"

/* Reserved identities, numbers of the field. */
enum identity {
	IDENTITY_HOST = 1,
	IDENTITY_WORLD = 2,
	IDENTITY_REMOTE_NODE = 6,
	IDENTITY_KUBE_APISERVER = 7,
	IDENTITY_FIRST_POD = 256,
	IDENTITY_FIRST_LOCAL = 1 << 24, /* from here on known to one node only */
};

/* What the high byte of a local identity says it is of. */
enum identity_scope { IDENTITY_SCOPE_CIDR = 1, IDENTITY_SCOPE_NODE = 2 };

static __always_inline struct endpoint *endpoint_by_ifindex(__u32 ifindex)
{
	return bpf_map_lookup_elem(&endpoints_by_ifindex, &ifindex);
}

static __always_inline struct endpoint *endpoint_by_addr(const struct addr *a)
{
	return bpf_map_lookup_elem(&endpoints_by_addr, a);
}

static __always_inline struct ipcache_entry *ipcache_lookup(const struct addr *a)
{
	struct ipcache_key key = { .prefixlen = 128, .addr = *a };

	return bpf_map_lookup_elem(&ipcache, &key);
}

/* Reads an address of the node's configuration; volatile, or the compiler would take the initial zeros for it. */
static __always_inline struct addr config_address(const volatile struct addr *configured)
{
	struct addr a;

	a.halves[0] = configured->halves[0];
	a.halves[1] = configured->halves[1];
	return a;
}

static __always_inline struct addr node_address(const struct pkt *p)
{
	return is_v6(p) ? config_address(&config.node_v6) : config_address(&config.node_v4);
}

/* The one of the other address's family. */
static __always_inline struct addr node_address_beside(const struct addr *other)
{
	return addr_is_v4(other) ? config_address(&config.node_v4) : config_address(&config.node_v6);
}

static __always_inline struct addr router_address(const struct pkt *p)
{
	return is_v6(p) ? config_address(&config.router_v6) : config_address(&config.router_v4);
}

static __always_inline __u32 world_identity(const struct pkt *p)
{
	return is_v6(p) ? config.world_v6 : config.world_v4;
}

static __always_inline __u32 identity_of(const struct pkt *p, const struct ipcache_entry *entry)
{
	return entry ? entry->identity : world_identity(p);
}

/* A pod's address is nobody's service address. */
static __always_inline bool is_pod_identity(__u32 identity)
{
	return identity >= IDENTITY_FIRST_POD && identity < IDENTITY_FIRST_LOCAL;
}

/* Nodes have identities of their own while policies ask for their labels. An API server that is no node has a CIDR's. */
static __always_inline bool is_remote_node(__u32 identity)
{
	return identity == IDENTITY_REMOTE_NODE || identity == IDENTITY_KUBE_APISERVER ||
	       identity >> 24 == IDENTITY_SCOPE_NODE;
}

/* What other nodes know the sender as. */
static __always_inline __u32 identity_on_wire(const struct pkt *p, __u32 identity)
{
	if (is_remote_node(identity))
		return IDENTITY_REMOTE_NODE;
	return identity < IDENTITY_FIRST_LOCAL ? identity : world_identity(p);
}
