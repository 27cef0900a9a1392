// SPDX-License-Identifier: Apache-2.0
/** What depends on where a service's pods are: policies for the outside, host ports, and services that nobody answers. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { endpointLayout } from "#datapath/layouts/endpoint.ts";
import { EndpointFlag } from "#datapath/layouts/enums.ts";
import { l2ResponderLayout } from "#datapath/layouts/l2-responder.ts";
import { l2ResponderKeyLayout } from "#datapath/layouts/l2-responder-key.ts";
import { BpfMap } from "#kernel/bpf/map.ts";
import { typedMap, u32Layout } from "#kernel/bpf/typed-map.ts";
import { heldDown } from "#kit/lab-agent.ts";
import { PodClient } from "#kit/lab-pod.ts";
import { labBpfDir, labPrefix, runOk, until, weftOk } from "#kit/lab-run.ts";
import { kubectlOk, type LabPod, type LabStatus, manifests, podOf, useLab } from "#kit/lab-use.ts";

/** How long what has to answer may take on a busy machine, and what must not answer has. */
const patienceMs = 10_000;
const silenceMs = 700;

type Family = 4 | 6;
type Who = "world" | "pod" | "pod by packet" | "its node" | "the other node";

for (const routing of ["tunnel", "native"] as const) {
  suite(`services and where their pods are, ${routing}`, () => {
    const lab = useLab({ families: "dual", routing, files: ["services-local.yaml"] });
    const clients = {} as Record<Who, PodClient>;
    let server: LabPod;
    let clusterIps: readonly string[] = [];

    before(async () => {
      server = podOf(lab.status, "local", "server");
      const [world, pod, packet, near, far] = await Promise.all([
        PodClient.start("world"),
        PodClient.start("local/client"),
        PodClient.startOutsideCgroup(podOf(lab.status, "local", "client")),
        PodClient.start("n2"),
        PodClient.start("n1"),
      ]);
      Object.assign(clients, {
        world,
        pod,
        "pod by packet": packet,
        "its node": near,
        "the other node": far,
      });
      const path = "jsonpath={.spec.clusterIPs}";
      clusterIps = JSON.parse(
        await kubectlOk(["-n", "local", "get", "service", "nobody", "-o", path]),
      ) as string[];
    });
    after(() => {
      for (const client of Object.values(clients)) client[Symbol.dispose]();
    });
    const nodeAddress = (name: string, family: Family) =>
      lab.status.nodes
        .find((node) => node.name === name)!
        .addresses.find((address) => address.includes(":") === (family === 6))!;
    const http = async (who: Who, host: string, port: number, timeoutMs = patienceMs) => {
      const { outcome, pod } = await clients[who].call("http", { host, port, timeoutMs });
      return outcome === "answered" ? pod : outcome;
    };
    const udp = async (who: Who, address: string, port: number, timeoutMs = patienceMs) =>
      (await clients[who].call("udp", { address, port, timeoutMs })).outcome;

    for (const family of [4, 6] as const) {
      const [empty, own] = [() => nodeAddress("n1", family), () => nodeAddress("n2", family)];

      test(`externalTrafficPolicy Local, IPv${family}: the node with the pod answers all, the other its own inside`, async () => {
        const name = `local/${server.name}`;
        for (const who of ["world", "pod", "pod by packet", "its node", "the other node"] as const) {
          assert.equal(await http(who, own(), 30_180), name, who);
          assert.equal(await udp(who, own(), 30_190), "echoed", who);
        }
        for (const who of ["world", "its node"] as const) {
          assert.equal(await http(who, empty(), 30_180, silenceMs), "timeout", who);
          assert.equal(await udp(who, empty(), 30_190, silenceMs), "timeout", who);
        }
        for (const who of ["pod", "pod by packet", "the other node"] as const)
          assert.equal(await http(who, empty(), 30_180), name, who);
      });

      test(`hostPort, IPv${family}: TCP and UDP on the pod's node alone, from everywhere`, async () => {
        for (const who of ["world", "pod", "pod by packet", "its node", "the other node"] as const) {
          assert.equal(await http(who, own(), 31_000), `local/${server.name}`, who);
          assert.equal(await udp(who, own(), 31_000), "echoed", who);
          assert.equal(await http(who, empty(), 31_000), "refused", who);
        }
      });

      test(`nobody answers, IPv${family}: who asks is refused, by TCP and UDP`, async () => {
        const clusterIp = clusterIps.find((address) => address.includes(":") === (family === 6))!;
        for (const who of ["pod", "pod by packet", "its node"] as const)
          assert.equal(await http(who, clusterIp, 80), "refused", who);
        for (const who of ["world", "pod", "pod by packet", "its node"] as const)
          assert.equal(await http(who, own(), 30_181), "refused", who);
      });
    }

    test("hostPort on loopback: for the node's own processes alone", async () => {
      assert.equal(await http("its node", "127.0.0.1", 31_001), "local/loopback");
      assert.equal(await http("its node", "127.0.0.1", 30_180), `local/${server.name}`);
      for (const who of ["pod", "pod by packet", "the other node"] as const)
        assert.equal(await http(who, "127.0.0.1", 31_001), "refused", who);
      assert.equal(await http("world", nodeAddress("n2", 4), 31_001), "refused");
    });

    if (routing === "tunnel") announcements(lab, clients, () => server);

    test("load balancers are told where the pods are; hostPorts and connected sockets go with the pod, even one that goes without a word", async () => {
      const asked = async (node: string, port: number, path: string) => {
        const host = nodeAddress(node, 4);
        return (await clients.world.call("http", { host, port, path })).body;
      };
      const say = async (node: string, port: number, path: string, text: RegExp) => {
        await until(`${node}:${port}${path} to say ${text}`, async () =>
          text.test(await asked(node, port, path)),
        );
      };
      await say("n2", 32_100, "/", /"localEndpoints": 1,\s*"serviceProxyHealthy": true/);
      await say("n1", 32_100, "/", /"localEndpoints": 0/);
      await say("n1", 10_256, "/healthz", /"nodeEligible": true/);
      const path = "jsonpath={.spec.clusterIP}";
      const address = await kubectlOk(["-n", "local", "get", "service", "server", "-o", path]);
      for (const who of ["pod", "its node"] as const)
        await clients[who].call("hold", { kind: "udp", address: address.trim(), port: 90 });
      await clients.pod.call("hold", { kind: "tcp", address: address.trim(), port: 80 });
      await silence("server");
      await until("the server to be silent", () => isSilent("n2", server));
      await kubectlOk(["-n", "local", "delete", "pod", "server"]);
      for (const [who, kind] of [
        ["pod", "udp"],
        ["its node", "udp"],
        ["pod", "tcp"],
      ] as const) {
        const { error } = await clients[who].call("fateOf", { kind, timeoutMs: 20_000 });
        assert.equal(error, "ECONNABORTED", `${who}, ${kind}`);
      }
      await say("n2", 32_100, "/", /"localEndpoints": 0/);
      await until(
        "the host port to be closed",
        async () => (await http("world", nodeAddress("n2", 4), 31_000)) === "refused",
      );
    });
  });
}

/** Nothing it sends gets out any more, not even that it ends. */
async function silence(app: string): Promise<void> {
  const metadata = { name: "silence", namespace: "local" };
  const spec = { podSelector: { matchLabels: { app } }, policyTypes: ["Ingress", "Egress"] };
  const policy = { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata, spec };
  await kubectlOk(["apply", "-f", "-"], { input: JSON.stringify(policy) });
}

function isSilent(node: string, pod: LabPod): boolean {
  using map = BpfMap.openPinned(join(labBpfDir, node, "maps/endpoints_by_ifindex"));
  const entries = [...typedMap(map, u32Layout, endpointLayout).entries()];
  const found = entries.find(([, { v4 }]) => v4 !== undefined && pod.ips.includes(v4));
  return found !== undefined && (found[1].flags & EndpointFlag.enforceEgress) !== 0;
}

/** Nodes whose kernel answers for an address right now, whatever agents think. */
function answering(nodes: readonly string[], address: string): string[] {
  const nowSec = Number(process.hrtime.bigint() / 1_000_000_000n);
  return nodes.filter((node) => {
    using map = BpfMap.openPinned(join(labBpfDir, node, "maps/l2_responders"));
    const entries = [...typedMap(map, l2ResponderKeyLayout, l2ResponderLayout).entries()];
    return entries.some(([{ addr }, { until: end }]) => addr === address && nowSec < end);
  });
}

function announcements(
  lab: { readonly status: LabStatus },
  clients: Readonly<Record<Who, PodClient>>,
  server: () => LabPod,
): void {
  const addressesOf = async (name: string) => {
    const path = "jsonpath={.status.loadBalancer.ingress[*].ip}";
    const text = await kubectlOk(["-n", "local", "get", "service", name, "-o", path]);
    return text.trim().split(" ").filter(Boolean);
  };
  const answered = async (host: string) => {
    const { outcome, pod } = await clients.world.call("http", { host, port: 80, timeoutMs: silenceMs });
    return outcome === "answered" && pod === `local/${server().name}`;
  };
  const nodes = () => lab.status.nodes.map(({ name }) => name);
  /** The one that answers; two at a time are a failure wherever this is asked. */
  const answererOf = (address: string) => {
    const found = answering(nodes(), address);
    assert.ok(found.length <= 1, `${address} is answered for by ${found.join(" and ")}`);
    return found[0];
  };
  const macOf = async (node: string) =>
    JSON.parse(await runOk(["ip", "-n", `${labPrefix}-${node}`, "-j", "link", "show", "eth0"]))[0].address;
  const neighbour = async (address: string) => {
    const shown = await runOk(["ip", "-n", `${labPrefix}-world`, "-j", "neigh", "show", address]);
    return JSON.parse(shown || "[]")[0]?.lladdr;
  };

  test("load-balancer addresses on the wire: one node answers, another takes over, nobody without a policy", async () => {
    await kubectlOk(["apply", "-f", join(manifests, "announced.yaml")]);
    const addresses = await until("two addresses", async () => {
      const found = await addressesOf("announced");
      return found.length === 2 && found;
    });
    const holders = new Map<string, string>();
    for (const address of addresses) {
      const node = await until(`${address} to be announced`, () => answererOf(address));
      holders.set(address, node);
      await until(`an answer of ${address}`, () => answered(address));
      assert.equal(await neighbour(address), await macOf(node), address);
      assert.match(await weftOk("service", "get", "local/announced"), new RegExp(`${node} eth0`));
    }
    // Of externalTrafficPolicy Local: nowhere but where its pod is.
    const [local = ""] = await until("an address of the other", async () => {
      const found = await addressesOf("server");
      return found.length > 0 && found;
    });
    assert.equal(await until("the node with the pod", () => answererOf(local)), "n2");
    const status = "jsonpath={.status.conditions[?(@.type=='Valid')].message}";
    await until("the broken policy's status", async () =>
      /spec\.interfaces\[0\]/.test(await kubectlOk(["get", "l2announcement", "broken", "-o", status])),
    );

    const [first = ""] = addresses;
    const before = holders.get(first)!;
    const other = nodes().find((name) => name !== before)!;
    await heldDown(before, async () => {
      await until(`${other} to take over`, () => answererOf(first) === other);
      // Without a question of its own the outside has learnt where the address is now.
      await until("the outside to know", async () => (await neighbour(first)) === (await macOf(other)));
      await until(`an answer of ${first}`, () => answered(first));
    });
    await until(`${before}'s agent`, async () => (await weftOk("status", "--node", before)) !== "");
    assert.equal(answererOf(first), other);

    await kubectlOk(["delete", "l2announcement", "lab", "broken"]);
    for (const address of [...addresses, local])
      await until(`nobody to answer for ${address}`, () => answererOf(address) === undefined);
    const leases = ["-n", "kube-system", "get", "leases", "-l", "weft.io/l2-announcement", "-o", "name"];
    await until("no lease to be left", async () => (await kubectlOk(leases)).trim() === "");
    await kubectlOk(["delete", "-f", join(manifests, "announced.yaml"), "--ignore-not-found"]);
  });
}
