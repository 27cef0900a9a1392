/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "layout.h"
#include "addr.h"

/* frontends -> slots 1..count -> backends. Writers: backend, then slot, then count; the reverse to take away. */
struct LAYOUT(1) lb_frontend_key {
	struct addr addr;
	__be16 port;
	__u8 proto;
	__u8 scope; /* enum lb_scope */
	__u32 pad;
};

enum lb_scope { LB_SCOPE_ANY = 0, LB_SCOPE_LOCAL = 1 };

struct LAYOUT(1) lb_frontend {
	__u32 id;    /* names the frontend in slots, conntrack, reverse look-ups and events */
	__u16 count; /* slots in use */
	__u16 flags; /* enum lb_flag */
	__u32 affinity_sec; /* 0: none */
	__u32 table_size;   /* entries of its table in lb_tables; 0: has none, every slot is as likely as another */
	__u64 table;        /* names what the table was made of: its key in lb_tables */
};

enum lb_flag {
	LB_NODEPORT = 1,      /* reachable from outside through a node's address */
	LB_EXTERNAL = 2,      /* external or load-balancer address */
	LB_CLUSTER_IP = 4,    /* only from inside */
	LB_AFFINITY = 8,
	LB_LOCAL_OUTSIDE = 16, /* externalTrafficPolicy Local: from outside the entry of LB_SCOPE_LOCAL holds instead */
	LB_HOST_ONLY = 32,     /* a loopback address: for the node's own processes */
	LB_SOURCE_RANGES = 128, /* for clients in its lb_source_ranges alone: packet by packet, which tells the client */
	LB_DENY_RANGES = 512,  /* those are the clients it is not for */
	LB_PASS_DENIED = 2048, /* pods it is not for meet the entry of LB_SCOPE_LOCAL, or the address itself (local redirects) */
	LB_DSR = 1024,         /* backends on other nodes answer the client themselves */
	LB_HASHED = 256,       /* the connection's hash says the place in the table (Maglev); else chance does (weights) */
	LB_ELSEWHERE = 64,     /* a traffic policy keeps it from the backends there are: without one of its own it is silent */
};

struct LAYOUT(2) lb_slot_key {
	__u32 frontend;
	__u32 row; /* row 0: slots 1 to LB_TABLE_ROW, and so on */
};

/*
 * Backends by number, in a row of a frontend's slots, or of its table: there each as often as its share of the connections.
 * Writers of a table: the backends, then the whole table at once, then the frontend.
 */
enum lb_table_shape { LB_TABLE_ROW = 16 };

struct LAYOUT(1) lb_table_row {
	__u32 backends[LB_TABLE_ROW]; /* 0: none */
};

struct LAYOUT(1) lb_backend_key {
	__u32 id;
};

struct LAYOUT(1) lb_backend {
	struct addr addr;
	__be16 port;
	__u8 proto;
	__u8 flags; /* enum lb_backend_flag */
	__u32 pad;
};

enum lb_backend_flag { LB_BACKEND_TERMINATING = 1 };

struct LAYOUT(1) lb_reverse_key {
	__u32 frontend;
};

struct LAYOUT(1) lb_reverse {
	struct addr addr;
	__be16 port;
	__u16 pad;
	__u32 pad2;
};

/* Who may ask a frontend of LB_SOURCE_RANGES. prefixlen counts the frontend's 32 bits, too. */
struct lb_source_range_key {
	__u32 prefixlen;
	__u32 frontend;
	struct addr addr;
};

enum lb_source_range_bits { LB_SOURCE_RANGE_FRONTEND = 32 };

struct lb_source_range {
	__u32 allowed; /* always 1 */
};

/* Session affinity: the backend a client had for its last connection. */
struct LAYOUT(1) lb_affinity_key {
	struct addr client; /* its address; for one at a socket hook, which has none yet, its network namespace's cookie */
	__u32 frontend;
	__u32 pad;
};

struct LAYOUT(1) lb_affinity {
	__u32 slot;
	__u32 backend;     /* what the slot held then */
	__u32 seen_sec;    /* the client's last connection, seconds of CLOCK_MONOTONIC */
	__u32 pad;
};

/* What a socket was told it talks to, for recvmsg and getpeername. */
struct LAYOUT(1) lb_sock_key {
	__u64 cookie;
	struct addr addr; /* the backend's */
	__be16 port;
	__u8 proto;
	__u8 pad[5];
};

struct LAYOUT(1) lb_sock {
	struct addr addr; /* the frontend's */
	__be16 port;
	__u16 pad;
	__u32 frontend;
};
