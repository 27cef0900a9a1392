// SPDX-License-Identifier: Apache-2.0
/** Throughput, latency and CPU cost of pods' traffic against the same traffic without Weft. */
import { resources } from "#k8s/resource.ts";
import { inNetns } from "#kernel/netns.ts";
import { writeSysctl } from "#kernel/sysctl.ts";
import type { BenchContext, BenchPart } from "./context.ts";
import { type BenchLab, type BenchPod, endpointSlice, startLab } from "./lab.ts";
import { compileTool } from "./native.ts";
import { directVeth, hostRouting, removeReferences, twoNodes } from "./reference.ts";
import type { Figure } from "./stats.ts";
import { type Comparison, compare, type Mode, modes, type Path } from "./traffic.ts";

const defaultRounds = 15;

/** Lets a loop of short connections reuse its ports within the minute they would rest, as the references' namespaces do. */
function reusePorts(pod: BenchPod): void {
  inNetns(pod.netns, () => writeSysctl("net.ipv4.tcp_tw_reuse", "1"));
}

/** Between pods of a lab; the client is in its node's cgroup, as any pod's process is. */
function labPath(lab: BenchLab, name: string, server: string, connect?: string): Path {
  const [client, to] = [lab.pod("client"), lab.pod(server)];
  reusePorts(client);
  return {
    name,
    serverNetns: to.netns,
    clientNetns: client.netns,
    clientCgroup: lab.cgroup("n1"),
    listen: `${to.ip}:7700`,
    ...(connect && { connect }),
  };
}

async function measured(
  context: BenchContext,
  pairs: readonly Comparison[],
  of: readonly Mode[] = modes,
): Promise<Figure[]> {
  const { signal, progress } = context;
  const rounds = context.rounds ?? defaultRounds;
  return await compare(compileTool("nb"), pairs, { rounds, modes: of, progress, signal });
}

async function references(work: () => Promise<Figure[]>): Promise<Figure[]> {
  removeReferences();
  try {
    return await work();
  } finally {
    removeReferences();
  }
}

/** Everything under VXLAN routing. */
export const tunnelPaths: BenchPart = {
  name: "tunnel",
  what: "pod to pod on a node, across nodes by VXLAN, through a ClusterIP",
  run: (context) =>
    references(async () => {
      context.progress("lab with tunnel routing");
      await using lab = await startLab({ ...context, routing: "tunnel" });
      const slice = endpointSlice("near", lab.pod("near").ip, 7700);
      await lab.client.create(resources.endpointSlices, slice, { signal: context.signal });
      const veth = directVeth("");
      const near = labPath(lab, "pods of one node", "near");
      return await measured(context, [
        { path: directVeth("again"), base: veth },
        { path: near, base: veth },
        { path: labPath(lab, "pods of one node, with policy", "near-policed"), base: veth },
        { path: hostRouting(), base: veth },
        { path: labPath(lab, "ClusterIP", "near", "10.96.77.1:80"), base: near },
        { path: labPath(lab, "pods across nodes, VXLAN", "far"), base: twoNodes("vxlan") },
      ]);
    }),
};

/** The same pods under native routing. */
export const nativePaths: BenchPart = {
  name: "native",
  what: "pod to pod across nodes by native routing",
  run: (context) =>
    references(async () => {
      context.progress("lab with native routing");
      await using lab = await startLab({ ...context, name: `${context.name}n`, routing: "native" });
      const routed = twoNodes("routing");
      return await measured(context, [
        { path: twoNodes("routing", "again"), base: routed },
        { path: labPath(lab, "pods across nodes, native", "far"), base: routed },
      ]);
    }),
};

/** Every end's process in its node's cgroup: there the agent's programs meet its sockets. */
function inCgroups(lab: BenchLab, path: Path): Path {
  return { ...path, serverCgroup: lab.cgroup("n1") };
}

/** TCP between pods of a node that have asked for it. */
export const sockmapPaths: BenchPart = {
  name: "sockmap",
  what: "pod to pod on a node past the network (acceleration.sockmap)",
  run: (context) =>
    references(async () => {
      context.progress("lab with acceleration.sockmap");
      const settings = ["acceleration.sockmap=annotated"];
      await using lab = await startLab({ ...context, routing: "tunnel", settings });
      const veth = directVeth("");
      const past = inCgroups(lab, labPath(lab, "pods of one node, past the network", "near"));
      const beside = inCgroups(
        lab,
        labPath(lab, "pods of one node, one without the annotation", "near-policed"),
      );
      const pairs = [directVeth("again"), past, beside].map((path) => ({ path, base: veth }));
      return await measured(context, pairs, ["tcp_rr", "tcp_crr", "stream"]);
    }),
};
