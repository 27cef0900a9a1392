/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "identity.h"
#include "maps.h"

/*
 * Rows of pods at hand: what a pod's packets look up again and again, its own row and that of whom it talks to. Each CPU
 * has copies of its own, found without a call, where a look-up in a hash table takes four. A copy is good for the second
 * it was made in, and only until user space writes to either map of endpoints.
 */

/* Of a moment: what was copied at another one is looked up anew. Taken before the look-up; never 0. */
static __always_inline __u64 near_stamp(void)
{
	__u32 key = REVISION_ENDPOINTS;
	__u32 *revision = bpf_map_lookup_elem(&revisions, &key);

	return (revision ? (__u64)*revision << 32 : 0) | now_sec();
}

static __always_inline struct endpoint *near_keep(struct near_endpoint *near, const struct endpoint *row, __u64 stamp)
{
	near->stamp = 0;
	near->row = *row;
	near->stamp = stamp;
	return &near->row;
}

/* The pod behind a host-side veth, or NULL. Good until the next call for another one. */
static __always_inline struct endpoint *near_by_ifindex(__u32 ifindex, __u64 stamp)
{
	__u32 place = ifindex % NEAR_PLACES;
	struct near_endpoint *near = bpf_map_lookup_elem(&near_devices, &place);
	struct endpoint *row;

	if (!near)
		return NULL;
	if (near->stamp == stamp && near->row.ifindex == ifindex)
		return &near->row;
	row = endpoint_by_ifindex(ifindex);
	return row ? near_keep(near, row, stamp) : NULL;
}

static __always_inline bool has_address(const struct endpoint *row, const struct addr *a)
{
	return addr_equal(a, addr_is_v4(a) ? &row->v4 : &row->v6) && !addr_is_zero(a);
}

/*
 * Addresses of one node's pods differ in their last bytes, which lie highest in a word of a little-endian machine: only the
 * product's highest bits depend on them.
 */
static __always_inline __u32 address_place(const struct addr *a)
{
	__u32 mixed = (a->words[2] ^ a->words[3]) * 0x9e3779b1u; /* 2^32 / golden ratio */

	return mixed >> (32 - NEAR_PLACES_BITS);
}

/* The pod of this node that has the address, or NULL. Good until the next call for another one. */
static __always_inline struct endpoint *near_by_addr(const struct addr *a, __u64 stamp)
{
	__u32 place = address_place(a);
	struct near_endpoint *near = bpf_map_lookup_elem(&near_addresses, &place);
	struct endpoint *row;

	if (!near)
		return NULL;
	if (near->stamp == stamp && has_address(&near->row, a))
		return &near->row;
	row = endpoint_by_addr(a);
	return row ? near_keep(near, row, stamp) : NULL;
}
