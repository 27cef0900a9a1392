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

/** Everything an agent can be told. Unknown keys are an error: a setting that does nothing is a mistake nobody sees. */
const agentConfigSchema = z.strictObject({
  /** The Kubernetes Node this agent serves. */
  nodeName: z.string().min(1),
  clusterName: z.string().min(1).max(32).default("default"),
  /** Absent: in-cluster credentials. */
  kubeconfig: z.string().optional(),
  routing: z.enum(["tunnel", "native"]).default("tunnel"),
  families: z.enum(["v4", "v6", "dual"]).default("v4"),
  /** Device of the underlay and of the default route; absent: the one that carries the node's address. */
  device: z.string().optional(),
  /** Destinations reached without masquerade under native routing; absent: the pod CIDRs of all nodes. */
  nativeRoutingCidrs: z.array(prefix).default([]),
  masquerade: z.boolean().default(true),
  /** Emit flows for what is forwarded; drops are always shown. */
  flows: z.boolean().default(true),
  flowBuffer: z.number().int().min(1023).max(1_048_575).default(16_383),
  stateDir: z.string().default("/var/lib/weft"),
  runDir: z.string().default("/run/weft"),
  /** Directory under a bpffs for pinned maps and links. */
  bpfDir: z.string().default("/sys/fs/bpf/weft"),
  /** cgroup2 directory whose processes get service translation at connect; absent: the cgroup2 mount. */
  cgroup: z.string().optional(),
  cniConfDir: z.string().default("/etc/cni/net.d"),
  observer: z.strictObject({ listen: z.string().default("0.0.0.0:4244") }).prefault({}),
  metrics: z.strictObject({ listen: z.string().default("0.0.0.0:9962") }).prefault({}),
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
