// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { type KubeObject, type Resource, resources } from "#k8s/resource.ts";
import { pause } from "#lib/clock.ts";
import { WeftError } from "#lib/errors.ts";
import type { NodeObject, PodObject } from "../objects.ts";
import type { Role } from "./manifests.ts";
import type { Prober } from "./prober.ts";
import type { Attempt, Outcome, Reply } from "./protocol.ts";

export interface ServiceObject extends KubeObject {
  readonly spec: {
    readonly clusterIPs?: readonly string[];
    readonly ports: readonly {
      readonly name?: string;
      readonly protocol?: string;
      readonly nodePort?: number;
    }[];
  };
}

/** What a scenario works with. */
export interface Context {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly signal: AbortSignal;
  readonly pods: ReadonlyMap<Role, PodObject>;
  readonly services: ReadonlyMap<Role, ServiceObject>;
  /** Of the pods near and far, in that order. */
  readonly nodes: readonly NodeObject[];
  readonly apiServer: { readonly addresses: readonly string[]; readonly port: number };
  prober(role: Role): Prober;
  /** Flows of the test's pods since then, as lines; newest last. */
  flows(sinceMs: number): Promise<FlowLine[]>;
}

export interface FlowLine {
  readonly verdict: string;
  readonly source: string;
  readonly destination: string;
  readonly text: string;
  readonly policies: readonly string[];
  /** Of an attempt: dropped, or sent by a pod of the test; not an answer, nor a kubelet's probe. */
  readonly telling: boolean;
}

/** An attempt between named places that should come out in one way. */
export interface Check {
  readonly from: Role;
  /** What it is, for messages: `far 10.244.1.5:8080/TCP`. */
  readonly to: string;
  readonly attempt: Attempt;
  readonly expect?: Outcome;
  /** What the answer must contain. */
  readonly text?: string;
}

const attemptMs = 3_000;
/** A denied attempt costs its whole time. */
const silenceMs = 700;
const settleMs = 20_000;
const retryMs = 200;

/** Makes all checks at once. @throws WeftError E_CONNECTIVITY naming the first that came out otherwise, and what was seen */
export async function expectAll(context: Context, checks: readonly Check[]): Promise<void> {
  const replies = await Promise.all(checks.map((check) => attemptOnce(context, check)));
  const failed = checks.map((check, i) => problemOf(check, replies[i]!)).filter((text) => text !== undefined);
  if (failed.length > 0) throw new WeftError("E_CONNECTIVITY", failed.join("; "));
}

/** Makes all checks until they come out as expected at the same time: what was just applied takes a moment. */
export async function eventually(context: Context, checks: readonly Check[]): Promise<void> {
  const endMs = Date.now() + settleMs;
  for (;;) {
    try {
      return await expectAll(context, checks);
    } catch (thrown) {
      context.signal.throwIfAborted();
      if (!(thrown instanceof WeftError) || thrown.code !== "E_CONNECTIVITY" || Date.now() > endMs)
        throw thrown;
    }
    await pause(retryMs, context.signal);
  }
}

function attemptOnce(context: Context, { from, attempt, expect }: Check): Promise<Reply> {
  return context.prober(from).ask(attempt, expect === "silence" ? silenceMs : attemptMs);
}

function problemOf({ from, to, expect = "answer", text }: Check, reply: Reply): string | undefined {
  const seen = reply.text === "" ? reply.outcome : `${reply.outcome} (${reply.text})`;
  if (reply.outcome !== expect) return `${from} → ${to}: ${seen}, expected ${expect}`;
  if (text !== undefined && !reply.text.includes(text))
    return `${from} → ${to}: answered "${reply.text}", expected "${text}"`;
  return undefined;
}

/** Applies objects, does the work, and takes them away again, whatever happens. */
export async function withPolicies(
  context: Context,
  policies: readonly KubeObject[],
  work: () => Promise<void>,
): Promise<void> {
  const { client, signal } = context;
  const made: KubeObject[] = [];
  try {
    for (const policy of policies) {
      await client.create(policyResource(policy), policy, { signal });
      made.push(policy);
    }
    await work();
  } finally {
    for (const policy of made)
      await client
        .delete(policyResource(policy), {
          namespace: context.namespace,
          name: policy.metadata?.name ?? "",
        })
        .catch(() => {});
  }
}

function policyResource({ kind }: KubeObject): Resource {
  return kind === "CiliumNetworkPolicy" ? resources.ciliumNetworkPolicies : resources.networkPolicies;
}

/** Addresses of a pod, one a family. */
export function addressesOf(context: Context, role: Role): string[] {
  const { podIPs, podIP } = context.pods.get(role)?.status ?? {};
  return podIPs?.map(({ ip }) => ip) ?? (podIP ? [podIP] : []);
}

/** The addresses of a node in the families that pods have. */
export function nodeAddresses(context: Context, index: number): string[] {
  const families = new Set(addressesOf(context, "client").map((address) => address.includes(":")));
  const all = context.nodes[index]?.status?.addresses ?? [];
  return all
    .filter(({ type }) => type === "InternalIP")
    .map(({ address }) => address)
    .filter((address) => families.has(address.includes(":")));
}
