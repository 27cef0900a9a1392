// SPDX-License-Identifier: Apache-2.0
import { isFieldSet } from "@bufbuild/protobuf";
import { type FlowFilter, FlowFilterSchema } from "#api/gen/flow/flow_pb.ts";
import { EventFlag, EventType } from "#datapath/layouts/enums.ts";
import { WeftError } from "#lib/errors.ts";
import type { NodeContext } from "./decode.ts";
import { subTypeOf, verdictOf } from "./decode.ts";
import type { Directory } from "./directory.ts";
import {
  directionMatch,
  eventTypeMatch,
  interfaceMatch,
  ipVersionMatch,
  protocolMatch,
  tcpFlagsMatch,
  uuidMatch,
} from "./filter-kinds.ts";
import {
  clusterMatch,
  fqdnMatch,
  labelMatch,
  nodeLabelMatch,
  nodeNameMatch,
  podMatch,
  serviceMatch,
  workloadMatch,
} from "./filter-names.ts";
import { cidrMatch, identityMatch, portMatch } from "./filter-numbers.ts";
import type { Match } from "./match.ts";

export interface FilterContext {
  readonly directory: Directory;
  readonly node: NodeContext;
}

type Build = (filter: FlowFilter, context: FilterContext) => Match;

/** One entry per field of FlowFilter that can be judged; the values of a field are alternatives. */
const fields: Readonly<Record<string, Build>> = {
  uuid: (f, { node }) => uuidMatch(f.uuid, node.run),
  source_ip: (f) => cidrMatch(f.sourceIp, "source_ip", "saddr"),
  destination_ip: (f) => cidrMatch(f.destinationIp, "destination_ip", "daddr"),
  source_pod: (f, { directory }) => podMatch(f.sourcePod, "source_pod", "srcParty", directory),
  destination_pod: (f, { directory }) => podMatch(f.destinationPod, "destination_pod", "dstParty", directory),
  source_fqdn: (f) => fqdnMatch(f.sourceFqdn, "source_fqdn"),
  destination_fqdn: (f) => fqdnMatch(f.destinationFqdn, "destination_fqdn"),
  source_label: (f, { directory }) => labelMatch(f.sourceLabel, "source_label", "srcIdentity", directory),
  destination_label: (f, { directory }) =>
    labelMatch(f.destinationLabel, "destination_label", "dstIdentity", directory),
  source_service: (f, { directory }) =>
    serviceMatch(f.sourceService, "source_service", "srcService", directory),
  destination_service: (f, { directory }) =>
    serviceMatch(f.destinationService, "destination_service", "dstService", directory),
  source_workload: (f, { directory }) => workloadMatch(f.sourceWorkload, "srcParty", directory),
  destination_workload: (f, { directory }) => workloadMatch(f.destinationWorkload, "dstParty", directory),
  source_cluster_name: (f, { node }) =>
    clusterMatch(f.sourceClusterName, "source_cluster_name", "srcParty", node.clusterName),
  destination_cluster_name: (f, { node }) =>
    clusterMatch(f.destinationClusterName, "destination_cluster_name", "dstParty", node.clusterName),
  traffic_direction: (f) => directionMatch(f.trafficDirection),
  verdict: (f) => {
    const wanted = new Set<number>(f.verdict);
    return (record) => wanted.has(verdictOf(record));
  },
  drop_reason_desc: (f) => {
    const wanted = new Set<number>(f.dropReasonDesc);
    return (record) => record.type === EventType.drop && wanted.has(subTypeOf(record));
  },
  interface: (f, { directory }) => interfaceMatch(f.interface, directory),
  event_type: (f) => eventTypeMatch(f.eventType),
  protocol: (f) => protocolMatch(f.protocol),
  source_port: (f) => portMatch(f.sourcePort, "source_port", "sport"),
  destination_port: (f) => portMatch(f.destinationPort, "destination_port", "dport"),
  reply: (f) => {
    const wanted = new Set(f.reply);
    return (record) => wanted.has(record.has(EventFlag.reply));
  },
  source_identity: (f) => identityMatch(f.sourceIdentity, "srcIdentity"),
  destination_identity: (f) => identityMatch(f.destinationIdentity, "dstIdentity"),
  tcp_flags: (f) => tcpFlagsMatch(f.tcpFlags),
  node_name: (f, { node }) => nodeNameMatch(f.nodeName, node.nodeName),
  node_labels: (f, { directory }) => nodeLabelMatch(f.nodeLabels, directory),
  ip_version: (f) => ipVersionMatch(f.ipVersion),
  encrypted: (f) => {
    const wanted = f.encrypted.includes(false);
    return () => wanted;
  },
};

/** A record passes when all fields of the filter that are set hold. @throws WeftError E_FILTER naming the field */
function buildOne(filter: FlowFilter, context: FilterContext): Match {
  const matches: Match[] = [];
  for (const field of FlowFilterSchema.fields) {
    if (!isFieldSet(filter, field)) continue;
    const build = fields[field.name];
    if (!build) throw new WeftError("E_FILTER", `flows cannot be filtered by ${field.name} here`);
    matches.push(build(filter, context));
  }
  if (filter.$unknown && filter.$unknown.length > 0) {
    const numbers = filter.$unknown.map(({ no }) => no).join(", ");
    throw new WeftError("E_FILTER", `unknown flow filter fields (numbers ${numbers})`);
  }
  return (record) => matches.every((match) => match(record));
}

/**
 * Passes what any filter of the whitelist wants (all, when it is empty) and none of the blacklist.
 * @throws WeftError E_FILTER for a value or field that cannot be judged
 */
export function buildFilter(
  whitelist: readonly FlowFilter[],
  blacklist: readonly FlowFilter[],
  context: FilterContext,
): Match {
  const wanted = whitelist.map((filter) => buildOne(filter, context));
  const unwanted = blacklist.map((filter) => buildOne(filter, context));
  return (record) =>
    (wanted.length === 0 || wanted.some((match) => match(record))) &&
    !unwanted.some((match) => match(record));
}
