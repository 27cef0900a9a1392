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
	struct lb_slot_key key = { .frontend = frontend, .slot = slot };
	struct lb_slot *found = bpf_map_lookup_elem(&lb_slots, &key);

	return found ? found->backend : 0;
}

/* The slot the client is bound to, as long as its backend is still the same one and in use; 0: none. */
static __always_inline __u32 affinity_slot(const struct lb_frontend *f, const struct lb_affinity_key *key, __u32 now)
{
	struct lb_affinity *bound = bpf_map_lookup_elem(&lb_affinity, key);

	if (!bound || (__s32)(bound->expires_sec - now) <= 0 || bound->slot > f->count)
		return 0;
	return backend_in_slot(f->id, bound->slot) == bound->backend ? bound->slot : 0;
}

static __always_inline void affinity_bind(const struct lb_frontend *f, const struct lb_affinity_key *key,
					  struct lb_affinity *bound, __u32 now)
{
	bound->expires_sec = now + f->affinity_sec;
	bpf_map_update_elem(&lb_affinity, key, bound, BPF_ANY);
}

/*
 * A backend for a new connection of the client (its address, or whatever stands for it), *id names it: with session
 * affinity the one it had before, else any. NULL: the service has none.
 */
static __always_inline struct lb_backend *backend_choose(const struct lb_frontend *f, const struct addr *client,
							 __u32 now, __u32 *id)
{
	struct lb_affinity_key key = { .client = *client, .frontend = f->id };
	bool affine = f->flags & LB_AFFINITY;
	struct lb_affinity bound = {};
	__u32 count = f->count;

	if (!count)
		return NULL;
	if (affine)
		bound.slot = affinity_slot(f, &key, now);
	if (!bound.slot)
		bound.slot = 1 + bpf_get_prandom_u32() % count;
	bound.backend = backend_in_slot(f->id, bound.slot);
	if (affine && bound.backend)
		affinity_bind(f, &key, &bound, now);
	*id = bound.backend;
	return backend_find(*id);
}
