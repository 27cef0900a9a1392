/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Connections between two pods of this node, past the network: what one end sends is put where the other reads. The
 * handshake goes through the network and its policy; what follows is redirected as long as the connection's conntrack
 * entry is one that a packet would pass by without being judged. All else goes by TCP, which is always right.
 *
 * Two ways into one socket must not change the order of what arrives. The kernel's reader takes what was redirected
 * before what came by TCP, so turning from redirection to TCP is safe at any byte, and turning back is safe once the
 * process has read all that went by TCP.
 */
#include "lib/packet.h"
#include "lib/sock-end.h"
#include "lib/sock-key.h"
#include "lib/sock-talk.h"
#include "lib/kernel-sock.h"

const volatile struct node_config config = {};

/* ---- who takes part ---- */

/* The handshake was let through between two pods of this node, one of which has this socket. */
static __always_inline bool takes_part(struct bpf_sock_ops *ctx, const struct sock_key *key)
{
	__u64 *netns = bpf_map_lookup_elem(&sock_pods, &key->local);
	struct flow f;

	if (!netns || *netns != bpf_get_netns_cookie(ctx))
		return false;
	if (!bpf_map_lookup_elem(&sock_pods, &key->remote))
		return false;
	flow_of_key(key, &f);
	return ct_lookup(&f, now_sec()) != NULL;
}

/*
 * One whose process waits to be told of what it sent would wait for ever. The name may be taken: by a socket that has
 * ended and whose process has not closed it yet.
 */
static __always_inline bool enter(struct bpf_sock_ops *ctx, struct sock_key *key)
{
	struct sock_end *end = bpf_map_lookup_elem(&sock_ends, key);

	if (!end || sock_is_zerocopy(end->sk))
		return false;
	if (bpf_sock_hash_update(ctx, &sock_hash, key, BPF_NOEXIST) < 0)
		return false;
	end->cookie = bpf_get_socket_cookie(ctx);
	return true;
}

/* A live socket that another replaces would lose what its process has not read: who comes second goes by TCP. */
static __always_inline void enrol(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct sock_key key = {};
	struct sock_end end = {};

	if (!sk || !key_of_ops(ctx, &key) || !takes_part(ctx, &key))
		return;
	end.sk = (__u64)sk;
	if (bpf_map_update_elem(&sock_ends, &key, &end, BPF_NOEXIST) < 0)
		return;
	if (!enter(ctx, &key)) {
		bpf_map_delete_elem(&sock_ends, &key);
		return;
	}
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

static __always_inline void forget(struct bpf_sock_ops *ctx)
{
	struct sock_key key = {};
	struct sock_end *end;

	if (!key_of_ops(ctx, &key))
		return;
	end = bpf_map_lookup_elem(&sock_ends, &key);
	if (end && end->cookie == bpf_get_socket_cookie(ctx))
		bpf_map_delete_elem(&sock_ends, &key);
}

SEC("sockops")
int sock_track(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		enrol(ctx);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ctx->args[1] == BPF_TCP_CLOSE)
			forget(ctx);
		break;
	}
	return 1;
}

/* ---- who must not ---- */

#define EOPNOTSUPP 95
#define SOL_SOCKET 1
#define SO_ZEROCOPY 60

/*
 * A socket in the map tells nobody when what it sent is on its way. A program that hears in time that it cannot have
 * that sends as others do.
 */
SEC("cgroup/setsockopt")
int sock_option(struct bpf_sockopt *ctx)
{
	struct sock_key key = {};

	if (ctx->level != SOL_SOCKET || ctx->optname != SO_ZEROCOPY)
		return 1;
	if (!ctx->sk || !key_of_sock(ctx->sk, &key) || !bpf_map_lookup_elem(&sock_ends, &key))
		return 1;
	bpf_set_retval(-EOPNOTSUPP);
	return 0;
}

/* ---- what is sent ---- */

/* Less is not worth a look at all that is asked for a message. */
#define LEAST_PART 4096

/*
 * How much of the message goes past the network. What is redirected counts in the reader's buffer, of which half is
 * left to what comes by TCP after it.
 */
static __always_inline __u32 part_with_room(const struct sock_end *reader, __u32 size)
{
	__u32 room = sock_rcvbuf(reader->sk) / 2, queued = sock_queued(reader->sk);

	room = queued < room ? room - queued : 0;
	if (size <= room)
		return size;
	return room < LEAST_PART ? 0 : room;
}

/*
 * The process has read all that went by TCP and does not wait for more of it: who owns the lock may be about to. That
 * the two count the same bytes shows that they are the ends of one connection, too: names alone do not, where services
 * are translated packet by packet.
 */
static __always_inline bool has_read_all(const struct sock_end *writer, const struct sock_end *reader)
{
	return !sock_is_owned(reader->sk) && sock_copied_seq(reader->sk) == sock_write_seq(writer->sk);
}

static __always_inline bool may_go_past(const struct sock_end *writer, const struct sock_end *reader)
{
	if (!reader->cookie) /* its name may still lead to another socket */
		return false;
	if (sock_rcvlowat(reader->sk) > 1) /* who wants more at once may wait for TCP alone */
		return false;
	return writer->peer == reader->cookie || has_read_all(writer, reader);
}

/* A sender that the kernel preempts may find another one on its CPU. */
static __always_inline void count_message(__u32 which, __u32 size)
{
	struct metric *m = bpf_map_lookup_elem(&sock_counts, &which);

	if (!m)
		return;
	__sync_fetch_and_add(&m->packets, 1);
	__sync_fetch_and_add(&m->bytes, size);
}

static __always_inline bool is_open(struct sk_msg_md *msg)
{
	struct bpf_sock *sk = msg->sk;

	return sk && (sk->state == BPF_TCP_ESTABLISHED || sk->state == BPF_TCP_CLOSE_WAIT);
}

/* Puts the message, or its first part, where the peer reads. False: it goes by TCP. */
static __always_inline bool send_past(struct sk_msg_md *msg, const struct sock_key *key, struct sock_end *writer)
{
	struct sock_key peer;
	struct sock_end *reader;
	struct talk t = {};
	__u32 size;

	key_of_peer(key, &peer);
	reader = bpf_map_lookup_elem(&sock_ends, &peer);
	if (!reader || !is_open(msg) || !may_go_past(writer, reader))
		return false;
	size = part_with_room(reader, msg->size);
	if (!size)
		return false;
	find_talk(key, &t);
	if (!t.ct || bpf_msg_redirect_hash(msg, &sock_hash, &peer, BPF_F_INGRESS) != SK_PASS)
		return false;
	bpf_msg_apply_bytes(msg, size < msg->size ? size : 0); /* what is left of it is a message by itself */
	writer->peer = reader->cookie;
	account(key, &t, size);
	count_message(SOCK_REDIRECTED, size);
	return true;
}

SEC("sk_msg")
int sock_redirect(struct sk_msg_md *msg)
{
	struct sock_key key = {};
	struct sock_end *writer;

	if (!key_of_msg(msg, &key))
		return SK_PASS;
	writer = bpf_map_lookup_elem(&sock_ends, &key);
	if (!writer || send_past(msg, &key, writer))
		return SK_PASS;
	writer->peer = 0;
	bpf_msg_apply_bytes(msg, 0); /* all of it, though it be the rest of one that was begun */
	count_message(SOCK_PASSED, msg->size);
	return SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
