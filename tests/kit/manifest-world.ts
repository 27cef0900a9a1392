// SPDX-License-Identifier: Apache-2.0

/** A cluster small enough to ask everything of it: three namespaces of three pods each, told apart by labels. */

export interface WorldPod {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** By name, with protocol. */
  readonly ports: readonly {
    readonly name: string;
    readonly port: number;
    readonly protocol: "TCP" | "UDP";
  }[];
}

export const namespaces: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  x: { team: "red", env: "prod" },
  y: { team: "blue", env: "prod" },
  z: { team: "red", env: "dev" },
};

const tiers: Readonly<Record<string, string>> = { a: "front", b: "back", c: "front" };

/** `http` is another number in the pods called c, so that a named port is not one number everywhere. */
export const pods: readonly WorldPod[] = Object.keys(namespaces).flatMap((namespace) =>
  ["a", "b", "c"].map((name) => ({
    namespace,
    name,
    labels: { app: name, tier: tiers[name]!, ...(name === "b" && { canary: "yes" }) },
    // One that policies deny nothing.
    ...(name === "c" && namespace === "z" && { annotations: { "weft.io/policy-audit": "true" } }),
    ports: [
      { name: "http", port: name === "c" ? 81 : 80, protocol: "TCP" },
      { name: "alt", port: name === "c" ? 80 : 81, protocol: "TCP" },
      { name: "game", port: 80, protocol: "UDP" },
      { name: "dns", port: 53, protocol: "UDP" },
    ],
  })),
);

/** Outside the cluster; the lab's outside answers under every address that is no node's. */
export const outside = ["203.0.113.5", "203.0.113.77", "198.51.100.7"] as const;
export const outsideV6 = ["2001:db8::5", "2001:db8:1::7"] as const;

export function worldManifests(): object[] {
  const spaces = Object.entries(namespaces).map(([name, labels]) => ({
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name, labels },
  }));
  const all = pods.map(({ ports, ...metadata }) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata,
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: "main",
          image: "registry.example/served:1",
          ports: ports.map(({ name: portName, port, protocol }) => ({
            name: portName,
            containerPort: port,
            protocol,
          })),
        },
      ],
    },
  }));
  return [...spaces, ...all];
}
