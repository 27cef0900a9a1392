// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { closeSync, openSync, readdirSync, rmSync } from "node:fs";
import { afterEach, beforeEach, describe, it } from "node:test";
import { BpfLink } from "#kernel/bpf/link.ts";
import { BpfMap } from "#kernel/bpf/map.ts";
import { createCgroup, removeCgroup } from "#kernel/cgroup.ts";
import { mountBpffs } from "#kernel/mounts.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { createLogger } from "#lib/log.ts";
import { parseAddress } from "#model/ip.ts";
import { attachAcceleration, dropAcceleration, trustedSockets } from "./accelerate.ts";
import { nodeConfigLayout } from "./layouts/node-config.ts";
import { loadDatapath } from "./load.ts";

const directory = `/sys/fs/bpf/weft-accelerate-test-${process.pid}`;
const linksDir = `${directory}/links`;
const cgroupName = `c-accelerate-${process.pid}`;
const log = createLogger("test", "silent");

describe("acceleration", () => {
  let cgroup: string;
  const kept: BpfMap[] = [];
  beforeEach(() => {
    mountBpffs();
    rmSync(directory, { recursive: true, force: true });
    cgroup = createCgroup(cgroupName);
  });
  afterEach(async () => {
    for (const map of kept.splice(0)) map.close();
    rmSync(directory, { recursive: true, force: true });
    await removeCgroup(cgroup);
  });

  /** What an agent does at its start. */
  function start(accelerate: boolean, maxEntries: Record<string, number> = {}): number[] {
    using netlink = openNetlink();
    const config = new Uint8Array(nodeConfigLayout.size);
    using datapath = loadDatapath({ config, accelerate, maxEntries, mapsDir: `${directory}/maps`, log });
    const fd = openSync(cgroup, "r");
    try {
      attachAcceleration({ datapath, linksDir, netlink, log }, fd);
    } finally {
      closeSync(fd);
    }
    if (accelerate) trustedSockets(datapath).set(parseAddress("10.0.1.2"), 7n);
    return accelerate ? [datapath.program("sock_redirect").info().id, datapath.map("sock_hash").info.id] : [];
  }

  const programOf = (link: string) => {
    using open = BpfLink.openPinned(`${linksDir}/${link}`);
    return open.info().programId;
  };

  /** Puts one into the map of ends that is pinned now; how many that map has. */
  function connection(): () => number {
    const ends = BpfMap.openPinned(`${directory}/maps/sock_ends`);
    ends.update(new Uint8Array(ends.info.keySize).fill(1), new Uint8Array(ends.info.valueSize));
    kept.push(ends);
    return () => [...ends.keys()].length;
  }

  it("is there from when it is asked for, is taken over by the next agent, and goes when it is switched off", () => {
    start(false);
    assert.ok(!readdirSync(`${directory}/maps`).includes("sock_hash"));
    const [first, map] = start(true);
    assert.equal(programOf("sock_redirect"), first);
    const open = connection();
    const [second, same] = start(true);
    assert.equal(programOf("sock_redirect"), second);
    assert.notEqual(second, first);
    assert.equal(same, map);
    assert.equal(open(), 1, "a connection of before goes on past the network");
    start(false);
    assert.equal(open(), 0);
    assert.deepEqual(readdirSync(linksDir), []);
    using kept = BpfMap.openPinned(`${directory}/maps/sock_hash`);
    assert.equal(kept.info.id, map, "sockets stay where they are");
  });

  it("leaves connections to the network when maps are made anew, and when the node is cleaned", () => {
    start(true);
    const before = connection();
    const [, map] = start(true, { conntrack: 4096, sock_hash: 1024 });
    assert.equal(before(), 0, "the earlier program does not see what is judged now");
    using link = BpfLink.openPinned(`${linksDir}/sock_redirect`);
    assert.equal(link.info().mapId, map);
    const after = connection();
    dropAcceleration(linksDir);
    assert.equal(after(), 0);
    assert.deepEqual(readdirSync(linksDir), []);
    dropAcceleration(linksDir);
  });
});
