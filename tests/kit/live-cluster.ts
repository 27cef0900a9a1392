// SPDX-License-Identifier: Apache-2.0
// A cluster to look at: the lab's API server with nodes and Weft's pods in it, whose containers answer what a test says.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createKubeClient, type KubeClient } from "#k8s/client.ts";
import { loadCredentials } from "#k8s/kubeconfig.ts";
import type { KubeObject, Resource } from "#k8s/resource.ts";
import type { KubeletClient } from "#lab/apiserver/kubelet.ts";
import { startApiServer } from "#lab/apiserver/server.ts";

export interface LiveCluster extends AsyncDisposable {
  readonly client: KubeClient;
  readonly kubeconfig: string;
  create(resource: Resource, object: KubeObject): Promise<void>;
  weft(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }>;
}

export interface ContainerAnswer {
  readonly stdout?: string;
  readonly stderr?: string;
  readonly code?: number;
}

/** What a container says to a command (and, where it has input, its first line), by its pod; and its log. */
export interface Answers {
  exec(pod: string, command: readonly string[], line: string): ContainerAnswer | Promise<ContainerAnswer>;
  logs?(pod: string, container: string, previous: boolean): string;
}

async function firstLine(input: AsyncIterable<Uint8Array>): Promise<string> {
  let text = "";
  for await (const chunk of input) {
    text += Buffer.from(chunk).toString();
    if (text.endsWith("\n")) break;
  }
  return text;
}

export async function liveCluster(answers: Answers): Promise<LiveCluster> {
  const kubelet: KubeletClient = {
    async *logs(pod, container, { previous }) {
      yield Buffer.from(answers.logs?.(pod.metadata.name, container, previous) ?? "");
    },
    async exec(pod, _container, { command, stdin }, streams) {
      const line = stdin ? await firstLine(streams.stdin) : "";
      const { stdout = "", stderr = "", code = 0 } = await answers.exec(pod.metadata.name, command, line);
      await streams.stdout(Buffer.from(stdout));
      await streams.stderr(Buffer.from(stderr));
      return code;
    },
  };
  const server = await startApiServer({
    listen: [{ host: "127.0.0.1", port: 0 }],
    users: [{ name: "admin", token: "t0ken", groups: ["system:masters"] }],
    kubelet,
  });
  const home = mkdtempSync(join(tmpdir(), "weft-live-"));
  const kubeconfig = join(home, "config");
  writeFileSync(kubeconfig, server.kubeconfig(`https://127.0.0.1:${server.addresses[0]!.port}`), {
    mode: 0o600,
  });
  const client = createKubeClient(await loadCredentials(kubeconfig));
  return {
    client,
    kubeconfig,
    async create(resource, object) {
      const { status } = object as { status?: object };
      const made = await client.create(resource, object);
      if (status) await client.replace(resource, { ...made, status }, { subresource: "status" });
    },
    weft: (...args) => runWeft(args, { KUBECONFIG: kubeconfig, HOME: home }),
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      await server.close();
      rmSync(home, { recursive: true });
    },
  };
}

export function runWeft(
  args: readonly string[],
  env: Record<string, string>,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", "src/main/weft.ts", ...args],
    {
      env: { PATH: process.env["PATH"], NO_COLOR: "1", ...env },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 120_000,
    },
  );
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk;
  });
  return new Promise((resolve) =>
    child.once("close", (code) => resolve({ code: code ?? -1, stdout, stderr })),
  );
}

/** A node that is Ready. */
export function nodeObject(name: string, address: string): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name },
    spec: { podCIDRs: ["10.244.1.0/24"], podCIDR: "10.244.1.0/24" },
    status: {
      conditions: [{ type: "Ready", status: "True", reason: "KubeletReady", message: "" }],
      addresses: [{ type: "InternalIP", address }],
    },
  } as KubeObject;
}

/** One of Weft's pods, running and ready. */
export function weftPod(
  name: string,
  node: string,
  { app = "weft", container = "agent", ready = true } = {},
): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "kube-system", labels: { "k8s-app": app } },
    spec: { nodeName: node, containers: [{ name: container, image: "weft.local/weft:0.1.0" }] },
    status: {
      phase: "Running",
      podIP: "192.0.2.1",
      conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
      containerStatuses: [
        {
          name: container,
          image: "weft.local/weft:0.1.0",
          imageID: "",
          ready,
          restartCount: 2,
          state: { running: { startedAt: "2026-11-22T10:00:00Z" } },
        },
      ],
    },
  } as KubeObject;
}

export const namespaceObject = (name: string): KubeObject => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name },
});
