// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { toJson } from "@bufbuild/protobuf";
import { type FlowFilter, FlowFilterSchema } from "#api/gen/flow/flow_pb.ts";
import { FilterArguments } from "./observe-filter.ts";

const json = (filters: FlowFilter[]) =>
  filters.map((filter) => toJson(FlowFilterSchema, filter, { useProtoFieldName: true }));

function parse(...given: (readonly [string, string?])[]) {
  const filters = new FilterArguments();
  for (const [name, value] of given) filters.add(name, value ?? "");
  const { whitelist, blacklist } = filters.result();
  return { allow: json(whitelist), deny: json(blacklist) };
}

test("no filter is no filter", () => assert.deepEqual(parse(), { allow: [], deny: [] }));

test("either side becomes two filters, one side one", () => {
  assert.deepEqual(parse(["pod", "shop/a"]).allow, [
    { source_pod: ["shop/a"] },
    { destination_pod: ["shop/a"] },
  ]);
  assert.deepEqual(parse(["from-pod", "shop/a"], ["to-port", "80"], ["verdict", "dropped"]).allow, [
    { source_pod: ["shop/a"], verdict: ["DROPPED"], destination_port: ["80"] },
  ]);
  assert.deepEqual(parse(["label", "a=b"], ["protocol", "tcp"], ["protocol", "udp"]).allow, [
    { source_label: ["a=b"], protocol: ["tcp", "udp"] },
    { destination_label: ["a=b"], protocol: ["tcp", "udp"] },
  ]);
});

test("namespaces qualify names, and alone select pods", () => {
  assert.deepEqual(parse(["namespace", "shop"]).allow, [
    { source_pod: ["shop/"] },
    { destination_pod: ["shop/"] },
  ]);
  assert.deepEqual(parse(["from-namespace", "shop"], ["from-pod", "a"]).allow, [{ source_pod: ["shop/a"] }]);
  assert.deepEqual(parse(["to-namespace", "x"], ["to-service", "y"]).allow, [
    { destination_service: ["x/y"] },
  ]);
  assert.deepEqual(parse(["all-namespaces"]).allow, [{ source_pod: ["/"] }, { destination_pod: ["/"] }]);
});

test("--not is for the next filter only", () => {
  assert.deepEqual(parse(["not"], ["protocol", "icmp"], ["port", "80"], ["not"], ["from-ip", "10.0.0.0/8"]), {
    allow: [{ source_port: ["80"] }, { destination_port: ["80"] }],
    deny: [{ source_ip: ["10.0.0.0/8"], protocol: ["icmp"] }],
  });
  assert.throws(() => parse(["not"], ["not"]), { code: "E_USAGE" });
  assert.throws(() => parse(["not"]), { code: "E_USAGE", message: /not followed/ });
});

test("values are read as people write them", () => {
  const [filter] = parse(
    ["type", "drop"],
    ["type", "trace:to-endpoint"],
    ["type", "trace:from-network"],
    ["tcp-flags", "syn,ack"],
    ["to-identity", "world"],
    ["to-identity", "1234"],
    ["ipv6"],
    ["traffic-direction", "egress"],
    ["to-workload", "Deployment/front"],
    ["drop-reason-desc", "policy_denied"],
    ["reply", "false"],
  ).allow;
  assert.deepEqual(filter, {
    event_type: [
      { type: 1 },
      { type: 4, match_sub_type: true },
      { type: 4, match_sub_type: true, sub_type: 10 },
    ],
    tcp_flags: [{ SYN: true, ACK: true }],
    destination_identity: [2, 1234],
    ip_version: ["IPv6"],
    traffic_direction: ["EGRESS"],
    destination_workload: [{ name: "front", kind: "Deployment" }],
    drop_reason_desc: ["POLICY_DENIED"],
    reply: [false],
  });
});

test("what cannot be is refused by name", () => {
  for (const [name, value] of [
    ["verdict", "SHINY"],
    ["type", "bang"],
    ["identity", "nobody"],
    ["tcp-flags", "XYZ"],
    ["traffic-direction", "up"],
    ["ip-version", "5"],
  ] as const) {
    assert.throws(
      () => parse([name, value]),
      (error: Error) => error.message.includes(value) && error.message.includes(name),
      name,
    );
  }
  assert.throws(() => parse(["pod", "a"], ["from-pod", "b"]), {
    message: "filters --pod and --from-pod cannot be combined",
  });
});
