// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inNetns, netnsPath } from "#kernel/netns.ts";
import { checkout, labPrefix, labStateDir } from "./lab-run.ts";

export interface CniCall {
  readonly command: "ADD" | "DEL" | "CHECK" | "STATUS" | "VERSION";
  readonly containerId?: string;
  /** Path. */
  readonly netns?: string;
  /** `namespace/name` of the pod object. */
  readonly pod?: string;
  /** With CHECK: what ADD answered. */
  readonly prevResult?: unknown;
}

export interface CniAnswer {
  readonly code: number;
  /** What the plugin printed: a result, or an error with `code` and `msg`. */
  readonly object: { readonly code?: number; readonly msg?: string; readonly ips?: { address: string }[] };
}

/** Runs the CNI plugin of a lab's node as its kubelet does. */
export async function cni(node: string, call: CniCall): Promise<CniAnswer> {
  const list = JSON.parse(readFileSync(join(labStateDir, "nodes", node, "cni/05-weft.conflist"), "utf8")) as {
    name: string;
    cniVersions: string[];
    plugins: object[];
  };
  const { name, cniVersions, plugins } = list;
  const conf = {
    name,
    cniVersion: cniVersions.at(-1),
    ...plugins[0],
    ...(call.prevResult !== undefined && { prevResult: call.prevResult }),
  };
  const [namespace, pod] = call.pod?.split("/") ?? [];
  const env: Record<string, string> = { CNI_COMMAND: call.command, CNI_IFNAME: "eth0", CNI_PATH: "/" };
  if (call.containerId) env.CNI_CONTAINERID = call.containerId;
  if (call.netns) env.CNI_NETNS = call.netns;
  if (pod) env.CNI_ARGS = `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${pod}`;
  const child = inNetns(netnsPath(`${labPrefix}-${node}`), () =>
    spawn(join(checkout, "build/native/weft-cni"), [], { env, stdio: "pipe" }),
  );
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  child.stdin.on("error", () => {});
  child.stdin.end(JSON.stringify(conf));
  const code = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (exit) => resolve(exit ?? -1));
  });
  return { code, object: text === "" ? {} : (JSON.parse(text) as CniAnswer["object"]) };
}
