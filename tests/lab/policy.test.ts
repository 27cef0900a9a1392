// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterEach, suite, test } from "node:test";
import { PodClient } from "#kit/lab-pod.ts";
import { checkout, runOk, until, weft, weftJson, weftOk } from "#kit/lab-run.ts";
import { assertNothingLeft, kubectlOk, labStatus, labUp, podOf, useLab } from "#kit/lab-use.ts";

interface Row {
  readonly from: { readonly namespace: string; readonly workload: string };
  readonly to: {
    readonly namespace: string;
    readonly service: string;
    readonly ip: string;
    readonly port: number;
  };
  readonly verdict: "allow" | "deny";
}

/** What manifests/policy.yaml means, from → to:port; a pod always reaches itself. */
const meant = [
  ...["red/a", "red/b", "blue/c"].flatMap((pod) => [`${pod} → ${pod}:80`, `${pod} → ${pod}:90`]),
  // a: whoever its door lets in, and nothing holds it back: b's door is open, c's only for UDP.
  ...["red/b:80", "red/b:90", "blue/c:90"].map((to) => `red/a → ${to}`),
  // b: only its namespace.
  ...["red/a:80", "red/a:90"].map((to) => `red/b → ${to}`),
  // c: as the blue team into a's port http; b's door is open.
  ...["red/a:80", "red/b:80", "red/b:90"].map((to) => `blue/c → ${to}`),
].sort();

const outside = [
  ["red/a", "198.51.100.7", "allow"],
  ["red/b", "198.51.100.7", "allow"],
  ["red/b", "198.51.100.200", "deny"],
  ["red/b", "203.0.113.7", "deny"],
  ["red/a", "2001:db8::7", "allow"],
  ["red/b", "2001:db8::7", "allow"],
  ["red/b", "2001:db8::8000:7", "deny"],
  ["red/b", "2001:db8:1::7", "deny"],
] as const;

/** What was reached over every address of the Service; a family that differs from the other is named. */
function reached(rows: readonly Row[]): string[] {
  const byPair = Map.groupBy(
    rows,
    ({ from, to }) => `${from.namespace}/${from.workload} → ${to.namespace}/${to.service}:${to.port}`,
  );
  return [...byPair]
    .flatMap(([pair, each]) => {
      const allowed = each.filter(({ verdict }) => verdict === "allow");
      if (allowed.length === 0) return [];
      return allowed.length === each.length
        ? [pair]
        : [`${pair} only by ${allowed.map(({ to }) => to.ip).join()}`];
    })
    .sort();
}

async function matrix(): Promise<string[]> {
  return reached(await weftJson<Row[]>("lab", "probe", "--timeout", patience));
}

/** Seconds that a denial takes to show. What is denied wrongly for so short a time is asked again. */
const patience = "0.6";

/** Policies are in force some milliseconds after their object is: asked again when it is not so yet. */
async function becomes(expected: readonly string[]): Promise<void> {
  await until("the matrix", async () => {
    assert.deepEqual(await matrix(), expected);
    return true;
  });
}

for (const [routing, families] of [
  ["tunnel", "v6"],
  ["native", "v4"],
  ["native", "v6"],
  ["native", "dual"],
] as const) {
  suite(`policy, ${routing}, ${families}`, () => {
    afterEach(async () => {
      await weft("lab", "down");
    });

    test("the same matrix as everywhere", async () => {
      await labUp({ routing, families, files: ["policy.yaml"] });
      await becomes(meant);
      await toOutside(families);
    });
  });
}

/** Asks the outside over the lab's families. */
async function toOutside(families: "v4" | "v6" | "dual"): Promise<void> {
  const asked = outside.filter(([, to]) => families === "dual" || to.includes(":") === (families === "v6"));
  const questions = asked.flatMap(([from, to]) => [
    { from, to, port: 80, protocol: "TCP" },
    { from, to, port: 53, protocol: "UDP" },
    { from, to, protocol: "ICMP" },
  ]);
  const asking = ["--questions", "-", "--timeout", patience, "-o", "json"];
  const argv = [join(checkout, "weft"), "lab", "probe", ...asking];
  await until("the outside", async () => {
    const rows = JSON.parse(await runOk(argv, { input: JSON.stringify(questions) })) as Row[];
    const found = rows.map(({ verdict }, i) => [questions[i]!.from, questions[i]!.to, verdict]);
    assert.deepEqual(
      found,
      asked.flatMap((one) => [one, one, one]),
    );
    return true;
  });
}

suite("policy, tunnel, dual", () => {
  const lab = useLab({ families: "dual", files: ["policy.yaml"] });

  test("the matrix is what the policies say", async () => {
    await becomes(meant);
    await toOutside("dual");
  });

  test("one that goes and one that comes change what they say, and nothing else", async () => {
    await kubectlOk(["-n", "blue", "delete", "cnp", "c"]);
    const open = [...meant, "red/a → blue/c:80"].sort();
    await becomes(open);
    await kubectlOk(["apply", "-f", "-"], { input: onlyFromC });
    const closed = open.filter((pair) => pair !== "red/a → red/b:80" && pair !== "red/a → red/b:90");
    await becomes(closed);
    await kubectlOk(["-n", "red", "delete", "networkpolicy", "b-in"]);
    const file = join(import.meta.dirname, "manifests/policy.yaml");
    await weftOk("lab", "apply", "-f", file);
    await becomes(meant);
  });

  test("labels decide: a pod and a namespace that change theirs", async () => {
    await kubectlOk(["label", "namespace", "blue", "team-"]);
    const without = meant.filter((pair) => pair !== "blue/c → red/a:80");
    await becomes(without);
    await kubectlOk(["label", "namespace", "blue", "team=blue"]);
    await kubectlOk(["-n", "red", "label", "pod", "b", "app=x", "--overwrite"]);
    // Nothing is said of x: it may send what it likes, and a no longer knows it. Its Service has lost it.
    await until("the pod's label to count", async () => {
      const argv = ["lab", "probe", "--questions", "-", "--timeout", patience, "-o", "json"];
      const questions = [
        { from: "red/b", to: "red/a", port: 8080 },
        { from: "red/b", to: "blue/c", port: 8080 },
        { from: "red/b", to: "203.0.113.7", port: 80 },
      ];
      const text = await runOk([join(checkout, "weft"), ...argv], { input: JSON.stringify(questions) });
      return (JSON.parse(text) as Row[]).map(({ verdict }) => verdict).join() === "deny,deny,allow";
    });
    await kubectlOk(["-n", "red", "label", "pod", "b", "app=b", "--overwrite"]);
    await becomes(meant);
  });

  test("an established connection stops when a policy forbids it, and goes on when it is gone", async () => {
    const address = podOf(lab.status, "red", "b").ips[0]!;
    using client = await PodClient.start("red/a");
    const { load } = await client.call("start", { kind: "transfer", address, port: 8080 });
    await kubectlOk(["apply", "-f", "-"], { input: onlyFromC });
    await until("a segment to be dropped", async () => {
      const text = await weftOk(
        "observe",
        "--verdict",
        "DROPPED",
        "--from-pod",
        "red/a",
        "--to-pod",
        "red/b",
        "-o",
        "jsonpb",
      );
      return text.includes('"ACK":true');
    });
    await kubectlOk(["-n", "red", "delete", "networkpolicy", "b-in"]);
    await until("the connection to go on", async () => (await client.call("look", { load })).idleMs < 100);
    const report = await client.call("stop", { load });
    assert.deepEqual(report.lost, []);
    assert.equal(report.received, report.sent);
    assert.ok((report.tcpLosses.TCPTimeouts ?? 0) > 0);
  });
});

const onlyFromC = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: b-in, namespace: red}
spec:
  podSelector: {matchLabels: {app: b}}
  policyTypes: [Ingress]
  ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}}]}]
`;

suite("the guestbook's manifests", () => {
  const path = join(checkout, "../shared/inputs/guestbook");
  const skip = !existsSync(path) && `there are no manifests at ${path}`;
  afterEach(async () => {
    await weft("lab", "down");
    assertNothingLeft();
  });

  test("unchanged, every workload reaches every Service", { skip }, async () => {
    await labUp({ files: [path] });
    const rows = await weftJson<Row[]>("lab", "probe");
    const workloads = new Set(
      (await labStatus()).pods.filter((pod) => pod.namespace === "default").map((pod) => pod.workload),
    );
    assert.ok(workloads.size >= 3);
    assert.equal(new Set(rows.map(({ from }) => from.workload)).size, workloads.size);
    assert.ok(rows.length >= 9 && rows.every(({ verdict }) => verdict === "allow"), JSON.stringify(rows));
  });
});
