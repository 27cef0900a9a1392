/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "layout.h"
#include "addr.h"

/* The two addresses of a packet, as wide in both families. */
struct ends {
	struct addr saddr;
	struct addr daddr;
};

struct end_ports {
	__be16 sport;
	__be16 dport;
};

/* How the packets of one flow come to a hook, and what becomes of them there: see shortcut.h. */
struct LAYOUT(1) shortcut {
	struct ends came;
	struct ends leaves;
	struct end_ports came_ports;
	struct end_ports leaves_ports;
	__u32 second;       /* of CLOCK_MONOTONIC, the one it is in force in */
	__u32 revision;     /* of what user space has written: the one it was found by */
	struct addr hop;    /* the tunnel's other end; else, at traffic control, the next router */
	__u32 ifindex;      /* of the device it leaves by */
	__u32 identity;     /* its sender's */
	__u8 macs[12];      /* at XDP */
	__u16 mtu;          /* of the way, as the packets come: IP header on */
	__u16 address_gain; /* what a checksum's sum gains by the other addresses, */
	__u16 port_gain;    /* by the other ports, */
	__u16 header_gain;  /* by the addresses and one hop less */
	__u8 proto;
	__u8 hook; /* enum event_file, and SHORTCUT_TUNNEL */
	__u8 told; /* its frontend goes along: dsr.h */
	__u8 tunnelled;
};

/* Places in the map revisions: of what shortcuts rest on, of the maps of endpoints. */
enum revision { REVISION_SHORTCUTS = 0, REVISION_ENDPOINTS = 1 };

enum shortcut_hook { SHORTCUT_TUNNEL = 128 };
