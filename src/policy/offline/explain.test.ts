// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseManifest } from "#k8s/manifest.ts";
import { parseAddress } from "#model/ip.ts";
import { type PortQuestion, parsePort } from "#model/port.ts";
import { ask } from "./ask.ts";
import { loadCluster, type OfflineCluster, withPolicies } from "./cluster.ts";
import type { End } from "./end.ts";
import { findParties, type Party } from "./ends.ts";
import { explain } from "./explain.ts";
import { smallestChange } from "./fix.ts";
import { createJudge } from "./judge.ts";
import { truthTable } from "./matrix.ts";

const root = join(import.meta.dirname, "../../..");
const manifests = [join(root, "examples/shop"), join(root, "../shared/inputs/online-boutique")].filter(
  existsSync,
);

function clusterOf(...texts: readonly string[]): OfflineCluster {
  return loadCluster(
    texts.flatMap((text, i) =>
      parseManifest(`${i}.yaml`, text).map(({ object, file, line, lineOf }) => ({
        object,
        sourceOf: (field: string) => `${file}:${field === "" ? line : lineOf(field)}`,
      })),
    ),
  );
}

const directory = (path: string) =>
  clusterOf(...globSync("*.yaml", { cwd: path }).map((file) => readFileSync(join(path, file), "utf8")));

/** Applies what is told, and asks again. */
function afterChange(cluster: OfflineCluster, from: End, to: Party, port: PortQuestion): OfflineCluster {
  const judge = createJudge(cluster);
  const { change } = explain(judge, { from, to, port }, ask(judge, from, to, port));
  const removed = change.filter(({ action }) => action === "delete");
  return withPolicies(cluster, {
    put: change
      .filter(({ action }) => action === "apply")
      .flatMap(({ yaml }) => parseManifest("change", yaml)),
    remove: removed.map(({ object: { kind, metadata } }) => `${kind} ${metadata.namespace}/${metadata.name}`),
  });
}

const asked = [parsePort("443/TCP"), parsePort("53/UDP"), parsePort("ICMP")];
const outside = [parseAddress("203.0.113.7"), parseAddress("2001:db8::5")];

for (const path of manifests) {
  test(`whatever the policies of ${path.slice(path.lastIndexOf("/") + 1)} deny, the change told allows, and denies nobody else`, () => {
    const cluster = directory(path);
    const judge = createJudge(cluster);
    const before = truthTable(judge, { pods: true });
    const more = truthTable(judge, { ports: asked, externals: outside });
    const denied = [...before, ...more].filter(({ answer }) => answer.verdict === "deny");
    assert.ok(denied.length > 50, `${denied.length} denied`);
    for (const { from, to, answer, row } of denied.filter(
      (_, i) => i % Math.ceil(denied.length / 30) === 0,
    )) {
      const port = answer.paths[0]!;
      const target = to.kind === "service" ? port.to : to;
      const after = afterChange(cluster, from, target, port);
      const text = JSON.stringify(row);
      const now = createJudge(after);
      assert.equal(ask(now, from, target, port).verdict, "allow", text);
      const table = truthTable(now, { pods: true });
      for (const [i, one] of table.entries())
        if (before[i]!.row.verdict === "allow")
          assert.equal(one.row.verdict, "allow", `${text}: ${JSON.stringify(one.row)}`);
    }
  });
}

const pods = `
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: shop, labels: { app: web } }
spec: { containers: [{ name: main }] }
---
apiVersion: v1
kind: Pod
metadata: { name: bare, namespace: shop }
spec: { containers: [{ name: main }] }
`;

function endOf(cluster: OfflineCluster, text: string): End {
  return findParties(cluster, text, "shop")[0] as End;
}

/** What is told for shop/web to 198.51.100.7, port 443. */
function changesFor(policy: string) {
  const cluster = clusterOf(pods, policy);
  const judge = createJudge(cluster);
  const path = judge.judge(endOf(cluster, "web"), endOf(cluster, "198.51.100.7"), parsePort("443/TCP"));
  assert.equal(path.verdict, "deny");
  return smallestChange(judge, path);
}

const denying = (rules: string) => `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: no, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: web } }
  enableDefaultDeny: { egress: false }
  egressDeny:${rules}`;

test("a rule that denies loses just what was asked: the peer, and of the peer the port", () => {
  const [change, ...more] = changesFor(
    denying("\n    - toCIDR: [198.51.100.0/24]\n      toPorts: [{ ports: [{ port: '440', endPort: 443 }] }]"),
  );
  assert.deepEqual(more, []);
  const { egressDeny } = (change!.object as unknown as { spec: { egressDeny: object[] } }).spec;
  const portsOf = (protocol: string, port: string, endPort: number) => ({ port, endPort, protocol });
  assert.deepEqual(egressDeny, [
    {
      toCIDRSet: [{ cidr: "198.51.100.0/24", except: ["198.51.100.7/32"] }],
      toPorts: [{ ports: [{ port: "440", endPort: 443 }] }],
    },
    {
      toCIDR: ["198.51.100.0/24"],
      toPorts: [
        { ports: [portsOf("TCP", "440", 442), portsOf("UDP", "440", 443), portsOf("SCTP", "440", 443)] },
      ],
    },
  ]);
});

test("a rule that was about nothing else goes; without another the policy does, unless it isolates", () => {
  const only =
    "\n    - toCIDR: [198.51.100.7/32]\n      toPorts: [{ ports: [{ port: '443', protocol: TCP }] }]";
  const text = (policy: string) =>
    changesFor(policy).map(({ action, object }) => `${action} ${object.metadata.name}`);
  assert.deepEqual(text(denying(only)), ["delete no"]);
  const isolating = denying(only).replace("  enableDefaultDeny: { egress: false }\n", "");
  assert.deepEqual(text(isolating), ["apply no", "apply allow-egress-web-to-198-51-100-7-443-tcp"]);
  const [first] = changesFor(isolating);
  assert.deepEqual((first!.object as unknown as { spec: object }).spec, {
    endpointSelector: { matchLabels: { app: "web" } },
    egressDeny: [{}],
  });
});

const tiered = (priority: number) => `
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: { name: no }
spec:
  tier: Admin
  priority: ${priority}
  subject: { namespaces: {} }
  egress: [{ action: Deny, to: [{ networks: [198.51.100.0/24] }] }]
`;

test("before a rule of a tier goes one of a stronger priority, about just this; at priority 0 into the same policy", () => {
  const [change] = changesFor(tiered(7));
  assert.deepEqual((change!.object as unknown as { spec: object }).spec, {
    tier: "Admin",
    priority: 6,
    subject: {
      pods: {
        namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "shop" } },
        podSelector: { matchLabels: { app: "web" } },
      },
    },
    egress: [
      {
        action: "Pass",
        to: [{ networks: ["198.51.100.7/32"] }],
        protocols: [{ tcp: { destinationPort: { number: 443 } } }],
      },
    ],
  });
  const [within] = changesFor(tiered(0));
  assert.equal(within!.object.metadata.name, "no");
  assert.match(within!.why, /for all it is about/);
});

test("a pod without labels is told from the others: none of them becomes isolated", () => {
  const isolating = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: bare, namespace: shop }
spec:
  endpointSelector: { matchExpressions: [{ key: app, operator: DoesNotExist }] }
  ingress: [{}]`;
  const cluster = clusterOf(pods, isolating);
  const [web, bare] = [endOf(cluster, "web"), endOf(cluster, "bare")];
  const port = parsePort("80/TCP");
  const after = createJudge(afterChange(cluster, web, bare, port));
  assert.equal(after.judge(web, bare, port).verdict, "allow");
  assert.equal(after.judge(bare, web, port).verdict, "allow");
});

test("what was considered says why it did not decide", () => {
  const policy = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: web, namespace: shop }
spec:
  podSelector: { matchLabels: { app: web } }
  ingress:
    - { from: [{ podSelector: { matchLabels: { app: web } } }], ports: [{ port: 80 }] }
    - { ports: [{ port: 443 }] }
    - { from: [{ podSelector: {} }] }`;
  const cluster = clusterOf(pods, policy);
  const judge = createJudge(cluster);
  const [from, to] = [endOf(cluster, "bare"), endOf(cluster, "web")];
  const port = parsePort("80/TCP");
  const { verdict, paths } = explain(judge, { from, to, port }, ask(judge, from, to, port));
  assert.equal(verdict, "allow");
  const { considered, text, entry } = paths[0]!.ingress;
  assert.deepEqual(
    considered.map(({ decides, why }) => (decides ? "decides" : why)),
    ["not this peer", "not this port", "decides"],
  );
  assert.equal(text, "allowed by NetworkPolicy shop/web spec.ingress[2] (1.yaml:10)");
  assert.equal(entry?.verdict, "allow");
});
