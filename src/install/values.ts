// SPDX-License-Identifier: Apache-2.0
import * as z from "zod";
import { agentConfigSchema } from "#agent/config.ts";
import { operatorConfigSchema } from "#operator/config.ts";

const dictionary = (what: string) => z.record(z.string(), z.string()).default({}).describe(what);

const resources = (cpu: string, memory: string) =>
  z
    .strictObject({
      requests: z.record(z.string(), z.string()).optional().describe("What the scheduler keeps free for it."),
      limits: z.record(z.string(), z.string()).optional().describe("What it may not exceed."),
    })
    .default({ requests: { cpu, memory } })
    .describe("Resources of the container.");

/** JSON Schema: settings of the network that have these values. */
const configWith = (settings: Settings) => ({
  properties: { config: schemaOf(settings) },
  required: ["config"],
});

interface Settings {
  readonly [name: string]: string | Settings;
}

function schemaOf(settings: string | Settings): object {
  if (typeof settings === "string") return { const: settings };
  const named = Object.entries(settings).map(([name, one]) => [name, schemaOf(one)] as const);
  return { properties: Object.fromEntries(named), required: named.map(([name]) => name) };
}

/** What the chart itself fills in: the node, where volumes are mounted, fixed ports, the API server. */
const chartsOwn = {
  nodeName: true,
  kubeconfig: true,
  apiServer: true,
  stateDir: true,
  runDir: true,
  bpfDir: true,
  hostProc: true,
  cniConfDir: true,
  cniBinDir: true,
  health: true,
  observer: true,
  metrics: true,
} as const;

const { clusterPool, lbIpam } = operatorConfigSchema.shape;

/**
 * Values of charts/weft. Its values.yaml, values.schema.json and docs/reference/values.md are made of this (tools/gen-chart.ts), the
 * agent's part (`config`) of the agent's own settings.
 */
export const valuesSchema = z
  .strictObject({
    image: z
      .strictObject({
        repository: z.string().min(1).default("weft.local/weft").describe("Registry and name."),
        tag: z.string().default("").describe("Empty: the chart's appVersion."),
        pullPolicy: z
          .enum(["Always", "IfNotPresent", "Never"])
          .default("IfNotPresent")
          .describe("When nodes pull it."),
        pullSecrets: z
          .array(z.string().min(1))
          .default([])
          .describe("Names of Secrets with registry credentials."),
      })
      .prefault({})
      .describe("The one image of agent, operator and command."),
    apiServer: z
      .strictObject({
        host: z
          .string()
          .default("")
          .describe(
            "Name or address that every node reaches; `weft install` finds it. Empty: the Service `kubernetes`, which needs a kube-proxy.",
          ),
        port: z.number().int().min(1).max(65_535).default(6443).describe("TCP port."),
      })
      .prefault({})
      .describe("Where agents and operator reach the API server."),
    config: agentConfigSchema
      .omit(chartsOwn)
      .prefault({})
      .describe(
        "Settings of the network; a change restarts the agents one after the other, traffic goes on.",
      ),
    cni: z
      .strictObject({
        confDir: z
          .string()
          .startsWith("/")
          .default("/etc/cni/net.d")
          .describe("Where the container runtime reads its network configuration."),
        binDir: z
          .string()
          .startsWith("/")
          .default("/opt/cni/bin")
          .describe("Where the container runtime looks for CNI programs."),
      })
      .prefault({})
      .describe("Directories of the nodes."),
    agent: z
      .strictObject({
        maxUnavailable: z
          .union([z.number().int().min(1), z.string().regex(/^\d{1,3}%$/)])
          .default(1)
          .describe("How many nodes' agents restart at once during a rollout; a number or a percentage."),
        nodeSelector: dictionary("Labels of the nodes that get an agent; empty: all."),
        resources: resources("100m", "192Mi"),
      })
      .prefault({})
      .describe("The DaemonSet `weft`."),
    operator: z
      .strictObject({
        enabled: z.boolean().default(true).describe("Deploy it."),
        replicas: z.number().int().min(1).max(3).default(1).describe("More than one: the others stand by."),
        config: z.strictObject({ clusterPool, lbIpam }).prefault({}).describe("Settings of the operator."),
        nodeSelector: dictionary("Labels of the nodes it may run on; empty: all."),
        resources: resources("20m", "128Mi"),
      })
      .prefault({})
      .describe("The Deployment `weft-operator`."),
    relay: z
      .strictObject({
        enabled: z.boolean().default(true).describe("Deploy it: `weft observe` and Hubble's clients ask it."),
        replicas: z
          .number()
          .int()
          .min(1)
          .max(5)
          .default(1)
          .describe("Each reads from every agent asked for."),
        tlsSecret: z
          .string()
          .default("")
          .describe(
            "Secret of type kubernetes.io/tls in the same namespace: clients reach the relay with TLS, on port 443 of its Service. Empty: without TLS, on port 80.",
          ),
        nodeSelector: dictionary("Labels of the nodes it may run on; empty: all."),
        resources: resources("20m", "96Mi"),
      })
      .prefault({})
      .describe("The Deployment `weft-relay`: flows of the whole cluster at one address."),
  })
  .superRefine(({ config, operator }, context) => {
    const { v4, v6 } = operator.config.clusterPool;
    if (config.ipam === "cluster-pool" && !v4 && !v6)
      context.addIssue({
        code: "custom",
        path: ["operator", "config", "clusterPool"],
        message: 'config.ipam "cluster-pool" needs v4.cidrs or v6.cidrs',
      });
    if (config.services.dsrDispatch === "ipip" && config.routing !== "native")
      context.addIssue({
        code: "custom",
        path: ["config", "services", "dsrDispatch"],
        message: '"ipip" needs config.routing "native"; "option" and "geneve" go with either',
      });
  })
  // The same for Helm.
  // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema; nobody awaits a schema
  .meta({ if: configWith({ services: { dsrDispatch: "ipip" } }), then: configWith({ routing: "native" }) });

/** Values as people write them, before defaults. */
export type Values = z.input<typeof valuesSchema>;
