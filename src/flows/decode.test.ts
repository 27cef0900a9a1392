// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { toJson } from "@bufbuild/protobuf";
import { type Flow, FlowSchema } from "#api/gen/flow/flow_pb.ts";
import { EventFlag } from "#datapath/layouts/enums.ts";
import type { EventFields } from "#kit/flow-events.ts";
import { shop, testStore } from "#kit/flow-store.ts";
import { decodeFlow, decodeLost } from "./decode.ts";

function decode(fields: EventFields): Flow {
  const { store, add, update } = testStore();
  update(shop);
  add(fields);
  const cursor = store.ring.cursor();
  assert.ok(store.ring.seek(cursor, 0));
  return decodeFlow(cursor, store.directory, store.node);
}

const open: EventFields = {
  timeNs: 1_700_000_000_123_456_789n,
  srcIdentity: 1234,
  dstIdentity: 5678,
  srcEndpoint: 11,
  dstEndpoint: 12,
  sport: 43210,
  dport: 8080,
  tcpFlags: 2,
  ifindex: 9,
  frontend: 7,
  flags: EventFlag.first | EventFlag.egressJudged | EventFlag.ingressJudged,
  egressRule: 0,
  ingressRule: 77,
};

test("a new connection to a pod", () => {
  const flow = toJson(FlowSchema, decode(open), { useProtoFieldName: true });
  assert.deepEqual(flow, {
    time: "2023-11-14T22:13:20.123456789Z",
    uuid: "01234567-89ab-8def-8000-000000000000",
    verdict: "FORWARDED",
    IP: { source: "10.0.0.1", destination: "10.0.0.2", ipVersion: "IPv4" },
    l4: { TCP: { source_port: 43210, destination_port: 8080, flags: { SYN: true } } },
    source: {
      ID: 11,
      identity: 1234,
      cluster_name: "test",
      namespace: "shop",
      labels: ["k8s:app=client", "k8s:io.kubernetes.pod.namespace=shop"],
      pod_name: "client-xyz",
      workloads: [{ name: "client", kind: "Deployment" }],
    },
    destination: {
      ID: 12,
      identity: 5678,
      cluster_name: "test",
      namespace: "shop",
      labels: ["k8s:app=front", "k8s:io.kubernetes.pod.namespace=shop"],
      pod_name: "front-abc",
      workloads: [{ name: "front", kind: "Deployment" }],
    },
    Type: "L3_L4",
    node_name: "test/n1",
    node_labels: ["k8s:kubernetes.io/hostname=n1"],
    event_type: { type: 4 },
    destination_service: { name: "front", namespace: "shop" },
    traffic_direction: "INGRESS",
    trace_observation_point: "TO_ENDPOINT",
    trace_reason: "NEW",
    is_reply: false,
    interface: { index: 9, name: "weft12" },
    Summary: "TCP Flags: SYN",
    ingress_allowed_by: [
      {
        name: "front-from-client",
        namespace: "shop",
        kind: "NetworkPolicy",
        labels: [
          "k8s:io.cilium.k8s.policy.derived-from=NetworkPolicy",
          "k8s:io.cilium.k8s.policy.name=front-from-client",
          "k8s:io.cilium.k8s.policy.namespace=shop",
          "k8s:io.cilium.k8s.policy.uid=u1",
          "weft:rule=spec.ingress[0]",
        ],
      },
    ],
    policy_log: ["egress: no policy selects"],
  });
});

test("a reply has the service at its source and points the other way", () => {
  const flow = decode({
    ...open,
    saddr: "10.0.0.2",
    daddr: "10.0.0.1",
    srcIdentity: 5678,
    dstIdentity: 1234,
    srcEndpoint: 12,
    dstEndpoint: 11,
    flags: EventFlag.reply,
    reason: 3,
    tcpFlags: 0x12,
  });
  assert.equal(flow.isReply, true);
  assert.equal(flow.sourceService?.name, "front");
  assert.equal(flow.destinationService, undefined);
  assert.equal(flow.trafficDirection, 2);
  assert.equal(flow.Summary, "TCP Flags: SYN, ACK");
  assert.deepEqual(flow.ingressAllowedBy, []);
});

test("a denied packet names reason, place and policy, and what allowed it before", () => {
  const flow = decode({
    ...open,
    type: 1,
    reason: 181,
    file: 1,
    line: 321,
    egressRule: 78,
    ingressRule: 77,
    flags: EventFlag.ingress | EventFlag.egressJudged,
  });
  assert.equal(flow.verdict, 2);
  assert.deepEqual(
    [flow.eventType?.type, flow.eventType?.subType, flow.dropReason, flow.dropReasonDesc],
    [1, 181, 181, 181],
  );
  assert.deepEqual([flow.file?.name, flow.file?.line], ["pod.bpf.c", 321]);
  assert.equal(flow.trafficDirection, 1);
  assert.deepEqual(
    flow.ingressDeniedBy.map(({ name }) => name),
    ["front-from-client"],
  );
  assert.deepEqual(
    flow.egressAllowedBy.map(({ name }) => name),
    ["no-db"],
  );
  assert.deepEqual(flow.policyLog, ["seen"]);
  assert.equal(flow.traceObservationPoint, 0);
});

test("an audited verdict", () => {
  const flow = decode({ ...open, type: 5, reason: 0, flags: EventFlag.audit, egressRule: 78 });
  assert.equal(flow.verdict, 4);
  assert.deepEqual([flow.eventType?.type, flow.eventType?.subType], [5, 0]);
  assert.deepEqual(
    flow.egressDeniedBy.map(({ name }) => name),
    ["no-db"],
  );
});

test("ICMPv6 over the overlay, to nobody known", () => {
  const flow = decode({
    saddr: "fd00::1",
    daddr: "2001:db8::9",
    proto: 58,
    sport: 128,
    dport: 0,
    point: 4,
    dstIdentity: 2,
    srcEndpoint: 11,
    tunnel: 1,
  });
  assert.equal(flow.IP?.ipVersion, 2);
  assert.deepEqual(flow.l4?.protocol, {
    case: "ICMPv6",
    value: { $typeName: "flow.ICMPv6", type: 128, code: 0 },
  });
  assert.equal(flow.Summary, "ICMPv6 EchoRequest");
  assert.equal(flow.destination?.podName, "");
  assert.deepEqual(flow.destination?.labels, ["reserved:world"]);
  assert.equal(flow.trafficDirection, 2);
  assert.equal(flow.eventType?.subType, 4);
  assert.equal(flow.tunnel?.protocol, 1);
});

test("a service address nobody answers for is named by its service", () => {
  const flow = decode({
    ...open,
    type: 1,
    reason: 158,
    daddr: "10.96.0.7",
    dport: 80,
    frontend: 0,
    dstEndpoint: 0,
    dstIdentity: 0,
  });
  assert.equal(flow.destinationService?.name, "front");
  assert.deepEqual([...flow.egressDeniedBy, ...flow.ingressDeniedBy], []);
});

test("a note of lost events", () => {
  const { store, ingest } = testStore();
  ingest.lost(42, 1);
  const cursor = store.ring.cursor();
  assert.ok(store.ring.seek(cursor, 0));
  const lost = decodeLost(cursor);
  assert.deepEqual([lost.source, lost.numEventsLost], [1, 42n]);
});
