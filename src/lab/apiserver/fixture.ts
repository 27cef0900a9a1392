// SPDX-License-Identifier: Apache-2.0
// What the tests of this folder share: a running server, a client without any library, the real kubectl.
import { execFile, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { KubeletClient } from "./kubelet.ts";
import type { Json, JsonObject, KubeObject } from "./object.ts";
import { type ApiServer, startApiServer } from "./server.ts";

export interface Answer {
  readonly code: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: JsonObject;
}

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface WatchEvent {
  readonly type: string;
  readonly object: KubeObject;
}

export interface TestServer extends AsyncDisposable {
  readonly server: ApiServer;
  readonly call: (
    method: string,
    path: string,
    body?: Json,
    headers?: Record<string, string>,
  ) => Promise<Answer>;
  /** Opens a watch; `next` resolves with the following event, undefined at the end. */
  readonly watch: (
    path: string,
    accept?: string,
  ) => Promise<{ next: () => Promise<WatchEvent | undefined>; close: () => void }>;
  readonly kubectl: (args: readonly string[], input?: string) => Promise<CommandResult>;
}

const token = "test-token";

/** undefined, or why tests with the real kubectl cannot run. */
export const kubectlMissing: string | undefined =
  spawnSync("kubectl", ["version", "--client"], { stdio: "ignore" }).status === 0
    ? undefined
    : "there is no kubectl on this machine";

export async function startTestServer(kubelet?: KubeletClient): Promise<TestServer> {
  const server = await startApiServer({
    listen: [{ host: "127.0.0.1", port: 0 }],
    users: [{ name: "admin", groups: ["system:masters"], token }],
    serviceCidrs: ["10.96.0.0/16", "fd00:96::/108"],
    ...(kubelet ? { kubelet } : {}),
  });
  const { port } = server.addresses[0]!;
  const home = mkdtempSync(join(tmpdir(), "weft-apiserver-"));
  const config = join(home, "config");
  writeFileSync(config, server.kubeconfig(`https://127.0.0.1:${port}`), { mode: 0o600 });
  const agent = new Agent({ ca: server.ca, keepAlive: true });
  const open = async (
    method: string,
    path: string,
    body: Json,
    headers: Record<string, string>,
  ): Promise<IncomingMessage> => {
    const text = body === undefined ? "" : typeof body === "string" ? body : JSON.stringify(body);
    const all = { authorization: `Bearer ${token}`, "content-length": Buffer.byteLength(text), ...headers };
    const sent = request({ host: "127.0.0.1", port, path, method, agent, headers: all });
    sent.end(text);
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    return response;
  };
  return {
    server,
    call: async (method, path, body, headers = {}) => {
      const response = await open(method, path, body, { "content-type": "application/json", ...headers });
      const chunks: Buffer[] = [];
      for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
      const text = Buffer.concat(chunks).toString();
      const isJson = response.headers["content-type"]?.startsWith("application/json");
      return {
        code: response.statusCode ?? 0,
        headers: response.headers,
        body: isJson ? (JSON.parse(text) as JsonObject) : { text },
      };
    },
    watch: async (path, accept = "application/json") => {
      const response = await open("GET", path, undefined, { accept });
      const lines = createInterface({ input: response })[Symbol.asyncIterator]();
      return {
        next: async () => {
          const line = await lines.next();
          return line.done ? undefined : (JSON.parse(line.value) as WatchEvent);
        },
        close: () => void response.destroy(),
      };
    },
    kubectl: (args, input) =>
      runKubectl(args, input, { KUBECONFIG: config, HOME: home, PATH: process.env["PATH"] }),
    [Symbol.asyncDispose]: async () => {
      agent.destroy();
      await server.close();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

function runKubectl(
  args: readonly string[],
  input: string | undefined,
  env: NodeJS.ProcessEnv,
): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = execFile(
      "kubectl",
      args,
      { env, timeout: 30_000, maxBuffer: 16 << 20 },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
        resolve({ code, stdout, stderr });
      },
    );
    child.stdin?.end(input ?? "");
  });
}

export function configMap(
  name: string,
  data: { [key: string]: string } = {},
  more: JsonObject = {},
): JsonObject {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, ...more }, data };
}

export function deployment(name: string, image = "shop/web:1"): JsonObject {
  const labels = { app: name };
  const template = {
    metadata: { labels },
    spec: { containers: [{ name: "web", image, ports: [{ containerPort: 80 }] }] },
  };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, labels },
    spec: { selector: { matchLabels: labels }, template },
  };
}
