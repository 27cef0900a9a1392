// SPDX-License-Identifier: Apache-2.0
import type { Manifest } from "./chart.ts";

interface Container {
  readonly name: string;
  readonly image: string;
  readonly [field: string]: unknown;
}

/** A DaemonSet, as far as its pods are made into those that clean up. */
export interface AgentSet extends Manifest {
  readonly spec: {
    readonly template: {
      readonly spec: { readonly containers: readonly Container[]; readonly [field: string]: unknown };
    };
  };
}

export const cleanupName = "weft-cleanup";

/**
 * The DaemonSet that takes the agent's traces off every node, made of the agent's own: it runs on the same nodes, from the same image,
 * sees the same directories and may do the same, whatever values it was installed with. A pod is Ready when its node is clean.
 * `image` in place of the agents' own: theirs may be the very one that cannot be pulled.
 */
export function cleanupSet(agents: AgentSet, image?: string): Manifest & { readonly spec: unknown } {
  const { containers, ...pod } = agents.spec.template.spec;
  const own = containers.find(({ name }) => name === "agent") ?? containers[0]!;
  const agent: Container = { ...own, image: image ?? own.image };
  const { ports: _p, startupProbe: _s, livenessProbe: _l, readinessProbe: _r, ...kept } = agent;
  const labels = { "k8s-app": cleanupName };
  return {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: {
      name: cleanupName,
      ...(agents.metadata.namespace && { namespace: agents.metadata.namespace }),
      labels: { ...labels, "app.kubernetes.io/part-of": "weft" },
    },
    spec: {
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          ...pod,
          // Whoever waits here has nothing to save.
          terminationGracePeriodSeconds: 1,
          initContainers: [{ ...kept, name: "cleanup", command: ["weft-agent", "cleanup"] }],
          containers: [
            {
              name: "done",
              image: agent.image,
              ...(typeof agent["imagePullPolicy"] === "string" && {
                imagePullPolicy: agent["imagePullPolicy"],
              }),
              command: ["sleep", "2147483647"],
              securityContext: { readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } },
            },
          ],
        },
      },
    },
  };
}
