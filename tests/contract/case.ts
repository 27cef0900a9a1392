// SPDX-License-Identifier: Apache-2.0
import { setTimeout as pause } from "node:timers/promises";
import { type JsonObject, listAt, stringAt } from "#lab/apiserver/object.ts";
import { type Answer, deadlineMs, type Target } from "./target.ts";

/** What every API server of Kubernetes does, or, with `embedded`, what the lab's does differently. */
export interface Case {
  readonly name: string;
  /** Each run has a namespace of its own. */
  readonly run: (api: Api) => Promise<void>;
  /** A known difference: what docs/lab.md says of it, and what the embedded server does instead. */
  readonly embedded?: { readonly differs: string; readonly run: (api: Api) => Promise<void> };
}

/** A target, with the paths and bodies that cases share. */
export interface Api extends Target {
  readonly namespace: string;
  /** The path of a namespaced resource: `path("configmaps", "a")`, `path("apps/v1/deployments")`. */
  path(resource: string, name?: string): string;
}

export const mergePatch = { "content-type": "application/merge-patch+json" };
export const jsonPatch = { "content-type": "application/json-patch+json" };
export const strategicPatch = { "content-type": "application/strategic-merge-patch+json" };
export const applyPatch = { "content-type": "application/apply-patch+yaml" };

export function inNamespace(target: Target, namespace: string): Api {
  return {
    ...target,
    namespace,
    path: (resource, name) => {
      const parts = resource.split("/");
      const kind = parts.pop();
      const root = parts.length === 0 ? "/api/v1" : `/apis/${parts.join("/")}`;
      return `${root}/namespaces/${namespace}/${kind}${name === undefined ? "" : `/${name}`}`;
    },
  };
}

export function configMap(
  name: string,
  data: { [key: string]: string } = {},
  more: JsonObject = {},
): JsonObject {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, ...more }, data };
}

export function deployment(name: string, more: JsonObject = {}): JsonObject {
  const labels = { app: name };
  const containers = [{ name: "web", image: "shop/web:1", ports: [{ containerPort: 80 }] }];
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, labels },
    spec: {
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers } },
      ...more,
    },
  };
}

/** `nodeName` keeps schedulers away. */
export function pod(name: string, more: JsonObject = {}): JsonObject {
  const spec = { nodeName: "nowhere", containers: [{ name: "c", image: "shop/web:1" }] };
  return { apiVersion: "v1", kind: "Pod", metadata: { name, ...more }, spec };
}

export function names({ body }: Answer): string[] {
  return listAt(body, "items").map((item) => stringAt(item, "metadata", "name"));
}

export function version({ body }: Answer): string {
  return stringAt(body, "metadata", "resourceVersion");
}

export function message({ body }: Answer): string {
  return String(body["message"]);
}

/** Asks until the condition holds. @throws after 20 s, with what was last answered */
export async function until(ask: () => Promise<Answer>, holds: (answer: Answer) => boolean): Promise<Answer> {
  for (const deadline = Date.now() + deadlineMs; ; await pause(50)) {
    const answer = await ask();
    if (holds(answer)) return answer;
    if (Date.now() > deadline)
      throw new Error(`not in 20 s; last: ${answer.code} ${JSON.stringify(answer.body)}`);
  }
}
