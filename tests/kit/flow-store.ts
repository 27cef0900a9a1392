// SPDX-License-Identifier: Apache-2.0
import { FlowCounters } from "#flows/counters.ts";
import { Directory } from "#flows/directory.ts";
import { Ingest } from "#flows/ingest.ts";
import type { DirectoryUpdate } from "#flows/messages.ts";
import type { FlowStore } from "#flows/observer.ts";
import { FlowRing } from "#flows/ring.ts";
import { type EventFields, flowEvent } from "./flow-events.ts";

export interface TestStore {
  readonly store: FlowStore;
  readonly ingest: Ingest;
  /** Takes the events in as one batch. Their times are nanoseconds since the epoch. */
  add(...events: EventFields[]): void;
  update(update: DirectoryUpdate): void;
}

/** A flow store without kernel: events come from the test. */
export function testStore(capacity = 1_023, nodeName = "test/n1"): TestStore {
  const ring = new FlowRing(capacity);
  const directory = new Directory();
  const counters = new FlowCounters();
  const ingest = new Ingest({ ring, directory, counters, bootOffsetNs: () => 0n });
  const node = { nodeName, clusterName: nodeName.split("/")[0]!, run: 0x0123456789abcdefn };
  return {
    store: { ring, directory, counters, node, version: "weft test", startedMs: performance.now() },
    ingest,
    add(...events) {
      for (const fields of events) {
        const view = flowEvent(fields);
        ingest.record(view, 0, view.byteLength);
      }
      ingest.endBatch(events.length);
    },
    update: (update) => directory.apply(update, ring.next, performance.now()),
  };
}

/** The shop's client and front, with identities 1234 and 5678, a service and two policies. */
export const shop: DirectoryUpdate = {
  parties: {
    put: [
      {
        key: "shop/client-xyz",
        namespace: "shop",
        pod: "client-xyz",
        addresses: ["10.0.0.1", "fd00::1"],
        endpoint: 11,
        workloads: [{ kind: "Deployment", name: "client" }],
      },
      {
        key: "shop/front-abc",
        namespace: "shop",
        pod: "front-abc",
        addresses: ["10.0.0.2", "fd00::2"],
        endpoint: 12,
        workloads: [{ kind: "Deployment", name: "front" }],
      },
    ],
    delete: [],
  },
  identities: {
    put: [
      { key: "1234", id: 1234, labels: ["k8s:app=client", "k8s:io.kubernetes.pod.namespace=shop"] },
      { key: "5678", id: 5678, labels: ["k8s:app=front", "k8s:io.kubernetes.pod.namespace=shop"] },
      { key: "2", id: 2, labels: ["reserved:world"] },
    ],
    delete: [],
  },
  services: {
    put: [
      {
        key: "shop/front:80",
        namespace: "shop",
        name: "front",
        address: "10.96.0.7",
        port: 80,
        proto: 6,
      },
    ],
    delete: [],
  },
  frontends: { put: [{ key: "7", id: 7, namespace: "shop", name: "front" }], delete: [] },
  rules: {
    put: [
      {
        key: "77",
        id: 77,
        origins: [
          {
            kind: "NetworkPolicy",
            namespace: "shop",
            name: "front-from-client",
            uid: "u1",
            fields: ["spec.ingress[0]"],
            ruleNames: [],
            labels: [],
            log: [],
            sources: [],
          },
        ],
      },
      {
        key: "78",
        id: 78,
        origins: [
          {
            kind: "CiliumNetworkPolicy",
            namespace: "shop",
            name: "no-db",
            uid: "u2",
            ruleNames: [],
            labels: [],
            log: ["seen"],
            sources: [],
            fields: [],
          },
        ],
      },
    ],
    delete: [],
  },
  interfaces: { put: [{ key: "12", index: 9, name: "weft12" }], delete: [] },
  nodeLabels: ["k8s:kubernetes.io/hostname=n1"],
};
