/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "shortcut.h"
#include "shortcut-learn.h"
#include "xdp-forward.h"

/* Shortcuts at XDP: out by the device the packet came in by. */

/* The way that was found, for the packets after this one, which came as `came` and is rewritten. */
__noinline int shortcut_learn(frame_t *frame, struct pkt *p, const struct nat_key *came, const struct way *way)
{
	struct shortcut *s;

	if (!p || !came || !way)
		return 0;
	s = shortcut_begin(frame, p, came);
	if (!s)
		return 0;
	s->hop = way->to;
	s->ifindex = frame_ifindex(frame);
	__builtin_memcpy(s->macs, &way->macs, sizeof(s->macs));
	s->mtu = (way->mtu < config.mtu ? way->mtu : config.mtu) - (way->length - p->length);
	s->told = way->growth != 0;
	s->tunnelled = way->tunnelled;
	s->second = p->now;
	return 0;
}

/* By the flow's shortcut. XDP_PASS: there is none, and the frame is as it was. */
__noinline int shortcut_take(frame_t *frame, struct pkt *p)
{
	struct shortcut *s;
	struct way way = {};
	int reason;

	if (!p)
		return XDP_PASS;
	s = shortcut_find(frame, p);
	if (!s || s->ifindex != frame_ifindex(frame))
		return XDP_PASS;
	reason = shortcut_rewrite(frame, p, s);
	if (reason)
		return drop(frame, p, reason);
	__builtin_memcpy(&way.macs, s->macs, sizeof(way.macs));
	if (!s->tunnelled)
		return send_back(frame, p, &way.macs);
	way.to = s->hop;
	way.from = node_address_beside(&way.to);
	return send_wrapped(frame, p, &way);
}
