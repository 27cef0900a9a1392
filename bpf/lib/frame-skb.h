/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

/* Frames at traffic control. A typedef, for the kernel knows a global function's context by its struct's name. */
typedef struct __sk_buff frame_t;

enum frame_verdict { FRAME_DROP = TC_ACT_SHOT };

#include "frame-at.h"

/* Headers mostly lie in the first buffer; a call for each would cost more than the copy. */
static __always_inline long frame_load(frame_t *frame, __u32 off, void *to, __u32 size)
{
	const void *at = frame_at(frame, off, size);

	if (!at)
		return bpf_skb_load_bytes(frame, off, to, size);
	frame_copy(to, at, size);
	return 0;
}

static __always_inline long frame_store(frame_t *frame, __u32 off, const void *from, __u32 size, __u64 flags)
{
	return bpf_skb_store_bytes(frame, off, from, size, flags);
}

static __always_inline long frame_fix_l3(frame_t *frame, __u32 off, __u64 from, __u64 to, __u64 flags)
{
	return bpf_l3_csum_replace(frame, off, from, to, flags);
}

static __always_inline long frame_fix_l4(frame_t *frame, __u32 off, __u64 from, __u64 to, __u64 flags)
{
	return bpf_l4_csum_replace(frame, off, from, to, flags);
}

/* Opens room of so many bytes behind the IP header without its options, which ends at `head`. */
static __always_inline long frame_open(frame_t *frame, __u32 head, __u32 bytes)
{
	return bpf_skb_adjust_room(frame, bytes, BPF_ADJ_ROOM_NET, BPF_F_ADJ_ROOM_FIXED_GSO);
}

/* Ethernet header on. */
static __always_inline __u32 frame_length(frame_t *frame)
{
	return frame->len;
}

/* ETH_P_*, network byte order. */
static __always_inline __be16 frame_protocol(const frame_t *frame)
{
	return frame->protocol;
}

static __always_inline __u32 frame_ifindex(const frame_t *frame)
{
	return frame->ifindex;
}

/*
 * Tagged for a VLAN: the traffic of another device than the one it is seen at, which has the VLAN's number. The tag has been
 * taken out of the frame; number 0 is that of no VLAN (IEEE 802.1Q 9.6).
 */
static __always_inline bool frame_is_of_vlan(const frame_t *frame)
{
	return frame->vlan_present && (frame->vlan_tci & 0xfff);
}

/* Payload of one of the segments the packet stands for; 0: it stands for itself. */
static __always_inline __u32 frame_segment_size(const frame_t *frame)
{
	return frame->gso_size;
}
