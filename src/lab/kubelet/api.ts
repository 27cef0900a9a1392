// SPDX-License-Identifier: Apache-2.0

import type { KubeClient } from "#k8s/client.ts";
import { isConflict, isNotFound } from "#k8s/errors.ts";
import { runInformer } from "#k8s/informer.ts";
import { type Resource, resourcePath, resources } from "#k8s/resource.ts";
import { errorText } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import {
  type ConfigMap,
  type KubeObject,
  type NodeObject,
  objectKey,
  type Pod,
  type PodStatus,
  type Secret,
} from "../objects.ts";

const configMaps: Resource = { group: "", version: "v1", plural: "configmaps" };
const secrets: Resource = { group: "", version: "v1", plural: "secrets" };
const events: Resource = { group: "", version: "v1", plural: "events" };

/** A kubelet's view of the API server. */
export interface KubeletApi {
  /** Follows a kind in a map; resolves when the first list is there. */
  follow<T extends KubeObject>(
    resource: Resource,
    options?: FollowOptions<T>,
  ): Promise<ReadonlyMap<string, T>>;
  register(node: NodeObject): Promise<void>;
  writeNodeStatus(name: string, status: NonNullable<NodeObject["status"]>): Promise<void>;
  writePodStatus(pod: Pod, status: PodStatus): Promise<void>;
  deletePod(pod: Pod): Promise<void>;
  configMap(namespace: string, name: string): Promise<Record<string, string> | undefined>;
  /** Decoded. */
  secret(namespace: string, name: string): Promise<Record<string, string> | undefined>;
  event(pod: Pod, event: { type: string; reason: string; message: string }): void;
}

export interface FollowOptions<T> {
  readonly fieldSelector?: string;
  /** undefined: it is gone. */
  onChange?(key: string, object: T | undefined): void;
}

export function createKubeletApi(
  client: KubeClient,
  deps: { node: string; signal: AbortSignal; log: Logger },
): KubeletApi {
  const { signal, log, node } = deps;
  const told = new Set<string>();
  const optional = async <T>(work: Promise<T>): Promise<T | undefined> => {
    try {
      return await work;
    } catch (thrown) {
      if (isNotFound(thrown)) return undefined;
      throw thrown;
    }
  };
  return {
    follow: (resource, options = {}) => follow(client, resource, { ...options, signal, log }),
    async register(object) {
      try {
        await client.create(resources.nodes, object, { signal });
      } catch (thrown) {
        if (!isConflict(thrown)) throw thrown;
      }
    },
    async writeNodeStatus(name, status) {
      await client.patch(
        resources.nodes,
        { name },
        { type: "merge", body: { status } },
        { subresource: "status", signal },
      );
    },
    async writePodStatus(pod, status) {
      const { name, namespace, uid } = pod.metadata;
      const body = { metadata: { uid }, status };
      try {
        await client.patch(
          resources.pods,
          { name, namespace },
          { type: "merge", body },
          { subresource: "status", signal },
        );
      } catch (thrown) {
        if (!isNotFound(thrown) && !isConflict(thrown)) throw thrown;
      }
    },
    async deletePod(pod) {
      const { name, namespace, uid } = pod.metadata;
      const body = { kind: "DeleteOptions", apiVersion: "v1", gracePeriodSeconds: 0, preconditions: { uid } };
      try {
        await client.request({
          method: "DELETE",
          path: resourcePath(resources.pods, { namespace, name }),
          body,
          signal,
        });
      } catch (thrown) {
        if (!isNotFound(thrown) && !isConflict(thrown)) throw thrown;
      }
    },
    async configMap(namespace, name) {
      return (await optional(client.get<ConfigMap>(configMaps, { namespace, name }, signal)))?.data;
    },
    async secret(namespace, name) {
      const data = (await optional(client.get<Secret>(secrets, { namespace, name }, signal)))?.data;
      return (
        data &&
        Object.fromEntries(
          Object.entries(data).map(([key, value]) => [key, Buffer.from(value, "base64").toString()]),
        )
      );
    },
    event(pod, event) {
      const key = `${pod.metadata.uid} ${event.reason} ${event.message}`;
      if (told.has(key)) return;
      if (told.size > 1000) told.clear();
      told.add(key);
      client.create(events, eventObject(pod, node, event), { signal }).catch((thrown: unknown) => {
        if (!signal.aborted) log.debug({ err: errorText(thrown) }, "event not recorded");
      });
    },
  };
}

interface Follow<T> extends FollowOptions<T> {
  readonly signal: AbortSignal;
  readonly log: Logger;
}

function follow<T extends KubeObject>(
  client: KubeClient,
  resource: Resource,
  options: Follow<T>,
): Promise<ReadonlyMap<string, T>> {
  const objects = new Map<string, T>();
  const { signal, log, fieldSelector, onChange } = options;
  const put = (object: T) => {
    const key = objectKey(object.metadata);
    objects.set(key, object);
    onChange?.(key, object);
  };
  const drop = (key: string) => {
    objects.delete(key);
    onChange?.(key, undefined);
  };
  return new Promise((resolve) => {
    void runInformer<T>({
      client,
      resource,
      fieldSelector,
      signal,
      onList(list) {
        const present = new Set(list.map((object) => objectKey(object.metadata)));
        for (const key of [...objects.keys()]) if (!present.has(key)) drop(key);
        for (const object of list) put(object);
        resolve(objects);
      },
      onEvents(changes) {
        for (const { kind, object } of changes) {
          if (kind === "put") put(object);
          else drop(objectKey(object.metadata));
        }
      },
      onState(problem) {
        if (problem !== undefined)
          log.debug({ resource: resource.plural, err: errorText(problem) }, "watch broke off");
      },
    });
  });
}

function eventObject(
  pod: Pod,
  node: string,
  { type, reason, message }: { type: string; reason: string; message: string },
): KubeObject {
  const { name, namespace = "default", uid, resourceVersion } = pod.metadata;
  const time = `${new Date().toISOString().slice(0, 19)}Z`;
  const event = {
    apiVersion: "v1",
    kind: "Event",
    metadata: {
      name: `${name}.${Date.now().toString(16)}${Math.random().toString(16).slice(2, 6)}`,
      namespace,
    },
    involvedObject: { apiVersion: "v1", kind: "Pod", name, namespace, uid, resourceVersion },
    type,
    reason,
    message: message.slice(0, 1024),
    source: { component: "kubelet", host: node },
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
    reportingComponent: "kubelet",
    reportingInstance: node,
  };
  return event;
}
