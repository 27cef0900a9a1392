/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "clock.h"
#include "conntrack.h"
#include "maps.h"
#include "nat-life.h"

/* What is done with mappings: find one, make one. See nat-set.h. */

#define NAT_NOWHERE -1

/* src/datapath/nat-table.ts has the same. With a seed, or who chooses ports could choose a set. */
static __always_inline __u64 nat_hash(const struct nat_key *key)
{
	const __u64 words[] = {
		key->saddr.halves[0], key->saddr.halves[1], key->daddr.halves[0], key->daddr.halves[1],
		(__u64)key->sport << 32 | (__u64)(key->reply == NAT_REPLY ? 0 : key->dport) << 16 | key->reply << 8 | key->proto,
	};
	__u64 h = config.nat_seed;
	__u32 i;

	for (i = 0; i < sizeof(words) / sizeof(*words); i++) {
		h = (h ^ words[i]) * 0x9e3779b97f4a7c15ull; /* 2^64 / golden ratio */
		h ^= h >> 32;
	}
	return h;
}

/* The set's number. Of answers the port counts apart, so that one can be found that leads to a set: nat_port_to. */
static __always_inline __u32 nat_index(const struct nat_key *key, __u64 hash)
{
	return (hash + (key->reply == NAT_REPLY ? bpf_ntohs(key->dport) : 0)) % NAT_SETS;
}

/* How far above nat_port_min the port is by which the answers' key is in the same set as the other. May be out of their range. */
static __always_inline __u32 nat_port_to(const struct nat_key *answer, const struct nat_key *other)
{
	return (nat_index(other, nat_hash(other)) - (__u32)nat_hash(answer) - config.nat_port_min) % NAT_SETS;
}

static __always_inline __u16 nat_tag(__u64 hash)
{
	return hash >> 48 | 1;
}

static __always_inline bool nat_is_at(const struct nat_set *set, __u32 way, const struct nat_key *key, __u16 tag)
{
	const __u64 *a = (const __u64 *)key, *b = (const __u64 *)&set->places[way].key;

	if (set->tags[way] != tag)
		return false;
	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]) | (a[4] ^ b[4]));
}

/* The number of the key's place among all, or NAT_NOWHERE. */
__noinline int nat_place_of(const struct nat_key *key)
{
	__u32 index, i, now;
	struct nat_set *set;
	__u64 hash;

	if (!key)
		return NAT_NOWHERE;
	hash = nat_hash(key);
	index = nat_index(key, hash);
	set = bpf_map_lookup_elem(&nat_sets, &index);
	if (!set)
		return NAT_NOWHERE;
#pragma clang loop unroll(disable) /* registers, of which the stack has no room for more */
	for (i = 0; i < NAT_WAYS; i++) {
		if (!nat_is_at(set, i, key, nat_tag(hash)))
			continue;
		now = now_sec();
		if (set->used_sec[i] != now)
			set->used_sec[i] = now;
		return index * NAT_WAYS + i;
	}
	return NAT_NOWHERE;
}

static __always_inline struct nat_entry *nat_at(__u32 place)
{
	__u32 index = place / NAT_WAYS;
	struct nat_set *set = bpf_map_lookup_elem(&nat_sets, &index); /* NAT_NOWHERE is beyond the last */

	if (!set)
		return NULL;
	place %= NAT_WAYS;
	barrier_var(place); /* no arithmetic before the test */
	return &set->places[place].entry;
}

/* The mapping of the key, in force or expired; NULL: none. */
static __always_inline struct nat_entry *nat_find(const struct nat_key *key)
{
	return nat_at(nat_place_of(key));
}

/* The way a key goes: its own (NAT_WAYS more says so), else a free one, else the one not used for longest. */
static __always_inline __u32 nat_choose_way(const struct nat_set *set, const struct nat_key *key, __u16 tag, __u32 now)
{
	__u32 best = 0, best_age = 0, age, i;

#pragma clang loop unroll(disable)
	for (i = 0; i < NAT_WAYS; i++) {
		barrier_var(i);
		if (nat_is_at(set, i, key, tag))
			return NAT_WAYS + i;
		age = set->tags[i] ? now - set->used_sec[i] : ~0u;
		if (age > best_age) {
			best = i;
			best_age = age;
		}
	}
	return best;
}

/*
 * Takes a place for the key and returns its number: in force from now on, and empty. A mapping of the key that is in force
 * already stays unless `replaces`: then NAT_NOWHERE.
 */
__noinline int nat_claim(const struct nat_key *key, bool replaces)
{
	__u32 index, way, now;
	struct nat_set *set;
	__u64 hash;
	__u16 tag;

	if (!key)
		return NAT_NOWHERE;
	hash = nat_hash(key);
	tag = nat_tag(hash);
	index = nat_index(key, hash);
	set = bpf_map_lookup_elem(&nat_sets, &index);
	if (!set)
		return NAT_NOWHERE;
	now = now_sec();
	bpf_spin_lock(&set->lock);
	way = nat_choose_way(set, key, tag, now);
	if (way >= NAT_WAYS && !replaces && !expired(set->places[way % NAT_WAYS].entry.expires_sec, now)) {
		bpf_spin_unlock(&set->lock);
		return NAT_NOWHERE;
	}
	way %= NAT_WAYS;
	set->tags[way] = 0; /* nobody is to find the old key's entry by the new one */
	barrier();
	set->places[way].key = *key;
	__builtin_memset(&set->places[way].entry, 0, sizeof(struct nat_entry));
	set->places[way].entry.expires_sec = now + NAT_TIMEOUT_FRESH;
	barrier();
	set->used_sec[way] = now;
	set->tags[way] = tag;
	bpf_spin_unlock(&set->lock);
	return index * NAT_WAYS + way;
}

/* A mapping of the key for the caller to fill; see nat_claim. NULL: the one in force stays. */
static __always_inline struct nat_entry *nat_make(const struct nat_key *key, bool replaces)
{
	return nat_at(nat_claim(key, replaces));
}
