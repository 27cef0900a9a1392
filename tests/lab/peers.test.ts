// SPDX-License-Identifier: Apache-2.0
// Peers of CiliumNetworkPolicies that other objects name, with real traffic: groups of prefixes, Services, nodes; and ports by their names. Each in
// both families; what the other objects say changes what is enforced while the policy stays as it is.
import assert from "node:assert/strict";
import { join } from "node:path";
import { afterEach, suite, test } from "node:test";
import { PodClient } from "#kit/lab-pod.ts";
import { checkout, runOk, until, weftOk } from "#kit/lab-run.ts";
import { kubectlOk, podOf, useLab } from "#kit/lab-use.ts";

interface Applied {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

suite("peers by way of other objects, tunnel, dual", () => {
  // Who is denied by its own policy is told at once, so that no question takes long.
  const settings = ["policy.denyResponse=icmp"];
  const lab = useLab({ families: "dual", files: ["tiers.yaml"], settings });
  const applied = new Map<string, Applied>();

  async function apply(...objects: readonly Applied[]): Promise<void> {
    for (const object of objects) applied.set(`${object.kind} ${object.metadata.name}`, object);
    await kubectlOk(["apply", "-f", "-"], {
      input: objects.map((one) => JSON.stringify(one)).join("\n---\n"),
    });
  }

  async function remove({ kind, metadata: { name, namespace } }: Applied): Promise<void> {
    applied.delete(`${kind} ${name}`);
    const at = namespace === undefined ? [] : ["-n", namespace];
    await kubectlOk([...at, "delete", kind.toLowerCase(), name, "--ignore-not-found"]);
  }

  afterEach(async () => {
    for (const object of [...applied.values()]) await remove(object);
  });

  /** Asks from red/a, `blue/near 8080` (each address of the pod), `198.51.100.7 80`, `172.30.0.12 ICMP`, until it is so. */
  async function becomes(expected: Readonly<Record<string, "allow" | "deny">>): Promise<void> {
    const questions = Object.keys(expected).flatMap((text) => {
      const [, to, port = "", protocol = "TCP"] = /^(\S+) (?:(\d+)\/?)?(\w+)?$/.exec(text)!;
      const ips = to!.includes("/") ? podOf(lab.status, ...(to!.split("/") as [string, string])).ips : [to!];
      return ips.map((ip) => ({ text, to: ip, protocol, ...(port !== "" && { port: Number(port) }) }));
    });
    const input = JSON.stringify(
      questions.map(({ text: _, ...question }) => ({ from: "red/a", ...question })),
    );
    const asking = ["--questions", "-", "--timeout", "0.6", "-o", "json"];
    const argv = [join(checkout, "weft"), "lab", "probe", ...asking];
    await until("what the policies say", async () => {
      const rows = JSON.parse(await runOk(argv, { input })) as { readonly verdict: string }[];
      const said = rows.map(({ verdict }, at) => `${questions[at]!.text} ${questions[at]!.to}: ${verdict}`);
      const wanted = questions.map(({ text, to }) => `${text} ${to}: ${expected[text]}`);
      assert.deepEqual(said, wanted);
      return true;
    });
  }

  async function condition(name: string, wanted = "Valid"): Promise<string> {
    const object = JSON.parse(await kubectlOk(["-n", "red", "get", "cnp", name, "-o", "json"])) as {
      status?: { conditions?: { type: string; message: string }[] };
    };
    return object.status?.conditions?.find(({ type }) => type === wanted)?.message ?? "";
  }

  test("who is denied hears of it: by its own policy at once and by name, by another's never", async () => {
    const addresses = [...podOf(lab.status, "blue", "near").ips, ...podOf(lab.status, "blue", "far").ips];
    const asked = [...addresses, "198.51.100.7", "2001:db8::7"];
    await apply(policy("closed", { egress: [{}] }));
    await becomes({ "blue/near 8080": "deny", "blue/far 8080": "deny" });
    using client = await PodClient.start("red/a");
    for (const address of asked) {
      const { error } = await client.call("connect", { address, port: 8080, timeoutMs: 20_000 });
      assert.equal(error, address.includes(":") ? "EACCES" : "EHOSTUNREACH", address);
    }
    await remove(policy("closed", {}));
    const closed = policy("closed", { ingress: [{}] });
    await apply({ ...closed, metadata: { ...closed.metadata, namespace: "blue" } });
    await becomes({ "blue/near 8080": "deny", "blue/far 8080": "deny", "198.51.100.7 80": "allow" });
    for (const address of addresses) {
      const { error } = await client.call("connect", { address, port: 8080, timeoutMs: 500 });
      assert.equal(error, "ETIMEDOUT", address);
    }
  });

  test("a group of prefixes: missing, there, changed, with a hole", async () => {
    const toCIDRSet = [{ cidrGroupRef: "partners", except: ["198.51.100.128/25"] }];
    await apply(policy("groups", { egress: [{ toCIDRSet }] }));
    await becomes({ "198.51.100.7 80": "deny", "2001:db8::7 80": "deny" });
    await until("the status to tell", async () =>
      /CiliumCIDRGroup partners does not exist/.test(await condition("groups")),
    );
    await apply(group(["198.51.100.0/24", "2001:db8::/64"]));
    await becomes({
      "198.51.100.7 80": "allow",
      "198.51.100.200 80": "deny",
      "2001:db8::7 80": "allow",
      "203.0.113.7 80": "deny",
    });
    await until("the status to tell", async () => (await condition("groups")) === "Policy is in force");
    await until("what it costs to be told", async () =>
      /^selects \d+ endpoints? on \d nodes?, takes part in \d+ map entries \(n\d \d+\)$/.test(
        await condition("groups", "weft.io/Enforced"),
      ),
    );
    await apply(group(["203.0.113.0/24"]));
    await becomes({ "198.51.100.7 80": "deny", "2001:db8::7 80": "deny", "203.0.113.7 80": "allow" });
    await remove(group([]));
    await becomes({ "203.0.113.7 80": "deny" });
  });

  test("a group that is denied, by its labels", async () => {
    const toCIDRSet = [{ cidrGroupSelector: { matchLabels: { trust: "none" } } }];
    await apply(policy("groups", { egressDeny: [{ toCIDRSet }], enableDefaultDeny: { egress: false } }));
    await becomes({ "198.51.100.7 80": "allow", "203.0.113.7 80": "allow" });
    await apply(group(["198.51.100.0/24"], { trust: "none" }));
    await becomes({ "198.51.100.7 80": "deny", "203.0.113.7 80": "allow" });
    await apply(group(["198.51.100.0/24"], { trust: "some" }));
    await becomes({ "198.51.100.7 80": "allow" });
  });

  test("a Service: its pods, its ports, and the addresses that somebody else writes", async () => {
    const toPorts = [{ ports: [{ port: "8080", protocol: "TCP" }] }];
    const egress = ["near", "archive"].map((serviceName) => ({
      toServices: [{ k8sService: { serviceName, namespace: "blue" } }],
      ...(serviceName === "near" && { toPorts }),
    }));
    await apply(policy("services", { egress }));
    await becomes({ "blue/near 8080": "deny", "203.0.113.7 80": "deny" });
    await apply(service("near", { selector: { app: "near" } }));
    await becomes({ "blue/near 8080": "allow", "blue/near 8443": "deny", "blue/far 8080": "deny" });
    await apply(service("near", { selector: { app: "far" } }));
    await becomes({ "blue/near 8080": "deny", "blue/far 8080": "allow" });
    await apply(service("archive", {}), slice("archive", "203.0.113.7"));
    await becomes({ "203.0.113.7 80": "allow", "203.0.113.8 80": "deny" });
    await apply(slice("archive", "203.0.113.8"));
    await becomes({ "203.0.113.7 80": "deny", "203.0.113.8 80": "allow" });
  });

  test("other nodes by their labels, and flows that say who they are and what the policy wants said", async () => {
    const [other, own] = [2, 1].map((at) => lab.status.nodes.find(({ name }) => name === `n${at}`)!);
    const log = { value: "to the racks" };
    await apply(policy("nodes", { log, egress: [{ toNodes: [{ matchLabels: { rack: "r7" } }] }] }));
    const [v4, v6] = other!.addresses;
    await becomes({ [`${v4} ICMP`]: "deny", [`${v6} ICMP`]: "deny" });
    await kubectlOk(["label", "node", "n2", "rack=r7"]);
    await becomes({
      [`${v4} ICMP`]: "allow",
      [`${v6} ICMP`]: "allow",
      [`${own!.addresses[0]} ICMP`]: "deny",
    });
    await until("a flow that says so", async () => {
      const text = await weftOk("observe", "--from-pod", "red/a", "--to-ip", v4!, "-o", "jsonpb");
      const flows = text
        .trim()
        .split("\n")
        .map((line) => (JSON.parse(line) as { flow: Seen }).flow);
      return flows.some(
        ({ policy_log, destination }) =>
          policy_log?.[0] === log.value &&
          ["k8s:rack=r7", "reserved:remote-node"].every((label) => destination.labels.includes(label)),
      );
    });
    await kubectlOk(["label", "node", "n2", "rack-"]);
    await becomes({ [`${v4} ICMP`]: "deny", [`${v6} ICMP`]: "deny" });
  });

  test("a port's name is the number that each destination has for it, in a selector and in a block of addresses", async () => {
    const ports = [{ port: "admin", protocol: "TCP" }];
    const toEndpoints = [{ matchLabels: { "k8s:io.kubernetes.pod.namespace": "blue" } }];
    await apply(policy("named", { egress: [{ toEndpoints, toPorts: [{ ports }] }] }));
    const meant = {
      "blue/near 8443": "allow",
      "blue/near 8080": "deny",
      "blue/far 8444": "allow",
      "blue/far 8443": "deny",
    } as const;
    await becomes(meant);
    await remove(policy("named", {}));
    const blocks = ["0.0.0.0/0", "::/0"].map((cidr) => ({ ipBlock: { cidr } }));
    await apply({
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name: "blocks", namespace: "red" },
      spec: { podSelector: {}, policyTypes: ["Egress"], egress: [{ to: blocks, ports }] },
    } as Applied);
    await becomes({ ...meant, "198.51.100.7 8443": "deny" });
  });
});

interface Seen {
  readonly policy_log?: readonly string[];
  readonly destination: { readonly labels: readonly string[] };
}

function policy(name: string, rule: object): Applied & object {
  return {
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    metadata: { name, namespace: "red" },
    spec: { endpointSelector: {}, ...rule },
  } as Applied;
}

function group(externalCIDRs: readonly string[], labels: Readonly<Record<string, string>> = {}): Applied {
  const metadata = { name: "partners", labels };
  return {
    apiVersion: "cilium.io/v2",
    kind: "CiliumCIDRGroup",
    metadata,
    spec: { externalCIDRs },
  } as Applied;
}

function service(name: string, spec: object): Applied {
  const ports = [{ name: "web", port: 80, protocol: "TCP" }];
  const metadata = { name, namespace: "blue" };
  return { apiVersion: "v1", kind: "Service", metadata, spec: { ports, ...spec } } as Applied;
}

function slice(service: string, address: string): Applied {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `${service}-1`,
      namespace: "blue",
      labels: { "kubernetes.io/service-name": service },
    },
    addressType: "IPv4",
    ports: [{ name: "web", port: 80, protocol: "TCP" }],
    endpoints: [{ addresses: [address] }],
  } as Applied;
}
