/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "identity.h"
#include "drop.h"

/*
 * Who sent what comes from outside, as far as a source address is to be believed there: nobody outside is this node or
 * a pod of it, and in tunnel mode no pod of another node. 0 or a drop reason.
 */
static __always_inline int identify_sender(struct pkt *p)
{
	struct ipcache_entry *entry;

	if (endpoint_by_addr(&p->saddr))
		return DROP_INVALID_SOURCE_IP;
	entry = ipcache_lookup(&p->saddr);
	p->src.identity = identity_of(p, entry);
	if (p->src.identity == IDENTITY_HOST)
		return DROP_INVALID_SOURCE_IP;
	if (config.tunnel_ifindex && entry && !addr_is_zero(&entry->tunnel))
		p->src.identity = world_identity(p);
	return 0;
}
