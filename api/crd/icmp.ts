// SPDX-License-Identifier: Apache-2.0

/** ICMP message types by the names CiliumNetworkPolicy takes; numbers: IANA "ICMP Type Numbers" and "ICMPv6 'type' Numbers". */

const icmpV4Types: Readonly<Record<string, number>> = {
  EchoReply: 0,
  DestinationUnreachable: 3,
  Redirect: 5,
  Echo: 8,
  EchoRequest: 8,
  RouterAdvertisement: 9,
  RouterSelection: 10,
  TimeExceeded: 11,
  ParameterProblem: 12,
  Timestamp: 13,
  TimestampReply: 14,
  Photuris: 40,
  ExtendedEchoRequest: 42,
  "ExtendedEcho Reply": 43,
  ExtendedEchoReply: 43,
};

const icmpV6Types: Readonly<Record<string, number>> = {
  DestinationUnreachable: 1,
  PacketTooBig: 2,
  TimeExceeded: 3,
  ParameterProblem: 4,
  EchoRequest: 128,
  EchoReply: 129,
  MulticastListenerQuery: 130,
  MulticastListenerReport: 131,
  MulticastListenerDone: 132,
  RouterSolicitation: 133,
  RouterAdvertisement: 134,
  NeighborSolicitation: 135,
  NeighborAdvertisement: 136,
  RedirectMessage: 137,
  RouterRenumbering: 138,
  ICMPNodeInformationQuery: 139,
  ICMPNodeInformationResponse: 140,
  InverseNeighborDiscoverySolicitation: 141,
  InverseNeighborDiscoveryAdvertisement: 142,
  HomeAgentAddressDiscoveryRequest: 144,
  HomeAgentAddressDiscoveryReply: 145,
  MobilePrefixSolicitation: 146,
  MobilePrefixAdvertisement: 147,
  DuplicateAddressRequestCodeSuffix: 157,
  DuplicateAddressConfirmationCodeSuffix: 158,
};

/** The type's number; undefined when the family has no such type. */
export function icmpType(family: "IPv4" | "IPv6", type: number | string): number | undefined {
  const number = typeof type === "string" && /^\d+$/.test(type) ? Number(type) : type;
  if (typeof number === "number")
    return Number.isInteger(number) && number >= 0 && number <= 255 ? number : undefined;
  return (family === "IPv4" ? icmpV4Types : icmpV6Types)[number];
}
