/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "lb.h"
#include "maps.h"

static __always_inline struct lb_backend *backend_find(__u32 id)
{
	struct lb_backend_key key = { .id = id };

	return bpf_map_lookup_elem(&lb_backends, &key);
}

/* A random backend; *id names it. NULL: the service has none. */
static __always_inline struct lb_backend *backend_choose(const struct lb_frontend *f, __u32 *id)
{
	struct lb_slot_key key = { .frontend = f->id };
	__u32 count = f->count;
	struct lb_slot *slot;

	if (!count)
		return NULL;
	key.slot = 1 + bpf_get_prandom_u32() % count;
	slot = bpf_map_lookup_elem(&lb_slots, &key);
	if (!slot)
		return NULL;
	*id = slot->backend;
	return backend_find(*id);
}
