/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include <linux/bpf.h>
#include "layout.h"
#include "nat.h"

/*
 * Mappings live in an array, in sets of NAT_WAYS places; a key's hash says which set. The head of a set is one line of
 * the cache and says of each place whose it may be and when it was used: that a set does not have a key, and which place
 * a new one takes, costs that one line. (An LRU hash table takes some eight for each new entry: its list of those to
 * go, the one that goes with its bucket and its neighbours, the new one's bucket and all in it.)
 */
enum nat_shape {
	NAT_WAYS = 8,
	NAT_ROOM = 4, /* places without a mapping in force that a set has at least, for the answers' one to share it */
	NAT_SETS = 16384,
	NAT_NEIGHBOURS = 2, /* sets that take what one has no room for */
	NAT_SPILLED_AT = 4, /* where the parts of a set begin */
	NAT_USED_AT = 8,
	NAT_TAGS_AT = 40,
	NAT_PLACES_AT = 64,
};

struct LAYOUT(1) nat_place {
	struct nat_key key;
	struct nat_entry entry;
};

struct LAYOUT(1) nat_set {
	struct bpf_spin_lock lock; /* held by who takes a place */
	__u32 spilled; /* 1 for good once a key of this set went to a neighbour */
	__u32 used_sec[NAT_WAYS]; /* of CLOCK_MONOTONIC */
	__u16 tags[NAT_WAYS];     /* a part of the key's hash, odd; 0: the place is free */
	__u64 pad2;
	struct nat_place places[NAT_WAYS];
};

_Static_assert(__builtin_offsetof(struct nat_set, spilled) == NAT_SPILLED_AT &&
		       __builtin_offsetof(struct nat_set, used_sec) == NAT_USED_AT &&
		       __builtin_offsetof(struct nat_set, tags) == NAT_TAGS_AT &&
		       __builtin_offsetof(struct nat_set, places) == NAT_PLACES_AT,
	       "the head is one line, and user space reads it");
