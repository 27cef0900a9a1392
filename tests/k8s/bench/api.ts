// SPDX-License-Identifier: Apache-2.0
/** The cluster's API without a process per request: `kubectl proxy` on a unix socket, which no network namespace hides. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { errorText } from "#lib/errors.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { inNamespace } from "../cluster/network.ts";
import { until } from "../cluster/until.ts";

export interface PodEvent {
  readonly name: string;
  readonly ready: boolean;
  readonly deleted: boolean;
}

export interface Api extends Disposable {
  /** @throws when the answer is none of 2xx */
  call(method: string, path: string, body?: object): Promise<unknown>;
  /** Tells of every change of a namespace's pods, as it comes. */
  watchPods(namespace: string, onEvent: (event: PodEvent) => void): Promise<Disposable>;
}

export async function openApi(cluster: Cluster): Promise<Api> {
  const socketPath = join(cluster.layout.dir, "bench.sock");
  rmSync(socketPath, { force: true });
  const kubectl = [join(cluster.bin, "kubectl"), `--kubeconfig=${cluster.layout.kubeconfig}`];
  const argv = inNamespace(cluster.layout.netns, [...kubectl, "proxy", `--unix-socket=${socketPath}`]);
  const child: ChildProcess = spawn(argv[0]!, argv.slice(1), { stdio: "ignore" });
  const stop = () => void child.kill("SIGKILL");
  process.once("exit", stop);
  await until("kubectl proxy to listen", 15_000, () => existsSync(socketPath));
  const open = (method: string, path: string, body?: object) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const headers = { "content-type": "application/json", accept: "application/json" };
      const outgoing = request({ socketPath, method, path, headers }, resolve);
      outgoing.once("error", reject).end(body === undefined ? undefined : JSON.stringify(body));
    });
  return {
    async call(method, path, body) {
      const answer = await open(method, path, body);
      let text = "";
      for await (const chunk of answer.setEncoding("utf8")) text += chunk;
      if ((answer.statusCode ?? 500) >= 300) throw new Error(`${method} ${path}: ${text}`);
      return JSON.parse(text);
    },
    async watchPods(namespace, onEvent) {
      // From what the API server has at hand: its newest state it would have to ask etcd for, which not every etcd tells.
      let version = "0";
      let answer: IncomingMessage | undefined;
      let over = false;
      const follow = async () => {
        const query = `watch=1&resourceVersion=${version}`;
        answer = await open("GET", `/api/v1/namespaces/${namespace}/pods?${query}`);
        answer.on("error", () => {});
        return createInterface({ input: answer });
      };
      const take = (line: string) => {
        const change = JSON.parse(line) as Change;
        if (change.type === "ERROR") throw new Error(`the watch of ${namespace}'s pods: ${line}`);
        version = change.object.metadata.resourceVersion;
        onEvent(podEvent(change));
      };
      // An API server ends a watch when it likes, and that of a slow reader: it goes on from where it was.
      const untilOver = async (lines: Interface) => {
        for (;;) {
          for await (const line of lines) take(line);
          if (over) return;
          lines = await follow();
        }
      };
      void untilOver(await follow()).catch((error: unknown) => {
        if (!over) console.error(`weft bench: ${errorText(error)}`);
      });
      return {
        [Symbol.dispose]() {
          over = true;
          answer?.destroy();
        },
      };
    },
    [Symbol.dispose]: stop,
  };
}

interface Change {
  readonly type: string;
  readonly object: {
    readonly metadata: { readonly name: string; readonly resourceVersion: string };
    readonly status: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
  };
}

function podEvent({ type, object }: Change): PodEvent {
  return {
    name: object.metadata.name,
    ready: object.status.conditions?.some((is) => is.type === "Ready" && is.status === "True") ?? false,
    deleted: type === "DELETED",
  };
}
