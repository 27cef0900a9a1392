// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterEach, before, beforeEach, describe, test } from "node:test";
import { addAddress, listAddresses } from "#kernel/netlink/address.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { addVeth, getLink, linkIndex, setLink } from "#kernel/netlink/link.ts";
import { listRoutes } from "#kernel/netlink/route.ts";
import { inNetns } from "#kernel/netns.ts";
import { runProbe } from "#kernel/probe.ts";
import { assertFails, CniNode } from "#kit/cni-node.ts";
import { until } from "#kit/lab-run.ts";
import type { Address } from "#model/ip.ts";
import { hostIfname } from "./names.ts";

describe("CNI through the shim", { timeout: 60_000 }, () => {
  let cni: CniNode;
  before(() => {
    execFileSync("sh", [join(import.meta.dirname, "../../tools/build-native.sh")]);
  });
  beforeEach(async () => {
    cni = await CniNode.create();
  });
  afterEach(() => cni[Symbol.asyncDispose]());

  test("ADD wires a pod, CHECK agrees, packets pass, DEL leaves nothing", async () => {
    const added = await cni.call("ADD");
    assert.equal(added.exitCode, 0, added.output);
    const name = hostIfname({ containerId: "c1", ifname: "eth0" });
    const [host, pod] = added.json.interfaces ?? [];
    assert.deepEqual([host?.name, pod?.name, pod?.sandbox, pod?.mtu], [name, "eth0", cni.podPath, 1400]);
    assert.deepEqual(added.json.ips, [
      { address: "10.77.0.2/32", gateway: "169.254.1.1", interface: 1 },
      { address: "fd77::2/128", gateway: "fe80::1", interface: 1 },
    ]);
    assert.deepEqual(added.json.routes, [
      { dst: "0.0.0.0/0", gw: "169.254.1.1" },
      { dst: "::/0", gw: "fe80::1" },
    ]);
    const device = getLink(cni.netlink, name);
    assert.deepEqual([device?.mac, device?.mtu, device?.up], [host?.mac, 1400, true]);
    using inside = openNetlink({ netns: cni.podPath });
    assert.equal(getLink(inside, "eth0")?.mac, pod?.mac);
    assert.equal(getLink(inside, "lo")?.up, true);
    const addresses = listAddresses(inside, getLink(inside, "eth0")!.index);
    assert.deepEqual(
      addresses.map((row) => `${row.address}/${row.bits} ${row.tentative}`),
      ["10.77.0.2/32 false", "fd77::2/128 false"],
    );

    assert.deepEqual(await cni.call("CHECK"), { exitCode: 0, output: "", json: {} });
    const ping = async (to: string, netns: string) =>
      (await runProbe({ protocol: "ICMP", to: to as Address, port: 0, netns })).outcome;
    // The node needs addresses of its own as the source of what it sends; IPv6 ones are in use a moment later.
    const lo = linkIndex(cni.netlink, "lo");
    addAddress(cni.netlink, { link: lo, address: "172.31.0.1" as Address, bits: 32 });
    addAddress(cni.netlink, { link: lo, address: "fd31::1" as Address, bits: 128, noDad: true });
    const inUse = () =>
      listRoutes(cni.netlink, { family: 6, table: 255 }).some((route) => route.dst === "fd31::1/128");
    while (!inUse()) await new Promise((resolve) => setImmediate(resolve));
    for (const to of ["10.77.0.2", "fd77::2"])
      assert.equal(await ping(to, cni.nodePath), "connected", `node to ${to}`);
    for (const to of ["172.31.0.1", "fd31::1"])
      assert.equal(await ping(to, cni.podPath), "connected", `pod to ${to}`);

    assert.deepEqual(await cni.call("DEL"), { exitCode: 0, output: "", json: {} });
    cni.assertNothingLeft();
    assert.equal(getLink(inside, "eth0"), undefined);
  });

  test("DEL twice, of the unknown, and after the namespace is gone", async () => {
    assert.equal((await cni.call("ADD")).exitCode, 0);
    assert.equal((await cni.call("DEL")).exitCode, 0);
    assert.equal((await cni.call("DEL")).exitCode, 0);
    assert.equal((await cni.call("DEL", { env: { CNI_CONTAINERID: "never" } })).exitCode, 0);
    assert.equal((await cni.call("ADD")).exitCode, 0);
    cni.deletePod();
    assert.equal((await cni.call("DEL")).exitCode, 0);
    cni.assertNothingLeft();
    assert.equal((await cni.call("DEL", { env: { CNI_NETNS: "" } })).exitCode, 0);
  });

  test("ADD twice is an error and changes nothing", async () => {
    const first = await cni.call("ADD");
    assertFails(await cni.call("ADD"), 101, /c1 has its eth0 already/);
    assert.equal(cni.devices().length, 1);
    assert.equal(cni.ipam.usage()[0]?.used, 1);
    assert.equal((await cni.call("CHECK")).exitCode, 0, first.output);
    assertFails(
      await cni.call("ADD", { env: { CNI_CONTAINERID: "c2" } }),
      101,
      /the container has an interface eth0 already/,
    );
    assert.equal(cni.devices().length, 1);
    assert.equal(cni.ipam.usage()[0]?.used, 1);
  });

  test("bad environment and configuration: code, name of what is wrong, nothing left", async () => {
    const cases: [Parameters<typeof cni.call>[1], number, RegExp][] = [
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
      [{ stdin: `{"socket":"${cni.socketPath}"` }, 6, /not JSON/],
      [{ stdin: `{"socket":"${cni.socketPath}"}` }, 7, /cniVersion/],
      [{ stdin: `[{"socket":1}]`, env: {} }, 11, /no Weft agent answers at \/run\/weft\/cni\.sock/],
    ];
    for (const [options, code, text] of cases) assertFails(await cni.call("ADD", options), code, text);
    cni.assertNothingLeft();
  });

  test("versions are negotiated and shape the result", async () => {
    for (const cniVersion of ["0.4.0", "1.0.0"]) {
      const added = await cni.call("ADD", { config: { cniVersion } });
      assert.equal(added.json.cniVersion, cniVersion);
      const [ip] = added.json.ips ?? [];
      assert.equal(ip?.version, cniVersion === "0.4.0" ? "4" : undefined);
      assert.equal(added.json.interfaces?.[0]?.mtu, undefined);
      const status = await cni.call("STATUS", { config: { cniVersion } });
      assert.deepEqual([status.json.code, status.json.cniVersion], [1, cniVersion]);
      await cni.call("DEL", { config: { cniVersion } });
    }
    assertFails(
      await cni.call("ADD", { config: { cniVersion: "0.2.0" } }),
      1,
      /"0\.2\.0" is not spoken here/,
    );
    const version = await cni.call("VERSION", { config: { cniVersion: "1.0.0" } });
    assert.deepEqual(version.json, { cniVersion: "1.0.0", supportedVersions: ["0.4.0", "1.0.0", "1.1.0"] });
  });

  test("a full CIDR is an error of its own", async () => {
    for (let i = 0; i < 5; i++) cni.ipam.allocate(`other${i}/eth0`);
    assertFails(
      await cni.call("ADD"),
      100,
      /all 5 addresses of the node's pod CIDR 10\.77\.0\.0\/29 are in use/,
    );
    assert.deepEqual(cni.devices(), []);
  });

  test("GC removes what the runtime does not know, STATUS follows readiness", async () => {
    cni.secondPod();
    assert.equal((await cni.call("ADD")).exitCode, 0);
    assert.equal(
      (await cni.call("ADD", { env: { CNI_CONTAINERID: "c2", CNI_NETNS: cni.secondPodPath } })).exitCode,
      0,
    );
    addVeth(cni.netlink, { name: "weft0123456789", peer: { name: "orphan" } });
    addVeth(cni.netlink, { name: "weft-other", peer: { name: "other" } });
    cni.ipam.allocate("lost/eth0");
    assertFails(await cni.call("GC"), 7, /valid-attachments: is missing/);
    const forgotten = hostIfname({ containerId: "c7", ifname: "eth0" });
    addVeth(cni.netlink, { name: forgotten, peer: { name: "forgotten" } });
    const valid = ["c2", "c7"].map((containerID) => ({ containerID, ifname: "eth0" }));
    assert.deepEqual(await cni.call("GC", { config: { "cni.dev/valid-attachments": valid } }), {
      exitCode: 0,
      output: "",
      json: {},
    });
    const kept = hostIfname({ containerId: "c2", ifname: "eth0" });
    assert.deepEqual(
      cni
        .devices()
        .map((link) => link.name)
        .sort(),
      [kept, "other", "weft-other", forgotten, "forgotten"].sort(),
    );
    assert.deepEqual([...cni.endpoints.rows.keys()], ["c2/eth0"]);
    assert.equal(cni.ipam.usage()[0]?.used, 1);

    assert.equal((await cni.call("STATUS")).exitCode, 0);
    cni.notReady = "identities are not synced yet";
    assertFails(await cni.call("STATUS"), 50, /identities are not synced yet/);
    assertFails(await cni.call("ADD", { env: { CNI_CONTAINERID: "c3" } }), 11, /try again later: identities/);
  });

  test("CHECK names what is not as ADD left it", async () => {
    // Housekeeping out of the way: it gives up an endpoint whose device is gone, which CHECK is to name first.
    await cni.stop();
    await cni.start({ housekeepingMs: 60_000 });
    assertFails(await cni.call("CHECK"), 3, /container c1 has no eth0/);
    await cni.call("ADD");
    inNetns(cni.podPath, () => execFileSync("ip", ["addr", "del", "10.77.0.2/32", "dev", "eth0"]));
    inNetns(cni.podPath, () => execFileSync("ip", ["-6", "route", "del", "default"]));
    assertFails(
      await cni.call("CHECK"),
      102,
      /^pod shop\/cart: interface eth0 has no address 10\.77\.0\.2; .*no default route via fe80::1/,
    );
    setLink(cni.netlink, hostIfname({ containerId: "c1", ifname: "eth0" }), { up: false });
    assertFails(await cni.call("CHECK"), 102, /is down/);
    inNetns(cni.podPath, () => execFileSync("ip", ["link", "del", "eth0"]));
    assertFails(await cni.call("CHECK"), 102, /device weft[0-9a-f]{10} is gone; interface eth0 is gone/);
  });

  test("a namespace is found by the host's process ids, and below /var/run", async () => {
    const child = spawn("nsenter", [`--net=${cni.podPath}`, "sleep", "1000"], { stdio: "ignore" });
    try {
      await until(
        "the process to be in the namespace",
        () =>
          existsSync(`/proc/${child.pid}/ns/net`) &&
          statSync(`/proc/${child.pid}/ns/net`).ino === statSync(cni.podPath).ino,
      );
      const netns = `/proc/${child.pid}/ns/net`;
      await cni.stop();
      symlinkSync("/proc", join(cni.dir, "hostproc"));
      await cni.start({ hostProc: join(cni.dir, "hostproc") });
      const added = await cni.call("ADD", { env: { CNI_NETNS: netns } });
      assert.equal(added.json.interfaces?.[1]?.sandbox, netns, added.output);
      assertFails(
        await cni.call("ADD", { env: { CNI_CONTAINERID: "c2", CNI_NETNS: "/proc/0/ns/net" } }),
        4,
        /does not exist/,
      );
      await cni.call("DEL");
      assert.equal((await cni.call("ADD", { env: { CNI_NETNS: `/var${cni.podPath}` } })).exitCode, 0);
    } finally {
      child.kill("SIGKILL");
    }
  });
});
