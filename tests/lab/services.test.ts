// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { addAddress } from "#kernel/netlink/address.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { linkIndex } from "#kernel/netlink/link.ts";
import { netnsPath } from "#kernel/netns.ts";
import { finishChecksums } from "#kit/checksum-offload.ts";
import { agentReady, killAgent } from "#kit/lab-agent.ts";
import { kernelState } from "#kit/lab-kernel.ts";
import { PodClient } from "#kit/lab-pod.ts";
import { labPrefix, labStateDir, until, weftJson, weftOk } from "#kit/lab-run.ts";
import { kubectlOk, type LabPod, manifests, podOf, useLab } from "#kit/lab-use.ts";
import { parseAddress } from "#model/ip.ts";

interface DeniedRow {
  readonly cidr: string;
  readonly packets: number;
  readonly comment: string;
}

type Family = 4 | 6;
const families: readonly Family[] = [4, 6];

for (const routing of ["tunnel", "native"] as const) {
  suite(`services, ${routing}`, () => {
    const lab = useLab({ families: "dual", routing, files: ["services.yaml"] });
    let near: LabPod;
    let far: LabPod;
    const clients: Record<"socket hook" | "packet", PodClient> = {} as never;
    let world: PodClient;
    let node: PodClient;
    const services: Record<string, readonly string[]> = {};

    before(async () => {
      near = podOf(lab.status, "svc", "near");
      far = podOf(lab.status, "svc", "far");
      const pod = podOf(lab.status, "svc", "client");
      [clients["socket hook"], clients.packet, world, node] = await Promise.all([
        PodClient.start("svc/client"),
        PodClient.startOutsideCgroup(pod),
        PodClient.start("world"),
        PodClient.start("n1"),
      ]);
      for (const name of ["web", "near", "far"]) {
        const path = "jsonpath={.spec.clusterIPs}";
        services[name] = JSON.parse(
          await kubectlOk(["-n", "svc", "get", "service", name, "-o", path]),
        ) as string[];
      }
    });
    after(() => {
      for (const client of [...Object.values(clients), world, node]) client?.[Symbol.dispose]();
    });
    const of = (addresses: readonly string[], family: Family) => {
      const found = addresses.find((one) => one.includes(":") === (family === 6));
      assert.ok(found, `${addresses.join(" ")}: none of IPv${family}`);
      return found;
    };
    const nodeAddress = (name: string, family: Family) =>
      of(lab.status.nodes.find((one) => one.name === name)!.addresses, family);

    for (const way of ["socket hook", "packet"] as const) {
      for (const family of families) {
        test(`ClusterIP by ${way}, IPv${family}: TCP and UDP, both servers in turn, named ports`, async () => {
          const address = of(services.web!, family);
          const seen = new Set<string>();
          await until("both servers to answer", async () => {
            const { outcome, pod } = await clients[way].call("http", { host: address, port: 80 });
            assert.equal(outcome, "answered");
            seen.add(pod);
            return seen.size === 2;
          });
          assert.deepEqual([...seen].sort(), [`svc/${far.name}`, `svc/${near.name}`]);
          for (const name of ["near", "far"]) {
            const to = of(services[name]!, family);
            const { outcome, from } = await clients[way].call("udp", { address: to, port: 90 });
            assert.deepEqual({ outcome, from }, { outcome: "echoed", from: `${to} 90` });
          }
        });

        test(`NodePort from a pod by ${way}, IPv${family}: either node, near and far`, async () => {
          for (const name of ["n1", "n2"]) {
            await reached(clients[way], { host: nodeAddress(name, family), near, far });
          }
        });

        test(`datagrams longer than the MTU by ${way}, IPv${family}: pods and services, near and far`, async () => {
          for (const address of [near, far].map(({ ips }) => of(ips, family))) {
            const { outcome } = await clients[way].call("udp", { address, port: 9000, bytes: 8_000 });
            assert.equal(outcome, "echoed", address);
          }
          for (const name of ["near", "far"]) {
            const to = of(services[name]!, family);
            const { outcome, from } = await clients[way].call("udp", { address: to, port: 90, bytes: 8_000 });
            assert.deepEqual({ outcome, from }, { outcome: "echoed", from: `${to} 90` }, name);
          }
        });
      }
    }

    for (const family of families) {
      test(`NodePort from outside, IPv${family}: either node, near and far`, async () => {
        for (const name of ["n1", "n2"]) await reached(world, { host: nodeAddress(name, family), near, far });
      });

      test(`NodePort and ClusterIP from a node, IPv${family}`, async () => {
        for (const name of ["n1", "n2"]) await reached(node, { host: nodeAddress(name, family), near, far });
        for (const [name, pod] of Object.entries({ near, far })) {
          const answer = await node.call("http", { host: of(services[name]!, family), port: 80 });
          assert.equal(answer.pod, `svc/${pod.name}`);
        }
      });

      for (const way of ["socket hook", "packet"] as const) {
        test(`a server reaches itself through its own Service by ${way}, IPv${family}`, async () => {
          using client = await (way === "packet"
            ? PodClient.startOutsideCgroup(near)
            : PodClient.start(`svc/${near.name}`));
          const host = of(services.near!, family);
          assert.equal((await client.call("http", { host, port: 80 })).pod, `svc/${near.name}`);
          for (const bytes of [10, 8_000]) {
            const { outcome, from } = await client.call("udp", { address: host, port: 90, bytes });
            assert.deepEqual({ outcome, from }, { outcome: "echoed", from: `${host} 90` }, `${bytes} bytes`);
          }
        });
      }

      test(`names, IPv${family}`, async () => {
        const ask = (name: string) => clients["socket hook"].call("resolve", { name, family });
        for (const name of ["web", "web.svc", "web.svc.svc.cluster.local", "web.svc.svc.cluster.local."])
          assert.deepEqual((await ask(name)).addresses, [of(services.web!, family)], name);
        const pods = [near, far].map(({ ips }) => of(ips, family));
        assert.deepEqual([...new Set((await ask("headless")).addresses)].sort(), pods.sort());
        assert.deepEqual(await ask("nobody.svc"), { addresses: [], error: "ENOTFOUND" });
      });
    }

    /** Further addresses of the outside. */
    const attackers = { 4: "198.51.100.9", 6: "2001:db8:9::9" } as const;

    /** How a request of theirs ends; who waits for silence need not wait long. */
    const attacked = async (name: string, family: Family, timeoutMs = 10_000) => {
      const asks = { host: nodeAddress(name, family), port: 30080, from: attackers[family], timeoutMs };
      return (await world.call("http", asks)).outcome;
    };

    /** Denies attackers at n1, and shows that this is so, there alone, and seen. */
    const denyAttackers = async () => {
      using netlink = openNetlink({ netns: netnsPath(`${labPrefix}-world`) });
      for (const family of families) {
        const address = parseAddress(attackers[family]);
        addAddress(netlink, {
          link: linkIndex(netlink, "lo"),
          address,
          bits: family === 4 ? 32 : 128,
          noDad: true,
        });
        assert.equal(await attacked("n1", family), "answered");
      }
      const cidrs = ["198.51.100.0/24", "2001:db8:9::/48"];
      const said = await weftOk("prefilter", "add", "--node", "n1", "--comment", "drill", ...cidrs);
      assert.equal(said, "n1: 2 added; 2 CIDRs denied\n");
      for (const family of families) {
        assert.equal(await attacked("n1", family, 700), "timeout");
        assert.equal(await attacked("n2", family), "answered");
        await until(`a flow that says so of IPv${family}`, async () => {
          const from = ["--from-ip", attackers[family], "--last", "5"];
          return /denied by Prefilter/.test(await weftOk("observe", "--verdict", "DROPPED", ...from));
        });
      }
      const rows = await weftJson<DeniedRow[]>("prefilter", "list", "--node", "n1");
      const seen = rows.map(({ cidr, packets, comment }) => [cidr, packets > 0, comment]);
      assert.deepEqual(
        seen,
        cidrs.map((cidr) => [cidr, true, "drill"]),
      );
      return cidrs;
    };

    /** The far service under direct server return, and back. */
    const direct = async () => {
      const annotate = (text: string) => kubectlOk(["-n", "svc", "annotate", "service", "far", text]);
      const seenBy = async (port: number, family: Family) => {
        const host = nodeAddress("n1", family);
        const { body } = await world.call("http", { host, port, path: "/clientip" });
        return body.slice(0, body.lastIndexOf(":"));
      };
      await annotate("service.cilium.io/forwarding-mode=dsr");
      for (const family of families) {
        const client = await seenBy(30080, family);
        await until(
          `the client's address over IPv${family}`,
          async () => (await seenBy(30081, family)) === client,
        );
        const host = nodeAddress("n1", family);
        await reached(world, { host, near, far });
        const { outcome } = await world.call("udp", { address: host, port: 30091, bytes: 1_300 });
        assert.equal(outcome, "echoed");
        // Segments as long as the client's MTU, until it is told that they are too long.
        const path = `/hostname?${"x".repeat(8_000)}`;
        const long = await world.call("http", { host, port: 30081, path, timeoutMs: 5_000 });
        assert.deepEqual([long.outcome, long.pod], ["answered", `svc/${far.name}`]);
      }
      await annotate("service.cilium.io/forwarding-mode-");
    };

    test("from outside through the balancer at XDP, which outlives its agent and goes by setting", async () => {
      const asked = async () => {
        for (const family of families) await reached(world, { host: nodeAddress("n1", family), near, far });
      };
      const links = () => Object.keys(kernelState("n1").links).filter((name) => name.startsWith("xdp_"));
      const config = join(labStateDir, "nodes/n1/agent.yaml");
      const without = readFileSync(config, "utf8");
      const restarted = async (settings: string) => {
        writeFileSync(config, settings);
        await killAgent("n1");
        await agentReady("n1");
      };
      finishChecksums("n1", netnsPath(`${labPrefix}-world`));
      const denied = routing === "native" ? await denyAttackers() : [];
      const dispatch = `services: {dsrDispatch: ${routing === "native" ? "ipip" : "geneve"}}\n`;
      await restarted(`${without}xdp: {devices: [eth0], mode: generic}\n${dispatch}`);
      assert.match(links().join(), /^xdp_generic_\d+$/);
      await asked();
      if (denied.length > 0) {
        for (const family of families) assert.equal(await attacked("n1", family, 700), "timeout");
        const left = await weftOk("prefilter", "delete", "--node", "n1", ...denied);
        assert.equal(left, "n1: 2 deleted; 0 CIDRs denied\n");
        for (const family of families) assert.equal(await attacked("n1", family), "answered");
      }
      await direct();
      await killAgent("n1");
      await asked();
      await agentReady("n1");
      await restarted(without);
      assert.deepEqual(links(), []);
      await asked();
    });

    test("a Service and an address lead to the node's own pod while a policy redirects them", async () => {
      const policies = join(manifests, "redirects.yaml");
      const answers = async (client: PodClient | undefined, host: string) =>
        (await client!.call("http", { host, port: 80, timeoutMs: 1_000 })).pod;
      await kubectlOk(["apply", "-f", policies]);
      try {
        for (const client of [clients["socket hook"], clients.packet]) {
          for (const host of [of(services.far!, 4), of(services.far!, 6), "198.51.100.200"])
            await until(
              `${host} to be near`,
              async () => (await answers(client, host)) === `svc/${near.name}`,
            );
          const { outcome } = await client.call("udp", { address: of(services.far!, 4), port: 90 });
          assert.equal(outcome, "echoed");
        }
      } finally {
        await kubectlOk(["delete", "-f", policies]);
      }
      for (const client of [clients["socket hook"], clients.packet])
        await until("the Service's own", async () => {
          return (await answers(client, of(services.far!, 4))) === `svc/${far.name}`;
        });
    });

    test("a far server sees the client outside and answers it past the node that was asked", () => direct());

    test("scaled to nothing and back", async () => {
      const scale = (replicas: number) =>
        kubectlOk(["-n", "svc", "scale", "deployment", "near", `--replicas=${replicas}`]);
      await scale(0);
      for (const way of ["socket hook", "packet"] as const) {
        await until(`${way}: nobody to answer`, async () => {
          const { outcome } = await clients[way].call("http", {
            host: of(services.near!, 4),
            port: 80,
            timeoutMs: 500,
          });
          return outcome !== "answered";
        });
      }
      await scale(1);
      for (const family of families) {
        await until(`an answer over IPv${family}`, async () => {
          const { pod } = await clients.packet.call("http", {
            host: of(services.near!, family),
            port: 80,
            timeoutMs: 500,
          });
          return pod.startsWith("svc/near-");
        });
      }
    });
  });
}

/** Both Services by their node ports of one address: TCP and UDP, and answers that come from where was asked. */
async function reached(
  client: PodClient,
  { host, near, far }: { readonly host: string; readonly near: LabPod; readonly far: LabPod },
): Promise<void> {
  for (const [pod, tcp, udp] of [
    [near, 30080, 30090],
    [far, 30081, 30091],
  ] as const) {
    const { outcome, pod: who } = await client.call("http", { host, port: tcp });
    assert.deepEqual({ outcome, who }, { outcome: "answered", who: `svc/${pod.name}` }, `${host}:${tcp}`);
    const answer = await client.call("udp", { address: host, port: udp });
    assert.deepEqual(answer, { outcome: "echoed", from: `${host} ${udp}` }, `${host}:${udp}/UDP`);
  }
}
