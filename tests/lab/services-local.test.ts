// SPDX-License-Identifier: Apache-2.0
/** What depends on where a service's pods are: policies for the outside, host ports, and services that nobody answers. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { PodClient } from "#kit/lab-pod.ts";
import { until } from "#kit/lab-run.ts";
import { kubectlOk, type LabPod, podOf, useLab } from "#kit/lab-use.ts";

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
    const http = async (who: Who, host: string, port: number) => {
      const { outcome, pod } = await clients[who].call("http", { host, port, timeoutMs: 700 });
      return outcome === "answered" ? pod : outcome;
    };
    const udp = async (who: Who, address: string, port: number) =>
      (await clients[who].call("udp", { address, port, timeoutMs: 700 })).outcome;

    for (const family of [4, 6] as const) {
      const [empty, own] = [() => nodeAddress("n1", family), () => nodeAddress("n2", family)];

      test(`externalTrafficPolicy Local, IPv${family}: the node with the pod answers all, the other its own inside`, async () => {
        const name = `local/${server.name}`;
        for (const who of ["world", "pod", "pod by packet", "its node", "the other node"] as const) {
          assert.equal(await http(who, own(), 30_180), name, who);
          assert.equal(await udp(who, own(), 30_190), "echoed", who);
        }
        for (const who of ["world", "its node"] as const) {
          assert.equal(await http(who, empty(), 30_180), "timeout", who);
          assert.equal(await udp(who, empty(), 30_190), "timeout", who);
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

    test("load balancers are told where the pods are; hostPorts and connected UDP sockets go with the pod", async () => {
      const asked = async (node: string, port: number, path: string) => {
        const host = nodeAddress(node, 4);
        return (await clients.world.call("http", { host, port, path })).body;
      };
      assert.match(await asked("n2", 32_100, "/"), /"localEndpoints": 1,\s*"serviceProxyHealthy": true/);
      assert.match(await asked("n1", 32_100, "/"), /"localEndpoints": 0/);
      assert.match(await asked("n1", 10_256, "/healthz"), /"nodeEligible": true/);
      const path = "jsonpath={.spec.clusterIP}";
      const address = await kubectlOk(["-n", "local", "get", "service", "server", "-o", path]);
      for (const who of ["pod", "its node"] as const)
        await clients[who].call("holdUdp", { address: address.trim(), port: 90 });
      await kubectlOk(["-n", "local", "delete", "pod", "server"]);
      for (const who of ["pod", "its node"] as const) {
        const { error } = await clients[who].call("fateOfUdp", { timeoutMs: 20_000 });
        assert.equal(error, "ECONNABORTED", who);
      }
      await until("no pod on n2", async () => /"localEndpoints": 0/.test(await asked("n2", 32_100, "/")));
      await until(
        "the host port to be closed",
        async () => (await http("world", nodeAddress("n2", 4), 31_000)) === "refused",
      );
    });
  });
}
