// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import { askAgent, tellAgent } from "./ask.ts";
import { agentPerNode, notInstalled, weftPods } from "./components.ts";
import { inParallel } from "./limit.ts";

export interface NodeAnswer<T> {
  readonly node: string;
  readonly body?: T;
  readonly error?: WeftError;
}

const atOnce = 20;

/**
 * Asks the agents of a cluster, or one node's, the same question. What a node fails with stands beside what others answer.
 * @throws WeftError E_AGENT when there are none, E_NOT_FOUND when the node has none
 */
export async function askAgents<T>(
  client: KubeClient,
  question: {
    readonly path: string;
    readonly node?: string | undefined;
    readonly signal: AbortSignal;
    /** What they are asked to do; absent: they are asked for something. */
    readonly body?: unknown;
  },
): Promise<NodeAnswer<T>[]> {
  const { path, node: wanted, signal, body } = question;
  const all = [...agentPerNode((await weftPods(client, signal)).agent)];
  if (all.length === 0) throw notInstalled(client.server);
  const chosen = wanted === undefined ? all : all.filter(([node]) => node === wanted);
  if (chosen.length === 0) {
    const names = all.map(([node]) => node).join(", ");
    throw new WeftError("E_NOT_FOUND", `no agent on node "${wanted}" (there are: ${names})`);
  }
  return inParallel(chosen, atOnce, async ([node, pod]): Promise<NodeAnswer<T>> => {
    try {
      const answer =
        body === undefined
          ? (await askAgent(client, pod, [path], signal))[0]
          : await tellAgent(client, pod, { path, body }, signal);
      if (answer?.error) {
        const { code, message, hint } = answer.error;
        return { node, error: new WeftError(code, message, { ...(hint && { hint }) }) };
      }
      return { node, body: answer?.body as T };
    } catch (thrown) {
      signal.throwIfAborted();
      return {
        node,
        error: thrown instanceof WeftError ? thrown : new WeftError("E_AGENT", errorText(thrown)),
      };
    }
  });
}
