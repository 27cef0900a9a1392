// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, isFieldSet, type MessageInitShape } from "@bufbuild/protobuf";
import { FlowFilterSchema } from "#api/gen/flow/flow_pb.ts";
import { EventFlag } from "#datapath/layouts/enums.ts";
import type { EventFields } from "#kit/flow-events.ts";
import { shop, testStore } from "#kit/flow-store.ts";
import { buildFilter } from "./filter.ts";
import { flowUuid } from "./uuid.ts";

type FilterInit = Exclude<MessageInitShape<typeof FlowFilterSchema>, { $typeName: string }>;

const open: EventFields = {
  srcIdentity: 1234,
  dstIdentity: 5678,
  srcEndpoint: 11,
  dstEndpoint: 12,
  sport: 43210,
  dport: 8080,
  tcpFlags: 0x12,
  ifindex: 9,
  frontend: 7,
};
const drop: EventFields = { ...open, type: 1, reason: 133, point: 5 };
const ping: EventFields = { ...open, proto: 1, sport: 8, dport: 0, flags: EventFlag.reply };
const six: EventFields = {
  ...open,
  saddr: "fd00::1",
  daddr: "2001:db8::7",
  dstIdentity: 2,
  dstEndpoint: 0,
  frontend: 0,
  proto: 17,
  point: 4,
};
const audit: EventFields = { ...open, type: 5, flags: EventFlag.audit | EventFlag.ingress };
const all = { open, drop, ping, six, audit };

const built = testStore();
built.update(shop);
built.add(...Object.values(all));

/** Names of the events that pass. */
function passing(whitelist: FilterInit[], blacklist: FilterInit[] = []): string {
  const make = (filters: FilterInit[]) => filters.map((filter) => create(FlowFilterSchema, filter));
  const match = buildFilter(make(whitelist), make(blacklist), built.store);
  const cursor = built.store.ring.cursor();
  return Object.keys(all)
    .filter((_, i) => built.store.ring.seek(cursor, i) && match(cursor))
    .join(" ");
}

const everything = "open drop ping six audit";
const cases: readonly (readonly [FilterInit, string])[] = [
  [{ sourceIp: ["10.0.0.1"] }, "open drop ping audit"],
  [{ sourceIp: ["10.0.0.0/31"] }, "open drop ping audit"],
  [{ sourceIp: ["10.0.0.2/31"] }, ""],
  [{ destinationIp: ["2001:db8::/32", "192.0.2.1"] }, "six"],
  [{ sourcePod: ["shop/client"] }, everything],
  [{ destinationPod: ["shop/"] }, "open drop ping audit"],
  [{ destinationPod: ["/"] }, "open drop ping audit"],
  [{ sourcePod: ["client"] }, ""],
  [{ sourceLabel: ["app=client"] }, everything],
  [{ sourceLabel: ["k8s:app in (x, client),!tier"] }, everything],
  [{ destinationLabel: ["reserved:world"] }, "six"],
  [{ destinationLabel: ["app!=front", "nothing"] }, "six"],
  [{ destinationLabel: ["app notin (front)"] }, "six"],
  [{ destinationService: ["shop/fr"] }, "open drop audit"],
  [{ sourceService: ["shop/front"] }, "ping"],
  [{ destinationWorkload: [{ name: "front" }] }, "open drop ping audit"],
  [{ sourceWorkload: [{ kind: "StatefulSet", name: "client" }] }, ""],
  [{ sourceClusterName: ["te*"] }, everything],
  [{ destinationClusterName: ["test"] }, "open drop ping audit"],
  [{ sourceFqdn: ["*.example.com"] }, ""],
  [{ verdict: [1] }, "open ping six"],
  [{ verdict: [2, 4] }, "drop audit"],
  [{ dropReasonDesc: [133] }, "drop"],
  [{ dropReasonDesc: [181] }, ""],
  [{ eventType: [{ type: 4 }] }, "open ping six"],
  [{ eventType: [{ type: 4, matchSubType: true, subType: 4 }] }, "six"],
  [{ eventType: [{ type: 5 }, { type: 1, matchSubType: true, subType: 133 }] }, "drop audit"],
  [{ trafficDirection: [1] }, "open audit"],
  [{ trafficDirection: [2] }, "drop ping six"],
  [{ reply: [true] }, "ping"],
  [{ protocol: ["ICMP"] }, "ping"],
  [{ protocol: ["tcp", "udp"] }, "open drop six audit"],
  [{ protocol: ["http"] }, ""],
  [{ sourcePort: ["43210"] }, "open drop six audit"],
  [{ destinationPort: ["80", "8080"] }, "open drop six audit"],
  [{ sourceIdentity: [1234, 1] }, everything],
  [{ destinationIdentity: [2] }, "six"],
  [{ tcpFlags: [{ SYN: true, ACK: true }] }, "open drop audit"],
  [{ tcpFlags: [{ FIN: true }, { SYN: true, RST: true }] }, ""],
  [{ nodeName: ["n*"] }, everything],
  [{ nodeName: ["test/"] }, everything],
  [{ nodeName: ["other/n1", "n2"] }, ""],
  [{ nodeLabels: ["kubernetes.io/hostname=n1"] }, everything],
  [{ ipVersion: [2] }, "six"],
  [{ interface: [{ name: "weft12" }] }, "open drop ping six audit"],
  [{ interface: [{ index: 8 }] }, ""],
  [{ encrypted: [true] }, ""],
  [{ uuid: [flowUuid(built.store.node.run, 1)] }, "drop"],
  [{ sourcePod: ["shop/client"], destinationPort: ["8080"], protocol: ["udp"] }, "six"],
  [{}, everything],
];

for (const [filter, expected] of cases) {
  test(`${JSON.stringify(filter)} passes ${expected || "nothing"}`, () =>
    assert.equal(passing([filter]), expected));
}

test("filters of a list are alternatives, a blacklist takes away", () => {
  assert.equal(passing([{ verdict: [2] }, { protocol: ["icmp"] }]), "drop ping");
  assert.equal(passing([], [{ verdict: [2] }, { protocol: ["icmp"] }]), "open six audit");
  assert.equal(passing([{ ipVersion: [1] }], [{ verdict: [1], protocol: ["tcp"] }]), "drop ping audit");
});

test("what cannot be judged is refused, naming the field", () => {
  const bad: readonly FilterInit[] = [
    { sourceIp: ["10.0.0.0/33"] },
    { destinationPort: ["http"] },
    { sourcePod: [""] },
    { sourcePod: ["a/b/c"] },
    { destinationLabel: ["a=b=c"] },
    { sourceLabel: ["in (a)"] },
    { protocol: ["ospf"] },
    { tcpFlags: [{ NS: true }] },
    { nodeName: ["a/b/c"] },
    { sourceFqdn: ["a b"] },
    { httpStatusCode: ["5+"] },
    { dnsQuery: ["x"] },
    { traceId: ["x"] },
    { ipTraceId: [1n] },
    { sourceIpXlated: ["10.0.0.1"] },
    { experimental: { celExpression: ["true"] } },
  ];
  for (const filter of bad) {
    const message = create(FlowFilterSchema, filter);
    const field = FlowFilterSchema.fields.find((candidate) => isFieldSet(message, candidate))!;
    assert.throws(
      () => passing([filter]),
      (error: Error & { code?: string }) => error.code === "E_FILTER" && error.message.includes(field.name),
      JSON.stringify(Object.keys(filter)),
    );
  }
});
