/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "sock-end.h"

/*
 * The connection of a socket, seen from its end. Each kind of program is shown the same under another type, and may read
 * its context at fixed places only: one function each.
 */

#define AF_INET 2
#define AF_INET6 10

static __always_inline bool key_of_ops(struct bpf_sock_ops *ctx, struct sock_key *key)
{
	if (ctx->family == AF_INET) {
		addr_set_v4(&key->local, ctx->local_ip4);
		addr_set_v4(&key->remote, ctx->remote_ip4);
	} else if (ctx->family == AF_INET6) {
		key->local.words[0] = ctx->local_ip6[0];
		key->local.words[1] = ctx->local_ip6[1];
		key->local.words[2] = ctx->local_ip6[2];
		key->local.words[3] = ctx->local_ip6[3];
		key->remote.words[0] = ctx->remote_ip6[0];
		key->remote.words[1] = ctx->remote_ip6[1];
		key->remote.words[2] = ctx->remote_ip6[2];
		key->remote.words[3] = ctx->remote_ip6[3];
	} else {
		return false;
	}
	key->local_port = bpf_htons(ctx->local_port);
	key->remote_port = bpf_htons(bpf_ntohl(ctx->remote_port));
	return true;
}

static __always_inline bool key_of_sock(const struct bpf_sock *sk, struct sock_key *key)
{
	if (sk->family == AF_INET) {
		addr_set_v4(&key->local, sk->src_ip4);
		addr_set_v4(&key->remote, sk->dst_ip4);
	} else if (sk->family == AF_INET6) {
		key->local.words[0] = sk->src_ip6[0];
		key->local.words[1] = sk->src_ip6[1];
		key->local.words[2] = sk->src_ip6[2];
		key->local.words[3] = sk->src_ip6[3];
		key->remote.words[0] = sk->dst_ip6[0];
		key->remote.words[1] = sk->dst_ip6[1];
		key->remote.words[2] = sk->dst_ip6[2];
		key->remote.words[3] = sk->dst_ip6[3];
	} else {
		return false;
	}
	key->local_port = bpf_htons(sk->src_port);
	key->remote_port = sk->dst_port;
	return true;
}

static __always_inline bool key_of_msg(struct sk_msg_md *msg, struct sock_key *key)
{
	if (msg->family == AF_INET) {
		addr_set_v4(&key->local, msg->local_ip4);
		addr_set_v4(&key->remote, msg->remote_ip4);
	} else if (msg->family == AF_INET6) {
		key->local.words[0] = msg->local_ip6[0];
		key->local.words[1] = msg->local_ip6[1];
		key->local.words[2] = msg->local_ip6[2];
		key->local.words[3] = msg->local_ip6[3];
		key->remote.words[0] = msg->remote_ip6[0];
		key->remote.words[1] = msg->remote_ip6[1];
		key->remote.words[2] = msg->remote_ip6[2];
		key->remote.words[3] = msg->remote_ip6[3];
	} else {
		return false;
	}
	key->local_port = bpf_htons(msg->local_port);
	key->remote_port = bpf_htons(bpf_ntohl(msg->remote_port));
	return true;
}

static __always_inline void key_of_peer(const struct sock_key *key, struct sock_key *peer)
{
	peer->local = key->remote;
	peer->remote = key->local;
	peer->local_port = key->remote_port;
	peer->remote_port = key->local_port;
	peer->pad = 0;
}
