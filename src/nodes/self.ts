// SPDX-License-Identifier: Apache-2.0
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { z } from "zod";
import type { KubeClient } from "#k8s/client.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { backoffMs } from "#lib/backoff.ts";
import { pause, systemClock } from "#lib/clock.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import { type Address, type Prefix, parseAddress, parsePrefix } from "#model/ip.ts";
import { labelList, parseLabels } from "#model/labels.ts";
import type { Node } from "./node.ts";
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
  /** Where the answer is kept for a start without API server. */
  readonly cacheFile: string;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/**
 * This node, once it has an address and pod CIDRs. Asked of the API server; when that does not answer, what an earlier run kept counts: a node
 * must come up again without it.
 */
export async function ownNode(deps: OwnNodeDeps): Promise<Node> {
  const { client, nodeName, log, signal } = deps;
  for (let failures = 0; ; ) {
    let problem = "it has no address or no pod CIDR yet";
    try {
      const node = toNode(
        await client.get<KubeObject>(resources.nodes, { name: nodeName }, signal),
        nodeName,
      );
      if (node.addresses.length > 0 && node.podCidrs.length > 0) {
        keep(deps.cacheFile, node);
        return node;
      }
    } catch (error) {
      if (signal.aborted) throw error;
      problem = errorText(error);
      const kept = recall(deps.cacheFile, nodeName);
      if (kept) {
        log.warn(
          { node: nodeName, error: problem },
          "API server does not answer, starting with what is known of this node",
        );
        return kept;
      }
    }
    failures++;
    log.info({ node: nodeName, problem }, "waiting for this node's object");
    await pause(backoffMs(failures, { minMs: 50, maxMs: 2_000 }), signal, systemClock);
    if (signal.aborted)
      throw new WeftError("E_STOPPED", "stopped while waiting for the node", { cause: signal.reason });
  }
}

function keep(file: string, node: Node): void {
  writeFileSync(`${file}.new`, JSON.stringify({ ...node, labels: labelList(node.labels) }), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

function recall(file: string, nodeName: string): Node | undefined {
  try {
    const { labels, ...rest } = schema.parse(JSON.parse(readFileSync(file, "utf8")));
    return rest.name === nodeName ? { ...rest, self: true, labels: parseLabels(labels) } : undefined;
  } catch {
    return undefined;
  }
}
