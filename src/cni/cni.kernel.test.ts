// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, before, beforeEach, describe, test } from "node:test";
import type { Endpoint } from "#endpoints/endpoint.ts";
import type { EndpointRequest } from "#endpoints/manager.ts";
import { Ipam } from "#ipam/ipam.ts";
import { addAddress, listAddresses } from "#kernel/netlink/address.ts";
import { type Netlink, openNetlink } from "#kernel/netlink/handle.ts";
import { addBridge, addVeth, getLink, linkIndex, listLinks, setLink } from "#kernel/netlink/link.ts";
import { listRoutes } from "#kernel/netlink/route.ts";
import { createNetns, deleteNetns, inNetns } from "#kernel/netns.ts";
import { runProbe } from "#kernel/probe.ts";
import { writeSysctl } from "#kernel/sysctl.ts";
import { WeftError } from "#lib/errors.ts";
import { createLogger } from "#lib/log.ts";
import type { Address, Prefix } from "#model/ip.ts";
import type { CniDeps, CniEndpoints } from "./deps.ts";
import { hostIfname } from "./names.ts";
import { startCniServer } from "./server.ts";

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

interface Answer {
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

describe("CNI through the shim", { timeout: 60_000 }, () => {
  let dir: string;
  let socketPath: string;
  let nodePath: string;
  let podPath: string;
  let node: Netlink;
  let endpoints: FakeEndpoints;
  let ipam: Ipam;
  let notReady: string | undefined;
  let server: AsyncDisposable;
  let stop: AbortController;

  before(() => {
    execFileSync("sh", [join(import.meta.dirname, "../../tools/build-native.sh")]);
  });

  const deletions = () => join(dir, "run", "deletions");
  const until = async (holds: () => boolean) => {
    const deadline = performance.now() + 20_000;
    while (!holds()) {
      assert.ok(performance.now() < deadline, `not within 20 s: ${holds.toString()}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const start = async (cidrs = CIDRS, hostProc?: string, housekeepingMs = 20) => {
    ipam = new Ipam(cidrs);
    const deps: CniDeps = {
      ipam,
      endpoints,
      node: { mtu: 1400, netns: nodePath, ...(hostProc !== undefined && { hostProc }) },
      log: createLogger("cni-test", "silent"),
      notReady: () => notReady,
    };
    server = await startCniServer({
      socketPath,
      deletionsDir: deletions(),
      deps,
      housekeepingMs,
      signal: stop.signal,
    });
  };

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), "weft-cni-"));
    socketPath = join(dir, "run", "cni.sock");
    nodePath = createNetns(NODE);
    podPath = createNetns(POD);
    node = openNetlink({ netns: nodePath });
    setLink(node, "lo", { up: true });
    // As on any node, device 2 is taken: a veth with the same index on both sides takes the kernel up to a second to start.
    addBridge(node, { name: "uplink" });
    inNetns(nodePath, () => {
      writeSysctl("net/ipv4/conf/all/rp_filter", 0);
      writeSysctl("net/ipv6/conf/all/forwarding", 1);
    });
    endpoints = new FakeEndpoints();
    notReady = undefined;
    stop = new AbortController();
    await start();
  });
  afterEach(async () => {
    await server[Symbol.asyncDispose]();
    node[Symbol.dispose]();
    for (const name of [NODE, POD, POD2]) deleteNetns(name);
    rmSync(dir, { recursive: true });
  });

  const call = async (
    command: string,
    { env = {}, config = {}, stdin }: { env?: Record<string, string>; config?: object; stdin?: string } = {},
  ): Promise<Answer> => {
    const { promise, resolve } = Promise.withResolvers<Answer>();
    const variables = {
      CNI_COMMAND: command,
      CNI_CONTAINERID: "c1",
      CNI_NETNS: podPath,
      CNI_IFNAME: "eth0",
      CNI_PATH: "/opt/cni/bin",
      CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart;K8S_POD_UID=u1",
      ...env,
    };
    const child = execFile(SHIM, { env: variables, timeout: 20_000 }, (error, stdout) => {
      const exitCode = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
      resolve({
        exitCode,
        output: stdout,
        json: stdout === "" ? {} : (JSON.parse(stdout) as Output),
      });
    });
    const conf = {
      cniVersion: "1.1.0",
      name: "weft",
      type: "weft-cni",
      socket: socketPath,
      deletions: deletions(),
      ...config,
    };
    child.stdin!.on("error", () => {});
    child.stdin!.end(stdin ?? JSON.stringify(conf));
    return await promise;
  };

  const hostDevices = () => listLinks(node).filter((link) => link.kind === "veth");
  const assertNothingLeft = () => {
    assert.deepEqual(hostDevices(), []);
    assert.equal(endpoints.rows.size, 0);
    assert.deepEqual(
      ipam.usage().map((pool) => pool.used),
      [0, 0],
    );
    assert.deepEqual(listRoutes(node, { protocol: 87 }), []);
  };
  const assertFails = (answer: Answer, code: number, text: RegExp) => {
    assert.equal(answer.exitCode, 1, answer.output);
    assert.equal(answer.json.code, code, answer.output);
    assert.match(answer.json.msg ?? "", text);
    assert.equal(answer.json.cniVersion, "1.1.0");
  };

  test("ADD wires a pod, CHECK agrees, packets pass, DEL leaves nothing", async () => {
    const added = await call("ADD");
    assert.equal(added.exitCode, 0, added.output);
    const name = hostIfname({ containerId: "c1", ifname: "eth0" });
    const [host, pod] = added.json.interfaces ?? [];
    assert.deepEqual([host?.name, pod?.name, pod?.sandbox, pod?.mtu], [name, "eth0", podPath, 1400]);
    assert.deepEqual(added.json.ips, [
      { address: "10.77.0.2/32", gateway: "169.254.1.1", interface: 1 },
      { address: "fd77::2/128", gateway: "fe80::1", interface: 1 },
    ]);
    assert.deepEqual(added.json.routes, [
      { dst: "0.0.0.0/0", gw: "169.254.1.1" },
      { dst: "::/0", gw: "fe80::1" },
    ]);
    const device = getLink(node, name);
    assert.deepEqual([device?.mac, device?.mtu, device?.up], [host?.mac, 1400, true]);
    using inside = openNetlink({ netns: podPath });
    assert.equal(getLink(inside, "eth0")?.mac, pod?.mac);
    assert.equal(getLink(inside, "lo")?.up, true);
    const addresses = listAddresses(inside, getLink(inside, "eth0")!.index);
    assert.deepEqual(
      addresses.map((row) => `${row.address}/${row.bits} ${row.tentative}`),
      ["10.77.0.2/32 false", "fd77::2/128 false"],
    );

    assert.deepEqual(await call("CHECK"), { exitCode: 0, output: "", json: {} });
    const ping = async (to: string, netns: string) =>
      (await runProbe({ protocol: "ICMP", to: to as Address, port: 0, netns })).outcome;
    // The node needs addresses of its own as the source of what it sends; IPv6 ones are in use a moment later.
    const lo = linkIndex(node, "lo");
    addAddress(node, { link: lo, address: "172.31.0.1" as Address, bits: 32 });
    addAddress(node, { link: lo, address: "fd31::1" as Address, bits: 128, noDad: true });
    const inUse = () =>
      listRoutes(node, { family: 6, table: 255 }).some((route) => route.dst === "fd31::1/128");
    while (!inUse()) await new Promise((resolve) => setImmediate(resolve));
    for (const to of ["10.77.0.2", "fd77::2"])
      assert.equal(await ping(to, nodePath), "connected", `node to ${to}`);
    for (const to of ["172.31.0.1", "fd31::1"])
      assert.equal(await ping(to, podPath), "connected", `pod to ${to}`);

    assert.deepEqual(await call("DEL"), { exitCode: 0, output: "", json: {} });
    assertNothingLeft();
    assert.equal(getLink(inside, "eth0"), undefined);
  });

  test("DEL twice, of the unknown, and after the namespace is gone", async () => {
    assert.equal((await call("ADD")).exitCode, 0);
    assert.equal((await call("DEL")).exitCode, 0);
    assert.equal((await call("DEL")).exitCode, 0);
    assert.equal((await call("DEL", { env: { CNI_CONTAINERID: "never" } })).exitCode, 0);
    assert.equal((await call("ADD")).exitCode, 0);
    deleteNetns(POD);
    assert.equal((await call("DEL")).exitCode, 0);
    assertNothingLeft();
    assert.equal((await call("DEL", { env: { CNI_NETNS: "" } })).exitCode, 0);
  });

  test("ADD twice is an error and changes nothing", async () => {
    const first = await call("ADD");
    assertFails(await call("ADD"), 101, /c1 has its eth0 already/);
    assert.equal(hostDevices().length, 1);
    assert.equal(ipam.usage()[0]?.used, 1);
    assert.equal((await call("CHECK")).exitCode, 0, first.output);
    assertFails(
      await call("ADD", { env: { CNI_CONTAINERID: "c2" } }),
      101,
      /the container has an interface eth0 already/,
    );
    assert.equal(hostDevices().length, 1);
    assert.equal(ipam.usage()[0]?.used, 1);
  });

  test("bad environment and configuration: code, name of what is wrong, nothing left", async () => {
    const cases: [Parameters<typeof call>[1], number, RegExp][] = [
      [
        { env: { CNI_NETNS: "/run/netns/no-such" } },
        4,
        /^CNI_NETNS: network namespace \/run\/netns\/no-such does not exist/,
      ],
      [{ env: { CNI_NETNS: "/etc/hostname" } }, 4, /^CNI_NETNS: .* is not a network namespace/],
      [{ env: { CNI_NETNS: "/proc/self/ns/net" } }, 4, /^CNI_NETNS: .* is the node's own/],
      [{ env: { CNI_NETNS: "relative" } }, 4, /^CNI_NETNS: "relative" is not an absolute path/],
      [{ env: { CNI_NETNS: "" } }, 4, /^CNI_NETNS: is not set/],
      [{ env: { CNI_CONTAINERID: "" } }, 4, /^CNI_CONTAINERID: is not set/],
      [{ env: { CNI_CONTAINERID: "../x" } }, 4, /^CNI_CONTAINERID: /],
      [{ env: { CNI_IFNAME: "a/b" } }, 4, /^CNI_IFNAME: /],
      [{ env: { CNI_IFNAME: "sixteen-letters-" } }, 4, /^CNI_IFNAME: /],
      [{ env: { CNI_COMMAND: "EAT" } }, 4, /^CNI_COMMAND: "EAT" is not a command/],
      [{ env: { CNI_ARGS: "K8S_POD_NAME=x" } }, 4, /^CNI_ARGS: K8S_POD_NAMESPACE is missing/],
      [{ env: { CNI_ARGS: "rubbish" } }, 4, /^CNI_ARGS: "rubbish"/],
      [{ config: { name: "a b" } }, 7, /name: not a network name/],
      [{ config: { ipam: { type: "host-local" } } }, 2, /ipam/],
      [{ stdin: `{"socket":"${socketPath}"` }, 6, /not JSON/],
      [{ stdin: `{"socket":"${socketPath}"}` }, 7, /cniVersion/],
      [{ stdin: `[{"socket":1}]`, env: {} }, 11, /no Weft agent answers at \/run\/weft\/cni\.sock/],
    ];
    for (const [options, code, text] of cases) assertFails(await call("ADD", options), code, text);
    assertNothingLeft();
  });

  test("versions are negotiated and shape the result", async () => {
    for (const cniVersion of ["0.4.0", "1.0.0"]) {
      const added = await call("ADD", { config: { cniVersion } });
      assert.equal(added.json.cniVersion, cniVersion);
      const [ip] = added.json.ips ?? [];
      assert.equal(ip?.version, cniVersion === "0.4.0" ? "4" : undefined);
      assert.equal(added.json.interfaces?.[0]?.mtu, undefined);
      const status = await call("STATUS", { config: { cniVersion } });
      assert.deepEqual([status.json.code, status.json.cniVersion], [1, cniVersion]);
      await call("DEL", { config: { cniVersion } });
    }
    assertFails(await call("ADD", { config: { cniVersion: "0.2.0" } }), 1, /"0\.2\.0" is not spoken here/);
    const version = await call("VERSION", { config: { cniVersion: "1.0.0" } });
    assert.deepEqual(version.json, { cniVersion: "1.0.0", supportedVersions: ["0.4.0", "1.0.0", "1.1.0"] });
  });

  test("a full CIDR is an error of its own", async () => {
    for (let i = 0; i < 5; i++) ipam.allocate(`other${i}/eth0`);
    assertFails(await call("ADD"), 100, /all 5 addresses of the node's pod CIDR 10\.77\.0\.0\/29 are in use/);
    assert.deepEqual(hostDevices(), []);
  });

  test("a failing endpoint undoes all, and says why", async () => {
    const failures: [Error, number, RegExp][] = [
      [new WeftError("E_POD_UNKNOWN", "the API server knows no pod shop/cart"), 11, /knows no pod/],
      [new WeftError("E_VERIFIER", "the program was refused"), 199, /was refused/],
    ];
    for (const [error, code, text] of failures) {
      endpoints.onCreate = () => Promise.reject(error);
      assertFails(await call("ADD"), code, text);
      assertNothingLeft();
    }
    using inside = openNetlink({ netns: podPath });
    assert.equal(getLink(inside, "eth0"), undefined);
    endpoints.onCreate = undefined;
    assert.equal((await call("ADD")).exitCode, 0);
  });

  test("the host side stays down until the endpoint is in force", async () => {
    let up: boolean | undefined;
    endpoints.onCreate = async () => {
      up = getLink(node, hostIfname({ containerId: "c1", ifname: "eth0" }))?.up;
    };
    assert.equal((await call("ADD")).exitCode, 0);
    assert.equal(up, false);
  });

  test("DEL interrupts an ADD that hangs; a second ADD meanwhile is told to try again", async () => {
    const { promise: waiting, resolve: entered } = Promise.withResolvers<void>();
    endpoints.onCreate = (signal) => {
      entered();
      return new Promise((_, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason as Error)),
      );
    };
    const hanging = call("ADD");
    await waiting;
    assertFails(await call("ADD"), 11, /ADD of c1\/eth0 is still running/);
    assert.equal((await call("DEL")).exitCode, 0);
    assertFails(await hanging, 11, /DEL came before ADD was done/);
    assertNothingLeft();
  });

  test("an ADD whose caller dies, or whose agent stops, is undone", async () => {
    const { promise: waiting, resolve: entered } = Promise.withResolvers<void>();
    endpoints.onCreate = (signal) => {
      entered();
      return new Promise((_, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason as Error)),
      );
    };
    const socket = connect(socketPath);
    const body = Buffer.concat([
      Buffer.from(
        `CNI_COMMAND=ADD\0CNI_CONTAINERID=c9\0CNI_NETNS=${podPath}\0CNI_IFNAME=eth0\0CNI_ARGS=K8S_POD_NAMESPACE=a;K8S_POD_NAME=b\0\0`,
      ),
      Buffer.from(JSON.stringify({ cniVersion: "1.1.0", name: "weft", type: "weft-cni" })),
    ]);
    const header = Buffer.alloc(4);
    header.writeUInt32BE(body.length);
    socket.write(Buffer.concat([header, body]));
    await waiting;
    socket.destroy();
    const hanging = call("ADD");
    await server[Symbol.asyncDispose]();
    const answer = await hanging;
    assert.equal(answer.json.code, 11, answer.output);
    assertNothingLeft();
    assertFails(await call("CHECK"), 11, /no Weft agent answers at/);
  });

  test("GC removes what the runtime does not know, STATUS follows readiness", async () => {
    createNetns(POD2);
    assert.equal((await call("ADD")).exitCode, 0);
    assert.equal(
      (await call("ADD", { env: { CNI_CONTAINERID: "c2", CNI_NETNS: `/run/netns/${POD2}` } })).exitCode,
      0,
    );
    addVeth(node, { name: "weft0123456789", peer: { name: "orphan" } });
    addVeth(node, { name: "weft-other", peer: { name: "other" } });
    ipam.allocate("lost/eth0");
    assertFails(await call("GC"), 7, /valid-attachments: is missing/);
    const forgotten = hostIfname({ containerId: "c7", ifname: "eth0" });
    addVeth(node, { name: forgotten, peer: { name: "forgotten" } });
    const valid = ["c2", "c7"].map((containerID) => ({ containerID, ifname: "eth0" }));
    assert.deepEqual(await call("GC", { config: { "cni.dev/valid-attachments": valid } }), {
      exitCode: 0,
      output: "",
      json: {},
    });
    const kept = hostIfname({ containerId: "c2", ifname: "eth0" });
    assert.deepEqual(
      hostDevices()
        .map((link) => link.name)
        .sort(),
      [kept, "other", "weft-other", forgotten, "forgotten"].sort(),
    );
    assert.deepEqual([...endpoints.rows.keys()], ["c2/eth0"]);
    assert.equal(ipam.usage()[0]?.used, 1);

    assert.equal((await call("STATUS")).exitCode, 0);
    notReady = "identities are not synced yet";
    assertFails(await call("STATUS"), 50, /identities are not synced yet/);
    assertFails(await call("ADD", { env: { CNI_CONTAINERID: "c3" } }), 11, /try again later: identities/);
  });

  test("CHECK names what is not as ADD left it", async () => {
    // Housekeeping out of the way: it gives up an endpoint whose device is gone, which CHECK is to name first.
    await server[Symbol.asyncDispose]();
    await start(CIDRS, undefined, 60_000);
    assertFails(await call("CHECK"), 3, /container c1 has no eth0/);
    await call("ADD");
    inNetns(podPath, () => execFileSync("ip", ["addr", "del", "10.77.0.2/32", "dev", "eth0"]));
    inNetns(podPath, () => execFileSync("ip", ["-6", "route", "del", "default"]));
    assertFails(
      await call("CHECK"),
      102,
      /^pod shop\/cart: interface eth0 has no address 10\.77\.0\.2; .*no default route via fe80::1/,
    );
    setLink(node, hostIfname({ containerId: "c1", ifname: "eth0" }), { up: false });
    assertFails(await call("CHECK"), 102, /is down/);
    inNetns(podPath, () => execFileSync("ip", ["link", "del", "eth0"]));
    assertFails(await call("CHECK"), 102, /device weft[0-9a-f]{10} is gone; interface eth0 is gone/);
  });

  test("a new server takes up the endpoints' addresses; DEL finds a device nobody remembers", async () => {
    await call("ADD");
    const orphan = hostIfname({ containerId: "crashed", ifname: "eth0" });
    addVeth(node, { name: orphan, peer: { name: "orphan" } });
    await server[Symbol.asyncDispose]();
    await start();
    assert.equal(ipam.get("c1/eth0")?.v4, "10.77.0.2");
    assert.equal((await call("DEL", { env: { CNI_CONTAINERID: "crashed" } })).exitCode, 0);
    assert.equal(getLink(node, orphan), undefined);
    assert.equal(statSync(socketPath).mode & 0o777, 0o600);
    await assert.rejects(start(), { code: "E_LISTEN", message: `another process serves ${socketPath}` });
    assert.equal((await call("CHECK")).exitCode, 0);
  });

  test("while no agent answers: ADD may be tried again, DEL succeeds and is made up for", async () => {
    await call("ADD");
    await call("ADD", { env: { CNI_CONTAINERID: "c2", CNI_NETNS: createNetns(POD2) } });
    await server[Symbol.asyncDispose]();
    assertFails(await call("ADD", { env: { CNI_CONTAINERID: "c3" } }), 11, /^try again later: no Weft agent/);
    assertFails(await call("CHECK"), 11, /^try again later/);
    assertFails(await call("STATUS"), 50, /^try again later/);
    assert.deepEqual(await call("DEL"), { exitCode: 0, output: "", json: {} });
    assert.deepEqual(await call("DEL"), { exitCode: 0, output: "", json: {} });
    assert.deepEqual(readdirSync(deletions()), ["c1:eth0"]);
    assert.equal((await call("DEL", { env: { CNI_CONTAINERID: "../x" } })).exitCode, 1);
    assert.ok(getLink(node, hostIfname({ containerId: "c1", ifname: "eth0" })));
    await start();
    await until(() => readdirSync(deletions()).length === 0);
    assert.deepEqual([...endpoints.rows.keys()], ["c2/eth0"]);
    assert.deepEqual([...ipam.owners().keys()], ["c2/eth0"]);
    assert.equal(hostDevices().length, 1);
    assert.equal((await call("ADD")).exitCode, 0);
  });

  test("an endpoint whose device vanished without a DEL is given up, with its address", async () => {
    await call("ADD");
    await call("ADD", { env: { CNI_CONTAINERID: "c2", CNI_NETNS: createNetns(POD2) } });
    execFileSync("ip", ["-n", NODE, "link", "del", hostIfname({ containerId: "c1", ifname: "eth0" })]);
    await until(() => !endpoints.rows.has("c1/eth0"));
    await until(() => ipam.get("c1/eth0") === undefined);
    assert.equal(
      (await call("CHECK", { env: { CNI_CONTAINERID: "c2", CNI_NETNS: `/run/netns/${POD2}` } })).exitCode,
      0,
    );
  });

  test("a namespace is found by the host's process ids, and below /var/run", async () => {
    const child = spawn("nsenter", [`--net=${podPath}`, "sleep", "1000"], { stdio: "ignore" });
    try {
      await until(
        () =>
          existsSync(`/proc/${child.pid}/ns/net`) &&
          statSync(`/proc/${child.pid}/ns/net`).ino === statSync(podPath).ino,
      );
      const netns = `/proc/${child.pid}/ns/net`;
      await server[Symbol.asyncDispose]();
      symlinkSync("/proc", join(dir, "hostproc"));
      await start(CIDRS, join(dir, "hostproc"));
      const added = await call("ADD", { env: { CNI_NETNS: netns } });
      assert.equal(added.json.interfaces?.[1]?.sandbox, netns, added.output);
      assertFails(
        await call("ADD", { env: { CNI_CONTAINERID: "c2", CNI_NETNS: "/proc/0/ns/net" } }),
        4,
        /does not exist/,
      );
      await call("DEL");
      assert.equal((await call("ADD", { env: { CNI_NETNS: `/var${podPath}` } })).exitCode, 0);
    } finally {
      child.kill("SIGKILL");
    }
  });

  test("thirty pods come and go at once", async () => {
    await server[Symbol.asyncDispose]();
    await start(["10.78.0.0/24", "fd78::/64"] as Prefix[]);
    const names = Array.from({ length: 30 }, (_, i) => `wcni-${process.pid}-many${i}`);
    try {
      for (const name of names) createNetns(name);
      const fds = () => readdirSync("/proc/self/fd").length;
      const before = fds();
      const env = (name: string) => ({ env: { CNI_CONTAINERID: name, CNI_NETNS: `/run/netns/${name}` } });
      const added = await Promise.all(names.map((name) => call("ADD", env(name))));
      assert.deepEqual(
        added.filter((answer) => answer.exitCode !== 0),
        [],
      );
      const ips = added.map((answer) => answer.json.ips?.[0]?.address);
      assert.equal(new Set(ips).size, 30);
      const removed = await Promise.all(names.map((name) => call("DEL", env(name))));
      assert.deepEqual(
        removed.filter((answer) => answer.exitCode !== 0),
        [],
      );
      assertNothingLeft();
      // The last connections may still be closing.
      while (fds() > before) await new Promise((resolve) => setImmediate(resolve));
    } finally {
      for (const name of names) deleteNetns(name);
    }
  });
});
