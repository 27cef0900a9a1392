// SPDX-License-Identifier: Apache-2.0
/** Direct server return by each of its ways: whom backends see, what is on the wire, and what a change of the way costs open connections. */
import assert from "node:assert/strict";
import { netnsPath } from "#kernel/netns.ts";
import { administratorOk } from "../cluster/administrator.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { addresses } from "../cluster/shape.ts";
import { until } from "../cluster/until.ts";
import { importImage, SETTLES_MS } from "../load/clients.ts";
import { loadImageArchive } from "../load/image.ts";
import { type FlowReport, reportFlows, reportText } from "../load/report.ts";
import { addressOf, ask, askUdp, clientOf, families, loadOutside, wholeChecksums } from "./outside.ts";
import { directNamespace, directObjects } from "./scene.ts";
import { packetsDuring } from "./wire.ts";

/** Ways that put a packet around every packet. */
export type Wrapping = "ipip" | "geneve";

const wrapped: Readonly<Record<Wrapping, (packet: Uint8Array) => boolean>> = {
  ipip: (packet) => [4, 41].includes(nextHeader(packet)),
  geneve: (packet) => nextHeader(packet) === 17 && destinationPort(packet) === 6081,
};

const isV6 = (packet: Uint8Array) => packet[0]! >> 4 === 6;
const nextHeader = (packet: Uint8Array) => packet[isV6(packet) ? 6 : 9]!;

function destinationPort(packet: Uint8Array): number {
  const at = isV6(packet) ? 40 : (packet[0]! & 0xf) * 4;
  return (packet[at + 2]! << 8) | packet[at + 3]!;
}

export interface DirectReturn {
  /** Waits until backends on the other node see clients' own addresses: TCP and UDP, every family; and that the way's packets go to their node. */
  seesClients(way: Wrapping): Promise<void>;
  /** Sets the way, and more values, for the whole cluster under connections from outside; what they sent and lost meanwhile. */
  change(way: Wrapping | "option", more?: readonly string[]): Promise<readonly FlowReport[]>;
}

/**
 * Servers on the first node and Services of them under direct server return, which the host outside asks on the last node.
 * The cluster is dual-stack.
 */
export async function directReturn(cluster: Cluster): Promise<DirectReturn> {
  const [server = ""] = cluster.nodes;
  const asked = cluster.nodes.at(-1)!;
  const ours = (...args: string[]) =>
    cluster.kubectl(["-n", directNamespace, ...args], { timeoutMs: 90_000 });
  wholeChecksums(cluster);
  await importImage(cluster, loadImageArchive());
  await cluster.apply({ apiVersion: "v1", kind: "List", items: directObjects(server) });
  await ours("wait", "--for=condition=Ready", "pod", "--all", "--timeout=80s");
  const portOf = async (service: string, protocol: string) =>
    Number(
      await ours(
        "get",
        "service",
        service,
        "-o",
        `jsonpath={.spec.ports[?(@.protocol=='${protocol}')].nodePort}`,
      ),
    );
  const [tcp, udp] = [await portOf("seen", "TCP"), await portOf("seen", "UDP")];
  const [echoTcp, echoUdp] = [await portOf("echo", "TCP"), await portOf("echo", "UDP")];

  async function seesClients(way: Wrapping): Promise<void> {
    for (const family of families) {
      const address = addressOf(cluster, asked, family);
      const outside = family === 4 ? addresses.outside.v4 : addresses.outside.v6;
      const between = await packetsDuring(
        { netns: netnsPath(cluster.layout.netns), device: server },
        async () => {
          for (const [what, client] of [
            ["TCP", () => ask(cluster, address, tcp, "/clientip")],
            ["UDP", () => askUdp(cluster, { address, port: udp, question: "clientip" })],
          ] as const)
            await until(`the client's own address over ${what}, IPv${family}`, 30_000, async () => {
              return clientOf(await client()) === outside;
            });
        },
      );
      assert.ok(between.some(wrapped[way]), `packets of ${way} on the way to ${server}, IPv${family}`);
    }
  }

  async function change(
    way: Wrapping | "option",
    more: readonly string[] = [],
  ): Promise<readonly FlowReport[]> {
    const load = loadOutside(
      cluster,
      families.flatMap((family) => {
        const address = addressOf(cluster, asked, family);
        const to = (kind: "connect" | "stream" | "udp", port: number, perSecond: number) => {
          return { name: `${kind}/IPv${family}`, kind, address, port, perSecond };
        };
        return [to("connect", echoTcp, 25), to("stream", echoTcp, 100), to("udp", echoUdp, 50)];
      }),
    );
    try {
      await until("every client to be answered", 30_000, () => {
        const answered = load.seconds().filter(({ received }) => received > 0);
        return new Set(answered.map(({ flow }) => flow)).size === 6;
      });
      const fromMs = Date.now();
      const sets = [`config.services.dsrDispatch=${way}`, ...more].flatMap((value) => ["--set", value]);
      await administratorOk(cluster, ["weft", "upgrade", ...sets, "--wait"]);
      const interval = { fromMs, toMs: Date.now() };
      const rows = await until("the clients to report", SETTLES_MS + 30_000, () => {
        const all = load.seconds();
        return Date.now() > interval.toMs + SETTLES_MS && all.some(({ at }) => at >= interval.toMs) && all;
      });
      const reports = reportFlows(rows, interval);
      console.log(reportText(reports));
      return reports;
    } finally {
      load.stop();
    }
  }
  return { seesClients, change };
}
