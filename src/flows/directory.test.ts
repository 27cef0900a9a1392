// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { flowEvent } from "#kit/flow-events.ts";
import { FlowCounters } from "./counters.ts";
import { decodeFlow } from "./decode.ts";
import { Directory } from "./directory.ts";
import { Ingest } from "./ingest.ts";
import type { Party } from "./messages.ts";
import { FlowRing } from "./ring.ts";

const node = { nodeName: "c/n", clusterName: "c", run: 1n };

/** A ring with names, and a hand on the clock. */
function world(capacity = 7) {
  const ring = new FlowRing(capacity);
  const directory = new Directory();
  const ingest = new Ingest({ ring, directory, counters: new FlowCounters(), bootOffsetNs: () => 0n });
  let nowMs = 1_000_000;
  return {
    ring,
    directory,
    at: (ms: number) => {
      nowMs = ms;
      directory.tick(ring.next, ring.oldest, nowMs);
    },
    put: (...parties: Party[]) =>
      directory.apply({ parties: { put: parties, delete: [] } }, ring.next, nowMs),
    remove: (...keys: string[]) => directory.apply({ parties: { put: [], delete: keys } }, ring.next, nowMs),
    packet: (saddr = "10.0.0.1", srcEndpoint = 0) =>
      ingest.record(flowEvent({ saddr, srcEndpoint, frontend: 7, srcIdentity: 9 }), 0, 104),
    flow(sequence: number) {
      const cursor = ring.cursor();
      assert.ok(ring.seek(cursor, sequence));
      return decodeFlow(cursor, directory, node);
    },
  };
}

function pod(name: string, address = "10.0.0.1", more: Partial<Party> = {}): Party {
  return {
    key: `ns/${name}`,
    namespace: "ns",
    pod: name,
    addresses: [address],
    endpoint: 0,
    workloads: [],
    ...more,
  };
}

test("a flow keeps the name its address had when it was seen", () => {
  const { put, remove, packet, flow, at } = world();
  put(pod("old"));
  packet();
  remove("ns/old");
  put(pod("new"));
  packet();
  at(1_010_000);
  assert.deepEqual([flow(0).source?.podName, flow(1).source?.podName], ["old", "new"]);
});

test("the last packets of a pod that went still belong to it, later ones to nobody", () => {
  const { put, remove, packet, flow, at } = world();
  put(pod("gone", "10.0.0.1", { endpoint: 5 }));
  remove("ns/gone");
  packet("10.0.0.1", 5);
  at(1_002_000);
  packet("10.0.0.1", 5);
  assert.deepEqual([flow(0).source?.podName, flow(1).source?.podName], ["gone", ""]);
});

test("more about the same pod is told of its earlier flows too", () => {
  const { put, packet, flow } = world();
  put(pod("a"));
  packet();
  put(pod("a", "10.0.0.1", { workloads: [{ kind: "Deployment", name: "w" }] }));
  assert.equal(flow(0).source?.workloads[0]?.name, "w");
});

test("numbers are used again only when no record can refer to the old name", () => {
  const { put, remove, packet, flow, at, ring } = world(7);
  put(pod("first"));
  packet();
  remove("ns/first");
  at(1_010_000);
  put(pod("second", "10.0.0.2"));
  assert.equal(flow(0).source?.podName, "first");
  for (let i = 0; i < 7; i++) packet("10.0.0.2");
  at(1_020_000);
  put(pod("third", "10.0.0.3"));
  packet("10.0.0.3");
  assert.equal(flow(8).source?.podName, "third");
  assert.equal(ring.seek(ring.cursor(), 0), false);
});

test("services by the number of their frontend, identities by theirs, outlive their removal while flows show them", () => {
  const { directory, packet, flow, at, ring } = world();
  const frontend = (name: string) => ({ key: "7", id: 7, namespace: "ns", name });
  directory.apply(
    {
      frontends: { put: [frontend("one")], delete: [] },
      identities: { put: [{ key: "9", id: 9, labels: ["k8s:a=b"] }], delete: [] },
    },
    ring.next,
    0,
  );
  packet();
  directory.apply(
    { frontends: { put: [frontend("two")], delete: [] }, identities: { put: [], delete: ["9"] } },
    ring.next,
    0,
  );
  packet();
  at(1_010_000);
  assert.deepEqual([flow(0).destinationService?.name, flow(1).destinationService?.name], ["one", "two"]);
  assert.deepEqual(flow(1).source?.labels, ["k8s:a=b"]);
  for (let i = 0; i < 8; i++) packet();
  at(1_020_000);
  assert.deepEqual(flow(9).source?.labels, []);
});

test("IPv6 addresses are told apart", () => {
  const { put, packet, flow } = world();
  put(pod("six", "fd00::1"), pod("other", "fd00::1:0:0:1"));
  packet("fd00::1");
  packet("fd00::1:0:0:1");
  assert.deepEqual([flow(0).source?.podName, flow(1).source?.podName], ["six", "other"]);
});
