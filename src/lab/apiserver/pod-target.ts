// SPDX-License-Identifier: Apache-2.0
import { ApiError, badRequest } from "./errors.ts";
import type { KubeletClient } from "./kubelet.ts";
import { type KubeObject, listAt, stringAt } from "./object.ts";
import type { Store } from "./store.ts";
import { getObject, type Target } from "./write.ts";

/** A container of a pod on a node that can be reached. */
export interface PodTarget {
  readonly pod: KubeObject;
  readonly container: string;
  readonly kubelet: KubeletClient;
}

/**
 * The container an exec or log request is about: the one it names, or the pod's only one.
 * @throws ApiError 404 (pod), 400 (container unknown or not named, pod without node), 503 (no nodes behind this server).
 */
export function podTarget(
  { store, kubelet }: { readonly store: Store; readonly kubelet: KubeletClient | undefined },
  target: Target,
  wanted: string | null,
): PodTarget {
  const pod = getObject(store, target);
  const { name } = pod.metadata;
  const names = ["containers", "initContainers", "ephemeralContainers"].flatMap((list) =>
    listAt(pod, "spec", list).map((c) => stringAt(c, "name")),
  );
  const main = listAt(pod, "spec", "containers").map((c) => stringAt(c, "name"));
  const container = wanted || (main.length === 1 ? main[0]! : "");
  if (!container)
    throw badRequest(
      `a container name must be specified for pod ${name}, choose one of: [${main.join(" ")}]`,
    );
  if (!names.includes(container)) throw badRequest(`container ${container} is not valid for pod ${name}`);
  if (!stringAt(pod, "spec", "nodeName")) throw badRequest(`pod ${name} does not have a host assigned`);
  if (!kubelet) throw new ApiError(503, "ServiceUnavailable", "no node is connected to this API server");
  return { pod, container, kubelet };
}
