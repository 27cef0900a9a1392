// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import type { EndpointSlice, Service } from "../objects.ts";
import { type DnsView, resolveName } from "./records.ts";
import { RecordType } from "./wire.ts";

function service(name: string, spec: Service["spec"]): Service {
  return { apiVersion: "v1", kind: "Service", metadata: { name, namespace: "shop" }, spec };
}

const ports = [{ name: "http", port: 80, protocol: "TCP" }];
const services = [
  service("web", { clusterIP: "10.96.0.5", clusterIPs: ["10.96.0.5", "fd00::5"], ports }),
  service("db", { clusterIP: "None", ports }),
  service("ext", { type: "ExternalName", externalName: "example.org" }),
];
const slice: EndpointSlice = {
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { name: "db-1", namespace: "shop" },
  addressType: "IPv4",
  endpoints: [
    { addresses: ["10.244.1.7"], hostname: "db-0", conditions: { ready: true } },
    { addresses: ["10.244.1.8"], hostname: "db-1", conditions: { ready: false } },
  ],
  ports: [{ name: "http", port: 8080 }],
};
const view: DnsView = {
  service: (namespace, name) => services.find((one) => namespace === "shop" && one.metadata.name === name),
  slices: (_namespace, name) => (name === "db" ? [slice] : []),
  hasNamespace: (name) => name === "shop",
};

function ask(name: string, type: number = RecordType.A): { code: number; answers: string[] } {
  const { code, records } = resolveName(view, { name, type });
  const answers = records.map((one) =>
    "address" in one ? one.address : one.type === "SRV" ? `${one.port} ${one.target}` : one.target,
  );
  return { code, answers };
}

const cases: [string, number, { code: number; answers: string[] }][] = [
  ["web.shop.svc.cluster.local", RecordType.A, { code: 0, answers: ["10.96.0.5"] }],
  ["web.shop.svc.cluster.local", RecordType.AAAA, { code: 0, answers: ["fd00::5"] }],
  [
    "_http._tcp.web.shop.svc.cluster.local",
    RecordType.SRV,
    { code: 0, answers: ["80 web.shop.svc.cluster.local"] },
  ],
  ["db.shop.svc.cluster.local", RecordType.A, { code: 0, answers: ["10.244.1.7"] }],
  ["db-0.db.shop.svc.cluster.local", RecordType.A, { code: 0, answers: ["10.244.1.7"] }],
  ["db-9.db.shop.svc.cluster.local", RecordType.A, { code: 3, answers: [] }],
  ["ext.shop.svc.cluster.local", RecordType.A, { code: 0, answers: ["example.org"] }],
  ["10-244-1-7.shop.pod.cluster.local", RecordType.A, { code: 0, answers: ["10.244.1.7"] }],
  ["none.shop.svc.cluster.local", RecordType.A, { code: 3, answers: [] }],
  ["web.other.svc.cluster.local", RecordType.A, { code: 3, answers: [] }],
  ["shop.svc.cluster.local", RecordType.A, { code: 0, answers: [] }],
  ["example.org", RecordType.A, { code: 3, answers: [] }],
];

for (const [name, type, wanted] of cases) {
  test(`${name} (type ${type})`, () => assert.deepEqual(ask(name, type), wanted));
}
