// SPDX-License-Identifier: Apache-2.0

const v4Types: Readonly<Record<number, string>> = {
  0: "EchoReply",
  3: "DestinationUnreachable",
  4: "SourceQuench",
  5: "Redirect",
  8: "EchoRequest",
  9: "RouterAdvertisement",
  10: "RouterSolicitation",
  11: "TimeExceeded",
  12: "ParameterProblem",
  13: "TimestampRequest",
  14: "TimestampReply",
};

const v4Unreachable = [
  "Net",
  "Host",
  "Protocol",
  "Port",
  "FragmentationNeeded",
  "SourceRoutingFailed",
  "NetUnknown",
  "HostUnknown",
  "SourceIsolated",
  "NetAdminProhibited",
  "HostAdminProhibited",
  "NetTOS",
  "HostTOS",
  "CommAdminProhibited",
  "HostPrecedence",
  "PrecedenceCutoff",
];

const v6Types: Readonly<Record<number, string>> = {
  1: "DestinationUnreachable",
  2: "PacketTooBig",
  3: "TimeExceeded",
  4: "ParameterProblem",
  128: "EchoRequest",
  129: "EchoReply",
  130: "MulticastListenerQuery",
  131: "MulticastListenerReport",
  132: "MulticastListenerDone",
  133: "RouterSolicitation",
  134: "RouterAdvertisement",
  135: "NeighborSolicitation",
  136: "NeighborAdvertisement",
  137: "Redirect",
  143: "MulticastListenerReportV2",
};

const v6Unreachable = [
  "NoRouteToDst",
  "AdminProhibited",
  "BeyondScopeOfSrc",
  "Address",
  "Port",
  "SrcAddressFailedPolicy",
  "RejectRouteToDst",
];

/** `EchoRequest`, `DestinationUnreachable(Port)`, `TimeExceeded(TTLExceeded)`; RFC 792 types, numbers when unknown. */
export function icmp4Text(type: number, code: number): string {
  const name = v4Types[type];
  if (name === undefined) return `${type}(${code})`;
  if (type === 3) return `${name}(${v4Unreachable[code] ?? code})`;
  if (type === 11) return `${name}(${code === 0 ? "TTLExceeded" : "FragmentReassemblyTimeExceeded"})`;
  return name;
}

/** As {@link icmp4Text}, RFC 4443 and RFC 4861 types. */
export function icmp6Text(type: number, code: number): string {
  const name = v6Types[type];
  if (name === undefined) return `${type}(${code})`;
  if (type === 1) return `${name}(${v6Unreachable[code] ?? code})`;
  if (type === 3) return `${name}(${code === 0 ? "HopLimitExceeded" : "FragmentReassemblyTimeExceeded"})`;
  return name;
}
