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

/*
 * The sets that take what one has no room for: sent packets' mappings alone, for answers' can have another port. Far from
 * the sets that those ports lead to, which are full where this one is.
 */
static __always_inline __u32 nat_neighbour(__u32 index, __u32 number)
{
	return index ^ (NAT_SETS - (NAT_SETS >> number));
}

/* The number of the key's place among all, or NAT_NOWHERE. */
__noinline int nat_place_of(const struct nat_key *key)
{
	__u32 index, i, step, now;
	struct nat_set *set;
	__u64 hash;
	__u16 tag;

	if (!key)
		return NAT_NOWHERE;
	hash = nat_hash(key);
	tag = nat_tag(hash);
	index = nat_index(key, hash);
#pragma clang loop unroll(disable) /* registers, of which the stack has no room for more */
	for (step = NAT_SETS / 2; step > NAT_SETS >> (NAT_NEIGHBOURS + 2); step /= 2) {
		set = bpf_map_lookup_elem(&nat_sets, &index);
		if (!set)
			return NAT_NOWHERE;
#pragma clang loop unroll(disable)
		for (i = 0; i < NAT_WAYS; i++) {
			if (!nat_is_at(set, i, key, tag))
				continue;
			now = now_sec();
			if (set->used_sec[i] != now)
				set->used_sec[i] = now;
			return index * NAT_WAYS + i;
		}
		if (key->reply == NAT_REPLY || (step == NAT_SETS / 2 && !set->spilled))
			return NAT_NOWHERE;
		index ^= step; /* as nat_neighbour */
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

/*
 * Whether nobody needs what is in the place. Of answers and of direct connections the entry says how long it lives. A
 * sent packet's lives as long as its answers', which it does not know: it was not used for as long as they may last.
 */
static __always_inline bool nat_is_spare(const struct nat_set *set, __u32 way, __u32 now)
{
	const struct nat_place *place = &set->places[way];
	__u32 lasts = NAT_TIMEOUT_DATAGRAM;

	if (!set->tags[way])
		return true;
	if (place->key.reply != NAT_SENT)
		return expired(place->entry.expires_sec, now);
	if (place->key.proto == IPPROTO_TCP && !(place->entry.flags & NAT_CLOSING))
		lasts = NAT_TIMEOUT_TCP;
	return now - set->used_sec[way] > lasts;
}

/* Whether the answers' mapping should share the key's set, by what its head says. */
__noinline bool nat_has_room(const struct nat_key *key)
{
	__u32 index, now, i, room = 0;
	struct nat_set *set;

	if (!key)
		return false;
	index = nat_index(key, nat_hash(key));
	now = now_sec();
	set = bpf_map_lookup_elem(&nat_sets, &index);
	if (!set)
		return false;
	for (i = 0; i < NAT_WAYS; i++)
		room += !set->tags[i] || now - set->used_sec[i] > NAT_TIMEOUT_DATAGRAM;
	return room >= NAT_ROOM;
}

/* A free way, else the one not used for longest. */
static __always_inline __u32 nat_oldest(const struct nat_set *set, __u32 now)
{
	__u32 best = 0, best_age = 0, age, i;

#pragma clang loop unroll(disable)
	for (i = 0; i < NAT_WAYS; i++) {
		barrier_var(i);
		age = set->tags[i] ? now - set->used_sec[i] : ~0u;
		if (age > best_age) {
			best = i;
			best_age = age;
		}
	}
	return best;
}

/* The way a new key goes: a spare one, else, when `evicts`, the one not used for longest. NAT_WAYS: there is none. */
static __always_inline __u32 nat_choose_way(const struct nat_set *set, __u32 now, bool evicts)
{
	__u32 oldest = nat_oldest(set, now), i;

	if (nat_is_spare(set, oldest, now))
		return oldest;
#pragma clang loop unroll(disable)
	for (i = 0; i < NAT_WAYS; i++) {
		barrier_var(i);
		if (nat_is_spare(set, i, now))
			return i;
	}
	return evicts ? oldest : NAT_WAYS;
}

enum nat_claim_how {
	NAT_REPLACES = 1, /* a mapping of the key in force */
	NAT_EVICTS = 2,   /* one of another key in force, when there is no room */
};

/* The key's own way in the set, or NAT_WAYS. */
static __always_inline __u32 nat_own_way(const struct nat_set *set, const struct nat_key *key, __u16 tag)
{
	__u32 i;

#pragma clang loop unroll(disable)
	for (i = 0; i < NAT_WAYS; i++) {
		barrier_var(i);
		if (nat_is_at(set, i, key, tag))
			return i;
	}
	return NAT_WAYS;
}

static __always_inline void nat_fill_place(struct nat_set *set, __u32 way, const struct nat_key *key, __u32 now)
{
	set->tags[way] = 0; /* nobody is to find the old key's entry by the new one */
	barrier();
	set->places[way].key = *key;
	__builtin_memset(&set->places[way].entry, 0, sizeof(struct nat_entry));
	set->places[way].entry.expires_sec = now + NAT_TIMEOUT_FRESH;
	set->used_sec[way] = now;
	barrier();
}

static __always_inline void nat_note_spilled(__u32 index)
{
	struct nat_set *set = bpf_map_lookup_elem(&nat_sets, &index);

	if (set && !set->spilled)
		set->spilled = 1;
}

/*
 * Takes a place for the key in its own set, or in the neighbour of that number, and returns the place's: in force from
 * now on, and empty. NAT_NOWHERE when `how`, of enum nat_claim_how, does not allow it.
 */
__noinline int nat_claim(const struct nat_key *key, __u32 how, __u32 neighbour)
{
	__u32 index, way, now;
	struct nat_set *set;
	__u64 hash;

	if (!key || neighbour > NAT_NEIGHBOURS)
		return NAT_NOWHERE;
	hash = nat_hash(key);
	index = nat_index(key, hash);
	if (neighbour)
		nat_note_spilled(index);
	index = nat_neighbour(index, neighbour);
	set = bpf_map_lookup_elem(&nat_sets, &index);
	if (!set)
		return NAT_NOWHERE;
	now = now_sec();
	bpf_spin_lock(&set->lock);
	way = nat_own_way(set, key, nat_tag(hash));
	if (way >= NAT_WAYS)
		way = nat_choose_way(set, now, how & NAT_EVICTS);
	else if (!(how & NAT_REPLACES) && !expired(set->places[way].entry.expires_sec, now))
		way = NAT_WAYS;
	if (way < NAT_WAYS) {
		nat_fill_place(set, way, key, now);
		set->tags[way] = nat_tag(hash);
	}
	bpf_spin_unlock(&set->lock);
	return way < NAT_WAYS ? (int)(index * NAT_WAYS + way) : NAT_NOWHERE;
}

/* A mapping of the answers' key for the caller to fill; see nat_claim. NULL: what is in force stays. */
static __always_inline struct nat_entry *nat_make_answer(const struct nat_key *key, __u32 how)
{
	return nat_at(nat_claim(key, how, 0));
}

/* A mapping of any other key: in its own set, else in a neighbour, else in place of another key's. */
static __always_inline struct nat_entry *nat_make(const struct nat_key *key)
{
	int place = NAT_NOWHERE;
	__u32 number;

#pragma clang loop unroll(disable)
	for (number = 0; number <= NAT_NEIGHBOURS; number++) {
		place = nat_claim(key, NAT_REPLACES, number);
		if (place != NAT_NOWHERE)
			return nat_at(place);
	}
	return nat_at(nat_claim(key, NAT_REPLACES | NAT_EVICTS, 0));
}
