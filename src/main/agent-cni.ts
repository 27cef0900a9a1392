// SPDX-License-Identifier: Apache-2.0
import type { CniDeps, CniNode } from "#cni/deps.ts";
import { startCniServer } from "#cni/server.ts";
import type { AgentDeps } from "./agent-begin.ts";
import { hostProcOf } from "./agent-host.ts";

/** Serves the runtime's ADD and DEL of pods. */
export function startCni(
  { config, paths, nodeDatapath, log }: AgentDeps,
  parts: Pick<CniDeps, "ipam" | "endpoints" | "notReady">,
  signal: AbortSignal,
): Promise<AsyncDisposable> {
  const { podMtu: mtu, sources } = nodeDatapath;
  const { v4, v6 } = sources;
  const hostProc = hostProcOf(config);
  const source = { ...(v4 && { v4 }), ...(v6 && { v6 }) };
  const node: CniNode = { mtu, source, ...(hostProc !== undefined && { hostProc }) };
  const deps = { ...parts, node, log };
  return startCniServer({ socketPath: paths.cni, deletionsDir: paths.cniDeletions, signal, deps });
}
