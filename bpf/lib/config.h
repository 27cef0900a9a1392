/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "addr.h"

/* What differs between nodes; patched into .rodata before load, so the verifier drops what a node does not use. */
struct node_config {
	struct addr node_v4;   /* the node's own address on its device; masquerade source */
	struct addr node_v6;
	struct addr router_v4; /* first address of the pod CIDR; source of what enters the tunnel from the node */
	struct addr router_v6;
	struct addr native_v4; /* destinations in this CIDR are reached without masquerade (native routing) */
	struct addr native_v6;
	__u32 native_v4_bits;  /* prefix length in the address's own family (0..32) */
	__u32 native_v6_bits;
	__u32 tunnel_ifindex;  /* VXLAN device in external mode; 0: native routing */
	__u32 overlay_ifindex; /* the same, under native routing too where something else needs it */
	__u32 device_ifindex;  /* the device that carries the underlay and the default route */
	__u32 flags;           /* enum config_flag */
	__u32 event_interval_sec; /* a busy flow reports at most once in this time per direction */
	__u32 world_v4;        /* identity of what no ipcache entry knows: 2, or 9 and 10 in dual stack */
	__u32 world_v6;
	__u32 shortcuts;       /* places for each CPU, a power of two; 0: none */
	__u16 nat_port_min;    /* source ports masquerade and NodePort SNAT may take, host byte order */
	__u16 nat_port_max;
	__u16 mtu;             /* of the underlay device */
	__u8 device_mac[6];    /* of device_ifindex */
	__u64 host_netns;      /* cookie of the node's network namespace */
	__u64 nat_seed;        /* of the hash by which mappings are found: chance, as long as there is their map */
};

enum config_flag {
	CONFIG_IPV4 = 1,
	CONFIG_IPV6 = 2,
	CONFIG_MASQUERADE_V4 = 4,
	CONFIG_MASQUERADE_V6 = 8,
	CONFIG_FLOWS = 16, /* emit events for what is forwarded; drops are always emitted */
	CONFIG_EGRESS_GATEWAY = 1024,
	CONFIG_HOST_FIREWALL = 128, /* policies may select the node itself */
	CONFIG_GENERIC_XDP = 4096, /* XDP may run in the stack, before traffic control */
	CONFIG_DENY_ICMP = 64, /* tell pods by ICMP what their egress policy denies */
	CONFIG_XDP = 256, /* from_wire runs before traffic control, and has denied what the prefilter denies */
	CONFIG_DSR_IPIP = 512, /* direct server return by IP in IP, not by an option */
	CONFIG_DSR_GENEVE = 8192, /* the same by Geneve */
	CONFIG_REFUSE = 32, /* tell who asks for a service without backends that nobody answers */
};
