// SPDX-License-Identifier: Apache-2.0
// A real control plane on loopback: etcd, kube-apiserver, and of the controllers those that clean up (garbage, namespaces).
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Connection, connectTo, type Target } from "./target.ts";

const startMs = 120_000;
const token = "contract";

interface Ports {
  readonly etcd: number;
  readonly peer: number;
  readonly api: number;
}

/** @param binDir where kube-apiserver and kube-controller-manager lie; etcd is Debian's. */
export async function kubernetesTarget(binDir: string): Promise<Target> {
  const dir = mkdtempSync(join(tmpdir(), "weft-contract-"));
  const [etcd, peer, api] = await freePorts(3);
  const ports: Ports = { etcd: etcd!, peer: peer!, api: api! };
  const children: ChildProcess[] = [];
  // Each ends with this process, however that ends.
  const start = (name: string, args: readonly string[]) => {
    const log = openSync(join(dir, `${name.split("/").at(-1)}.log`), "w");
    children.push(spawn("setpriv", ["--pdeathsig", "KILL", name, ...args], { stdio: ["ignore", log, log] }));
  };
  const stop = async () => {
    for (const child of children.reverse()) await end(child);
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    writeCredentials(dir);
    start("etcd", etcdArguments(dir, ports));
    await makeHistory(ports.etcd);
    start(join(binDir, "kube-apiserver"), apiServerArguments(dir, ports));
    const connection = await untilReady(dir, ports.api);
    writeFileSync(join(dir, "kubeconfig"), kubeconfig(connection), { mode: 0o600 });
    start(join(binDir, "kube-controller-manager"), [
      `--kubeconfig=${dir}/kubeconfig`,
      "--controllers=garbage-collector-controller,namespace-controller",
      "--leader-elect=false",
      "--secure-port=0",
      "--concurrent-gc-syncs=2",
    ]);
    const client = connectTo(connection);
    return {
      name: "kubernetes",
      call: client.call,
      watch: client.watch,
      forgottenVersion: () => Promise.resolve(String(forgotten)),
      forgottenToken: (token) => Promise.resolve(withVersion(token, forgotten)),
      [Symbol.asyncDispose]: async () => {
        client[Symbol.dispose]();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function etcdArguments(dir: string, { etcd, peer }: Ports): string[] {
  const at = `http://127.0.0.1:${etcd}`;
  const peerAt = `http://127.0.0.1:${peer}`;
  return [
    `--data-dir=${dir}/etcd`,
    `--listen-client-urls=${at}`,
    `--advertise-client-urls=${at}`,
    `--listen-peer-urls=${peerAt}`,
    `--initial-advertise-peer-urls=${peerAt}`,
    `--initial-cluster=default=${peerAt}`,
    "--unsafe-no-fsync",
  ];
}

function apiServerArguments(dir: string, { etcd, api }: Ports): string[] {
  return [
    `--etcd-servers=http://127.0.0.1:${etcd}`,
    "--bind-address=127.0.0.1",
    `--secure-port=${api}`,
    `--cert-dir=${dir}/certs`,
    `--token-auth-file=${dir}/tokens.csv`,
    "--authorization-mode=RBAC",
    "--service-cluster-ip-range=10.96.0.0/16,fd00:96::/108",
    "--service-account-issuer=https://weft.test",
    `--service-account-key-file=${dir}/sa.key`,
    `--service-account-signing-key-file=${dir}/sa.key`,
    // Nobody makes service accounts here, and pods are made all the same.
    "--disable-admission-plugins=ServiceAccount",
    "--endpoint-reconciler-type=none",
  ];
}

function writeCredentials(dir: string): void {
  writeFileSync(join(dir, "tokens.csv"), `${token},admin,admin,system:masters\n`, { mode: 0o600 });
  execFileSync("openssl", [
    "ecparam",
    "-genkey",
    "-name",
    "prime256v1",
    "-noout",
    "-out",
    join(dir, "sa.key"),
  ]);
}

/** The server makes its own certificate, signed by itself: that is then the authority. */
async function untilReady(dir: string, port: number): Promise<Connection> {
  const deadline = Date.now() + startMs;
  const certificate = join(dir, "certs/apiserver.crt");
  for (;;) {
    if (existsSync(certificate)) {
      const connection = { host: "127.0.0.1", port, ca: readFileSync(certificate, "utf8"), token };
      using client = connectTo(connection);
      const ready = await client.call("GET", "/readyz").catch(() => undefined);
      if (ready?.code === 200) return connection;
    }
    if (Date.now() > deadline) {
      throw new Error(
        `kube-apiserver is not ready: ${readFileSync(join(dir, "kube-apiserver.log"), "utf8").slice(-2000)}`,
      );
    }
    await pause(100);
  }
}

function kubeconfig({ host, port, ca }: Connection): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      {
        name: "c",
        cluster: {
          server: `https://${host}:${port}`,
          "certificate-authority-data": Buffer.from(ca).toString("base64"),
        },
      },
    ],
    users: [{ name: "u", user: { token } }],
    contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
    "current-context": "c",
  });
}

/** A version from before the server's time, compacted away. */
const forgotten = 5;

/**
 * The server keeps what it has seen in caches of its own: only what was over before it started is forgotten for sure.
 * Over etcd's JSON gateway: https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/
 */
async function makeHistory(port: number): Promise<void> {
  const post = async (path: string, body: unknown): Promise<void> => {
    const answer = await fetch(`http://127.0.0.1:${port}/v3/kv/${path}`, {
      method: "POST",
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`etcd: ${path}: ${await answer.text()}`);
  };
  const deadline = Date.now() + startMs;
  for (;;) {
    const up = await fetch(`http://127.0.0.1:${port}/health`).catch(() => undefined);
    if (up?.ok) break;
    if (Date.now() > deadline) throw new Error("etcd is not ready");
    await pause(50);
  }
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  for (let i = 0; i < 2 * forgotten; i++)
    await post("put", { key: base64("/weft/before"), value: base64(String(i)) });
  await post("compaction", { revision: 2 * forgotten, physical: true });
}

/** https://github.com/kubernetes/apiserver/blob/master/pkg/storage/continue.go: JSON with version, revision and first key. */
function withVersion(token: string, revision: number): string {
  const content = JSON.parse(Buffer.from(token, "base64url").toString()) as Record<string, unknown>;
  return Buffer.from(JSON.stringify({ ...content, rv: revision })).toString("base64url");
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}

/** A graceful end of the API server takes it a minute: nothing here needs it. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}
