// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { closeSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { setLink } from "#kernel/netlink/link.ts";
import { netnsPath } from "#kernel/netns.ts";
import { openSocket, SOCK_RAW } from "#kernel/socket.ts";
import { PodClient } from "#kit/lab-pod.ts";
import { receive } from "#kit/lab-pod-icmp.ts";
import { labPrefix, until, weftOk } from "#kit/lab-run.ts";
import { kubectlOk, type LabPod, manifests, podOf, useLab } from "#kit/lab-use.ts";
import { delegateSourceCheckAnnotation, noSourceCheckAnnotation } from "#model/annotations.ts";
import { parseAddress } from "#model/ip.ts";

type Family = 4 | 6;
const families: readonly Family[] = [4, 6];
const going = "ToBeDeletedByClusterAutoscaler=now:PreferNoSchedule";
const outside: Record<Family, string> = { 4: "198.51.100.7", 6: "2001:db8::7" };
/** Of what tests/lab/manifests/egress.yaml sends by a gateway. */
const excluded: Record<Family, string> = { 4: "203.0.113.7", 6: "2001:db8:3::7" };

for (const routing of ["tunnel", "native"] as const) {
  suite(`paths of a packet, ${routing}`, () => {
    // Under native routing gateways are off unless asked for.
    const settings = routing === "native" ? ["egressGateway=true"] : [];
    const lab = useLab({ families: "dual", routing, files: ["services.yaml"], settings });
    const targets: Record<string, LabPod> = {};
    let client: PodClient;
    const nodes: Record<string, PodClient> = {};

    before(async () => {
      for (const name of ["near", "far", "client"]) targets[name] = podOf(lab.status, "svc", name);
      [client, nodes.n1, nodes.n2] = (await Promise.all(
        ["svc/client", "n1", "n2"].map((name) => PodClient.start(name)),
      )) as [PodClient, PodClient, PodClient];
    });
    after(() => {
      for (const one of [client, ...Object.values(nodes)]) one?.[Symbol.dispose]();
    });
    const podAddress = (name: string, family: Family) => of(targets[name]!.ips, family);
    const nodeAddress = (name: string, family: Family) =>
      of(lab.status.nodes.find((one) => one.name === name)!.addresses, family);

    for (const family of families) {
      test(`echo, IPv${family}: pods near and far, whole and in fragments, nodes, outside`, async () => {
        const addresses = [
          ...["near", "far"].map((name) => podAddress(name, family)),
          ...["n1", "n2"].map((name) => nodeAddress(name, family)),
          outside[family],
        ];
        for (const address of addresses)
          for (const bytes of [24, 5_000])
            assert.equal(
              (await client.call("ping", { address, bytes })).kind,
              "reply",
              `${address}, ${bytes} bytes`,
            );
      });

      test(`pods and hosts, IPv${family}, both ways, own node and the other`, async () => {
        for (const name of ["n1", "n2"]) {
          const answer = await client.call("http", {
            host: nodeAddress(name, family),
            port: 9962,
            path: "/metrics",
          });
          assert.ok(answer.body.includes('weft_health{part="endpoint-maps"} 1'), `pod to ${name}`);
          for (const [pod, port] of [
            ["near", 8080],
            ["far", 8081],
          ] as const) {
            const { pod: who } = await nodes[name]!.call("http", { host: podAddress(pod, family), port });
            assert.equal(who, `svc/${targets[pod]!.name}`, `${name} to ${pod}`);
            const { kind } = await nodes[name]!.call("ping", {
              address: podAddress(pod, family),
              bytes: 5_000,
            });
            assert.equal(kind, "reply", `${name} to ${pod}`);
          }
        }
      });

      test(`a hop limit that ends on the way is answered, IPv${family}`, async () => {
        for (const address of [podAddress("far", family), outside[family]])
          assert.equal((await client.call("ping", { address, ttl: 1 })).kind, "time exceeded", address);
      });

      test(`a packet too long for the way is answered, IPv${family}`, async () => {
        await withNodeMtu("n1", 1_300, async () => {
          const answer = await client.call("ping", {
            address: outside[family],
            bytes: 1_320,
            dontFragment: true,
          });
          assert.equal(answer.kind, "too big");
          assert.equal(answer.mtu, 1_300);
        });
        const { kind } = await client.call("ping", {
          address: outside[family],
          bytes: 1_320,
          dontFragment: true,
        });
        assert.equal(kind, "reply");
      });

      test(`outside, IPv${family}: TCP, UDP and echo go out under the node's address, unless the list has them`, async () => {
        // Answers come back at all only because they were sent to the node: nobody outside knows a pod's address.
        const world = outside[family];
        assert.equal((await client.call("http", { host: world, port: 8_000 })).outcome, "answered");
        const { outcome, from } = await client.call("udp", { address: world, port: 9_000, bytes: 1_000 });
        assert.deepEqual({ outcome, from }, { outcome: "echoed", from: `${world} 9000` });
        if (family === 6) return;
        const source = await echoSource(() => client.call("ping", { address: world }));
        assert.equal(source, nodeAddress("n1", 4));
        // The lab's outside takes nothing from a pod's own address: nobody has it there.
        const answered = async () =>
          (await client.call("ping", { address: world, timeoutMs: 500 })).kind === "reply";
        const list = ["-n", "kube-system", "configmap", "ip-masq-agent"];
        await kubectlOk(["create", ...list, "--from-literal=config=nonMasqueradeCIDRs: [198.51.100.0/24]"]);
        try {
          await until("the pod's own address", async () => !(await answered()));
          assert.match(await weftOk("bpf", "masquerade", "list", "--node", "n1"), /198\.51\.100\.0\/24/);
        } finally {
          await kubectlOk(["delete", ...list]);
        }
        await until("the node's address", answered);
      });

      test(`outside by a gateway, IPv${family}: TCP, UDP and echo, and back; another takes over`, async () => {
        const leavesAs = async (host: string, name: string) => {
          const { body } = await client.call("http", { host, port: 8_000 });
          return String(body)
            .trim()
            .endsWith(`, to ${nodeAddress(name, family)}`);
        };
        const policy = join(manifests, "egress.yaml");
        assert.ok(await leavesAs(outside[family], "n1"));
        await kubectlOk(["apply", "-f", policy]);
        try {
          await until("n1 to be the gateway", async () =>
            /client .* n1 /.test(await weftOk("egress", "list", "--node", "n1")),
          );
          // As who drains nodes for the cluster's autoscaler does.
          await kubectlOk(["taint", "node", "n1", going]);
          await until("the gateway", () => leavesAs(outside[family], "n2"));
          const { outcome, from } = await client.call("udp", { address: outside[family], port: 9_000 });
          assert.deepEqual({ outcome, from }, { outcome: "echoed", from: `${outside[family]} 9000` });
          // No router fragments IPv6, and the outside knows nothing of the tunnel's MTU.
          for (const bytes of family === 4 ? [24, 5_000] : [24, 1_200])
            assert.equal((await client.call("ping", { address: outside[family], bytes })).kind, "reply");
          assert.ok(await leavesAs(excluded[family], "n1"), "what is excluded");
          assert.equal((await client.call("ping", { address: podAddress("far", family) })).kind, "reply");
        } finally {
          await kubectlOk(["taint", "node", "n1", `${going}-`]);
          await kubectlOk(["delete", "-f", policy]);
        }
        await until("the usual way", () => leavesAs(outside[family], "n1"));
      });

      test(`a foreign source address, IPv${family}: dropped, and said so`, async () => {
        const destination = podAddress("near", family);
        const source = podAddress("far", family);
        const port = 20_000 + Math.floor(Math.random() * 10_000);
        await client.call("spoof", { source, destination, port });
        const flow = await until("the flow", async () => {
          const text = await weftOk("observe", "--last", "20", "--to-port", String(port), "-o", "jsonpb");
          const line = text.split("\n").find((one) => one.includes(`"destination_port":${port}`));
          return line === undefined
            ? undefined
            : (JSON.parse(line) as { flow: Record<string, unknown> }).flow;
        });
        assert.equal(flow.verdict, "DROPPED");
        assert.equal(flow.drop_reason_desc, "INVALID_SOURCE_IP");
      });
    }

    if (routing === "tunnel")
      test("a foreign source address goes where the pod asks for it and its namespace lets it", async () => {
        const { namespace, name } = targets.client!;
        const pod = ["-n", namespace, "annotate", "pod", name, `${noSourceCheckAnnotation}=true`];
        const space = ["annotate", "namespace", namespace, `${delegateSourceCheckAnnotation}=true`];
        await kubectlOk(pod);
        const sent = families.map((family) => ({
          source: of(["198.51.100.99", "2001:db8:9::9"], family),
          destination: podAddress("near", family),
        }));
        const verdicts = async () => {
          for (const one of sent) await client.call("spoof", { ...one, port: 30_999 });
          const text = await weftOk("observe", "--last", "50", "--to-port", "30999", "-o", "jsonpb");
          return sent.map(({ source }) => {
            const own = text.split("\n").filter((line) => line.includes(`"source":"${source}"`));
            return /"verdict":"(\w+)"/.exec(own.at(-1) ?? "")?.[1];
          });
        };
        const become = (verdict: string) =>
          until(verdict, async () => (await verdicts()).every((one) => one === verdict));
        await become("DROPPED");
        await kubectlOk(space);
        await become("FORWARDED");
        await kubectlOk([...pod.slice(0, -1), `${noSourceCheckAnnotation}-`]);
        await become("DROPPED");
      });
  });
}

function of(addresses: readonly string[], family: Family): string {
  const found = addresses.find((one) => one.includes(":") === (family === 6));
  assert.ok(found, `${addresses.join(" ")}: none of IPv${family}`);
  return found;
}

/** The node's way out is narrower meanwhile. */
async function withNodeMtu(node: string, mtu: number, work: () => Promise<void>): Promise<void> {
  using netlink = openNetlink({ netns: netnsPath(`${labPrefix}-${node}`) });
  setLink(netlink, "eth0", { mtu });
  try {
    await work();
  } finally {
    setLink(netlink, "eth0", { mtu: 1_500 });
  }
}

/** Source address of the echo request that the outside gets (a raw IPv4 socket sees whole packets). */
async function echoSource(ping: () => Promise<unknown>): Promise<string> {
  const fd = openSocket(parseAddress("0.0.0.0"), SOCK_RAW, 1, { netns: netnsPath(`${labPrefix}-world`) });
  try {
    await ping();
    for (const packet of receive(fd)) if (packet[20] === 8) return [...packet.subarray(12, 16)].join(".");
    return "";
  } finally {
    closeSync(fd);
  }
}
