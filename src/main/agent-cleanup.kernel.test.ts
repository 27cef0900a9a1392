// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, suite, test } from "node:test";
import { createCgroup, removeCgroup } from "#kernel/cgroup.ts";
import { mountBpffs } from "#kernel/mounts.ts";
import { createNetns, deleteNetns } from "#kernel/netns.ts";

const root = join(import.meta.dirname, "../..");
const name = `weft-clean-${process.pid}`;

/** What an agent does on a node before it serves, and one pod of it; ends at once, as by kill -9. */
const agentAndPod = `
  import { parseAgentConfig } from "#agent/config.ts";
  import { agentPaths } from "#agent/paths.ts";
  import { writeCniConf } from "#agent/cni-conf.ts";
  import { installCniPrograms } from "#agent/cni-program.ts";
  import { hostIfname, routeProtocol } from "#cni/names.ts";
  import { attachPod } from "#datapath/attach.ts";
  import { openNetlink } from "#kernel/netlink/handle.ts";
  import { addVeth, linkIndex, setLink } from "#kernel/netlink/link.ts";
  import { replaceNeighbour } from "#kernel/netlink/neighbour.ts";
  import { replaceRoute } from "#kernel/netlink/route.ts";
  import { createLogger } from "#lib/log.ts";
  import { readFileSync, writeFileSync, mkdirSync } from "node:fs";
  import { routeProtocol as nodeProtocol } from "#nodes/ops.ts";
  import { startNodeDatapath } from "./src/main/agent-datapath.ts";
  const file = process.argv[1];
  const config = parseAgentConfig(readFileSync(file, "utf8"), file);
  const paths = agentPaths(config);
  const log = createLogger("test", "warn");
  const netlink = openNetlink();
  const node = { name: "n1", self: true, addresses: ["192.0.2.1"], podCidrs: ["10.9.0.0/24"], labels: new Map() };
  mkdirSync(config.runDir, { recursive: true });
  mkdirSync(paths.endpoints, { recursive: true });
  const { target, tunnelIfindex } = startNodeDatapath({ config, paths, node, netlink, log });
  installCniPrograms(config.cniBinDir, log);
  writeCniConf(config.cniConfDir, { socket: paths.cni, deletions: paths.cniDeletions });
  const pod = hostIfname({ containerId: "c1", ifname: "eth0" });
  addVeth(netlink, { name: pod, peer: { name: "peer" } });
  const link = linkIndex(netlink, pod);
  setLink(netlink, link, { up: true });
  attachPod(target, { ifindex: link });
  replaceRoute(netlink, { dst: "10.9.0.2/32", link, protocol: routeProtocol, scope: "link" });
  replaceNeighbour(netlink, { link, address: "10.9.0.2", mac: "02:00:00:00:00:01" });
  replaceRoute(netlink, { dst: "10.9.0.0/24", protocol: nodeProtocol, type: "unreachable" });
  if (tunnelIfindex > 0)
    replaceRoute(netlink, { dst: "10.9.1.0/24", link: tunnelIfindex, protocol: nodeProtocol, encap: { id: 6, dst: "192.0.2.2" } });
  writeFileSync(paths.endpoints + "/1.json", "{}");
  writeFileSync(paths.cni, "");
  process.kill(process.pid, "SIGKILL");
`;

suite("weft-agent cleanup leaves a node as it was", { timeout: 170_000 }, () => {
  let dir: string;
  let netns: string;
  let config: string;
  let cgroup: string;

  beforeEach(() => {
    mountBpffs();
    dir = mkdtempSync(join(tmpdir(), "weft-clean-"));
    netns = createNetns(name);
    cgroup = createCgroup(name);
    inNode("ip", "link", "set", "lo", "up");
    inNode("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1");
    // Without link-local addresses, whose duplicate detection takes its time.
    for (const device of ["eth0", "eth1"]) inNode("ip", "link", "set", device, "addrgenmode", "none", "up");
    inNode("ip", "address", "add", "192.0.2.1/24", "dev", "eth0");
    inNode(
      "sysctl",
      "-qw",
      "net.ipv4.conf.eth0.rp_filter=2",
      "net.ipv4.ip_local_reserved_ports=8080,9000-9010",
    );
    for (const made of ["etc", "bin"]) mkdirSync(join(dir, made));
    // Somebody else's: stays.
    writeFileSync(join(dir, "etc/10-other.conflist"), "{}");
    config = join(dir, "agent.yaml");
  });
  afterEach(async () => {
    deleteNetns(name);
    await removeCgroup(cgroup);
    rmSync(`/sys/fs/bpf/${name}`, { recursive: true, force: true });
    rmSync(dir, { recursive: true, force: true });
  });

  const inNode = (...argv: string[]) =>
    execFileSync("nsenter", [`--net=${netns}`, ...argv], { encoding: "utf8", cwd: root, timeout: 60_000 });
  const configure = (routing: string) =>
    writeFileSync(
      config,
      [
        "nodeName: n1",
        `routing: ${routing}`,
        `runDir: ${dir}/run`,
        `stateDir: ${dir}/state`,
        `bpfDir: /sys/fs/bpf/${name}`,
        `cgroup: ${cgroup}`,
        `cniConfDir: ${dir}/etc`,
        `cniBinDir: ${dir}/bin`,
        "",
      ].join("\n"),
    );
  const run = (...argv: string[]) =>
    spawnSync("nsenter", [`--net=${netns}`, process.execPath, ...argv], {
      encoding: "utf8",
      cwd: root,
      timeout: 60_000,
    });
  const clean = () => run("src/main/agent.ts", "cleanup", "--config", config);
  const install = () => {
    const { signal, stderr } = run("--input-type=module", "-e", agentAndPod, "--", config);
    assert.equal(signal, "SIGKILL", stderr);
  };

  /** Everything of the node that a network can change; counters and ages left out. */
  const state = () => ({
    links: inNode("ip", "-d", "link"),
    addresses: inNode("ip", "address"),
    routes: inNode("ip", "route", "show", "table", "all"),
    routes6: inNode("ip", "-6", "route", "show", "table", "all"),
    rules: inNode("ip", "rule") + inNode("ip", "-6", "rule"),
    neighbours: inNode("ip", "neighbour", "show", "nud", "permanent"),
    filters: inNode("tc", "qdisc") + inNode("tc", "filter", "show", "dev", "eth0", "ingress"),
    sysctls: inNode("sysctl", "-a", "--pattern", "^net\\.")
      .split("\n")
      .filter((line) => !/stat|count|random|uuid|dentry|_now|nf_conntrack_(buckets|max)/.test(line)),
    pins: readdirSync("/sys/fs/bpf").filter((entry) => entry === name),
    files: readdirSync(dir, { recursive: true }).sort(),
    programs: [readdirSync(cgroup), programsOf(cgroup)],
  });
  const programsOf = (path: string) =>
    spawnSync("bpftool", ["cgroup", "list", path], { encoding: "utf8" }).stdout ?? "";

  for (const routing of ["tunnel", "native"]) {
    test(`${routing}: installed, killed, cleaned, cleaned again`, () => {
      configure(routing);
      const before = state();
      install();
      const during = state();
      for (const part of ["links", "routes", "neighbours", "sysctls", "pins", "files"] as const)
        assert.notDeepEqual(during[part], before[part], part);
      const { status, stdout, stderr } = clean();
      assert.equal(status, 0, stderr);
      assert.match(stdout, /removed the devices of 1 pod\(s\): they are without network/);
      assert.match(stdout, /kernel parameter net\.ipv4\.ip_forward: 1 → 0/);
      assert.deepEqual(state(), before);
      const again = clean();
      assert.deepEqual([again.status, again.stdout], [0, "this node is as it was before Weft\n"]);
    });
  }

  test("where others changed things meanwhile, theirs stays", () => {
    configure("tunnel");
    install();
    inNode("sysctl", "-qw", "net.ipv4.ip_local_reserved_ports=8080,9000-9010,9999,49152-65535");
    rmSync(join(dir, "bin/loopback"));
    writeFileSync(join(dir, "bin/loopback"), "another");
    const { status, stderr } = clean();
    assert.equal(status, 0, stderr);
    assert.match(inNode("sysctl", "-n", "net.ipv4.ip_local_reserved_ports"), /^8080,9000-9010,9999$/m);
    assert.deepEqual(readdirSync(join(dir, "bin")), ["loopback"]);
    assert.deepEqual(readdirSync(join(dir, "etc")), ["10-other.conflist"]);
  });

  test("not under an agent that runs", async () => {
    configure("tunnel");
    mkdirSync(join(dir, "run"));
    await using server = createServer();
    await new Promise<void>((resolve) => server.listen(join(dir, "run/agent.sock"), resolve));
    const { cleanNode } = await import("./agent-cleanup.ts");
    const { loadAgentConfig } = await import("#agent/config.ts");
    await assert.rejects(
      cleanNode(loadAgentConfig(config), () => {}, 300),
      { code: "E_AGENT_RUNS" },
    );
  });
});
