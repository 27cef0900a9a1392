// SPDX-License-Identifier: Apache-2.0
/** The cluster of the bench: one API server, nodes that agents serve, nodes that kube-proxies serve, cables that nobody serves. */
import { fileURLToPath } from "node:url";
import type { KubeObject } from "#k8s/resource.ts";
import { type Resource, resources } from "#k8s/resource.ts";
import { createNetns, deleteNetns } from "#kernel/netns.ts";
import { type BenchLab, startLab } from "../lab.ts";
import { addOutside, netnsName, type Outside, outsideDevice, type Place } from "../node-place.ts";
import { sizeText } from "./context.ts";
import type { ProxyMode } from "./options.ts";
import { makeProxyNode, type PodRole, type ProxyNode, podRoles } from "./proxy-node.ts";
import { moving, near, objectsOf, outside, serviceNames } from "./services.ts";
import { makeWeftNode, type WeftNode, type WeftNodeOptions } from "./weft-node.ts";

export interface WorldOptions {
  /** Name of the lab. */
  readonly name: string;
  readonly proxies: readonly ProxyMode[];
  /** Directory with `kube-proxy`. */
  readonly bin: string;
  readonly signal: AbortSignal;
  progress(text: string): void;
}

/** A node without a daemon. */
export interface BareNode {
  readonly netns: string;
  readonly outside: Outside;
}

export interface World extends AsyncDisposable {
  readonly lab: BenchLab;
  /** Pods, traffic control. */
  readonly weft: WeftNode;
  /** The balancer at XDP of the device outside. */
  readonly xdp: WeftNode;
  /** Its agent is the part's to start, on an empty node. */
  readonly empty: WeftNode;
  readonly proxies: readonly ProxyNode[];
  /** The same on every node. */
  readonly podAddresses: Readonly<Record<PodRole, string>>;
  bareNode(index: number): BareNode;
  /** Makes what is missing to so many services in all; resolves when the agents that run have them. */
  grow(services: number): Promise<void>;
}

const firstIndex = { weft: 101, proxies: 111, bare: 121 } as const;
/** Requests to the API server at a time. */
const atOnce = 16;
const manifests = fileURLToPath(new URL("lab.yaml", import.meta.url));

/** Disposing takes everything down; what a run that was killed left goes with the lab's name at the next start. */
export async function startWorld(options: WorldOptions): Promise<World> {
  const { name, signal, progress } = options;
  await using stack = new AsyncDisposableStack();
  progress("lab");
  const lab = stack.use(await startLab({ name, routing: "native", nodes: 1, manifests, signal }));
  progress("nodes");
  const node = async (role: string, index: number, more: Pick<WeftNodeOptions, "pods" | "config">) => {
    const made = await makeWeftNode(lab, { name: role, index: firstIndex.weft + index, signal, ...more });
    stack.defer(() => made.stop());
    return made;
  };
  const weft = await node("w1", 0, { pods: true });
  const xdp = await node("w2", 1, { config: { xdp: { devices: [outsideDevice], mode: "native" } } });
  await xdp.start();
  const empty = await node("w3", 2, {});
  const podAddresses = Object.fromEntries(podRoles.map((role) => [role, weft.pods[role]!.address])) as Record<
    PodRole,
    string
  >;
  const proxies: ProxyNode[] = [];
  for (const [i, mode] of options.proxies.entries()) {
    const made = await makeProxyNode(lab, {
      mode,
      index: firstIndex.proxies + i,
      pods: podAddresses,
      bin: options.bin,
      signal,
    });
    proxies.push(made);
    stack.defer(() => made.stop());
  }
  const own = [...near(podAddresses.near), ...moving(podAddresses.near), ...outside()];
  await create(lab, own, signal);
  const made = new Set<string>();
  const kept = stack.move();
  return {
    lab,
    weft,
    xdp,
    empty,
    proxies,
    podAddresses,
    bareNode: (index) => bareNode(lab, index),
    async grow(services) {
      const names = serviceNames(services).filter((one) => !made.has(one));
      progress(`growing to ${sizeText(services)}`);
      await create(
        lab,
        names.flatMap((one) => objectsOf(one, podAddresses.near)),
        signal,
      );
      for (const one of names) made.add(one);
      await Promise.all([weft.has(services), xdp.has(services)]);
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

const kinds: Readonly<Record<string, Resource>> = {
  Service: resources.services,
  EndpointSlice: resources.endpointSlices,
};

async function create(lab: BenchLab, objects: readonly KubeObject[], signal: AbortSignal): Promise<void> {
  const left = objects.values();
  const work = async () => {
    for (const object of left) await lab.client.create(kinds[object.kind ?? ""]!, object, { signal });
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}

function bareNode(lab: BenchLab, index: number): BareNode {
  const place: Place = { prefix: `weft-${lab.name}-lab`, node: `b${index}`, index: firstIndex.bare + index };
  const netns = netnsName(place);
  deleteNetns(netns);
  createNetns(netns);
  return { netns, outside: addOutside(place) };
}
