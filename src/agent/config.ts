// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { parseDocument } from "yaml";
import { z } from "zod";
import { WeftError } from "#lib/errors.ts";
import { type Prefix, parsePrefix } from "#model/ip.ts";

const prefix = z.string().transform((text, context): Prefix => {
  try {
    return parsePrefix(text);
  } catch {
    context.addIssue({ code: "custom", message: `"${text}" is not a CIDR prefix` });
    return z.NEVER;
  }
});

/**
 * Everything an agent can be told. Unknown keys are an error: a setting that does nothing is a mistake nobody sees. The chart's
 * values, their schema and their table are made of this, descriptions included.
 */
export const agentConfigSchema = z.strictObject({
  nodeName: z.string().min(1).describe("The Kubernetes Node this agent serves."),
  clusterName: z
    .string()
    .min(1)
    .max(32)
    .default("default")
    .describe("Name of the cluster; part of every identity's labels."),
  kubeconfig: z.string().optional().describe("Absent: in-cluster credentials."),
  routing: z
    .enum(["tunnel", "native"])
    .default("tunnel")
    .describe(
      "How pods of different nodes meet: in a VXLAN tunnel, or by routes of the network between the nodes.",
    ),
  families: z.enum(["v4", "v6", "dual"]).default("v4").describe("Address families of the pods."),
  device: z
    .string()
    .optional()
    .describe(
      "Device of the underlay and of the default route; absent: the one that carries the node's address.",
    ),
  nativeRoutingCidrs: z
    .array(prefix)
    .default([])
    .describe(
      "Destinations reached without masquerade under native routing; absent: the pod CIDRs of all nodes.",
    ),
  masquerade: z
    .boolean()
    .default(true)
    .describe("Give what leaves the cluster the node's address as its source."),
  flows: z.boolean().default(true).describe("Emit flows for what is forwarded; drops are always shown."),
  flowBuffer: z
    .number()
    .int()
    .min(1023)
    .max(1_048_575)
    .default(16_383)
    .describe("How many flows a node remembers."),
  stateDir: z.string().default("/var/lib/weft").describe("State that outlives a reboot."),
  runDir: z.string().default("/run/weft").describe("Sockets."),
  bpfDir: z
    .string()
    .default("/sys/fs/bpf/weft")
    .describe("Directory under a bpffs for pinned maps and links."),
  cgroup: z
    .string()
    .optional()
    .describe(
      "cgroup2 directory whose processes get service translation at connect; absent: the cgroup2 mount.",
    ),
  cniConfDir: z.string().default("/etc/cni/net.d").describe("Where the runtime looks for its network."),
  observer: z
    .strictObject({ listen: z.string().default("0.0.0.0:4244").describe("Address and port.") })
    .prefault({})
    .describe("The node's flows, by Hubble's Observer API."),
  metrics: z
    .strictObject({ listen: z.string().default("0.0.0.0:9962").describe("Address and port.") })
    .prefault({})
    .describe("Prometheus metrics."),
});

export type AgentConfig = z.infer<typeof agentConfigSchema>;

/** Reads the YAML file. @throws WeftError E_CONFIG naming the file and the setting. */
export function loadAgentConfig(path: string): AgentConfig {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new WeftError("E_CONFIG", `cannot read ${path}`, {
      cause,
      hint: "give the agent its file with --config",
    });
  }
  return parseAgentConfig(text, path);
}

export function parseAgentConfig(text: string, path: string): AgentConfig {
  const document = parseDocument(text);
  const broken = document.errors[0];
  if (broken) throw new WeftError("E_CONFIG", `${path}: ${broken.message}`);
  const result = agentConfigSchema.safeParse(document.toJS() ?? {});
  if (!result.success) {
    const lines = result.error.issues.map((issue) => `${issue.path.join(".") || "file"}: ${issue.message}`);
    throw new WeftError("E_CONFIG", `${path}: ${lines.join("; ")}`);
  }
  return result.data;
}
