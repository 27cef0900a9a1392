// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { WeftError } from "#lib/errors.ts";
import { cleanupName } from "./cleanup-pods.ts";
import { getOptional } from "./cluster.ts";
import { hangingPods } from "./hanging.ts";
import { installKinds } from "./kinds.ts";
import { pollUntil } from "./poll.ts";

export interface CleanupState {
  readonly clean: readonly string[];
  readonly waiting: readonly string[];
}

interface WaitOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly skipLostNodes?: boolean;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  onCleanup?(state: CleanupState): void;
}

type Conditions = readonly { readonly type: string; readonly status: string }[];

interface Conditioned extends KubeObject {
  readonly spec?: { readonly nodeName?: string; readonly containers?: readonly { readonly image: string }[] };
  readonly status?: {
    readonly conditions?: Conditions;
    readonly observedGeneration?: number;
    readonly desiredNumberScheduled?: number;
  };
}

function isReady({ status }: Conditioned): boolean {
  return status?.conditions?.some((one) => one.type === "Ready" && one.status === "True") === true;
}

async function podsOf(
  { client, namespace, signal }: WaitOptions,
  app: string,
): Promise<readonly Conditioned[]> {
  const labelSelector = `k8s-app=${app}`;
  return (await client.list<Conditioned>(resources.pods, { namespace, labelSelector, signal })).items;
}

/** Nodes nobody hears of. One without a network is not Ready, but answers. */
async function lostNodes({ client, signal }: WaitOptions): Promise<Set<string>> {
  const { items } = await client.list<Conditioned>(resources.nodes, { signal });
  const lost = items.filter(({ status }) =>
    status?.conditions?.some((one) => one.type === "Ready" && one.status === "Unknown"),
  );
  return new Set(lost.map((node) => String(node.metadata?.name)));
}

/**
 * Waits until no pod with that label runs. A node that does not answer cannot say that its pod has ended: those are not waited for.
 * @throws WeftError E_TIMEOUT
 */
export async function podsGone(options: WaitOptions, app: string): Promise<void> {
  let left: string[] = [];
  const gone = await pollUntil(async () => {
    const pods = await podsOf(options, app);
    const lost = pods.length > 0 ? await lostNodes(options) : new Set();
    left = pods.filter((pod) => !lost.has(pod.spec?.nodeName ?? "")).map((pod) => String(pod.metadata?.name));
    return left.length === 0;
  }, options);
  if (!gone) throw new WeftError("E_TIMEOUT", `Pod ${left.join(", ")} does not end`);
}

/**
 * Waits until definitions that were deleted are gone, with all their objects: an installation that came before would find them ending.
 * @throws WeftError E_TIMEOUT
 */
export async function definitionsGone(options: WaitOptions, names: readonly string[]): Promise<void> {
  const { client, signal } = options;
  let left: readonly string[] = names;
  const gone = await pollUntil(async () => {
    const found = await Promise.all(
      left.map((name) => getOptional(client, installKinds.CustomResourceDefinition, { name }, signal)),
    );
    left = left.filter((_, at) => found[at] !== undefined);
    return left.length === 0;
  }, options);
  if (!gone) throw new WeftError("E_TIMEOUT", `CustomResourceDefinition ${left.join(", ")} does not end`);
}

/** The image of an agent that is Ready: nodes have it. */
export async function runningImage(options: WaitOptions): Promise<string | undefined> {
  return (await podsOf(options, "weft")).find(isReady)?.spec?.containers?.[0]?.image;
}

/** Waits until each node has said that it is clean. @throws WeftError E_TIMEOUT naming those that have not */
export async function waitForCleanup(options: WaitOptions): Promise<void> {
  const { client, namespace, signal } = options;
  let waiting: string[] = [];
  const clean = await pollUntil(async () => {
    const ref = { namespace, name: cleanupName };
    const set = await getOptional<Conditioned>(client, installKinds.DaemonSet, ref, signal);
    const pods = await podsOf(options, cleanupName);
    const lost = options.skipLostNodes ? await lostNodes(options) : new Set();
    const nodesOf = (ready: boolean) =>
      pods.filter((pod) => isReady(pod) === ready).map((pod) => String(pod.spec?.nodeName));
    waiting = nodesOf(false).filter((node) => !lost.has(node));
    options.onCleanup?.({ clean: nodesOf(true), waiting });
    const { observedGeneration, desiredNumberScheduled = 0 } = set?.status ?? {};
    return observedGeneration !== undefined && pods.length >= desiredNumberScheduled && waiting.length === 0;
  }, options);
  if (clean) return;
  const why = (await hangingPods(client, namespace, signal)).map(
    ({ node, why: reason }) => `${node}: ${reason}`,
  );
  throw new WeftError("E_TIMEOUT", `not clean: ${waiting.join(", ") || "no pod runs"}; ${why.join("; ")}`, {
    hint: "run this again when they answer; --skip-lost-nodes goes on without those that are down",
  });
}
