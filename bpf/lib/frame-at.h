/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
/* A frame's bytes where they lie, at traffic control and at XDP alike; behind the typedef of frame_t. */

/* Headers end before; the verifier asks for a bound. */
#define FRAME_REACH 4096

/* Where size bytes at off lie; NULL: not in the frame, or not in its first buffer. */
static __always_inline void *frame_at(const frame_t *frame, __u64 off, __u32 size)
{
	void *end = (void *)(long)frame->data_end;
	void *at = (void *)(long)frame->data;

	if (!__builtin_constant_p(off))
		asm volatile("" : "+r"(off)); /* what is compared is what is added: the verifier knows no other */
	if (off > FRAME_REACH)
		return NULL;
	at += off;
	return at + size > end ? NULL : at;
}

/* Whole words at a time: processors that run this need no alignment, and a compiler that knew the truth would copy bytes. */
static __always_inline void frame_copy(void *to, const void *from, __u32 size)
{
	__builtin_memcpy(__builtin_assume_aligned(to, 8), __builtin_assume_aligned(from, 8), size);
}
