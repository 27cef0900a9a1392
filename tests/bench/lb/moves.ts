// SPDX-License-Identifier: Apache-2.0
/** How long a service's only endpoint takes to be another one, from the request to the API server to the first packet. */
import { resources } from "#k8s/resource.ts";
import { netnsPath } from "#kernel/netns.ts";
import { errorText } from "#lib/errors.ts";
import { times } from "../changes.ts";
import { startProber } from "../prober.ts";
import { type Figure, latency } from "../stats.ts";
import type { SizeContext } from "./context.ts";
import type { PodRole } from "./proxy-node.ts";
import { movingAddress, movingPort, movingSlice, namespace } from "./services.ts";
import type { World } from "./world.ts";

/** A change takes kube-proxy a second and more. */
const defaultRounds = { weft: 60, proxy: 20 } as const;
const limitMs = 60_000;

/** The pods of a node; who asks runs in the cgroup. */
interface Ends {
  readonly name: string;
  readonly netns: Readonly<Record<PodRole, string>>;
  readonly cgroup?: string;
  readonly rounds: number;
}

/** One node after the other; the kube-proxies of the others stand still, so that their work is not in its time. */
export async function moveFigures(world: World, context: SizeContext): Promise<Figure[]> {
  const { weft, proxies } = world;
  const { client, near, other } = weft.pods;
  const figures = await moved(world, context, {
    name: "Weft",
    netns: { client: client!.netns, near: near!.netns, other: other!.netns },
    cgroup: weft.podCgroup,
    rounds: context.rounds ?? defaultRounds.weft,
  });
  for (const proxy of proxies) {
    const { pods } = proxy;
    proxy.thaw();
    const ends: Ends = {
      name: proxy.name,
      netns: { client: netnsPath(pods.client), near: netnsPath(pods.near), other: netnsPath(pods.other) },
      rounds: Math.min(context.rounds ?? defaultRounds.proxy, defaultRounds.proxy),
    };
    try {
      figures.push(...(await moved(world, context, ends)));
    } finally {
      proxy.freeze();
    }
  }
  return figures;
}

async function moved(
  { lab, podAddresses }: World,
  { size, signal, progress }: SizeContext,
  { name, netns, cgroup, rounds }: Ends,
): Promise<Figure[]> {
  progress(`${rounds} endpoint changes, ${name}`);
  const server = (role: PodRole, letter: string) => ({
    netns: netns[role],
    listen: `${podAddresses[role]}:${movingPort}`,
    letter,
  });
  const to = (role: PodRole) => () => {
    const { endpoints } = movingSlice(podAddresses[role]) as { endpoints?: unknown };
    const ref = { namespace, name: "moving" };
    return lab.client.patch(
      resources.endpointSlices,
      ref,
      { type: "merge", body: { endpoints } },
      { signal },
    );
  };
  await using prober = startProber({
    client: { netns: netns.client, ...(cgroup !== undefined && { cgroup }) },
    connect: `${movingAddress}:80`,
    servers: [server("near", "A"), server("other", "B")],
    limitMs,
  });
  await to("near")();
  await prober.until("A", 0n);
  const events = [
    { letter: "B", apply: to("other") },
    { letter: "A", apply: to("near") },
  ];
  let taken: number[][];
  try {
    taken = await times(prober, events, { rounds: Math.ceil(rounds / 2), signal });
  } catch (error) {
    // One that cannot keep up is no reason to lose the figures of the others.
    if (signal.aborted) throw error;
    progress(`${name}: ${errorText(error)}`);
    return [];
  }
  return latency(`${name}, ${size}: endpoint change to first packet on the new backend`, taken.flat());
}
