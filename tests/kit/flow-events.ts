// SPDX-License-Identifier: Apache-2.0
import { EventFlag } from "#datapath/layouts/enums.ts";
import { FlowEventOffset } from "#datapath/layouts/flow-event.ts";
import { eventSize } from "#flows/record.ts";
import { type Address, addressBytes } from "#model/ip.ts";

/** A flow event in plain values; what is left out is zero. */
export interface EventFields {
  readonly timeNs?: bigint;
  readonly saddr?: string;
  readonly daddr?: string;
  readonly srcIdentity?: number;
  readonly dstIdentity?: number;
  readonly ifindex?: number;
  readonly frontend?: number;
  readonly egressRule?: number;
  readonly ingressRule?: number;
  readonly sport?: number;
  readonly dport?: number;
  readonly srcEndpoint?: number;
  readonly dstEndpoint?: number;
  readonly line?: number;
  readonly file?: number;
  readonly type?: number;
  readonly reason?: number;
  readonly point?: number;
  readonly proto?: number;
  readonly tcpFlags?: number;
  /** Bits of EventFlag; IPv6 is added for an IPv6 source. */
  readonly flags?: number;
  readonly tunnel?: number;
  readonly untold?: number;
}

const numbers = [
  "srcIdentity",
  "dstIdentity",
  "ifindex",
  "frontend",
  "egressRule",
  "ingressRule",
  "untold",
] as const;
const shorts = ["srcEndpoint", "dstEndpoint", "line", "tunnel"] as const;
const bytes = ["file", "type", "reason", "point", "proto", "tcpFlags"] as const;

/** The bytes of `struct flow_event` as the datapath writes them. Default: a TCP packet to an endpoint. */
export function flowEvent(fields: EventFields): DataView {
  const view = new DataView(new ArrayBuffer(eventSize));
  const values = {
    type: 4,
    point: 101,
    reason: 1,
    proto: 6,
    saddr: "10.0.0.1",
    daddr: "10.0.0.2",
    ...fields,
  };
  view.setBigUint64(FlowEventOffset.timeNs, values.timeNs ?? 0n, true);
  const raw = new Uint8Array(view.buffer);
  raw.set(addressBytes(values.saddr as Address), FlowEventOffset.saddr);
  raw.set(addressBytes(values.daddr as Address), FlowEventOffset.daddr);
  view.setUint16(FlowEventOffset.sport, values.sport ?? 0);
  view.setUint16(FlowEventOffset.dport, values.dport ?? 0);
  for (const name of numbers) view.setUint32(FlowEventOffset[name], values[name] ?? 0, true);
  for (const name of shorts) view.setUint16(FlowEventOffset[name], values[name] ?? 0, true);
  for (const name of bytes) view.setUint8(FlowEventOffset[name], values[name] ?? 0);
  const family = values.saddr.includes(":") ? EventFlag.ipv6 : 0;
  view.setUint16(FlowEventOffset.flags, (values.flags ?? 0) | family, true);
  return view;
}
