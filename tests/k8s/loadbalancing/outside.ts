// SPDX-License-Identifier: Apache-2.0
/** The host outside: it asks the cluster, and says by which address it is asked. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { netnsPath } from "#kernel/netns.ts";
import { finishChecksums } from "#kit/checksum-offload.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { inNamespace } from "../cluster/network.ts";
import { nodeAddress } from "../cluster/shape.ts";
import { startOutside } from "../load/clients.ts";
import { type FlowSecond, parseSeconds } from "../load/report.ts";

export const families = [4, 6] as const;
export type Family = (typeof families)[number];

export const outsidePort = 8099;

export const urlOf = (address: string, port: number, path: string) =>
  `http://${address.includes(":") ? `[${address}]` : address}:${port}${path}`;

/** The address in agnhost's answer to `/clientip`, `10.1.2.3:4567`; undefined: no such answer. */
export function clientOf(answer: string): string | undefined {
  const colon = answer.trim().lastIndexOf(":");
  return colon < 0
    ? undefined
    : answer
        .slice(0, colon)
        .replace(/^\[|\]$/g, "")
        .replace(/^::ffff:/, "");
}

/** Asks from outside; "": no answer within a second. */
export async function ask(
  cluster: Cluster,
  address: string,
  port: number,
  path = "/hostname",
): Promise<string> {
  const options = ["-s", "-g", "-m", "1"];
  return (await cluster.outside(["curl", ...options, urlOf(address, port, path)])).stdout.trim();
}

/** Asks by a datagram from outside; "": no answer within a second. */
export async function askUdp(
  cluster: Cluster,
  { address, port, question }: { readonly address: string; readonly port: number; readonly question: string },
): Promise<string> {
  const script = `exec 3<>/dev/udp/${address}/${port}; printf %s ${question} >&3; timeout 1 dd bs=64 count=1 status=none <&3`;
  return (await cluster.outside(["bash", "-c", script])).stdout.trim();
}

/** A server outside that answers `/clientip`; disposing ends it. */
export function serveOutside(cluster: Cluster): Disposable {
  const argv = [join(cluster.bin, "agnhost"), "netexec", `--http-port=${outsidePort}`, "--udp-port=-1"];
  const [program = "", ...args] = inNamespace(cluster.layout.outsideNetns, argv);
  const child = spawn(program, args, { stdio: "ignore" });
  const stop = () => void child.kill("SIGKILL");
  process.once("exit", stop);
  return {
    [Symbol.dispose]() {
      process.off("exit", stop);
      stop();
    },
  };
}

export interface OutsideLoad {
  /** Every second from now on that is accounted for. */
  seconds(): FlowSecond[];
  stop(): void;
}

export interface LoadTarget {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly perSecond: number;
  readonly kind?: "connect" | "stream" | "udp";
}

export const flowText = ({ name, kind = "connect", address, port, perSecond }: LoadTarget) =>
  `${name} ${kind} ${address} ${port} ${perSecond}`;

export function loadOutside(cluster: Cluster, targets: readonly LoadTarget[]): OutsideLoad {
  const load = startOutside(cluster, targets.map(flowText));
  return { seconds: () => parseSeconds(load.output()), stop: load.stop };
}

/** Checksums that hardware would finish are finished at both ends of every wire: XDP sees packets as they are. */
export function wholeChecksums(cluster: Cluster): void {
  const { netns, outsideNetns, nodeNetns } = cluster.layout;
  finishChecksums("eth0", netnsPath(outsideNetns));
  for (const node of cluster.nodes) {
    finishChecksums(node, netnsPath(netns));
    finishChecksums("eth0", netnsPath(nodeNetns(node)));
  }
}

export function addressOf(cluster: Cluster, node: string, family: Family): string {
  const { v4, v6 } = nodeAddress(cluster.nodes.indexOf(node) + 1);
  return family === 4 ? v4 : v6;
}
