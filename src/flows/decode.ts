// SPDX-License-Identifier: Apache-2.0
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import {
  type DropReason,
  type Endpoint,
  type EndpointSchema,
  type Flow,
  FlowSchema,
  FlowType,
  IPVersion,
  type LostEvent,
  LostEventSchema,
  type TraceObservationPoint,
  type TraceReason,
  TrafficDirection,
  Tunnel_Protocol,
  Verdict,
} from "#api/gen/flow/flow_pb.ts";
import { EventFlag, EventType, TracePoint } from "#datapath/layouts/enums.ts";
import { FlowEventOffset } from "#datapath/layouts/flow-event.ts";
import type { Directory } from "./directory.ts";
import { icmp4Text, icmp6Text } from "./icmp.ts";
import { fileNames, IpProtocol, protocolText, traceSubType } from "./names.ts";
import { addPolicies } from "./policies.ts";
import { type RecordCursor, SlotField } from "./record.ts";
import { flowUuid } from "./uuid.ts";

type FlowInit = Exclude<MessageInitShape<typeof FlowSchema>, Flow>;
type EndpointInit = Exclude<MessageInitShape<typeof EndpointSchema>, Endpoint>;

/** What every flow of a node has in common. */
export interface NodeContext {
  /** `cluster/node`. */
  readonly nodeName: string;
  readonly clusterName: string;
  /** Eight random bytes of this run, the first half of each flow's uuid. */
  readonly run: bigint;
}

/** The flow a record describes, with the names its slot refers to. For trace, drop and policy verdict records. */
export function decodeFlow(record: RecordCursor, directory: Directory, node: NodeContext): Flow {
  const flow = create(FlowSchema, {
    time: timestamp(record.timeNs),
    uuid: flowUuid(node.run, record.sequence),
    verdict: verdictOf(record),
    IP: {
      source: record.address(FlowEventOffset.saddr),
      destination: record.address(FlowEventOffset.daddr),
      ipVersion: record.has(EventFlag.ipv6) ? IPVersion.IPv6 : IPVersion.IPv4,
    },
    ...layer4(record),
    source: endpointOf(record, directory, node, "src"),
    destination: endpointOf(record, directory, node, "dst"),
    Type: FlowType.L3_L4,
    nodeName: node.nodeName,
    nodeLabels: [...directory.nodeLabels],
    eventType: { type: record.type, subType: subTypeOf(record) },
    trafficDirection: directionOf(record),
    isReply: record.has(EventFlag.reply),
    reply: record.has(EventFlag.reply),
    Summary: summaryOf(record),
    ...(record.type === EventType.trace ? traceOf(record) : dropOf(record)),
    ...servicesOf(record, directory),
    ...placeOf(record, directory),
  });
  addPolicies(flow, record, directory);
  return flow;
}

/** The note of lost events a slot holds. */
export function decodeLost(record: RecordCursor): LostEvent {
  return create(LostEventSchema, {
    source: record.u8(FlowEventOffset.reason) as LostEvent["source"],
    numEventsLost: record.u64(FlowEventOffset.bytes),
  });
}

export function timestamp(timeNs: bigint): Timestamp {
  return create(TimestampSchema, {
    seconds: timeNs / 1_000_000_000n,
    nanos: Number(timeNs % 1_000_000_000n),
  });
}

export function timestampNs(time: Timestamp): bigint {
  return time.seconds * 1_000_000_000n + BigInt(time.nanos);
}

export function verdictOf(record: RecordCursor): Verdict {
  if (record.type === EventType.drop) return Verdict.DROPPED;
  if (record.has(EventFlag.audit)) return Verdict.AUDIT;
  return Verdict.FORWARDED;
}

/** Trace: the observation point; drop: the reason; policy verdict: 0. */
export function subTypeOf(record: RecordCursor): number {
  if (record.type === EventType.trace) return traceSubType(record.u8(FlowEventOffset.point));
  return record.type === EventType.drop ? record.u8(FlowEventOffset.reason) : 0;
}

/** Whether the connection came into or left the endpoint the event was seen at; a drop says which policy judged. */
export function directionOf(record: RecordCursor): TrafficDirection {
  if (record.type !== EventType.trace) {
    return record.has(EventFlag.ingress) ? TrafficDirection.INGRESS : TrafficDirection.EGRESS;
  }
  const atDestination = record.u8(FlowEventOffset.point) === TracePoint.toEndpoint;
  const atSource = !atDestination && record.u16(FlowEventOffset.srcEndpoint) !== 0;
  if (!atDestination && !atSource) return TrafficDirection.TRAFFIC_DIRECTION_UNKNOWN;
  return atSource !== record.has(EventFlag.reply) ? TrafficDirection.EGRESS : TrafficDirection.INGRESS;
}

function endpointOf(
  record: RecordCursor,
  directory: Directory,
  node: NodeContext,
  side: "src" | "dst",
): EndpointInit {
  const identity = record.u32(side === "src" ? FlowEventOffset.srcIdentity : FlowEventOffset.dstIdentity);
  const party = directory.party(record.u32(side === "src" ? SlotField.srcParty : SlotField.dstParty));
  return {
    ID: record.u16(side === "src" ? FlowEventOffset.srcEndpoint : FlowEventOffset.dstEndpoint),
    identity,
    labels: [...directory.labels(identity)],
    ...(party && {
      clusterName: node.clusterName,
      namespace: party.namespace,
      podName: party.pod,
      workloads: party.workloads.map(({ kind, name }) => ({ kind, name })),
    }),
  };
}

function layer4(record: RecordCursor): FlowInit {
  const sourcePort = record.port(FlowEventOffset.sport);
  const destinationPort = record.port(FlowEventOffset.dport);
  switch (record.proto) {
    case IpProtocol.tcp: {
      const value = { sourcePort, destinationPort, flags: tcpFlags(record.u8(FlowEventOffset.tcpFlags)) };
      return { l4: { protocol: { case: "TCP", value } } };
    }
    case IpProtocol.udp:
      return { l4: { protocol: { case: "UDP", value: { sourcePort, destinationPort } } } };
    case IpProtocol.sctp:
      return { l4: { protocol: { case: "SCTP", value: { sourcePort, destinationPort } } } };
    case IpProtocol.icmp:
      return { l4: { protocol: { case: "ICMPv4", value: { type: sourcePort, code: destinationPort } } } };
    case IpProtocol.icmp6:
      return { l4: { protocol: { case: "ICMPv6", value: { type: sourcePort, code: destinationPort } } } };
    default:
      return {};
  }
}

/** Bits of the TCP header's flag byte (RFC 9293), in the order they are printed. */
export const tcpFlagBits = [
  ["SYN", 0x02],
  ["ACK", 0x10],
  ["RST", 0x04],
  ["FIN", 0x01],
  ["PSH", 0x08],
  ["URG", 0x20],
  ["ECE", 0x40],
  ["CWR", 0x80],
] as const;

function tcpFlags(bits: number): Record<string, boolean> {
  return Object.fromEntries(tcpFlagBits.map(([name, bit]) => [name, (bits & bit) !== 0]));
}

function summaryOf(record: RecordCursor): string {
  const { proto } = record;
  if (proto === IpProtocol.tcp) {
    const bits = record.u8(FlowEventOffset.tcpFlags);
    const names = tcpFlagBits.filter(([, bit]) => (bits & bit) !== 0).map(([name]) => name);
    return names.length > 0 ? `TCP Flags: ${names.join(", ")}` : "TCP";
  }
  const type = record.port(FlowEventOffset.sport);
  const code = record.port(FlowEventOffset.dport);
  if (proto === IpProtocol.icmp) return `ICMPv4 ${icmp4Text(type, code)}`;
  if (proto === IpProtocol.icmp6) return `ICMPv6 ${icmp6Text(type, code)}`;
  return protocolText(proto);
}

function traceOf(record: RecordCursor): FlowInit {
  return {
    traceObservationPoint: record.u8(FlowEventOffset.point) as TraceObservationPoint,
    traceReason: record.u8(FlowEventOffset.reason) as TraceReason,
  };
}

function dropOf(record: RecordCursor): FlowInit {
  if (record.type !== EventType.drop) return {};
  const reason = record.u8(FlowEventOffset.reason);
  const name = fileNames.get(record.u8(FlowEventOffset.file));
  return {
    dropReason: reason,
    dropReasonDesc: reason as DropReason,
    ...(name !== undefined && { file: { name, line: record.u16(FlowEventOffset.line) } }),
  };
}

function servicesOf(record: RecordCursor, directory: Directory): FlowInit {
  const source = directory.service(record.u32(SlotField.srcService));
  const destination = directory.service(record.u32(SlotField.dstService));
  return {
    ...(source && { sourceService: { name: source.name, namespace: source.namespace } }),
    ...(destination && { destinationService: { name: destination.name, namespace: destination.namespace } }),
  };
}

/** Where it was seen: the interface, and whether through the tunnel. */
function placeOf(record: RecordCursor, directory: Directory): FlowInit {
  const index = record.u32(FlowEventOffset.ifindex);
  return {
    ...(index !== 0 && { interface: { index, name: directory.interfaces.get(index) ?? "" } }),
    ...(record.u16(FlowEventOffset.tunnel) !== 0 && { tunnel: { protocol: Tunnel_Protocol.VXLAN } }),
  };
}
