// SPDX-License-Identifier: Apache-2.0
import { type CustomResourceDefinition, crdVersionLabel } from "#api/crd/definition.ts";
import { policyApiBundleAnnotation } from "#api/crd/policy-kinds.ts";
import type { KubeClient } from "#k8s/client.ts";
import { isConflict, isNotFound } from "#k8s/errors.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { backoffMs } from "#lib/backoff.ts";
import { type Clock, pause, systemClock } from "#lib/clock.ts";
import { WeftError } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";

/** A definition as the API server has it. */
interface ServedDefinition extends KubeObject {
  readonly metadata: {
    readonly name: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly resourceVersion?: string;
  };
  readonly spec: CustomResourceDefinition["spec"];
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly message?: string;
    }[];
  };
}

/** Cilium's own version of a definition it installed. */
const ciliumVersionLabel = "io.cilium.k8s.crd.schema.version";

/** What to do about a definition that is there: `keep` with why, for the log; undefined: nothing, it is ours as it should be. */
export type Decision = { readonly do: "replace" | "nothing" } | { readonly do: "keep"; readonly why: string };

/**
 * An older schema is replaced. A newer one stays: another operator, of a newer release, may have put it there. So do Cilium's own and the
 * Kubernetes project's, whose objects ours are. One without any version (put there by hand) is taken over. Pure.
 */
export function decide(
  wanted: CustomResourceDefinition,
  served: Pick<ServedDefinition, "metadata">,
): Decision {
  const { labels = {}, annotations = {} } = served.metadata;
  const has = labels[crdVersionLabel];
  const wants = wanted.metadata.labels[crdVersionLabel]!;
  if (has === undefined) {
    const cilium = labels[ciliumVersionLabel];
    if (cilium !== undefined) return { do: "keep", why: `it is Cilium's, version ${cilium}` };
    const bundle = annotations[policyApiBundleAnnotation];
    if (bundle !== undefined) return { do: "keep", why: `it is the Kubernetes project's, version ${bundle}` };
    return { do: "replace" };
  }
  const order = compareVersions(has, wants);
  if (order > 0) return { do: "keep", why: `its schema ${has} is newer than ours, ${wants}` };
  return { do: order === 0 ? "nothing" : "replace" };
}

/** By number, part by part; what is no version is older than all. */
export function compareVersions(a: string, b: string): number {
  const parts = (text: string) => text.split(".").map((part) => (/^\d+$/.test(part) ? Number(part) : -1));
  const [left, right] = [parts(a), parts(b)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const order = (left[i] ?? 0) - (right[i] ?? 0);
    if (order !== 0) return Math.sign(order);
  }
  return 0;
}

export interface InstallOptions {
  readonly client: KubeClient;
  readonly definitions: readonly CustomResourceDefinition[];
  /** Names of those whose part can rest where somebody else's definition serves another version. */
  readonly optional?: ReadonlySet<string>;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly clock?: Clock;
  /** For all of them to be served. Default 60 s. */
  readonly timeoutMs?: number;
}

/**
 * Puts the definitions into the API server and waits until it serves them.
 * @throws KubeError for what the server refuses; WeftError E_CRD when one is not served in time
 */
export async function installDefinitions(options: InstallOptions): Promise<void> {
  await Promise.all(options.definitions.map((wanted) => install(wanted, options)));
}

async function install(wanted: CustomResourceDefinition, options: InstallOptions): Promise<void> {
  const { clock = systemClock, timeoutMs = 60_000, signal, log } = options;
  const definition = wanted.metadata.name;
  const endMs = clock.now() + timeoutMs;
  let told = "";
  for (let tries = 1; ; tries++) {
    const { served, kept = "" } = await put(wanted, options);
    if (kept !== told) log.warn({ definition, why: kept }, "definition left as it is");
    told = kept;
    if (served && isServed(wanted, served)) return;
    if (served && kept !== "" && options.optional?.has(definition) && isEstablished(served)) return;
    if (clock.now() >= endMs) throw notServed(definition, served);
    await pause(backoffMs(tries, { minMs: 50, maxMs: 1_000 }), signal, clock);
    signal.throwIfAborted();
  }
}

function notServed(definition: string, served: ServedDefinition | undefined): WeftError {
  const problem = served?.status?.conditions?.find(({ status }) => status !== "True")?.message;
  return new WeftError(
    "E_CRD",
    `CustomResourceDefinition ${definition} is not served: ${problem ?? "the API server does not say why"}`,
    { hint: `kubectl describe crd ${definition}` },
  );
}

interface Put {
  /** As the server has it now; undefined: somebody else was faster, look again. */
  readonly served?: ServedDefinition;
  /** Why it was left as it is. */
  readonly kept?: string;
}

/** Creates, replaces or leaves it. */
async function put(wanted: CustomResourceDefinition, { client, log, signal }: InstallOptions): Promise<Put> {
  const resource = resources.customResourceDefinitions;
  const { name } = wanted.metadata;
  try {
    const served = await find(client, name, signal);
    if (!served) {
      const made = await client.create<KubeObject>(resource, wanted, { signal });
      log.info({ definition: name }, "definition installed");
      return { served: made as ServedDefinition };
    }
    const decision = decide(wanted, served);
    if (decision.do === "keep") return { served, kept: decision.why };
    if (decision.do === "nothing") return { served };
    const { labels, annotations } = served.metadata;
    const metadata = {
      ...served.metadata,
      labels: { ...labels, ...wanted.metadata.labels },
      annotations: { ...annotations, ...wanted.metadata.annotations },
    };
    const replaced = { ...served, metadata, spec: wanted.spec };
    const made = await client.replace<ServedDefinition>(resource, replaced, { signal });
    log.info({ definition: name, from: served.metadata.labels?.[crdVersionLabel] }, "definition upgraded");
    return { served: made };
  } catch (thrown) {
    if (isConflict(thrown)) return {};
    throw thrown;
  }
}

async function find(
  client: KubeClient,
  name: string,
  signal: AbortSignal,
): Promise<ServedDefinition | undefined> {
  try {
    return await client.get<ServedDefinition>(resources.customResourceDefinitions, { name }, signal);
  } catch (thrown) {
    if (isNotFound(thrown)) return undefined;
    throw thrown;
  }
}

/** Established, and with the version we read: a kept definition may be somebody else's. */
function isServed(wanted: CustomResourceDefinition, served: ServedDefinition): boolean {
  const versions = wanted.spec.versions.map(({ name }) => name);
  return (
    isEstablished(served) &&
    versions.every((version) => served.spec.versions.some(({ name, served: on }) => name === version && on))
  );
}

function isEstablished({ status }: ServedDefinition): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === "Established" && is === "True") === true;
}
