// SPDX-License-Identifier: Apache-2.0
// ClusterNetworkPolicies with real traffic: the cases that the conformance tests of sigs.k8s.io/network-policy-api try, and those of addresses,
// each in both families and to pods of the same node and of another one.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { checkout, runOk, until, weftJson, weftOk } from "#kit/lab-run.ts";
import { kubectl, kubectlOk, podOf, useLab } from "#kit/lab-use.ts";

suite("tiers of policies, tunnel, dual", () => {
  const lab = useLab({ families: "dual", files: ["tiers.yaml"] });
  const applied = new Set<string>();

  /** `red/a → blue/far 8080` over every address of the pod; `red/a → 198.51.100.7 80/UDP`, `red/a → 172.30.0.12 ICMP`. */
  async function verdicts(asked: readonly string[]): Promise<string[]> {
    const questions = asked.flatMap((text) => {
      const [, from, to, port = "", protocol = "TCP"] = /^(\S+) → (\S+) (?:(\d+)\/?)?(\w+)?$/.exec(text)!;
      const ips = to!.includes("/") ? podOf(lab.status, ...(to!.split("/") as [string, string])).ips : [to!];
      return ips.map((ip) => ({ text, from, to: ip, protocol, ...(port !== "" && { port: Number(port) }) }));
    });
    const asking = ["--questions", "-", "--timeout", "0.6", "-o", "json"];
    const argv = [join(checkout, "weft"), "lab", "probe", ...asking];
    const input = JSON.stringify(questions.map(({ text: _, ...question }) => question));
    const rows = JSON.parse(await runOk(argv, { input })) as { readonly verdict: string }[];
    const found = Map.groupBy(rows, (_, at) => questions[at]!.text);
    return [...found].map(([text, answers]) => {
      const said = new Set(answers.map(({ verdict }) => verdict));
      return `${text}: ${[...said].join(" and ")}`;
    });
  }

  /** Policies are in force some milliseconds after their object is: asked again when it is not so yet. */
  async function becomes(expected: Readonly<Record<string, "allow" | "deny">>): Promise<void> {
    const wanted = Object.entries(expected).map(([text, verdict]) => `${text}: ${verdict}`);
    const isSo = async () => {
      assert.deepEqual(await verdicts(Object.keys(expected)), wanted);
      return true;
    };
    // A denial shows by silence: each time asked takes its while.
    await until("what the policies say", isSo, { timeoutMs: 60_000 });
  }

  async function apply(...objects: readonly Applied[]): Promise<void> {
    const text = objects.map((object) => JSON.stringify(object)).join("\n---\n");
    for (const { kind, metadata } of objects)
      applied.add([metadata.namespace ?? "", kind.toLowerCase(), metadata.name].join(" "));
    await kubectlOk(["apply", "-f", "-"], { input: text });
  }

  async function clear(): Promise<void> {
    for (const one of applied) {
      const [namespace, kind, name] = one.split(" ");
      const at = namespace === "" ? [] : ["-n", namespace!];
      await kubectlOk([...at, "delete", kind!, name!, "--ignore-not-found"]);
    }
    applied.clear();
  }
  after(clear);

  test("an admin's denial goes before NetworkPolicies, a pass leads to them, and the baseline is for the others", async () => {
    const both = { "red/a → blue/near 8080": "allow", "red/a → blue/far 8080": "allow" } as const;
    const back = { "blue/near → red/a 8080": "allow", "blue/far → red/a 9000/UDP": "allow" } as const;
    const [fromA, toA] = [denied(both), denied(back)];
    await apply(admin(blues("Deny")), baseline(blues("Deny")), allowing("red", "blue"));
    await becomes({ ...fromA, ...toA, "green/other → red/a 8080": "deny", "red/a → red/a 8080": "allow" });
    await apply(admin(blues("Pass")));
    await becomes({ ...both, ...back, "green/other → red/a 8080": "deny" });
    await kubectlOk(["-n", "red", "delete", "networkpolicy", "door"]);
    // Nobody but the baseline speaks of red now: it denies the blues, and the greens nobody.
    await becomes({ ...fromA, ...toA, "green/other → red/a 8080": "allow" });
    await kubectlOk(["delete", "clusternetworkpolicy", "baseline"]);
    await becomes({ ...both, ...back });
    await clear();
  });

  test("lower priorities come first, in an object the order of its rules", async () => {
    const near = "red/a → blue/near 8080";
    const pass = (priority: number) => withPriority(clusterPolicy("pass", "Admin", blues("Pass")), priority);
    await apply(withPriority(admin(blues("Deny")), 50), pass(60), baseline(blues("Accept")));
    await becomes({ [near]: "deny", "blue/far → red/a 8080": "deny" });
    await apply(pass(40));
    await becomes({ [near]: "allow", "blue/far → red/a 8080": "allow" });
    await kubectlOk(["delete", "clusternetworkpolicy", "pass"]);
    const port = (number: number) => ({ protocols: [{ tcp: { destinationPort: { number } } }] });
    const rules = [
      { action: "Accept", to: [team("blue")], ...port(8080) },
      { action: "Deny", to: [team("blue")], protocols: [{ udp: { destinationPort: { number: 9000 } } }] },
      { action: "Pass", to: [team("blue")] },
      { action: "Deny", to: [{ namespaces: {} }] },
    ];
    await apply(admin({ egress: rules }), allowing("red", "green"));
    await becomes({
      [near]: "allow",
      "red/a → blue/far 8080": "allow",
      "red/a → blue/far 9000/UDP": "deny",
      "red/a → blue/near 8443": "deny",
      "red/a → green/other 8080": "deny",
    });
    await clear();
  });

  test("a port's name means what each pod calls so, on both sides", async () => {
    const named = { protocols: [{ destinationNamedPort: "admin" }] };
    await apply(
      admin({
        egress: [{ action: "Deny", to: [team("blue")], ...named }],
        ingress: [{ action: "Deny", from: [team("green")], ...named }],
      }),
    );
    await becomes({
      "red/a → blue/near 8443": "deny",
      "red/a → blue/far 8444": "deny",
      "red/a → blue/far 8080": "allow",
      "green/other → red/a 8443": "deny",
      "green/other → red/a 8080": "allow",
    });
    await clear();
  });

  test("networks mean whoever has the address: pods, nodes, the outside", async () => {
    const everything = { action: "Deny", to: [{ networks: ["0.0.0.0/0", "::/0"] }] };
    const near = podOf(lab.status, "blue", "near").ips.map((ip) => `${ip}/${ip.includes(":") ? 128 : 32}`);
    const closed = {
      "red/a → blue/far 8080": "deny",
      "red/a → 198.51.100.7 80": "deny",
      "red/a → 2001:db8::7 80": "deny",
      "red/a → 172.30.0.12 ICMP": "deny",
    } as const;
    await apply(admin({ egress: [{ action: "Accept", to: [team("green")] }, everything] }));
    await becomes({ ...closed, "red/a → green/other 8080": "allow", "red/a → blue/near 8080": "deny" });
    const first = { action: "Accept", to: [{ networks: near }] };
    await apply(admin({ egress: [first, { action: "Accept", to: [team("green")] }, everything] }));
    await becomes({ ...closed, "red/a → green/other 8080": "allow", "red/a → blue/near 8080": "allow" });
    await clear();
    // The same, as what holds where nobody says more.
    await apply(baseline({ egress: [first, everything] }));
    await becomes({ ...closed, "red/a → green/other 8080": "deny", "red/a → blue/near 8080": "allow" });
    await clear();
  });

  test("pods and addresses in one order, whichever comes first, and a pass of either leads on", async () => {
    const pods = ["10.244.0.0/16", "fd00:10:244::/48"];
    const farNode = ["10.244.2.0/24", "fd00:10:244:2::/64"];
    const everyPod = { namespaces: {} };
    await apply(
      admin({ egress: [rule("Pass", everyPod), rule("Deny", { networks: ["0.0.0.0/0", "::/0"] })] }),
      allowing("red", "blue"),
    );
    await becomes({
      "red/a → blue/far 8080": "allow",
      "red/a → green/other 8080": "deny",
      "red/a → 198.51.100.7 80": "deny",
      "red/a → 2001:db8::7 80": "deny",
    });
    await apply(admin({ egress: [rule("Deny", { networks: farNode }), rule("Accept", everyPod)] }));
    await becomes({ "red/a → blue/far 8080": "deny", "red/a → blue/near 8080": "allow" });
    // Addresses pass, then pods are denied: the NetworkPolicy has the far ones, nobody the near ones.
    await apply(admin({ egress: [rule("Pass", { networks: farNode }), rule("Deny", everyPod)] }));
    await becomes({
      "red/a → blue/far 8080": "allow",
      "red/a → green/other 8080": "deny",
      "red/a → blue/near 8080": "deny",
    });
    // And what they pass to may be addresses itself.
    await apply(admin({ egress: [rule("Pass", everyPod), rule("Deny", { networks: pods })] }), {
      ...allowing("red", "blue"),
      spec: { podSelector: {}, policyTypes: ["Egress"], egress: [blockOf(farNode)] },
    });
    await becomes({ "red/a → green/other 8080": "allow", "red/a → blue/near 8080": "deny" });
    await clear();
  });

  test("nodes mean the addresses of those with the labels, their own node's too", async () => {
    const other = rule("Deny", { nodes: { matchLabels: { "kubernetes.io/hostname": "n2" } } });
    await apply(admin({ egress: [other] }));
    const own = "red/a → 172.30.0.11 ICMP";
    await becomes({ "red/a → 172.30.0.12 ICMP": "deny", "red/a → fd00:30::12 ICMP": "deny", [own]: "allow" });
    await apply(admin({ egress: [rule("Deny", { nodes: {} })] }));
    await becomes({ [own]: "deny", "red/a → fd00:30::11 ICMP": "deny", "red/a → blue/far 8080": "allow" });
    await clear();
  });

  test("policy is judged on the backend of a Service, and flows name policy and rule", async () => {
    await apply(admin({ egress: [{ name: "no-blues", ...rule("Deny", team("blue")) }] }));
    const { spec } = JSON.parse(await kubectlOk(["-n", "blue", "get", "service", "far", "-o", "json"])) as {
      spec: { clusterIPs: string[] };
    };
    assert.equal(spec.clusterIPs.length, 2);
    await becomes(Object.fromEntries(spec.clusterIPs.map((ip) => [`red/a → ${ip} 80`, "deny"])));
    const dropped = ["observe", "--verdict", "DROPPED", "--from-pod", "red/a", "--last", "1", "-o", "jsonpb"];
    const { flow } = JSON.parse(await weftOk(...dropped)) as { flow: { egress_denied_by: DeniedBy[] } };
    const [{ kind, name, labels }] = flow.egress_denied_by as [DeniedBy];
    assert.deepEqual([kind, name], ["ClusterNetworkPolicy", "admin"]);
    assert.ok(labels.includes("weft:rule=spec.egress[0]"), labels.join());
    assert.ok(labels.includes("weft:rule-name=no-blues"), labels.join());
    await clear();
  });

  test("the API server refuses what is malformed, the status tells what is not enforced, and it is said at once", async () => {
    const malformed = await kubectl(["apply", "-f", "-"], {
      input: JSON.stringify(withPriority(admin({}), 1001)),
    });
    assert.notEqual(malformed.code, 0);
    assert.match(malformed.stderr, /spec\.priority/);
    await apply(
      admin({ egress: [rule("Deny", team("blue")), rule("Accept", { domainNames: ["example.com"] })] }),
    );
    await until("the refusal", async () => {
      const text = await kubectlOk(["get", "clusternetworkpolicy", "admin", "-o", "json"]);
      const { status } = JSON.parse(text) as { status?: { conditions: Condition[] } };
      const [valid] = status?.conditions ?? [];
      assert.deepEqual([valid?.type, valid?.status], ["Valid", "False"]);
      assert.match(valid!.message, /spec\.egress\[1\]\.to\[0\]\.domainNames: needs the DNS proxy/);
      return true;
    });
    await becomes({ "red/a → blue/near 8080": "allow" });
    const rows = await weftJson<{ name: string; kind: string }[]>("policy", "get");
    assert.ok(rows.some(({ name, kind }) => name === "admin" && kind === "ClusterNetworkPolicy"));
    await clear();
  });
});

interface Metadata {
  readonly name: string;
  readonly namespace?: string;
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly message: string;
}

interface DeniedBy {
  readonly kind: string;
  readonly name: string;
  readonly labels: readonly string[];
}

interface Applied {
  readonly kind: string;
  readonly metadata: Metadata;
  readonly spec: object;
}

interface Rules {
  readonly ingress?: readonly object[];
  readonly egress?: readonly object[];
}

function clusterPolicy(name: string, tier: string, rules: Rules) {
  const subject = { namespaces: { matchLabels: { team: "red" } } };
  return {
    apiVersion: "policy.networking.k8s.io/v1alpha2",
    kind: "ClusterNetworkPolicy",
    metadata: { name } as Metadata,
    spec: { tier, priority: 10, subject, ...rules } as object,
  };
}

function admin(rules: Rules) {
  return clusterPolicy("admin", "Admin", rules);
}

function baseline(rules: Rules) {
  return clusterPolicy("baseline", "Baseline", rules);
}

function withPriority(policy: ReturnType<typeof clusterPolicy>, priority: number) {
  return { ...policy, spec: { ...policy.spec, priority } };
}

function team(name: string) {
  return { namespaces: { matchLabels: { team: name } } };
}

function rule(action: string, ...to: readonly object[]) {
  return { action, to };
}

/** From and to the blue team. */
function blues(action: string): Rules {
  return { ingress: [{ action, from: [team("blue")] }], egress: [{ action, to: [team("blue")] }] };
}

/** Of the pods of a namespace: only with those of a team, both ways. */
function allowing(namespace: string, name: string) {
  const peers = [{ namespaceSelector: { matchLabels: { team: name } } }];
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: "door", namespace } as Metadata,
    spec: {
      podSelector: {},
      policyTypes: ["Ingress", "Egress"],
      ingress: [{ from: peers }],
      egress: [{ to: peers }],
    } as object,
  };
}

function blockOf(cidrs: readonly string[]) {
  return { to: cidrs.map((cidr) => ({ ipBlock: { cidr } })) };
}

function denied(expected: Readonly<Record<string, string>>): Record<string, "deny"> {
  return Object.fromEntries(Object.keys(expected).map((text) => [text, "deny"]));
}
