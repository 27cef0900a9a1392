// SPDX-License-Identifier: Apache-2.0
import { isAddress, parseAddress } from "#model/ip.ts";
import { type PortQuestion, portText, protocolNumber } from "#model/port.ts";
import type { OfflineCluster } from "./cluster.ts";
import { findPod, type Party } from "./ends.ts";

/** One side of a recorded flow. */
export interface FlowEnd {
  readonly address: string;
  readonly namespace: string;
  readonly pod: string;
  /** "": not known. */
  readonly workload: string;
  readonly labels: readonly string[];
  readonly service: string;
}

/** A flow as the Observer API tells it, as far as policy is concerned. */
export interface RecordedFlow extends PortQuestion {
  readonly uuid: string;
  readonly time: string;
  /** `FORWARDED`, `DROPPED`, `AUDIT`, … */
  readonly verdict: string;
  /** `POLICY_DENIED` and the like; "" of what was not dropped. */
  readonly dropReason: string;
  /** Seen where it came in, not only where it left. */
  readonly delivered: boolean;
  readonly from: FlowEnd;
  readonly to: FlowEnd;
}

type Json = Readonly<Record<string, unknown>>;

function at(value: unknown, ...path: readonly string[]): unknown {
  let found = value;
  for (const key of path)
    found = typeof found === "object" && found !== null ? (found as Json)[key] : undefined;
  return found;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : "";
}

/**
 * Reads a flow from JSON: a line of `weft observe -o json` (or hubble's), or the flow by itself. Undefined for what is no question to policy: a
 * reply, a note of lost events, a flow without addresses or ports.
 */
export function readFlow(line: unknown): RecordedFlow | undefined {
  const flow = at(line, "flow") ?? line;
  return at(flow, "is_reply") === true ? undefined : read(line, flow, ["source", "destination"]);
}

/** {@link readFlow}, and of a reply the connection that it answers. */
export function readOpening(line: unknown): RecordedFlow | undefined {
  const flow = at(line, "flow") ?? line;
  return at(flow, "is_reply") === true ? read(line, flow, ["destination", "source"]) : readFlow(line);
}

type Side = "source" | "destination";

/** What answers to echo requests. */
const echoRequests: Readonly<Record<number, number>> = { 0: 8, 129: 128 };

function read(line: unknown, flow: unknown, [from, to]: readonly [Side, Side]): RecordedFlow | undefined {
  const layer4 = Object.entries((at(flow, "l4") as Json | undefined) ?? {})[0];
  if (at(flow, "IP") === undefined || !layer4) return undefined;
  const [protocol, fields] = layer4;
  const proto = protocolNumber(protocol === "ICMPv4" ? "ICMP" : protocol);
  if (proto === 0) return undefined;
  const type = Number(at(fields, "type") ?? 0);
  const port = protocol.startsWith("ICMP")
    ? from === "source"
      ? type
      : (echoRequests[type] ?? type)
    : Number(at(fields, `${to}_port`) ?? 0);
  return {
    uuid: text(at(flow, "uuid")),
    time: text(at(flow, "time") ?? at(line, "time")),
    verdict: text(at(flow, "verdict")),
    dropReason: at(flow, "verdict") === "DROPPED" ? text(at(flow, "drop_reason_desc")) : "",
    delivered: at(flow, "verdict") !== "DROPPED" && at(flow, "traffic_direction") === "INGRESS",
    proto,
    port,
    from: endOf(flow, from),
    to: endOf(flow, to),
  };
}

function endOf(flow: unknown, side: Side): FlowEnd {
  const end = at(flow, side);
  const workloads = at(end, "workloads");
  const labels = at(end, "labels");
  return {
    address: text(at(flow, "IP", side)),
    namespace: text(at(end, "namespace")),
    pod: text(at(end, "pod_name")),
    workload: Array.isArray(workloads) ? text(at(workloads[0], "name")) : "",
    labels: Array.isArray(labels) ? labels.map(text) : [],
    service: text(at(flow, `${side}_service`, "name")),
  };
}

/** Flows denied by policy: nothing allowed them, or a rule denied them. */
export function deniedByPolicy({ verdict, dropReason }: RecordedFlow): boolean {
  return verdict === "DROPPED" && (dropReason === "POLICY_DENIED" || dropReason === "POLICY_DENY");
}

/** Who that is in a cluster; undefined: a pod it does not have. */
export function flowParty(cluster: OfflineCluster, end: FlowEnd): Party | undefined {
  if (end.pod !== "") {
    const names = [end.pod, ...(end.workload === "" ? [] : [end.workload])];
    const found = names.map((name) => findPod(cluster, `${end.namespace}/${name}`)).find(Boolean);
    return found && { kind: "pod", pod: found };
  }
  const reserved = end.labels.find((label) =>
    /^reserved:(host|remote-node|kube-apiserver|health|ingress)$/.test(label),
  );
  const node = cluster.nodes.find(({ addresses }) => addresses.some((one) => one === end.address));
  if (reserved && !node) {
    const address = isAddress(end.address) ? { address: parseAddress(end.address) } : {};
    return { kind: "reserved", name: reserved.slice("reserved:".length), ...address };
  }
  if (!isAddress(end.address)) return undefined;
  const address = parseAddress(end.address);
  const service = cluster.services.find(({ addresses }) => addresses.includes(address));
  if (service) return { kind: "service", service };
  const pod = cluster.pods.find((one) => !one.hostNetwork && one.addresses.includes(address));
  if (pod) return { kind: "pod", pod };
  return node ? { kind: "node", node, address } : { kind: "address", address };
}

/** What people call that side: the workload, the pod, or the address. */
export function flowEndText({ namespace, workload, pod, address, labels }: FlowEnd, party?: Party): string {
  if (party?.kind === "pod") return `${party.pod.namespace}/${party.pod.workload}`;
  if (party?.kind === "node") return `node:${party.node.name}`;
  if (pod !== "") return `${namespace}/${workload || pod}`;
  const reserved = labels.find(
    (label) => label.startsWith("reserved:") && !label.startsWith("reserved:world"),
  );
  return reserved ? `${reserved.slice("reserved:".length)} ${address}` : address;
}

/** Names of both sides and the port: flows of the same text are one connection to people. */
export function flowText(cluster: OfflineCluster, flow: RecordedFlow): string {
  const [from, to] = [flow.from, flow.to].map((end) => flowEndText(end, flowParty(cluster, end)));
  return `${from} → ${to} ${portText(flow)}`;
}
