/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <stdbool.h>

/*
 * What the helpers do not tell of a socket, read from the kernel's own struct. Only names count here: where the fields
 * are the kernel puts in when it loads the program. The socket may be gone, or another: then a number is wrong, never
 * more.
 */
struct sock___kernel {
	struct {
		unsigned long skc_flags;
	} __sk_common;
	struct {
		struct {
			int counter;
		} rmem_alloc;
	} sk_backlog;
	struct {
		int owned;
	} sk_lock;
	int sk_rcvbuf;
	int sk_rcvlowat;
};

struct tcp_sock___kernel {
	__u32 copied_seq;
	__u32 write_seq;
};

enum sock_flags___kernel {
	SOCK_ZEROCOPY___kernel = 1,
};

/* Bytes that are queued for the process and not read. */
static __always_inline __u32 sock_queued(__u64 sk)
{
	const struct sock___kernel *s = (void *)sk;
	__u32 value = ~0u;

	bpf_core_read(&value, sizeof(value), &s->sk_backlog.rmem_alloc.counter);
	return value;
}

static __always_inline __u32 sock_rcvbuf(__u64 sk)
{
	const struct sock___kernel *s = (void *)sk;
	__u32 value = 0;

	bpf_core_read(&value, sizeof(value), &s->sk_rcvbuf);
	return value;
}

static __always_inline __u32 sock_rcvlowat(__u64 sk)
{
	const struct sock___kernel *s = (void *)sk;
	__u32 value = ~0u;

	bpf_core_read(&value, sizeof(value), &s->sk_rcvlowat);
	return value;
}

/* A process works on it; a number of 8 bits or more. */
static __always_inline bool sock_is_owned(__u64 sk)
{
	const struct sock___kernel *s = (void *)sk;
	__u8 value = 1;

	bpf_core_read(&value, sizeof(value), &s->sk_lock.owned);
	return value;
}

/* Up to where the process has read what came by TCP. */
static __always_inline __u32 sock_copied_seq(__u64 sk)
{
	const struct tcp_sock___kernel *s = (void *)sk;
	__u32 value = 0;

	bpf_core_read(&value, sizeof(value), &s->copied_seq);
	return value;
}

/* Up to where the process has written by TCP. */
static __always_inline __u32 sock_write_seq(__u64 sk)
{
	const struct tcp_sock___kernel *s = (void *)sk;
	__u32 value = 0;

	bpf_core_read(&value, sizeof(value), &s->write_seq);
	return value;
}

/* The process wants to be told when what it sent is on its way (SO_ZEROCOPY). */
static __always_inline bool sock_is_zerocopy(__u64 sk)
{
	const struct sock___kernel *s = (void *)sk;
	unsigned long value = 0;

	bpf_core_read(&value, sizeof(value), &s->__sk_common.skc_flags);
	return value & (1ul << bpf_core_enum_value(enum sock_flags___kernel, SOCK_ZEROCOPY___kernel));
}
