// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseManifest } from "#k8s/manifest.ts";
import fc from "#kit/property.ts";
import { type PortQuestion, parsePort, protocolName } from "#model/port.ts";
import { loadCluster, type OfflineCluster } from "./cluster.ts";
import { type RecordedFlow, readFlow, readOpening } from "./flows.ts";
import { generate } from "./generate.ts";
import { createJudge } from "./judge.ts";
import { truthTable } from "./matrix.ts";
import { preview, verdictOf } from "./preview.ts";

const shop = join(import.meta.dirname, "../../../examples/shop");
const texts = globSync("*.yaml", { cwd: shop }).map((file) => readFileSync(join(shop, file), "utf8"));

function clusterOf(...all: readonly string[]): OfflineCluster {
  return loadCluster(all.flatMap((text, i) => parseManifest(`${i}.yaml`, text)));
}

interface Side {
  readonly name: string;
  readonly address?: string;
}

/** A line as `weft observe -o json` prints it. */
function line(from: Side, to: Side, port: PortQuestion, more: object = {}): object {
  const side = ({ name }: Side) => {
    const [namespace, pod] = name.split("/");
    return pod === undefined
      ? { labels: ["reserved:world"] }
      : { namespace, pod_name: pod === "database" ? "database-0" : `${pod}-7d9c8b5f4-x2x4z` };
  };
  const protocol = protocolName(port.proto);
  const l4 =
    protocol === "ICMP"
      ? { ICMPv4: { type: port.port } }
      : { [protocol]: { source_port: 40_000, destination_port: port.port } };
  const flow = {
    uuid: "u",
    verdict: "FORWARDED",
    traffic_direction: "INGRESS",
    IP: { source: from.address ?? "10.0.0.1", destination: to.address ?? "10.0.0.2" },
    l4,
    source: side(from),
    destination: side(to),
    ...more,
  };
  return { flow, node_name: "n1" };
}

const workloads = [
  "shop/front",
  "shop/cart",
  "shop/catalogue",
  "data/database",
  "payments/payment",
  "customers/client",
];
const sides: readonly Side[] = [
  ...workloads.map((name) => ({ name })),
  { name: "world", address: "203.0.113.7" },
  { name: "world", address: "198.51.100.20" },
];
const anySide = fc.constantFrom(...sides);
const anyPort = fc.constantFrom("80/TCP", "5432/TCP", "53/UDP", "9/SCTP", "ICMP").map(parsePort);

test("lines are read as the observer writes them; replies, losses and ports nobody has are no questions", () => {
  const [front, cart] = [{ name: "shop/front" }, { name: "shop/cart" }];
  const flow = readFlow(line(front, cart, parsePort("80")))!;
  assert.deepEqual(
    [flow.from.pod, flow.to.namespace, flow.port, flow.proto],
    ["front-7d9c8b5f4-x2x4z", "shop", 80, 6],
  );
  assert.equal(readFlow(line(front, cart, parsePort("80"), { is_reply: true })), undefined);
  assert.equal(readFlow({ lost_events: { num_events_lost: "3" } }), undefined);
  assert.equal(readFlow(null), undefined);
  const dropped = readFlow(
    line(front, cart, parsePort("ICMP"), { verdict: "DROPPED", drop_reason_desc: "POLICY_DENIED" }),
  )!;
  assert.deepEqual([dropped.dropReason, dropped.port, dropped.proto], ["POLICY_DENIED", 8, 1]);
});

test("generated policies allow the flows they were made of, and of their workloads nothing else", () => {
  const bare = clusterOf(...texts.map((text) => text.replaceAll(/kind: \w*NetworkPolicy$/gm, "kind: Other")));
  assert.equal(bare.policies.length, 0);
  const cases = fc.property(
    fc.array(fc.tuple(anySide, anySide, anyPort), { minLength: 1, maxLength: 8 }),
    fc.constantFrom("NetworkPolicy" as const, "CiliumNetworkPolicy" as const),
    (list, kind) => {
      const flows = list.flatMap(([from, to, port]) => readFlow(line(from, to, port)) ?? []);
      const sayable = flows.filter(({ proto }) => kind === "CiliumNetworkPolicy" || proto !== 1);
      const { policies } = generate(bare, flows, { namespace: "shop", kind });
      const put = policies.map((object) => ({ object }));
      assert.deepEqual(preview(bare, { put }, sayable).flows.changes, []);
      const after = loadCluster([...bare.objects, ...put]);
      assert.deepEqual(
        after.policies.filter(({ row }) => row.refused),
        [],
      );
      const judge = createJudge(after);
      const known = new Set(sayable.map((flow) => keyOf(flow)));
      const isolated = new Set(
        after.pods.filter((pod) => judge.isIsolated(pod, "ingress")).map(({ workload }) => workload),
      );
      for (const { row } of truthTable(judge, { ports: [parsePort("80/TCP"), parsePort("53/UDP")] })) {
        const to = row.to.pod.replace(/-\d$/, "");
        if (
          row.verdict === "deny" ||
          !(isolated.has(to) || isolated.has(row.from.workload)) ||
          to === row.from.workload
        )
          continue;
        const key = `${row.from.workload} ${to} ${row.to.port}/${row.to.protocol}`;
        assert.ok(known.has(key), `${key} was never seen`);
      }
    },
  );
  fc.assert(cases, { numRuns: 40 });
});

function keyOf({ from, to, port, proto }: RecordedFlow): string {
  const name = (pod: string) => pod.replace(/-(7d9c8b5f4-x2x4z|0)$/, "");
  return `${name(from.pod)} ${name(to.pod)} ${port}/${protocolName(proto)}`;
}

test("what a policy stopped is told and not allowed, also where it was seen to leave", () => {
  const cluster = clusterOf(...texts);
  const [front, database] = [{ name: "shop/front" }, { name: "data/database" }];
  const flows = [
    line(front, database, parsePort("5432"), { traffic_direction: "EGRESS" }),
    line(front, database, parsePort("5432"), { verdict: "DROPPED", drop_reason_desc: "POLICY_DENIED" }),
    line(front, { name: "shop/cart" }, parsePort("7070")),
  ].flatMap((one) => readFlow(one) ?? []);
  const { policies, report } = generate(cluster, flows, { namespace: "shop", kind: "NetworkPolicy" });
  assert.deepEqual(
    policies.map(({ metadata }) => metadata.name),
    ["front-observed", "cart-observed"],
  );
  assert.deepEqual(report.dropped, [
    { flow: "shop/front → data/database 5432/TCP", count: 1, reason: "denied by policy" },
  ]);
  assert.deepEqual(report.silentWorkloads, ["shop/catalogue"]);
  assert.ok(report.unseenPorts.includes("shop/front 8080/TCP"));
  assert.deepEqual(report.withoutDns, ["shop/front", "shop/cart"]);
  assert.ok(report.besides.includes("NetworkPolicy shop/default-deny"));
});

test("what was let through before a policy came, and denied since, is not allowed; the other way round it is", () => {
  const cluster = clusterOf(...texts);
  const [front, database] = [{ name: "shop/front" }, { name: "data/database" }];
  const at = (second: number, more: object) =>
    line(front, database, parsePort("5432"), { time: `2026-11-22T15:00:0${second}Z`, ...more });
  const dropped = { verdict: "DROPPED", drop_reason_desc: "POLICY_DENIED" };
  const made = (...lines: readonly object[]) =>
    generate(
      cluster,
      lines.flatMap((one) => readFlow(one) ?? []),
      { namespace: "shop", kind: "NetworkPolicy" },
    );
  const closed = made(at(1, {}), at(2, dropped));
  assert.deepEqual([closed.policies.length, closed.report.dropped.length], [0, 1]);
  const opened = made(at(1, dropped), at(2, {}));
  assert.deepEqual([opened.policies.length, opened.report.dropped.length], [1, 0]);
});

test("a reply is explained by the connection it answers", () => {
  const [front, cart] = [
    { name: "shop/front", address: "10.0.0.1" },
    { name: "shop/cart", address: "10.0.0.2" },
  ];
  const l4 = { TCP: { source_port: 7070, destination_port: 40_000 } };
  const flow = readOpening(line(cart, front, parsePort("80"), { is_reply: true, l4 }))!;
  assert.deepEqual(
    [flow.from.pod.slice(0, 5), flow.to.pod.slice(0, 4), flow.from.address, flow.port],
    ["front", "cart", "10.0.0.1", 7070],
  );
  assert.equal(readOpening(line(cart, front, parsePort("ICMP"), { is_reply: true }))?.port, 8);
});

test("a preview tells flows, isolated pods, connections and entries", () => {
  const cluster = clusterOf(...texts);
  const text = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: lock, namespace: shop }
spec: { podSelector: { matchLabels: { app: cart } }, policyTypes: [Egress] }`;
  const flows = [line({ name: "shop/cart" }, { name: "payments/payment" }, parsePort("9000"))];
  const recorded = flows.flatMap((one) => readFlow(one) ?? []);
  const put = parseManifest("new.yaml", text);
  const told = preview(cluster, { put }, recorded);
  assert.deepEqual(told.policies, [{ policy: "NetworkPolicy shop/lock", change: "new" }]);
  assert.deepEqual(told.isolation, [
    { pod: "shop/cart", workload: "shop/cart", direction: "egress", change: "gains" },
  ]);
  assert.deepEqual(
    told.flows.changes.map(({ from, to, before, after, count }) => [from, to, before, after, count]),
    [["shop/cart", "payments/payment", "allow", "deny", 1]],
  );
  assert.ok(told.connections.some(({ from, after }) => from === "shop/cart" && after === "deny"));
  assert.ok(told.entries.after > told.entries.before);
  const with_ = loadCluster([...cluster.objects, ...put]);
  const back = preview(with_, { put: [], remove: put }, recorded);
  assert.deepEqual(back.policies, [{ policy: "NetworkPolicy shop/lock", change: "deleted" }]);
  assert.equal(back.entries.after, told.entries.before);
  assert.equal(verdictOf(createJudge(cluster), recorded[0]!)?.verdict, "allow");
});
