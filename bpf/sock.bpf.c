/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Services at the socket: whoever connects or sends to a frontend talks to a backend from the start, so that its
 * packets need no translation. One family's hooks differ from the other's only in where the address lies.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/errno.h>
#include <bpf/bpf_helpers.h>
#include "lib/config.h"
#include "lib/maps.h"
#include "lib/backend.h"
#include "lib/clock.h"

const volatile struct node_config config = {};

#define ALLOW 1
#define REFUSE 0
#define AF_INET 2

/* An address and port a socket talks to or hears from. */
struct peer {
	struct addr addr;
	__be16 port;
	__u8 proto;
	__u8 pad[5];
};

static __always_inline void peer_v4(struct bpf_sock_addr *ctx, struct peer *peer)
{
	addr_set_v4(&peer->addr, ctx->user_ip4);
	peer->port = (__be16)ctx->user_port;
	peer->proto = ctx->protocol;
}

static __always_inline void peer_v6(struct bpf_sock_addr *ctx, struct peer *peer)
{
	peer->addr.words[0] = ctx->user_ip6[0];
	peer->addr.words[1] = ctx->user_ip6[1];
	peer->addr.words[2] = ctx->user_ip6[2];
	peer->addr.words[3] = ctx->user_ip6[3];
	peer->port = (__be16)ctx->user_port;
	peer->proto = ctx->protocol;
}

static __always_inline void set_peer_v4(struct bpf_sock_addr *ctx, const struct peer *peer)
{
	ctx->user_ip4 = peer->addr.words[3];
	ctx->user_port = peer->port;
}

static __always_inline void set_peer_v6(struct bpf_sock_addr *ctx, const struct peer *peer)
{
	ctx->user_ip6[0] = peer->addr.words[0];
	ctx->user_ip6[1] = peer->addr.words[1];
	ctx->user_ip6[2] = peer->addr.words[2];
	ctx->user_ip6[3] = peer->addr.words[3];
	ctx->user_port = peer->port;
}

/* Remembers what the socket asked for: recvmsg and getpeername show it, and the flow's events name the service. */
static __always_inline void remember(struct bpf_sock_addr *ctx, const struct peer *backend, const struct peer *asked,
				     __u32 frontend)
{
	struct lb_sock_key key = { .addr = backend->addr, .port = backend->port, .proto = backend->proto };
	struct lb_sock sock = { .addr = asked->addr, .port = asked->port, .frontend = frontend };

	key.cookie = bpf_get_socket_cookie(ctx);
	bpf_map_update_elem(&lb_socks, &key, &sock, BPF_ANY);
}

enum outcome { NOT_A_SERVICE, NO_BACKEND, NOT_FOR_YOU, TRANSLATED };

static __always_inline bool is_host(struct bpf_sock_addr *ctx)
{
	return bpf_get_netns_cookie(ctx) == config.host_netns;
}

/* The node asks with its own address; of a pod's packets the address is seen later, so they are left to be translated. */
static __always_inline bool node_may_ask(const struct lb_frontend *f, const struct peer *peer)
{
	const volatile struct addr *node = addr_is_v4(&peer->addr) ? &config.node_v4 : &config.node_v6;
	struct addr client;

	client.halves[0] = node->halves[0];
	client.halves[1] = node->halves[1];
	return client_may_ask(f, &client);
}

/* A process of the node asks the node's own address: no packet of it passes anybody who could meet it by silence. */
static __always_inline bool asks_its_node(struct bpf_sock_addr *ctx, const struct lb_frontend *f, const struct peer *peer)
{
	const volatile struct addr *node = addr_is_v4(&peer->addr) ? &config.node_v4 : &config.node_v6;

	if (!is_host(ctx))
		return false;
	return (f->flags & LB_HOST_ONLY) ||
	       (peer->addr.halves[0] == node->halves[0] && peer->addr.halves[1] == node->halves[1]);
}

/* A frontend becomes one of its backends. */
static __always_inline enum outcome translate(struct bpf_sock_addr *ctx, struct peer *peer)
{
	struct lb_frontend_key key = { .addr = peer->addr, .port = peer->port, .proto = peer->proto };
	struct asker asker = {};
	struct peer asked = *peer;
	struct lb_backend *backend;
	struct lb_frontend *f;
	__u32 id;

	if (peer->proto != IPPROTO_TCP && peer->proto != IPPROTO_UDP)
		return NOT_A_SERVICE;
	f = bpf_map_lookup_elem(&lb_frontends, &key);
	if (!f || ((f->flags & (LB_HOST_ONLY | LB_SOURCE_RANGES)) && !is_host(ctx)))
		return NOT_A_SERVICE;
	if (!node_may_ask(f, peer))
		return NOT_FOR_YOU;
	if (f->flags & LB_AFFINITY) {
		asker.client.client.halves[1] = bpf_get_netns_cookie(ctx);
		asker.now = now_sec();
	}
	backend = backend_choose(f, &asker, &id);
	if (!backend) /* where silence is asked for, the packets meet it: from_pod and to_device drop them */
		return (config.flags & CONFIG_REFUSE) || asks_its_node(ctx, f, peer) ? NO_BACKEND : NOT_A_SERVICE;
	peer->addr = backend->addr;
	peer->port = backend->port;
	remember(ctx, peer, &asked, f->id);
	return TRANSLATED;
}

/* A backend becomes the frontend this socket had asked for. */
static __always_inline bool reverse(struct bpf_sock_addr *ctx, struct peer *peer)
{
	struct lb_sock_key key = { .addr = peer->addr, .port = peer->port, .proto = peer->proto };
	struct lb_sock *sock;

	key.cookie = bpf_get_socket_cookie(ctx);
	sock = bpf_map_lookup_elem(&lb_socks, &key);
	if (!sock)
		return false;
	peer->addr = sock->addr;
	peer->port = sock->port;
	return true;
}

static __always_inline int send_v4(struct bpf_sock_addr *ctx)
{
	struct peer peer = {};

	peer_v4(ctx, &peer);
	switch (translate(ctx, &peer)) {
	case NO_BACKEND:
		bpf_set_retval(-ECONNREFUSED);
		return REFUSE;
	case NOT_FOR_YOU:
		return REFUSE;
	case TRANSLATED:
		set_peer_v4(ctx, &peer);
		return ALLOW;
	default:
		return ALLOW;
	}
}

static __always_inline int send_v6(struct bpf_sock_addr *ctx)
{
	struct peer peer = {};

	peer_v6(ctx, &peer);
	switch (translate(ctx, &peer)) {
	case NO_BACKEND:
		bpf_set_retval(-ECONNREFUSED);
		return REFUSE;
	case NOT_FOR_YOU:
		return REFUSE;
	case TRANSLATED:
		set_peer_v6(ctx, &peer);
		return ALLOW;
	default:
		return ALLOW;
	}
}

static __always_inline int show_v4(struct bpf_sock_addr *ctx)
{
	struct peer peer = {};

	peer_v4(ctx, &peer);
	if (reverse(ctx, &peer))
		set_peer_v4(ctx, &peer);
	return ALLOW;
}

static __always_inline int show_v6(struct bpf_sock_addr *ctx)
{
	struct peer peer = {};

	peer_v6(ctx, &peer);
	if (reverse(ctx, &peer))
		set_peer_v6(ctx, &peer);
	return ALLOW;
}

SEC("cgroup/connect4")
int sock_connect4(struct bpf_sock_addr *ctx)
{
	return send_v4(ctx);
}

SEC("cgroup/connect6")
int sock_connect6(struct bpf_sock_addr *ctx)
{
	return send_v6(ctx);
}

SEC("cgroup/sendmsg4")
int sock_sendmsg4(struct bpf_sock_addr *ctx)
{
	return send_v4(ctx);
}

SEC("cgroup/sendmsg6")
int sock_sendmsg6(struct bpf_sock_addr *ctx)
{
	return send_v6(ctx);
}

SEC("cgroup/recvmsg4")
int sock_recvmsg4(struct bpf_sock_addr *ctx)
{
	return show_v4(ctx);
}

SEC("cgroup/recvmsg6")
int sock_recvmsg6(struct bpf_sock_addr *ctx)
{
	return show_v6(ctx);
}

SEC("cgroup/getpeername4")
int sock_getpeername4(struct bpf_sock_addr *ctx)
{
	return show_v4(ctx);
}

SEC("cgroup/getpeername6")
int sock_getpeername6(struct bpf_sock_addr *ctx)
{
	return show_v6(ctx);
}

/*
 * A socket that closes is forgotten, so that those that stay open keep their entries however many short connections come,
 * and so that a new connection takes memory that was used just now. What was sent without a connection is forgotten in
 * its turn.
 */
SEC("cgroup/sock_release")
int sock_release(struct bpf_sock *sk)
{
	struct lb_sock_key key = { .port = sk->dst_port, .proto = sk->protocol };
	const volatile __u32 *v6 = sk->dst_ip6; /* volatile, or both families' reads would become one at a computed place */

	if (!key.port || (key.proto != IPPROTO_TCP && key.proto != IPPROTO_UDP))
		return ALLOW;
	if (sk->family == AF_INET) {
		addr_set_v4(&key.addr, sk->dst_ip4);
	} else {
		key.addr.words[0] = v6[0];
		key.addr.words[1] = v6[1];
		key.addr.words[2] = v6[2];
		key.addr.words[3] = v6[3];
	}
	key.cookie = bpf_get_socket_cookie(sk);
	bpf_map_delete_elem(&lb_socks, &key);
	return ALLOW;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
