// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createKubeClient } from "#k8s/client.ts";
import { loadCredentials } from "#k8s/kubeconfig.ts";
import { cgroupPids, cgroupRoot } from "#kernel/cgroup.ts";
import { allowedPairs, root, testLab } from "#kit/test-lab.ts";
import type { ProbeRow } from "#lab/probe-attempt.ts";

const lab = testLab("shop");
const shop = join(root, "examples/shop");

/** What examples/shop/policies.yaml means; a pod always reaches itself. */
const meant = [
  "customers/client → shop/front:80",
  "data/database → data/database:5432",
  "payments/payment → payments/payment:9000",
  "shop/cart → data/database:5432",
  "shop/cart → payments/payment:9000",
  "shop/cart → shop/cart:7070",
  "shop/cart → shop/front:80",
  "shop/catalogue → data/database:5432",
  "shop/catalogue → shop/front:80",
  "shop/front → shop/cart:7070",
  "shop/front → shop/catalogue:8081",
  "shop/front → shop/front:80",
];

/** Catalogue has two pods: asked for its own Service, it gets itself (let in) or the other one (not). */
function reached(rows: readonly ProbeRow[]): string[] {
  return allowedPairs(rows).filter((pair) => pair !== "shop/catalogue → shop/catalogue:8081");
}

before(async () => {
  await lab.run(["lab", "up", "--detach", "-f", shop]);
});
after(async () => {
  await lab[Symbol.asyncDispose]();
});

async function inPod(pod: string, ...argv: string[]): Promise<string> {
  return await lab.run(["lab", "exec", pod, "--", ...argv]);
}

/** With the Node that runs this: a fresh machine has no wget. */
async function fetchFrom(pod: string, url: string): Promise<string> {
  const program = `fetch("${url}", { signal: AbortSignal.timeout(10_000) }).then((a) => a.text()).then(console.log)`;
  return await inPod(pod, process.execPath, "-e", program);
}

test("every node and pod is ready, pods of one workload on different nodes", async () => {
  const { nodes, pods } = await lab.status();
  assert.deepEqual(
    nodes.map(({ ready }) => ready),
    [true, true, true],
  );
  assert.ok(pods.every(({ ready }) => ready));
  const fronts = pods.filter(({ workload }) => workload === "front");
  assert.equal(new Set(fronts.map(({ node }) => node)).size, 2);
});

test("who reaches whom is what the policies mean", async () => {
  assert.deepEqual(reached(await lab.probe()), meant);
});

interface Told {
  readonly from: string;
  readonly to: string;
  readonly port: string;
  readonly verdict: string;
  readonly notes: readonly string[];
  readonly change: readonly { readonly yaml: string }[];
}

/** Of a flow that the agents remember, the newest of the kind. */
async function uuidOf(filter: readonly string[], isIt: (line: string) => boolean): Promise<string> {
  const lines = (await lab.run(["observe", ...filter, "--last", "100", "-o", "json"])).trim().split("\n");
  const line = lines.findLast(isIt)!;
  return (JSON.parse(line) as { flow: { uuid: string } }).flow.uuid;
}

test("a flow is explained by its uuid or its line, a reply by what it answers, and what is told allows it", async () => {
  await lab.probe(["--questions", "-"], '[{"from":"customers/client","to":"payments/payment","port":9000}]');
  const ofClient = ["--from-pod", "customers/client", "--to-pod", "payments/payment"];
  const line = (await lab.run(["observe", ...ofClient, "--verdict", "DROPPED", "--last", "1", "-o", "json"]))
    .trim()
    .split("\n")
    .at(-1)!;
  const { uuid } = (JSON.parse(line) as { flow: { uuid: string } }).flow;
  const read = (text: string) => JSON.parse(text) as Told;
  const byUuid = read(await lab.run(["explain", uuid, "-o", "json"]));
  const byLine = read(await lab.run(["explain", "-", "-o", "json"], line));
  assert.deepEqual(byUuid, byLine);
  assert.deepEqual([byUuid.verdict, byUuid.port], ["deny", "9000/TCP"]);
  assert.match(byUuid.notes[0]!, /DROPPED \(POLICY_DENIED\)$/);
  assert.equal(byUuid.change.length, 2, "its egress and the other's ingress");
  const reply = await uuidOf(["--verdict", "FORWARDED", "--protocol", "tcp"], (one) =>
    one.includes('"is_reply":true'),
  );
  assert.equal(read(await lab.run(["explain", reply, "-o", "json"])).verdict, "allow");
  const { code, stderr } = await lab.weft(["explain", "5d0c2c6a-0000-4000-8000-000000000001"]);
  assert.equal(code, 1);
  assert.match(stderr, /no agent holds a flow 5d0c2c6a/);
  const yaml = byUuid.change.map((one) => one.yaml).join("---\n");
  await lab.run(["lab", "apply", "-f", "-"], yaml);
  assert.deepEqual(reached(await lab.probe()), [...meant, "customers/client → payments/payment:9000"].sort());
  await lab.run(["lab", "delete", "-f", "-"], yaml);
});

test("nodes ask as pods do, and the world asks nodes: measured as worked out", async () => {
  const questions = [
    { from: "node:n1", to: "data/database", port: 5432 },
    { from: "node:n2", to: "data/database", port: 5432 },
    { from: "172.30.0.12", to: "service:shop/front", port: 80 },
    { from: "node:n3", to: "node:n1", protocol: "ICMP" },
    { from: "203.0.113.7", to: "node:n1", protocol: "ICMP" },
  ];
  const wanted = (await lab.status()).pods.find(({ workload }) => workload === "database")!.node;
  const rows = await lab.probe(["--questions", "-"], JSON.stringify(questions));
  const own = (node: string) => (node === wanted ? "allow" : "deny");
  assert.deepEqual(
    rows.slice(0, 2).map(({ from, verdict }) => [from.node, verdict]),
    [
      ["n1", own("n1")],
      ["n2", own("n2")],
    ],
  );
  assert.deepEqual(
    rows.slice(3).map(({ verdict }) => verdict),
    ["allow", "allow"],
  );
});

test("a policy that goes and comes back changes that and nothing else", async () => {
  const policy = readFileSync(join(shop, "policies.yaml"), "utf8")
    .split("\n---\n")
    .find((text) => text.includes("name: payment\n"))!;
  await lab.run(["lab", "delete", "-f", "-"], policy);
  // Its doors are open now, both ways; who may not send (client, database) still may not.
  const more = ["shop/catalogue", "shop/front"].map((from) => `${from} → payments/payment:9000`);
  const changed = await lab.probe();
  assert.deepEqual(reached(changed), [...meant, ...more, "payments/payment → shop/front:80"].sort());
  await lab.run(["lab", "apply", "-f", "-"], policy);
  assert.deepEqual(reached(await lab.probe()), meant);
});

test("the outside answers what is let out, and reaches node ports", async () => {
  const ask = (from: string, to: string, protocol: string, port = 0) => ({
    from,
    to,
    protocol,
    ...(port > 0 && { port }),
  });
  const questions = [
    ask("shop/cart", "198.51.100.7", "TCP", 4711),
    ask("shop/cart", "198.51.100.7", "UDP", 4711),
    ask("shop/cart", "198.51.100.7", "ICMP"),
    ask("payments/payment", "203.0.113.10", "TCP", 80),
    ask("payments/payment", "198.51.100.7", "TCP", 80),
    ask("customers/client", "198.51.100.7", "ICMP"),
  ];
  const rows = await lab.probe(["--questions", "-"], JSON.stringify(questions));
  assert.deepEqual(
    rows.map(({ verdict }) => verdict),
    ["allow", "allow", "allow", "allow", "deny", "deny"],
  );
  const port = await nodePort();
  for (const node of ["172.30.0.11", "172.30.0.12", "172.30.0.13"]) {
    assert.match(await fetchFrom("world", `http://${node}:${port}/`), /^shop\/front-/);
  }
});

async function nodePort(): Promise<number> {
  using client = createKubeClient(await loadCredentials((await lab.status()).kubeconfig));
  const path = "/api/v1/namespaces/shop/services/front";
  const service = await client.request<{ spec: { ports: { nodePort: number }[] } }>({ method: "GET", path });
  return service.spec.ports[0]!.nodePort;
}

test("a command runs as in the pod: its name, its address, its name server, its exit code", async () => {
  const { pods } = await lab.status();
  const cart = pods.find(({ workload }) => workload === "cart")!;
  assert.equal((await inPod("shop/cart", "hostname")).trim(), cart.name);
  assert.match(await inPod("shop/cart", "cat", "/etc/resolv.conf"), /^nameserver 10\.96\.0\.10$/m);
  assert.match(
    await inPod("shop/cart", "getent", "hosts", "front"),
    /^10\.96\.\d+\.\d+\s+front\.shop\.svc\.cluster\.local/,
  );
  assert.equal((await lab.weft(["lab", "exec", "shop/cart", "--", "sh", "-c", "exit 7"])).code, 7);
});

test("a broken manifest is refused with its place, and nothing of it is applied", async () => {
  const good = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: first}\n";
  const cases: [string, RegExp][] = [
    [
      `${good}---\napiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: 99999}]}\n`,
      /document 2.*spec\.ports\[0\]\.port/,
    ],
    [`${good}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\nspek: {}\n`, /document 2.*spek/],
    [
      `${good}---\napiVersion: v1\nkind: Nothing\nmetadata: {name: x}\n`,
      /document 2: kind: v1 Nothing is not known/,
    ],
    [`${good}---\na: [\n`, /document 2, line \d+/],
  ];
  for (const [text, message] of cases) {
    const { code, stderr } = await lab.weft(["lab", "apply", "-f", "-"], text);
    assert.equal(code, 1);
    assert.match(stderr, message);
  }
  assert.match(await lab.run(["lab", "delete", "-f", "-"], good), /configmap\/first not found/);
});

test("a killed agent and a killed kubelet come back, and nobody notices", async () => {
  const before = await lab.status();
  for (const dir of ["agent", "kubelet"]) {
    for (const pid of cgroupPids(join(cgroupRoot(), lab.prefix, "n1", dir))) process.kill(pid, "SIGKILL");
  }
  await readyAgain("n1");
  assert.deepEqual(reached(await lab.probe()), meant);
  assert.deepEqual(
    (await lab.status()).pods.map(({ name, ips }) => [name, ips]),
    before.pods.map(({ name, ips }) => [name, ips]),
  );
});

/** The kubelet of the node answers: bounded by the command's own time. */
async function readyAgain(node: string): Promise<void> {
  const pod = (await lab.status()).pods.find((one) => one.node === node)!;
  for (let tries = 0; tries < 20; tries++) {
    if ((await lab.weft(["lab", "exec", `${pod.namespace}/${pod.name}`, "--", "true"])).code === 0) return;
  }
  throw new Error(`the kubelet of ${node} did not come back`);
}

test("after kill -9 of the lab nothing of it runs, and `down` leaves nothing at all", async () => {
  const { pid } = await lab.status();
  process.kill(pid, "SIGKILL");
  assert.match((await lab.weft(["lab", "status"])).stderr, /has died/);
  await lab.run(["lab", "down"]);
  assert.deepEqual(lab.leftovers(), []);
});
