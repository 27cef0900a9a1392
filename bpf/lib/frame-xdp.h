/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>
#include "csum.h"

/* Frames at XDP: nobody keeps a sum of them, their checksums are fixed where they stand. */
#define FRAME_XDP

typedef struct xdp_md frame_t;

enum frame_verdict { FRAME_DROP = XDP_DROP };

#include "frame-at.h"

static __always_inline long frame_load(frame_t *frame, __u32 off, void *to, __u32 size)
{
	void *at = frame_at(frame, off, size);

	if (!at)
		return -1;
	frame_copy(to, at, size);
	return 0;
}

static __always_inline long frame_store(frame_t *frame, __u32 off, const void *from, __u32 size, __u64 flags)
{
	void *at = frame_at(frame, off, size);

	if (!at)
		return -1;
	frame_copy(at, from, size);
	return 0;
}

/* What a checksum's sum gains when `from` becomes `to`; of 0 bytes: `to` is a difference already. */
static __always_inline __u64 csum_gain(__u64 from, __u64 to, __u32 size)
{
	switch (size) {
	case 2:
		return (__u64)(__u16)~from + (__u16)to;
	case 4:
		return (__u64)(__u32)~from + (__u32)to;
	default:
		return (__u32)to;
	}
}

static __always_inline long frame_fix_l3(frame_t *frame, __u32 off, __u64 from, __u64 to, __u64 flags)
{
	__u16 *sum = frame_at(frame, off, sizeof(*sum));

	if (!sum)
		return -1;
	*sum = csum_fold((__u16)~*sum + csum_gain(from, to, flags & BPF_F_HDR_FIELD_MASK));
	return 0;
}

/* BPF_F_MARK_MANGLED_0: UDP, where a sum of 0 says that there is none. */
static __always_inline long frame_fix_l4(frame_t *frame, __u32 off, __u64 from, __u64 to, __u64 flags)
{
	__u16 *sum = frame_at(frame, off, sizeof(*sum));
	__u16 fixed;

	if (!sum)
		return -1;
	if ((flags & BPF_F_MARK_MANGLED_0) && !*sum)
		return 0;
	fixed = csum_fold((__u16)~*sum + csum_gain(from, to, flags & BPF_F_HDR_FIELD_MASK));
	*sum = (flags & BPF_F_MARK_MANGLED_0) && !fixed ? 0xffff : fixed;
	return 0;
}

/* Opens room of so many bytes behind the IP header without its options, which ends at `head`. */
static __always_inline long frame_open(frame_t *frame, __u32 head, __u32 bytes)
{
	__u64 headers[7]; /* Ethernet's and IPv6's, and two bytes */

	if (frame_load(frame, 0, headers, head) < 0 || bpf_xdp_adjust_head(frame, -(int)bytes) < 0)
		return -1;
	return frame_store(frame, 0, headers, head, 0);
}

/* Ethernet header on. */
static __always_inline __u32 frame_length(frame_t *frame)
{
	return bpf_xdp_get_buff_len(frame);
}

/* ETH_P_*, network byte order; 0: too short to say. A VLAN's tag is not looked behind. */
static __always_inline __be16 frame_protocol(const frame_t *frame)
{
	struct ethhdr *eth = frame_at(frame, 0, sizeof(*eth));

	return eth ? eth->h_proto : 0;
}

static __always_inline __u32 frame_ifindex(const frame_t *frame)
{
	return frame->ingress_ifindex;
}

/* Nothing is put together before XDP. */
static __always_inline __u32 frame_segment_size(const frame_t *frame)
{
	return 0;
}
