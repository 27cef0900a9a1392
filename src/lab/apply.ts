// SPDX-License-Identifier: Apache-2.0

import type { KubeClient } from "#k8s/client.ts";
import { isNotFound, KubeError } from "#k8s/errors.ts";
import { documentText, type ManifestDocument, type ManifestObject } from "#k8s/manifest.ts";
import { type Resource, resourcePath } from "#k8s/resource.ts";
import { WeftError } from "#lib/errors.ts";
import { loadManifests } from "./manifest.ts";
import type { KubeObject } from "./objects.ts";

export interface Applied {
  /** `deployment.apps/web`, as kubectl says it. */
  readonly what: string;
  readonly namespace: string | undefined;
  readonly action: "created" | "configured" | "unchanged" | "deleted" | "not found";
}

export interface ApplyOptions {
  readonly client: KubeClient;
  /** Files, directories, `-`. */
  readonly paths: readonly string[];
  /** For objects that name none; default: the client's. */
  readonly namespace?: string;
  readonly signal?: AbortSignal;
  onApplied?(applied: Applied): void;
  /** Annotations to apply with an object, told its namespace. */
  annotate?(document: ManifestDocument, namespace: string | undefined): Readonly<Record<string, string>>;
}

interface Served extends Resource {
  readonly kind: string;
  readonly namespaced: boolean;
}

interface Placed extends ManifestDocument {
  readonly served: Served | undefined;
  readonly namespace: string | undefined;
}

const MANAGER = "weft";

/**
 * Creates or updates what the manifests say. Everything is read and checked by the server (strictly: an unknown field
 * is an error) before the first object is written, so of a broken file nothing is applied.
 * @throws WeftError E_MANIFEST with file, document and field of the first thing wrong
 */
export async function applyManifests(options: ApplyOptions): Promise<Applied[]> {
  const { client, signal } = options;
  const placed = await place(options, loadManifests(options.paths));
  for (const one of placed) await check(client, one, placed, signal);
  const out: Applied[] = [];
  for (const one of [...placed].sort((a, b) => rank(a) - rank(b))) {
    const served = one.served ?? (await discoverAgain(client, one));
    const applied = await write(client, { ...one, served }, signal);
    out.push(applied);
    options.onApplied?.(applied);
  }
  return out;
}

/** Deletes what the manifests name, last document first. What is not there is said so and is no error. */
export async function deleteManifests(options: ApplyOptions): Promise<Applied[]> {
  const { client, signal } = options;
  const placed = await place(options, loadManifests(options.paths));
  const out: Applied[] = [];
  for (const one of placed.reverse()) {
    if (!one.served) continue;
    const { name } = one.object.metadata;
    let action: Applied["action"] = "deleted";
    try {
      await client.delete(
        one.served,
        { namespace: one.namespace, name },
        { propagationPolicy: "Background", signal },
      );
    } catch (thrown) {
      if (!isNotFound(thrown)) throw manifestError(one, thrown);
      action = "not found";
    }
    const applied = { what: nameText(one.served, name), namespace: one.namespace, action };
    out.push(applied);
    options.onApplied?.(applied);
  }
  return out;
}

/** Namespaces and kinds come before what needs them; otherwise the order of the files stays. */
function rank({ object }: Placed): number {
  if (object.kind === "Namespace") return 0;
  return object.kind === "CustomResourceDefinition" ? 1 : 2;
}

async function place(options: ApplyOptions, documents: readonly ManifestDocument[]): Promise<Placed[]> {
  const { client } = options;
  const versions = new Set(documents.map(({ object }) => object.apiVersion));
  const served = (await Promise.all([...versions].map((version) => discover(client, version)))).flat();
  return documents.map((document) => {
    const { object } = document;
    const found = served.find((one) => one.kind === object.kind && apiVersion(one) === object.apiVersion);
    if (!found && !definedHere(object, documents)) {
      throw new WeftError(
        "E_MANIFEST",
        `${document.file}, document ${document.number}: kind: ${object.apiVersion} ${object.kind} is not known to this cluster`,
        { hint: "`kubectl api-resources` lists what is" },
      );
    }
    const namespaced = found ? found.namespaced : object.metadata.namespace !== undefined;
    const namespace = namespaced
      ? (object.metadata.namespace ?? options.namespace ?? client.namespace)
      : undefined;
    const extra = options.annotate?.(document, namespace) ?? {};
    return { ...document, object: annotated(object, extra), served: found, namespace };
  });
}

function annotated(object: ManifestObject, extra: Readonly<Record<string, string>>): ManifestObject {
  if (Object.keys(extra).length === 0) return object;
  const annotations = { ...object.metadata.annotations, ...extra };
  return { ...object, metadata: { ...object.metadata, annotations } };
}

/** Kinds of a group and version; an unknown one has none. */
async function discover(client: KubeClient, version: string): Promise<Served[]> {
  const path = version.includes("/") ? `/apis/${version}` : `/api/${version}`;
  const [group, short] = version.includes("/") ? version.split("/") : ["", version];
  try {
    const list = await client.request<{ resources?: { name: string; kind: string; namespaced: boolean }[] }>({
      method: "GET",
      path,
    });
    return (list.resources ?? [])
      .filter((one) => !one.name.includes("/"))
      .map((one) => ({
        group: group ?? "",
        version: short ?? "",
        plural: one.name,
        kind: one.kind,
        namespaced: one.namespaced,
      }));
  } catch (thrown) {
    if (isNotFound(thrown)) return [];
    throw thrown;
  }
}

function definedHere(object: KubeObject, documents: readonly ManifestDocument[]): boolean {
  return documents.some(({ object: other }) => {
    if (other.kind !== "CustomResourceDefinition") return false;
    const spec = (other as KubeObject & { spec?: { group?: string; names?: { kind?: string } } }).spec;
    return spec?.names?.kind === object.kind && object.apiVersion.startsWith(`${spec.group}/`);
  });
}

/** Its definition was applied a moment ago. */
async function discoverAgain(client: KubeClient, one: Placed): Promise<Served> {
  const found = (await discover(client, one.object.apiVersion)).find(
    (served) => served.kind === one.object.kind,
  );
  if (!found) throw new WeftError("E_MANIFEST", `${documentText(one)}: its kind is not served`);
  return found;
}

function apiVersion({ group, version }: Resource): string {
  return group === "" ? version : `${group}/${version}`;
}

function nameText(served: Served, name: string): string {
  const kind = served.kind.toLowerCase();
  return served.group === "" ? `${kind}/${name}` : `${kind}.${served.group}/${name}`;
}

/** A dry run with strict field validation; in a namespace that exists when its own is only just about to. */
async function check(
  client: KubeClient,
  one: Placed,
  all: readonly Placed[],
  signal: AbortSignal | undefined,
): Promise<void> {
  if (!one.served) return;
  const coming = all.some(
    ({ object }) => object.kind === "Namespace" && object.metadata.name === one.namespace,
  );
  const namespace = one.namespace !== undefined && coming ? "default" : one.namespace;
  const object =
    namespace === undefined ? one.object : { ...one.object, metadata: { ...one.object.metadata, namespace } };
  await send(client, { ...one, namespace, object }, { dryRun: true, signal });
}

async function write(
  client: KubeClient,
  one: Placed & { served: Served },
  signal: AbortSignal | undefined,
): Promise<Applied> {
  const ref = { namespace: one.namespace, name: one.object.metadata.name };
  const before = await client.get<KubeObject>(one.served, ref, signal).catch((thrown: unknown) => {
    if (isNotFound(thrown)) return undefined;
    throw manifestError(one, thrown);
  });
  const after = await send(client, one, { dryRun: false, signal });
  const same = before?.metadata.resourceVersion === after.metadata.resourceVersion;
  const action = before === undefined ? "created" : same ? "unchanged" : "configured";
  return { what: nameText(one.served, ref.name), namespace: one.namespace, action };
}

interface Send {
  readonly dryRun: boolean;
  readonly signal: AbortSignal | undefined;
}

/** Server-side apply: what the manifest no longer says is taken away again. */
async function send(client: KubeClient, one: Placed, { dryRun, signal }: Send): Promise<KubeObject> {
  const { name } = one.object.metadata;
  try {
    return await client.request<KubeObject>({
      method: "PATCH",
      path: resourcePath(one.served!, { namespace: one.namespace, name }),
      query: {
        fieldManager: MANAGER,
        force: true,
        fieldValidation: "Strict",
        dryRun: dryRun ? "All" : undefined,
      },
      body: one.object,
      contentType: "application/apply-patch+yaml",
      idempotent: true,
      signal,
    });
  } catch (thrown) {
    throw manifestError(one, thrown);
  }
}

function manifestError(one: ManifestDocument, thrown: unknown): unknown {
  if (!(thrown instanceof KubeError) || thrown.status === 0) return thrown;
  const text = thrown.message.replace(/^(PATCH|GET|DELETE) \S+: /, "").replace(/ \(\d{3}\)$/, "");
  return new WeftError("E_MANIFEST", `${documentText(one)}: ${text}`);
}
