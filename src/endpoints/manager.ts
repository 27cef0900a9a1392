// SPDX-License-Identifier: Apache-2.0

import { EndpointId } from "#datapath/layouts/enums.ts";
import type { Identity } from "#identities/identity.ts";
import { backoffMs } from "#lib/backoff.ts";
import { pause } from "#lib/clock.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Address } from "#model/ip.ts";
import { type Labels, labelText } from "#model/labels.ts";
import type { Database, Table, WritableTable } from "#store/table.ts";
import type { Endpoint } from "./endpoint.ts";
import type { EndpointState } from "./state.ts";
import type { DatapathEndpoint, Namespace, Pod } from "./table.ts";

/** What CNI ADD knows of a new attachment once its veth exists. */
export interface EndpointRequest {
  readonly containerId: string;
  readonly ifname: string;
  readonly netns: string;
  readonly namespace: string;
  readonly pod: string;
  readonly podUid: string;
  readonly hostIfname: string;
  readonly hostIfindex: number;
  readonly mac: string;
  readonly hostMac: string;
  readonly v4?: Address;
  readonly v6?: Address;
}

export interface EndpointManagerDeps {
  readonly db: Database;
  readonly endpoints: WritableTable<Endpoint>;
  readonly desired: Table<DatapathEndpoint>;
  readonly pods: Table<Pod>;
  readonly namespaces: Table<Namespace>;
  readonly state: EndpointState;
  readonly log: Logger;
  /** Asks the API server for a pod the informer has not delivered yet; undefined: there is none. */
  fetchPod(namespace: string, name: string, signal: AbortSignal): Promise<Pod | undefined>;
  fetchNamespace(name: string, signal: AbortSignal): Promise<Namespace | undefined>;
  securityLabels(pod: Pod, namespace: Namespace): Labels;
  /** Cluster-wide identities: those of this node's endpoints are kept in being. */
  readonly identities: Table<Identity>;
  /** The number of a label set; `prefer`: the one it had. */
  identityOf(labels: Labels, signal: AbortSignal, prefer?: number): Promise<number>;
  /** Puts the programs on the endpoint's device, in place of those that are there; they go with it. @throws WeftError */
  attach(endpoint: Endpoint): void;
  /** Resolves when the kernel holds the endpoint's present row. */
  settled(id: string, signal: AbortSignal): Promise<void>;
}

interface Nature {
  readonly labels: Labels;
  readonly modes: Pick<Endpoint, "audit" | "anySource" | "sockmap">;
}

const lastId = EndpointId.hostEndpoint - 1;
/** Between attempts to follow labels, while the API server or the disk does not let us. */
const retry = { minMs: 500, maxMs: 30_000 } as const;

/** Makes, keeps and removes the endpoints of this node. */
export class EndpointManager {
  readonly #deps: EndpointManagerDeps;
  readonly #reserved = new Set<string>();
  #newestId = 0;

  constructor(deps: EndpointManagerDeps) {
    this.#deps = deps;
  }

  /**
   * Attaches a pod. Resolves only when its identity is known and its policy in force: a pod that runs is a pod that is judged.
   * @throws WeftError E_POD_UNKNOWN, or what failed; nothing is left behind then
   */
  async create(request: EndpointRequest, signal: AbortSignal): Promise<Endpoint> {
    const { db, endpoints, state, log } = this.#deps;
    const pod = await this.#podOf(request, signal);
    const { labels, modes } = await this.#natureOf(pod, signal);
    const identity = await this.#deps.identityOf(labels, signal);
    const endpoint: Endpoint = {
      ...request,
      podUid: pod.uid,
      ...(pod.staticUid !== undefined && { staticUid: pod.staticUid }),
      id: this.#freeId(),
      labels,
      identity,
      namedPorts: pod.namedPorts,
      ...modes,
    };
    try {
      state.save(endpoint);
      this.#deps.attach(endpoint);
      db.write((tx) => tx.put(endpoints, endpoint));
      await this.#inForce(endpoint, signal);
    } catch (error) {
      this.#drop(endpoint);
      throw error;
    }
    log.info({ endpoint: endpoint.id, pod: `${pod.namespace}/${pod.name}`, identity }, "endpoint added");
    return endpoint;
  }

  find(containerId: string, ifname: string): Endpoint | undefined {
    const [endpoint] = this.#deps.endpoints.by("container", `${containerId}/${ifname}`);
    return endpoint;
  }

  list(): Iterable<Endpoint> {
    return this.#deps.endpoints.all();
  }

  /** Detaches; an endpoint that is not there is a success. */
  remove(containerId: string, ifname: string): void {
    for (const endpoint of [...this.#deps.endpoints.by("container", `${containerId}/${ifname}`)]) {
      this.#drop(endpoint);
      this.#deps.log.info(
        { endpoint: endpoint.id, pod: `${endpoint.namespace}/${endpoint.pod}` },
        "endpoint removed",
      );
    }
  }

  /** Takes up what an earlier run left on disk; `alive` says whether the device is still there. */
  restore(alive: (endpoint: Endpoint) => boolean): Endpoint[] {
    const { db, endpoints, state, log } = this.#deps;
    const kept: Endpoint[] = [];
    for (const endpoint of state.load()) {
      if (!alive(endpoint)) {
        log.info(
          { endpoint: endpoint.id, device: endpoint.hostIfname },
          "endpoint's device is gone, forgetting it",
        );
        state.remove(endpoint.id);
        continue;
      }
      try {
        this.#deps.attach(endpoint);
        kept.push(endpoint);
      } catch (error) {
        log.error({ endpoint: endpoint.id, error: errorText(error) }, "endpoint can't be attached again");
      }
    }
    db.write((tx) => {
      for (const endpoint of kept) tx.put(endpoints, endpoint);
    });
    this.#newestId = Math.max(0, ...kept.map((endpoint) => endpoint.id));
    return kept;
  }

  /**
   * Follows label changes of pods and namespaces: the identity of an endpoint is that of its pod's labels now. An identity in use that somebody
   * deleted is made again.
   */
  async followLabels(signal: AbortSignal): Promise<void> {
    const { pods, namespaces, endpoints, identities, log } = this.#deps;
    const dirty = new Set<string>();
    let wake: (() => void) | undefined;
    let failures = 0;
    const mark = (keys: Iterable<string>) => {
      for (const key of keys) dirty.add(key);
      wake?.();
    };
    const stops = [
      pods.onCommit((keys) => mark(keys)),
      namespaces.onCommit((names) =>
        mark(
          [...names].flatMap((n) => [...endpoints.by("namespace", n)].map((e) => `${e.namespace}/${e.pod}`)),
        ),
      ),
    ];
    const holders = (ids: Iterable<string>) =>
      [...ids]
        .flatMap((id) => [...endpoints.by("identity", id)])
        .filter((endpoint) => !this.#holdsIdentity(endpoint))
        .map((endpoint) => `${endpoint.namespace}/${endpoint.pod}`);
    stops.push(identities.onCommit((ids) => mark(holders(ids))));
    const onAbort = () => wake?.();
    signal.addEventListener("abort", onAbort);
    const markAll = () => mark([...endpoints.all()].map((e) => `${e.namespace}/${e.pod}`));
    markAll();
    void identities.ready.then(markAll);
    try {
      while (!signal.aborted) {
        const failed: string[] = [];
        for (const key of [...dirty]) {
          dirty.delete(key);
          await this.#relabel(key, signal).catch((error: unknown) => {
            failed.push(key);
            if (!signal.aborted)
              log.warn(
                { pod: key, error: errorText(error) },
                "identity can't be brought up to date, trying again",
              );
          });
        }
        failures = failed.length > 0 ? failures + 1 : 0;
        if (failed.length > 0) void pause(backoffMs(failures, retry), signal).then(() => mark(failed));
        if (dirty.size === 0 && !signal.aborted) await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      for (const stop of stops) stop();
    }
  }

  async #relabel(podKey: string, signal: AbortSignal): Promise<void> {
    const { db, endpoints, pods, state } = this.#deps;
    const pod = pods.get(podKey);
    if (!pod) return;
    for (const endpoint of [...endpoints.by("pod", podKey)]) {
      // The kubelet may make a static pod's mirror anew.
      const sameStatic = pod.staticUid !== undefined && pod.staticUid === endpoint.staticUid;
      if (endpoint.podUid !== "" && pod.uid !== endpoint.podUid && !sameStatic) continue;
      const { labels, modes } = await this.#natureOf(pod, signal);
      const { audit, anySource, sockmap, ...rest } = endpoint;
      const sameModes = modes.audit === audit && modes.anySource === anySource && modes.sockmap === sockmap;
      const samePorts = JSON.stringify(pod.namedPorts) === JSON.stringify(endpoint.namedPorts);
      const sameLabels = labelText(labels) === labelText(endpoint.labels);
      const same = sameLabels && samePorts && sameModes && (!sameStatic || pod.uid === endpoint.podUid);
      if (same && this.#holdsIdentity(endpoint)) continue;
      const prefer = sameLabels ? endpoint.identity : undefined;
      const identity = await this.#deps.identityOf(labels, signal, prefer);
      if (same && identity === endpoint.identity) continue;
      if (endpoints.get(String(endpoint.id)) !== endpoint) continue;
      const changed: Endpoint = {
        ...rest,
        podUid: pod.uid,
        labels,
        identity,
        namedPorts: pod.namedPorts,
        ...modes,
      };
      state.save(changed);
      db.write((tx) => tx.put(endpoints, changed));
    }
  }

  /** Whether its number still stands for its labels, as far as we know. */
  #holdsIdentity({ identity, labels }: Endpoint): boolean {
    const { identities } = this.#deps;
    if (!identities.isReady) return true;
    const known = identities.get(String(identity));
    return known !== undefined && labelText(known.labels) === labelText(labels);
  }

  async #podOf(request: EndpointRequest, signal: AbortSignal): Promise<Pod> {
    const key = `${request.namespace}/${request.pod}`;
    const matches = (pod: Pod | undefined) =>
      pod !== undefined && ["", pod.uid, pod.staticUid].includes(request.podUid);
    const cached = this.#deps.pods.get(key);
    if (cached && matches(cached)) return cached;
    const fetched = await this.#deps.fetchPod(request.namespace, request.pod, signal);
    if (fetched && matches(fetched)) return fetched;
    throw new WeftError(
      "E_POD_UNKNOWN",
      `the API server knows no pod ${key} with uid ${request.podUid || "?"}`,
      {
        hint: "it was deleted or replaced while its sandbox was made; the kubelet tries again by itself",
      },
    );
  }

  /** What the pod's object and its namespace's make of an endpoint. */
  async #natureOf(pod: Pod, signal: AbortSignal): Promise<Nature> {
    const { namespaces, fetchNamespace } = this.#deps;
    const known = namespaces.get(pod.namespace) ?? (await fetchNamespace(pod.namespace, signal));
    const namespace = known ?? { name: pod.namespace, labels: {} };
    const anySource = pod.anySource === true && namespace.delegatesSource === true;
    const modes = {
      ...(pod.audit && { audit: pod.audit }),
      ...(anySource && { anySource }),
      ...(pod.sockmap !== undefined && { sockmap: pod.sockmap }),
    };
    return { labels: this.#deps.securityLabels(pod, namespace), modes };
  }

  /** Waits until policy has been worked out for the endpoint and the kernel has both. */
  async #inForce(endpoint: Endpoint, signal: AbortSignal): Promise<void> {
    const { desired, settled } = this.#deps;
    const key = String(endpoint.id);
    signal.throwIfAborted();
    if (desired.get(key)?.endpoint !== endpoint) {
      await new Promise<void>((resolve, reject) => {
        const onAbort = () => finish(() => reject(signal.reason as Error));
        const stop = desired.onCommit(() => {
          if (desired.get(key)?.endpoint.containerId === endpoint.containerId) finish(resolve);
        });
        const finish = (then: () => void) => {
          stop();
          signal.removeEventListener("abort", onAbort);
          then();
        };
        signal.addEventListener("abort", onAbort);
      });
    }
    await settled(key, signal);
  }

  /** Ids go round: a number that was just given up stays unused for long, so old flows do not show a new pod's name. */
  #freeId(): number {
    for (let tried = 0; tried < lastId; tried++) {
      this.#newestId = (this.#newestId % lastId) + 1;
      const key = String(this.#newestId);
      if (!this.#reserved.has(key) && !this.#deps.endpoints.get(key)) {
        this.#reserved.add(key);
        return this.#newestId;
      }
    }
    throw new WeftError("E_ENDPOINTS_FULL", `all ${lastId} endpoint ids of this node are in use`);
  }

  #drop(endpoint: Endpoint): void {
    const { db, endpoints, state } = this.#deps;
    db.write((tx) => tx.delete(endpoints, String(endpoint.id)));
    this.#reserved.delete(String(endpoint.id));
    state.remove(endpoint.id);
  }
}
