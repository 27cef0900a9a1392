/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"

/*
 * A pod that reaches itself through a service. Its kernel would take a packet from the pod's own address for a
 * forgery, so the pod sees an alias as the client: 169.254.42.1 (link-local, RFC 3927) or 100::ffff:a9fe:2a01 (of the
 * discard-only block, RFC 6666). Nobody owns them; a pod's answer to one comes here by its default route and goes no
 * further than back to that pod. So one alias does for all pods, and the client keeps its port (but: source-port.h).
 */
#define HAIRPIN_V4 bpf_htonl(0xa9fe2a01)
#define HAIRPIN_V6_PREFIX bpf_htonl(0x01000000)

static __always_inline struct addr hairpin_alias(const struct pkt *p)
{
	struct addr alias;

	addr_set_v4(&alias, HAIRPIN_V4);
	if (is_v6(p))
		alias.words[0] = HAIRPIN_V6_PREFIX;
	return alias;
}
