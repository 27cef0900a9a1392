// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import type { KubeClient } from "#k8s/client.ts";
import { pause } from "#lib/clock.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import { clusterFlows, type FlowSource } from "../flow-source.ts";
import type { Context } from "./context.ts";
import { flowsOf } from "./flows.ts";
import { chooseNodes, removeNamespace, removeOldRuns, setUp } from "./place.ts";
import type { Scenario } from "./scenario.ts";
import { scenarios } from "./scenarios.ts";

export interface RunOptions {
  readonly client: KubeClient;
  /** A second client, for flows: it lives as long as the run. */
  readonly flowClient: KubeClient;
  /** Default: the agents' image. */
  readonly image?: string | undefined;
  readonly wanted: readonly Scenario[];
  readonly keep: boolean;
  readonly signal: AbortSignal;
  progress(text: string): void;
  onResult(result: ScenarioResult): void;
}

export interface ScenarioResult {
  readonly name: string;
  readonly shows: string;
  readonly outcome: "passed" | "failed" | "skipped";
  readonly ms: number;
  /** Why it failed, or was skipped. */
  readonly text?: string;
  readonly hint?: string;
  /** Flows of the test's pods meanwhile, newest last. */
  readonly flows?: readonly string[];
}

const scenarioMs = 60_000;
const flowsShown = 8;
const cleanUpMs = 90_000;

/** Scenarios whose names contain one of the words; all without words. @throws WeftError E_USAGE when none does */
export function chooseScenarios(words: readonly string[]): Scenario[] {
  if (words.length === 0) return [...scenarios];
  const unknown = words.find((word) => !scenarios.some(({ name }) => name.includes(word)));
  if (unknown !== undefined)
    throw new WeftError("E_USAGE", `no scenario is called "${unknown}"`, {
      hint: `there are: ${scenarios.map(({ name }) => name).join(", ")}`,
    });
  return scenarios.filter(({ name }) => words.some((word) => name.includes(word)));
}

/**
 * Runs scenarios in a namespace of their own, one after the other, and takes it away again, also when the signal aborts.
 * @throws WeftError when the pods do not come up; KubeError; the signal's reason
 */
export async function runConnectivityTest(options: RunOptions): Promise<ScenarioResult[]> {
  const { client, signal, progress, onResult } = options;
  const namespace = `weft-test-${randomBytes(4).toString("hex").slice(0, 6)}`;
  await removeOldRuns(client, { signal, progress });
  const nodes = await chooseNodes(client, signal);
  progress(`namespace ${namespace}, nodes ${nodes.map((node) => node.metadata.name).join(", ")}`);
  const results: ScenarioResult[] = [];
  try {
    await using stack = new AsyncDisposableStack();
    const flows = new Flows(options.flowClient, namespace, signal);
    stack.defer(() => flows.end());
    const context = await setUp(stack, {
      ...options,
      namespace,
      nodes,
      flows: (since) => flows.since(since),
    });
    for (const scenario of options.wanted) {
      const result = await runOne(scenario, context);
      signal.throwIfAborted();
      results.push(result);
      onResult(result);
    }
    return results;
  } finally {
    if (options.keep) progress(`kept namespace ${namespace}; weft connectivity cleanup takes it away`);
    else {
      progress(`taking namespace ${namespace} away`);
      await removeNamespace(client, namespace, AbortSignal.timeout(cleanUpMs));
    }
  }
}

async function runOne(scenario: Scenario, context: Context): Promise<ScenarioResult> {
  const { name, shows, hint } = scenario;
  if (scenario.twoNodes && !context.pods.has("far"))
    return { name, shows, outcome: "skipped", ms: 0, text: "needs two nodes that are Ready" };
  const startMs = Date.now();
  const limit = AbortSignal.timeout(scenarioMs);
  const signal = AbortSignal.any([context.signal, limit]);
  try {
    await scenario.run({ ...context, signal });
    return { name, shows, outcome: "passed", ms: Date.now() - startMs };
  } catch (thrown) {
    const ms = Date.now() - startMs;
    const text = limit.aborted ? `not done after ${scenarioMs / 1000} s` : errorText(thrown);
    // Flows come in a moment after their packets.
    await pause(500, context.signal);
    const seen = await context.flows(startMs).catch(() => []);
    return {
      name,
      shows,
      outcome: "failed",
      ms,
      text,
      hint,
      flows: seen
        .filter((flow) => flow.telling)
        .slice(-flowsShown)
        .map((flow) => flow.text),
    };
  }
}

/** The cluster's flows, connected to when first asked for. */
class Flows {
  readonly #open: () => Promise<FlowSource>;
  readonly #namespace: string;
  readonly #signal: AbortSignal;
  #source: Promise<FlowSource> | undefined;

  constructor(client: KubeClient, namespace: string, signal: AbortSignal) {
    this.#open = () => clusterFlows(client, signal);
    this.#namespace = namespace;
    this.#signal = signal;
  }

  async since(sinceMs: number) {
    this.#source ??= this.#open();
    const limit = AbortSignal.any([this.#signal, AbortSignal.timeout(20_000)]);
    return flowsOf(await this.#source, this.#namespace, sinceMs, limit);
  }

  async end(): Promise<void> {
    const source = await this.#source?.catch(() => undefined);
    await source?.[Symbol.asyncDispose]();
  }
}
