// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parseAgentConfig } from "#agent/config.ts";
import { datapathObjects } from "#datapath/load.ts";
import { shortcutPlaces } from "#datapath/shortcuts.ts";
import { createInnerMap } from "#kernel/bpf/make-map.ts";
import type { BpfMap } from "#kernel/bpf/map.ts";
import { mapMemory } from "#kernel/bpf/map-memory.ts";
import { loadCollection } from "#kernel/bpf/object.ts";
import { parseObject } from "#kernel/bpf/spec.ts";
import { bpfObject } from "#lib/assets.ts";
import { mapBytes, mapRows, mapsDump } from "./agent-map-memory.ts";
import { mapSizes } from "./agent-map-sizes.ts";

/** What docs/performance.md promises of a node, entries of its pods and services included. */
const mostMb = 64;

/** The maps of a node of two processors by these settings, without programs. */
function makeMaps(settings: string): { maps: Map<string, BpfMap> } & Disposable {
  using undo = new DisposableStack();
  const maps = new Map<string, BpfMap>();
  const sizes = {
    ...mapSizes(parseAgentConfig(`nodeName: n1\n${settings}`, "agent.yaml", {})),
    shortcuts: 2 * shortcutPlaces(2),
  };
  for (const object of [...datapathObjects, "overlay"]) {
    const spec = parseObject(readFileSync(bpfObject(object)));
    const here = <T>(all: Iterable<readonly [string, T]>) =>
      Object.fromEntries([...all].filter(([name]) => spec.maps.has(name)));
    const loaded = undo.use(
      loadCollection(spec, { maps: here(maps), maxEntries: here(Object.entries(sizes)), programs: [] }),
    );
    for (const [name, map] of loaded.maps) maps.set(name.startsWith(".") ? `${object}${name}` : name, map);
  }
  const stack = undo.move();
  return { maps, [Symbol.dispose]: () => stack.dispose() };
}

const megabytes = (made: { maps: Map<string, BpfMap> }) => mapBytes(made) / 1e6;

test(`the maps of a node with default settings take no more than ${mostMb} MB`, (t) => {
  using made = makeMaps("");
  for (const { name, map, bytes } of mapRows(made).slice(0, 12))
    t.diagnostic(`${name}: ${map.info.maxEntries} entries, ${bytes} bytes`);
  t.diagnostic(`all: ${megabytes(made).toFixed(1)} MB`);
  assert.ok(megabytes(made) <= mostMb);
});

test("what is switched on takes its room, and hashing services theirs", () => {
  using plain = makeMaps("");
  using full = makeMaps("l2Announcements: {enabled: true}\nservices: {algorithm: maglev}");
  for (const name of ["l2_responders", "lb_tables"])
    assert.ok(mapMemory(full.maps.get(name)!) > 4 * mapMemory(plain.maps.get(name)!), name);
});

test("the command shows each map with what it holds, the largest first", () => {
  using made = makeMaps("services: {capacity: 1024}");
  const tables = made.maps.get("lb_tables")!;
  const spec = parseObject(readFileSync(bpfObject("sock"))).maps.get("lb_tables")!;
  const before = mapRows(made).find(({ name }) => name === "lb_tables")!.bytes;
  using inner = createInnerMap(spec, 64);
  for (const key of [1, 2]) {
    const fd = new Uint8Array(Uint32Array.of(inner.fd.number).buffer);
    tables.update(new Uint8Array(BigUint64Array.of(BigInt(key)).buffer), fd);
  }
  const fill = () => [{ name: "frontends", map: "lb_frontends", entries: 512, maxEntries: 2048 }];
  const { columns, rows } = mapsDump(made, fill)();
  const at = (name: string) => columns.findIndex((column) => column.name === name);
  const of = (map: string) => rows.find((row) => row[at("MAP")] === map)!;
  assert.ok(Number(of("lb_tables")[at("BYTES")]) >= before + mapMemory(inner));
  assert.equal(of("lb_frontends")[at("FULL")], "25 %");
  assert.equal(of("lb_frontends")[at("ROOM")], 2048);
  assert.equal(rows[0]![at("MAP")], "conntrack");
  assert.equal(rows.length, made.maps.size);
});
