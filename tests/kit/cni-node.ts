// SPDX-License-Identifier: Apache-2.0
// A node's CNI server, called through the shim as a container runtime does, with namespaces for the node and its pods.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CniDeps, CniEndpoints } from "#cni/deps.ts";
import { startCniServer } from "#cni/server.ts";
import type { Endpoint } from "#endpoints/endpoint.ts";
import type { EndpointRequest } from "#endpoints/manager.ts";
import { Ipam } from "#ipam/ipam.ts";
import { type Netlink, openNetlink } from "#kernel/netlink/handle.ts";
import { addBridge, listLinks, setLink } from "#kernel/netlink/link.ts";
import { listRoutes } from "#kernel/netlink/route.ts";
import { createNetns, deleteNetns, inNetns, netnsPath } from "#kernel/netns.ts";
import { writeSysctl } from "#kernel/sysctl.ts";
import { createLogger } from "#lib/log.ts";
import type { Prefix } from "#model/ip.ts";

const SHIM = join(import.meta.dirname, "../../build/native/weft-cni");
const NODE = `wcni-${process.pid}-node`;
const POD = `wcni-${process.pid}-pod`;
const POD2 = `wcni-${process.pid}-pod2`;
const CIDRS = ["10.77.0.0/29", "fd77::/64"] as Prefix[];

interface Output {
  readonly cniVersion?: string;
  readonly code?: number;
  readonly msg?: string;
  readonly supportedVersions?: string[];
  readonly interfaces?: { name: string; mac: string; sandbox?: string; mtu?: number }[];
  readonly ips?: { version?: string; address: string; gateway: string; interface: number }[];
  readonly routes?: { dst: string; gw: string }[];
}

export interface CniAnswer {
  readonly exitCode: number;
  readonly output: string;
  readonly json: Output;
}

/** An endpoint manager that keeps endpoints in a map and can be told to fail or to wait. */
class FakeEndpoints implements CniEndpoints {
  readonly rows = new Map<string, Endpoint>();
  onCreate: ((signal: AbortSignal) => Promise<void>) | undefined;

  async create(request: EndpointRequest, signal: AbortSignal): Promise<Endpoint> {
    await this.onCreate?.(signal);
    const endpoint: Endpoint = {
      ...request,
      id: this.rows.size + 1,
      labels: new Map(),
      identity: 1,
      namedPorts: [],
    };
    this.rows.set(`${request.containerId}/${request.ifname}`, endpoint);
    return endpoint;
  }
  remove(containerId: string, ifname: string): void {
    this.rows.delete(`${containerId}/${ifname}`);
  }
  find(containerId: string, ifname: string): Endpoint | undefined {
    return this.rows.get(`${containerId}/${ifname}`);
  }
  list(): Iterable<Endpoint> {
    return this.rows.values();
  }
}

export interface CallOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly config?: object;
  /** In place of the configuration. */
  readonly stdin?: string;
}

interface StartOptions {
  readonly cidrs?: readonly Prefix[];
  readonly hostProc?: string;
  readonly housekeepingMs?: number;
}

/** @see CniNode.create */
export class CniNode implements AsyncDisposable {
  readonly name = NODE;
  readonly dir = mkdtempSync(join(tmpdir(), "weft-cni-"));
  readonly socketPath = join(this.dir, "run", "cni.sock");
  readonly deletions = join(this.dir, "run", "deletions");
  readonly nodePath = createNetns(NODE);
  readonly podPath = createNetns(POD);
  readonly secondPodPath = netnsPath(POD2);
  /** The node's. */
  readonly netlink: Netlink = openNetlink({ netns: this.nodePath });
  readonly endpoints = new FakeEndpoints();
  readonly #stop = new AbortController();
  /** What keeps the agent from serving; undefined: nothing. */
  notReady: string | undefined;
  ipam = new Ipam(CIDRS);
  #server: AsyncDisposable | undefined;

  /** A node whose server runs. Dispose it also after a failure. */
  static async create(): Promise<CniNode> {
    const node = new CniNode();
    setLink(node.netlink, "lo", { up: true });
    // As on any node, device 2 is taken: a veth with the same index on both sides takes the kernel up to a second to start.
    addBridge(node.netlink, { name: "uplink" });
    inNetns(node.nodePath, () => {
      writeSysctl("net/ipv4/conf/all/rp_filter", 0);
      writeSysctl("net/ipv6/conf/all/forwarding", 1);
    });
    await node.start();
    return node;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    this.netlink[Symbol.dispose]();
    for (const name of [NODE, POD, POD2]) deleteNetns(name);
    rmSync(this.dir, { recursive: true });
  }

  /** A server with an address pool of its own, as an agent that starts. */
  async start({ cidrs = CIDRS, hostProc, housekeepingMs = 20 }: StartOptions = {}): Promise<void> {
    this.ipam = new Ipam([...cidrs]);
    const deps: CniDeps = {
      ipam: this.ipam,
      endpoints: this.endpoints,
      node: { mtu: 1400, netns: this.nodePath, ...(hostProc !== undefined && { hostProc }) },
      log: createLogger("cni-test", "silent"),
      notReady: () => this.notReady,
    };
    this.#server = await startCniServer({
      socketPath: this.socketPath,
      deletionsDir: this.deletions,
      deps,
      housekeepingMs,
      signal: this.#stop.signal,
    });
  }

  async stop(): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
  }

  /** Makes the namespace of a second pod. */
  secondPod(): string {
    return createNetns(POD2);
  }

  /** As a runtime that takes the namespace away before it calls DEL. */
  deletePod(): void {
    deleteNetns(POD);
  }

  call(command: string, { env = {}, config = {}, stdin }: CallOptions = {}): Promise<CniAnswer> {
    const { promise, resolve } = Promise.withResolvers<CniAnswer>();
    const variables = {
      CNI_COMMAND: command,
      CNI_CONTAINERID: "c1",
      CNI_NETNS: this.podPath,
      CNI_IFNAME: "eth0",
      CNI_PATH: "/opt/cni/bin",
      CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart;K8S_POD_UID=u1",
      ...env,
    };
    const child = execFile(SHIM, { env: variables, timeout: 20_000 }, (error, stdout) => {
      const exitCode = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
      resolve({ exitCode, output: stdout, json: stdout === "" ? {} : (JSON.parse(stdout) as Output) });
    });
    const conf = {
      cniVersion: "1.1.0",
      name: "weft",
      type: "weft-cni",
      socket: this.socketPath,
      deletions: this.deletions,
      ...config,
    };
    child.stdin!.on("error", () => {});
    child.stdin!.end(stdin ?? JSON.stringify(conf));
    return promise;
  }

  /** On the node's side. */
  devices() {
    return listLinks(this.netlink).filter((link) => link.kind === "veth");
  }

  assertNothingLeft(): void {
    assert.deepEqual(this.devices(), []);
    assert.equal(this.endpoints.rows.size, 0);
    assert.deepEqual(
      this.ipam.usage().map((pool) => pool.used),
      [0, 0],
    );
    assert.deepEqual(listRoutes(this.netlink, { protocol: 87 }), []);
  }
}

export function assertFails(answer: CniAnswer, code: number, text: RegExp): void {
  assert.equal(answer.exitCode, 1, answer.output);
  assert.equal(answer.json.code, code, answer.output);
  assert.match(answer.json.msg ?? "", text);
  assert.equal(answer.json.cniVersion, "1.1.0");
}
