// SPDX-License-Identifier: Apache-2.0
import {
  type EventTypeFilter,
  IPVersion,
  type NetworkInterface,
  type TCPFlags,
} from "#api/gen/flow/flow_pb.ts";
import { EventFlag } from "#datapath/layouts/enums.ts";
import { FlowEventOffset } from "#datapath/layouts/flow-event.ts";
import { WeftError } from "#lib/errors.ts";
import { directionOf, subTypeOf, tcpFlagBits } from "./decode.ts";
import type { Directory } from "./directory.ts";
import type { Match } from "./match.ts";
import { IpProtocol } from "./names.ts";
import { flowUuid } from "./uuid.ts";

export function uuidMatch(values: readonly string[], run: bigint): Match {
  const wanted = new Set(values.map((value) => value.toLowerCase()));
  return (record) => wanted.has(flowUuid(run, record.sequence));
}

export function directionMatch(values: readonly number[]): Match {
  const wanted = new Set(values);
  return (record) => wanted.has(directionOf(record));
}

export function eventTypeMatch(values: readonly EventTypeFilter[]): Match {
  return (record) =>
    values.some(
      ({ type, matchSubType, subType }) =>
        type === record.type && (!matchSubType || subType === subTypeOf(record)),
    );
}

const protocols: Readonly<Record<string, readonly number[]>> = {
  tcp: [IpProtocol.tcp],
  udp: [IpProtocol.udp],
  sctp: [IpProtocol.sctp],
  icmp: [IpProtocol.icmp, IpProtocol.icmp6],
  icmpv4: [IpProtocol.icmp],
  icmpv6: [IpProtocol.icmp6],
};
/** Flows of these come from a proxy; a node without one has none, which is an answer. */
const layer7Protocols = new Set(["dns", "http", "kafka"]);

export function protocolMatch(values: readonly string[]): Match {
  const wanted = new Set<number>();
  for (const text of values) {
    const name = text.toLowerCase();
    const numbers = protocols[name];
    if (!numbers && !layer7Protocols.has(name))
      throw new WeftError("E_FILTER", `protocol: "${text}" is not known`);
    for (const number of numbers ?? []) wanted.add(number);
  }
  return (record) => wanted.has(record.proto);
}

/** Each value is a set of flags that must all be there. */
export function tcpFlagsMatch(values: readonly TCPFlags[]): Match {
  const masks = values.map((flags) => {
    if (flags.NS) throw new WeftError("E_FILTER", "tcp_flags: the NS flag is not recorded");
    return tcpFlagBits.reduce((mask, [name, bit]) => (flags[name] ? mask | bit : mask), 0);
  });
  return (record) => {
    if (record.proto !== IpProtocol.tcp) return false;
    const bits = record.u8(FlowEventOffset.tcpFlags);
    return masks.some((mask) => (bits & mask) === mask);
  };
}

export function ipVersionMatch(values: readonly number[]): Match {
  const wanted = new Set(values);
  return (record) => wanted.has(record.has(EventFlag.ipv6) ? IPVersion.IPv6 : IPVersion.IPv4);
}

/** By index, by name, or both when both are given. */
export function interfaceMatch(values: readonly NetworkInterface[], directory: Directory): Match {
  return (record) => {
    const index = record.u32(FlowEventOffset.ifindex);
    return values.some(
      (value) =>
        (value.index === 0 || value.index === index) &&
        (value.name === "" || value.name === directory.interfaces.get(index)),
    );
  };
}
