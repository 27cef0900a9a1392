// SPDX-License-Identifier: Apache-2.0
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import * as z from "zod";
import type { KubeClient } from "#k8s/client.ts";
import { isNotFound } from "#k8s/errors.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { backoffMs } from "#lib/backoff.ts";
import { type Clock, pause, systemClock } from "#lib/clock.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import { type Address, type Family, family, type Prefix, parseAddress, parsePrefix } from "#model/ip.ts";
import { labelList, parseLabels } from "#model/labels.ts";
import type { Table } from "#store/table.ts";
import { type CiliumNode, type CiliumNodeObject, ciliumNodeRow } from "./cilium-node.ts";
import { type Node, nodeAddress } from "./node.ts";
import { ciliumNodeOf, type IpamMode } from "./publish.ts";
import { toNode } from "./source.ts";

const schema = z.object({
  name: z.string(),
  addresses: z.array(z.string().transform((text): Address => parseAddress(text))),
  podCidrs: z.array(z.string().transform((text): Prefix => parsePrefix(text))),
  labels: z.array(z.string()),
});

export interface OwnNodeDeps {
  readonly client: KubeClient;
  readonly nodeName: string;
  readonly ipam: IpamMode;
  /** Where the answer is kept for a start without API server. */
  readonly cacheFile: string;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** How long one question may take before what is known counts. */
const attemptMs = 5_000;

/**
 * This node, once it has an address and pod CIDRs. Asked of the API server; when that does not answer, what an earlier run kept counts: a node
 * must come up again without it. Waits for what is not there yet: the Node, the kind CiliumNode, the operator's CIDRs.
 */
export async function ownNode(deps: OwnNodeDeps): Promise<Node> {
  const { nodeName, log, signal } = deps;
  let told = "";
  for (let failures = 0; ; ) {
    let problem: string;
    try {
      // A server that swallows what it is sent must not keep a node from coming up with what it knows.
      const answer = await ask({
        ...deps,
        signal: AbortSignal.any([signal, AbortSignal.timeout(attemptMs)]),
      });
      if (typeof answer !== "string") {
        keep(deps, answer);
        return answer;
      }
      problem = answer;
    } catch (error) {
      if (signal.aborted) throw error;
      problem = errorText(error);
      const kept = isNotFound(error) ? undefined : recall(deps.cacheFile, nodeName);
      if (kept) {
        log.warn(
          { node: nodeName, error: problem },
          "API server does not answer, starting with what is known of this node",
        );
        return kept;
      }
    }
    failures++;
    if (problem !== told) log.info({ node: nodeName, problem }, "waiting for this node's object");
    told = problem;
    await pause(backoffMs(failures, { minMs: 50, maxMs: 2_000 }), signal, systemClock);
    if (signal.aborted)
      throw new WeftError("E_STOPPED", "stopped while waiting for the node", { cause: signal.reason });
  }
}

/** The node, or what it lacks. */
async function ask(deps: OwnNodeDeps): Promise<Node | string> {
  const { client, nodeName, ipam, signal } = deps;
  const node = toNode(await client.get<KubeObject>(resources.nodes, { name: nodeName }, signal), nodeName);
  if (node.addresses.length === 0) return "it has no address yet";
  if (ipam === "kubernetes") return node.podCidrs.length > 0 ? node : "it has no pod CIDR yet";
  const { podCidrs, operatorError } = await ciliumNode(deps, node);
  if (podCidrs.length > 0) return { ...node, podCidrs };
  return operatorError === "" ? "the operator has not given it a pod CIDR yet" : operatorError;
}

/** This node's CiliumNode; made when there is none, with the pod CIDRs of an earlier run: its pods may still have addresses of them. */
async function ciliumNode(deps: OwnNodeDeps, node: Node): Promise<CiliumNode> {
  const { client, nodeName, signal, ipam } = deps;
  try {
    return ciliumNodeRow(
      await client.get<CiliumNodeObject>(resources.ciliumNodes, { name: nodeName }, signal),
    );
  } catch (thrown) {
    if (!isNotFound(thrown)) throw thrown;
  }
  const podCidrs = recall(deps.cacheFile, nodeName)?.podCidrs ?? [];
  const wanted = ciliumNodeOf({ node: { ...node, podCidrs }, bootId: bootId(), ipam });
  return ciliumNodeRow(await client.create(resources.ciliumNodes, wanted, { signal }));
}

/** So long a change must last: the operator puts right at once what was written by mistake. */
const lastingMs = 2_000;

/**
 * Resolves with what changed when this node is no longer what the agent was started with: an underlay address, a pod CIDR. Every program and
 * map is made for these, so the agent starts anew.
 */
export function ownNodeChanged(
  self: Node,
  nodes: Table<Node>,
  options: { readonly families: readonly Family[]; readonly signal: AbortSignal; readonly clock?: Clock },
): Promise<string> {
  const { families, signal, clock = systemClock } = options;
  const before = factsOf(self, families);
  return new Promise((resolve) => {
    let timer: (() => void) | undefined;
    const look = () => {
      const row = nodes.get(self.name);
      const now = row && factsOf(row, families);
      // While a Node is registered anew, or its CIDR is awaited, there is nothing: that is no change.
      const key =
        now && (["address", "pod CIDR"] as const).find((one) => !["", before[one]].includes(now[one]));
      timer?.();
      if (!now || key === undefined) return;
      timer = clock.after(lastingMs, () => {
        stop();
        resolve(`${key} of node ${self.name} changed from ${before[key]} to ${now[key]}`);
      });
    };
    const stop = nodes.onCommit((keys) => {
      if (keys.has(self.name)) look();
    });
    const end = () => {
      stop();
      timer?.();
    };
    signal.addEventListener("abort", end, { once: true });
    look();
  });
}

/** What an agent is made for. */
function factsOf(node: Node, families: readonly Family[]) {
  const cidrs = node.podCidrs.filter((cidr) => families.includes(family(cidr)));
  return {
    address: families.flatMap((of) => nodeAddress(node, of) ?? []).join(","),
    "pod CIDR": cidrs.sort().join(","),
  };
}

/** Changes with every boot of the machine. */
export function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

function keep({ cacheFile: file, log }: OwnNodeDeps, node: Node): void {
  try {
    const text = JSON.stringify({ ...node, labels: labelList(node.labels) });
    writeFileSync(`${file}.new`, text, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  } catch (thrown) {
    log.warn({ file, error: errorText(thrown) }, "this node cannot be kept for a start without API server");
  }
}

function recall(file: string, nodeName: string): Node | undefined {
  try {
    const { labels, ...rest } = schema.parse(JSON.parse(readFileSync(file, "utf8")));
    return rest.name === nodeName ? { ...rest, self: true, labels: parseLabels(labels) } : undefined;
  } catch {
    return undefined;
  }
}
