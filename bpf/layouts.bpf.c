/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "config.h"
#include "ct.h"
#include "drop.h"
#include "egress-map.h"
#include "endpoint.h"
#include "event.h"
#include "fragment.h"
#include "ipcache.h"
#include "l2.h"
#include "lb.h"
#include "nat-set.h"
#include "policy.h"
#include "shortcut-map.h"

/*
 * No program: this object carries the types user space reads and writes, each anchored by a variable.
 * tools/gen-layouts.ts turns every one into a file of src/datapath/layouts.
 */
#define STRUCT(name) struct name layout_##name
#define ENUM(name) enum name layout_##name

STRUCT(node_config);
STRUCT(endpoint);
STRUCT(ipcache_key);
STRUCT(ipcache_entry);
STRUCT(policy_key);
STRUCT(policy_entry);
STRUCT(ct_key);
STRUCT(ct_entry);
STRUCT(nat_key);
STRUCT(nat_entry);
STRUCT(egress_key);
STRUCT(egress_entry);
STRUCT(fragment_key);
STRUCT(fragment);
STRUCT(l2_responder_key);
STRUCT(l2_responder);
STRUCT(lb_frontend_key);
STRUCT(lb_frontend);
STRUCT(lb_slot_key);
STRUCT(lb_table_row);
STRUCT(lb_backend_key);
STRUCT(lb_backend);
STRUCT(lb_reverse_key);
STRUCT(lb_reverse);
STRUCT(lb_source_range_key);
STRUCT(lb_source_range);
STRUCT(lb_affinity_key);
STRUCT(lb_affinity);
STRUCT(lb_sock_key);
STRUCT(lb_sock);
STRUCT(flow_event);
STRUCT(metric);

ENUM(config_flag);
ENUM(endpoint_flag);
ENUM(rule_number);
ENUM(endpoint_id);
ENUM(revision);
ENUM(policy_direction);
ENUM(policy_round);
ENUM(policy_verdict);
ENUM(policy_bits);
ENUM(ct_kind);
ENUM(ct_flag);
ENUM(nat_flag);
ENUM(nat_direction);
ENUM(nat_shape);
ENUM(egress_bits);
ENUM(egress_flag);
ENUM(lb_scope);
ENUM(lb_flag);
ENUM(lb_table_shape);
ENUM(lb_backend_flag);
ENUM(lb_source_range_bits);
ENUM(event_type);
ENUM(event_flag);
ENUM(event_file);
ENUM(trace_point);
ENUM(trace_reason);
ENUM(drop_reason);
ENUM(metric_index);
