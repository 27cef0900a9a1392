// SPDX-License-Identifier: Apache-2.0
import { EventType, TracePoint } from "#datapath/layouts/enums.ts";

/** `event_type.type` of a flow: the datapath uses the numbers of the API. */
export { EventType };

/** Texts of the flow API's numbers, as `observe` prints them and metrics label them. */

/** Marks a slot of the ring that says how many events were lost; never on the wire as a flow. */
export const lostRecordType = 2;

export const eventTypeNames: ReadonlyMap<number, string> = new Map([
  [EventType.drop, "drop"],
  [2, "debug"],
  [3, "capture"],
  [EventType.trace, "trace"],
  [EventType.verdict, "policy-verdict"],
  [129, "l7"],
  [130, "agent"],
  [131, "trace-sock"],
]);

/**
 * Texts by observation point. On the wire `event_type.sub_type` counts differently from `trace_observation_point`:
 * to-endpoint is 0 there, where the point has 101 because 0 means unknown.
 */
export const tracePointNames: ReadonlyMap<number, string> = new Map([
  [0, "to-endpoint"],
  [1, "to-proxy"],
  [2, "to-host"],
  [3, "to-stack"],
  [4, "to-overlay"],
  [5, "from-endpoint"],
  [6, "from-proxy"],
  [7, "from-host"],
  [8, "from-stack"],
  [9, "from-overlay"],
  [10, "from-network"],
  [11, "to-network"],
  [12, "from-crypto"],
  [13, "to-crypto"],
  [101, "to-endpoint"],
]);

/** The sub type of a trace event for an observation point. */
export function traceSubType(point: number): number {
  return point === TracePoint.toEndpoint ? 0 : point;
}

/** `policy_match_type`. */
export const policyMatchNames: ReadonlyMap<number, string> = new Map([
  [0, "none"],
  [1, "L3-Only"],
  [2, "L3-L4"],
  [3, "L4-Only"],
  [4, "all"],
  [5, "L3-Proto"],
  [6, "Proto-Only"],
]);

/** Source files of the datapath by `enum event_file`. */
export const fileNames: ReadonlyMap<number, string> = new Map([
  [1, "pod.bpf.c"],
  [2, "host.bpf.c"],
  [3, "overlay.bpf.c"],
  [4, "sock.bpf.c"],
  [5, "xdp.bpf.c"],
]);

const dropTexts: Readonly<Record<number, string>> = {
  130: "Invalid source mac",
  131: "Invalid destination mac",
  132: "Invalid source ip",
  133: "Policy denied",
  134: "Invalid packet",
  135: "CT: Truncated or invalid header",
  136: "CT: Missing TCP ACK flag",
  137: "CT: Unknown L4 protocol",
  138: "CT: Can't create entry from packet",
  139: "Unsupported L3 protocol",
  140: "Missed tail call",
  141: "Error writing to packet",
  142: "Unknown L4 protocol",
  143: "Unknown ICMPv4 code",
  144: "Unknown ICMPv4 type",
  145: "Unknown ICMPv6 code",
  146: "Unknown ICMPv6 type",
  147: "Error retrieving tunnel key",
  148: "Error retrieving tunnel options",
  149: "Invalid Geneve option",
  150: "Unknown L3 target address",
  151: "Stale or unroutable IP",
  152: "No matching local container found",
  153: "Error while correcting L3 checksum",
  154: "Error while correcting L4 checksum",
  155: "CT: Map insertion failed",
  156: "Invalid IPv6 extension header",
  157: "IP fragmentation not supported",
  158: "Service backend not found",
  160: "No tunnel/encapsulation endpoint",
  161: "Failed to insert into proxymap",
  162: "Reached EDT rate-limiting drop horizon",
  163: "Unknown connection tracking state",
  164: "Local host is unreachable",
  165: "No configuration available to perform policy decision",
  166: "Unsupported L2 protocol",
  167: "No mapping for NAT masquerade",
  168: "Unsupported protocol for NAT masquerade",
  169: "FIB lookup failed",
  170: "Encapsulation traffic is prohibited",
  171: "Invalid identity",
  172: "Unknown sender",
  173: "NAT not needed",
  174: "Is a ClusterIP",
  175: "First logical datagram fragment not found",
  176: "Forbidden ICMPv6 message",
  177: "Denied by LB src range check",
  178: "Socket lookup failed",
  179: "Socket assign failed",
  180: "Proxy redirection not supported for protocol",
  181: "Policy denied by denylist",
  182: "VLAN traffic disallowed by VLAN filter",
  183: "Incorrect VNI from VTEP",
  184: "Failed to update or lookup TC buffer",
  185: "No SID was found for the IP address",
  186: "SRv6 state was removed during tail call",
  187: "L3 translation from IPv4 to IPv6 failed (NAT46)",
  188: "L3 translation from IPv6 to IPv4 failed (NAT64)",
  189: "Authentication required",
  190: "No conntrack map found",
  191: "No nat map found",
  192: "Invalid ClusterID",
  193: "Unsupported packet protocol for DSR encapsulation",
  194: "No egress gateway found",
  195: "Traffic is unencrypted",
  196: "TTL exceeded",
  197: "No node ID found",
  198: "Rate limited",
  199: "IGMP handled",
  200: "IGMP subscribed",
  201: "Multicast handled",
  202: "Host datapath not ready",
  203: "Endpoint policy program not available",
  204: "No Egress IP configured",
  205: "Punt to proxy",
  207: "First logical datagram fragment not found (world)",
};

/** What `observe` prints as the type of a drop; a number without text is printed as the number. */
export function dropText(reason: number): string {
  return dropTexts[reason] ?? String(reason);
}

export const IpProtocol = { icmp: 1, tcp: 6, udp: 17, icmp6: 58, sctp: 132 } as const;

const protocolTexts: ReadonlyMap<number, string> = new Map([
  [IpProtocol.icmp, "ICMPv4"],
  [IpProtocol.tcp, "TCP"],
  [IpProtocol.udp, "UDP"],
  [IpProtocol.icmp6, "ICMPv6"],
  [IpProtocol.sctp, "SCTP"],
]);

/** `TCP`, `UDP`, `ICMPv4`, `ICMPv6`, `SCTP`, or "Unknown". */
export function protocolText(proto: number): string {
  return protocolTexts.get(proto) ?? "Unknown";
}
