/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "lb.h"
#include "maps.h"

static __always_inline struct lb_backend *backend_find(__u32 id)
{
	struct lb_backend_key key = { .id = id };

	return bpf_map_lookup_elem(&lb_backends, &key);
}

/* The backend in a slot of the frontend; 0: there is none. */
static __always_inline __u32 backend_in_slot(__u32 frontend, __u32 slot)
{
	__u32 place = slot - 1;
	struct lb_slot_key key = { .frontend = frontend, .row = place / LB_TABLE_ROW };
	struct lb_table_row *found = bpf_map_lookup_elem(&lb_slots, &key);

	return found ? found->backends[place % LB_TABLE_ROW] : 0;
}

/* Whether the client's address may ask the frontend. */
static __always_inline bool client_may_ask(const struct lb_frontend *f, const struct addr *client)
{
	struct lb_source_range_key key = {
		.prefixlen = LB_SOURCE_RANGE_FRONTEND + 128, .frontend = f->id, .addr = *client,
	};

	if (!(f->flags & LB_SOURCE_RANGES))
		return true;
	return !bpf_map_lookup_elem(&lb_source_ranges, &key) == !!(f->flags & LB_DENY_RANGES);
}

/* Looks for a backend's slot, one slot a call. */
struct slot_search {
	__u32 frontend;
	__u32 backend;
	__u32 slot; /* 0: not found so far */
};

static long slot_search_step(__u32 index, struct slot_search *search)
{
	if (backend_in_slot(search->frontend, index + 1) != search->backend)
		return 0;
	search->slot = index + 1;
	return 1;
}

/*
 * The slot of the backend the client is bound to, as long as that serves; 0: none. Mostly the same as before; when a
 * backend went, another one has moved into its slot.
 */
static __always_inline __u32 affinity_slot(const struct lb_frontend *f, const struct lb_affinity_key *key, __u32 now)
{
	struct lb_affinity *bound = bpf_map_lookup_elem(&lb_affinity, key);
	struct slot_search search = { .frontend = f->id };

	if (!bound || now - bound->seen_sec >= f->affinity_sec)
		return 0;
	if (bound->slot && bound->slot <= f->count && backend_in_slot(f->id, bound->slot) == bound->backend)
		return bound->slot;
	search.backend = bound->backend;
	bpf_loop(f->count, slot_search_step, &search, 0);
	return search.slot;
}

static __always_inline void affinity_bind(const struct lb_affinity_key *key, struct lb_affinity *bound, __u32 now)
{
	bound->seen_sec = now;
	bpf_map_update_elem(&lb_affinity, key, bound, BPF_ANY);
}

/* Who asks for a backend. */
struct asker {
	struct lb_affinity_key client;
	__u32 now;
	__u32 hash; /* the same on every node for the same connection; 0: it is not known yet */
};

/* The backend at a place of the frontend's table: the hash's, or any. 0: there is none. */
static __always_inline __u32 backend_in_table(const struct lb_frontend *f, __u32 hash)
{
	struct lb_table_row *found;
	__u32 place, row;
	__u64 key = f->table;
	void *table;

	if (!f->table_size)
		return 0;
	table = bpf_map_lookup_elem(&lb_tables, &key);
	if (!table)
		return 0;
	place = (f->flags & LB_HASHED && hash ? hash : bpf_get_prandom_u32()) % f->table_size;
	row = place / LB_TABLE_ROW;
	found = bpf_map_lookup_elem(table, &row);
	return found ? found->backends[place % LB_TABLE_ROW] : 0;
}

/*
 * A backend for a new connection, *id names it: with session affinity the one the client had before, else one of the
 * table, else any. NULL: the service has none.
 */
static __always_inline struct lb_backend *backend_choose(const struct lb_frontend *f, struct asker *asker, __u32 *id)
{
	bool affine = f->flags & LB_AFFINITY;
	struct lb_affinity bound = {};
	__u32 count = f->count;

	if (!count)
		return NULL;
	asker->client.frontend = f->id;
	if (affine)
		bound.slot = affinity_slot(f, &asker->client, asker->now);
	if (!bound.slot)
		bound.backend = backend_in_table(f, asker->hash);
	if (!bound.backend) {
		if (!bound.slot)
			bound.slot = 1 + bpf_get_prandom_u32() % count;
		bound.backend = backend_in_slot(f->id, bound.slot);
	}
	if (affine && bound.backend)
		affinity_bind(&asker->client, &bound, asker->now);
	*id = bound.backend;
	return backend_find(*id);
}
