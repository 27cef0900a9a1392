/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Who asks the network for a service's address is told by the node that announces it: ARP (RFC 826) and neighbour
 * discovery (RFC 4861). The address is on no device, so the kernel would not answer. The question becomes the answer.
 * Comes before the node's other programs, and leaves to them (TC_ACT_UNSPEC) all it does not answer.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "lib/after-xdp.h"
#include "lib/clock.h"
#include "lib/config.h"
#include "lib/l2.h"
#include "lib/protocols.h"

const volatile struct node_config config = {};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct l2_responder_key);
	__type(value, struct l2_responder);
} l2_responders SEC(".maps");

struct ethernet {
	__u8 dst[6];
	__u8 src[6];
	__be16 proto;
};

static __always_inline const struct l2_responder *responder_of(struct __sk_buff *skb, const struct addr *address)
{
	struct l2_responder_key key = { .addr = *address, .ifindex = skb->ifindex };
	const struct l2_responder *found = bpf_map_lookup_elem(&l2_responders, &key);

	return found && now_sec() < found->until ? found : NULL;
}

enum arp_op { ARP_REQUEST = 1, ARP_REPLY = 2 };

/* Over Ethernet, about IPv4. */
struct arp {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_len;
	__u8 protocol_len;
	__be16 op;
	__u8 sender_mac[6];
	__be32 sender;
	__u8 target_mac[6];
	__be32 target;
} __attribute__((packed));

struct arp_frame {
	struct ethernet eth;
	struct arp arp;
} __attribute__((packed));

static __always_inline int answer_arp(struct __sk_buff *skb)
{
	const struct l2_responder *responder;
	struct arp_frame f, answer;
	struct addr target;

	if (bpf_skb_load_bytes(skb, 0, &f, sizeof(f)) < 0)
		return TC_ACT_UNSPEC;
	if (f.arp.hardware != bpf_htons(1) || f.arp.protocol != bpf_htons(ETH_P_IP) || f.arp.hardware_len != 6 ||
	    f.arp.protocol_len != 4 || f.arp.op != bpf_htons(ARP_REQUEST))
		return TC_ACT_UNSPEC;
	/* who announces an address of its own does not ask */
	if (f.arp.sender == f.arp.target)
		return TC_ACT_UNSPEC;
	addr_set_v4(&target, f.arp.target);
	responder = responder_of(skb, &target);
	if (!responder)
		return TC_ACT_UNSPEC;
	answer = f;
	__builtin_memcpy(answer.eth.dst, f.arp.sender_mac, 6);
	__builtin_memcpy(answer.eth.src, responder->mac, 6);
	answer.arp.op = bpf_htons(ARP_REPLY);
	__builtin_memcpy(answer.arp.sender_mac, responder->mac, 6);
	answer.arp.sender = f.arp.target;
	__builtin_memcpy(answer.arp.target_mac, f.arp.sender_mac, 6);
	answer.arp.target = f.arp.sender;
	if (bpf_skb_store_bytes(skb, 0, &answer, sizeof(answer), 0) < 0)
		return TC_ACT_SHOT;
	return bpf_redirect(skb->ifindex, 0);
}

enum neighbour_flag { NEIGHBOUR_SOLICITED = 0x40, NEIGHBOUR_OVERRIDE = 0x20 };
enum neighbour_option { NEIGHBOUR_TARGET_MAC = 2 };

/* A solicitation as far as it is looked at, and the head of an advertisement. */
struct neighbour {
	__u8 type;
	__u8 code;
	__sum16 csum;
	__u8 flags;
	__u8 reserved[3];
	struct in6_addr target;
};

struct solicitation {
	struct ipv6hdr ip;
	struct neighbour icmp;
};

struct advertisement {
	struct ipv6hdr ip;
	struct neighbour icmp;
	__u8 option;
	__u8 option_words; /* of 8 bytes */
	__u8 mac[6];
};

static __always_inline __sum16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* RFC 4861 7.2.4. Who has no address yet asks for all to hear, and is answered so: the address is taken. */
static __always_inline void advertise(const struct solicitation *s, const struct l2_responder *responder, struct advertisement *a)
{
	static const struct in6_addr all_nodes = { .in6_u.u6_addr8 = { 0xff, 2, [15] = 1 } };
	static const struct in6_addr nobody = {};
	/* of the pseudo header: length and next header, as 32-bit words */
	__be32 pseudo[2] = { bpf_htonl(sizeof(*a) - sizeof(a->ip)), bpf_htonl(IPPROTO_ICMP6) };
	bool known = __builtin_memcmp(&s->ip.saddr, &nobody, sizeof(nobody)) != 0;
	__s64 sum;

	a->ip.version = 6;
	a->ip.payload_len = bpf_htons(sizeof(*a) - sizeof(a->ip));
	a->ip.nexthdr = IPPROTO_ICMP6;
	a->ip.hop_limit = 255;
	a->ip.saddr = s->icmp.target;
	a->ip.daddr = known ? s->ip.saddr : all_nodes;
	a->icmp.type = ICMP6_NEIGHBOUR_ADVERTISEMENT;
	a->icmp.flags = NEIGHBOUR_OVERRIDE | (known ? NEIGHBOUR_SOLICITED : 0);
	a->icmp.target = s->icmp.target;
	a->option = NEIGHBOUR_TARGET_MAC;
	a->option_words = 1;
	__builtin_memcpy(a->mac, responder->mac, 6);
	sum = bpf_csum_diff(NULL, 0, pseudo, sizeof(pseudo), 0);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&a->ip.saddr, 32, sum);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&a->icmp, sizeof(*a) - sizeof(a->ip), sum);
	a->icmp.csum = fold(sum);
}

static __always_inline int answer_neighbour(struct __sk_buff *skb)
{
	const struct l2_responder *responder;
	struct advertisement a = {};
	struct solicitation s;
	struct ethernet eth;
	struct addr target;
	__u8 next;

	/* nearly every packet of IPv6 is something else */
	if (bpf_skb_load_bytes(skb, sizeof(eth) + __builtin_offsetof(struct ipv6hdr, nexthdr), &next, 1) < 0 ||
	    next != IPPROTO_ICMP6)
		return TC_ACT_UNSPEC;
	if (bpf_skb_load_bytes(skb, 0, &eth, sizeof(eth)) < 0 || bpf_skb_load_bytes(skb, sizeof(eth), &s, sizeof(s)) < 0)
		return TC_ACT_UNSPEC;
	/* a hop limit of 255: from this link, not from behind a router */
	if (s.ip.hop_limit != 255 || s.icmp.type != ICMP6_NEIGHBOUR_SOLICITATION || s.icmp.code != 0)
		return TC_ACT_UNSPEC;
	addr_set_v6(&target, (const __be32 *)&s.icmp.target);
	responder = responder_of(skb, &target);
	if (!responder)
		return TC_ACT_UNSPEC;
	advertise(&s, responder, &a);
	__builtin_memcpy(eth.dst, eth.src, 6);
	__builtin_memcpy(eth.src, responder->mac, 6);
	if (a.ip.daddr.in6_u.u6_addr8[0] == 0xff)
		__builtin_memcpy(eth.dst, (__u8[]){ 0x33, 0x33, 0, 0, 0, 1 }, 6);
	if (bpf_skb_change_tail(skb, sizeof(eth) + sizeof(a), 0) < 0 ||
	    bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0) < 0 ||
	    bpf_skb_store_bytes(skb, sizeof(eth), &a, sizeof(a), BPF_F_RECOMPUTE_CSUM) < 0)
		return TC_ACT_SHOT;
	return bpf_redirect(skb->ifindex, 0);
}

SEC("tcx/ingress")
int answer_for_services(struct __sk_buff *skb)
{
	bool arp = skb->protocol == bpf_htons(ETH_P_ARP);

	if ((!arp && skb->protocol != bpf_htons(ETH_P_IPV6)) || frame_is_of_vlan(skb))
		return TC_ACT_UNSPEC;
	if ((config.flags & CONFIG_GENERIC_XDP) && begin_at_link_header(skb) < 0)
		return TC_ACT_UNSPEC;
	return arp ? answer_arp(skb) : answer_neighbour(skb);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
