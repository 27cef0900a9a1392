// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, readFileSync } from "node:fs";
import type { Carried } from "#kernel/bpf/carry.ts";
import type { ProgramKind } from "#kernel/bpf/kinds.ts";
import type { BpfMap } from "#kernel/bpf/map.ts";
import { type Collection, loadCollection } from "#kernel/bpf/object.ts";
import type { BpfProgram } from "#kernel/bpf/program.ts";
import { type ObjectSpec, parseObject } from "#kernel/bpf/spec.ts";
import { bpfObject } from "#lib/assets.ts";
import type { Logger } from "#lib/log.ts";
import { formerMappings } from "./nat-former.ts";
import { natSeed, natTable } from "./nat-table.ts";
import { reviseShortcuts } from "./shortcuts.ts";

/** Takes connections between pods of the node past the network; loaded only where it is asked for. */
const accelerationObject = "sockmap";

/** One object a hook; they share their maps by name. */
export const datapathObjects = ["pod", "host", "sock", "announce"] as const;

export interface LoadDatapathOptions {
  /** Bytes of `struct node_config`. */
  readonly config: Uint8Array;
  /** Take connections between pods of the node past the network. */
  readonly accelerate?: boolean;
  /** Directory for pinned maps, on a bpffs. */
  readonly mapsDir: string;
  /** Entries of maps, by name, where not as many as their definition says. */
  readonly maxEntries?: Readonly<Record<string, number>>;
  /** The programs of the tunnel's device, too. */
  readonly overlay?: boolean;
  /** The programs of XDP, too. */
  readonly xdp?: boolean;
  readonly log: Logger;
}

/** Every program and map of the node. */
export interface Datapath extends Disposable {
  program(name: string): BpfProgram;
  map(name: string): BpfMap;
  readonly maps: ReadonlyMap<string, BpfMap>;
  readonly programs: ReadonlyMap<string, BpfProgram>;
  /** What each program is and where it attaches. */
  readonly kinds: ReadonlyMap<string, ProgramKind>;
  /** Once these programs are attached everywhere: takes over what the earlier ones have noted meanwhile in maps that were replaced. */
  takeRest(): void;
}

/**
 * Loads the compiled objects against this node's settings. Maps that an earlier agent pinned are taken over; one of another layout is
 * made anew with the content of the old one, field by field, and that is said.
 */
export function loadDatapath(options: LoadDatapathOptions): Datapath {
  mkdirSync(options.mapsDir, { recursive: true });
  using undo = new DisposableStack();
  const maps = new Map<string, BpfMap>();
  const programs = new Map<string, BpfProgram>();
  const kinds = new Map<string, ProgramKind>();
  const replaced: Carried[] = [];
  // What nothing is attached to would only cost: the kernel looks through each program when it is loaded.
  const chosen = [
    ...(options.overlay ? ["overlay"] : []),
    ...(options.xdp ? ["xdp"] : []),
    ...(options.accelerate ? [accelerationObject] : []),
  ];
  for (const name of [...datapathObjects, ...chosen]) {
    const spec = parseObject(readFileSync(bpfObject(name)));
    for (const program of spec.programs.values()) kinds.set(program.name, program.kind);
    const collection = undo.use(loadObject(spec, options, maps));
    for (const [mapName, map] of collection.maps) if (!mapName.startsWith(".")) maps.set(mapName, map);
    for (const [programName, program] of collection.programs) programs.set(programName, program);
    for (const { name: mapName, differences } of collection.rebuilt) {
      const what = differences.map((d) => `${d.field} was ${d.found}, is ${d.expected}`).join("; ");
      const carried = collection.carried.find((one) => one.name === mapName);
      const content = {
        elements: carried?.elements ?? 0,
        ...(carried?.refused && { refused: carried.refused }),
      };
      options.log.warn(
        { map: mapName, differences: what, ...content },
        "pinned map has another layout, made anew",
      );
    }
    replaced.push(...collection.carried);
  }
  reviseShortcuts(maps);
  const former = formerNat(options, maps);
  if (former) undo.use(former);
  const stack = undo.move();
  const find = <T>(kind: string, from: ReadonlyMap<string, T>, name: string): T => {
    const found = from.get(name);
    if (!found) throw new Error(`the datapath has no ${kind} ${name}`);
    return found;
  };
  return {
    maps,
    programs,
    kinds,
    takeRest() {
      for (const carried of replaced.splice(0)) {
        const elements = carried.takeRest();
        if (elements > 0) options.log.info({ map: carried.name, elements }, "took over what came meanwhile");
        carried[Symbol.dispose]();
      }
      const elements = former?.takeOver() ?? 0;
      if (elements > 0) options.log.info({ map: "nat", elements }, "took over what came meanwhile");
      former?.end();
    },
    program: (name) => find("program", programs, name),
    map: (name) => find("map", maps, name),
    [Symbol.dispose]: () => stack.dispose(),
  };
}

/** Mappings of an earlier version's, taken over. */
function formerNat({ mapsDir, log }: LoadDatapathOptions, maps: ReadonlyMap<string, BpfMap>) {
  const former = formerMappings(mapsDir, natTable(maps.get("nat_sets")!, natSeed(mapsDir)));
  if (former) log.info({ map: "nat", elements: former.takeOver() }, "took over what an earlier version had");
  return former;
}

function loadObject(
  spec: ObjectSpec,
  options: LoadDatapathOptions,
  shared: ReadonlyMap<string, BpfMap>,
): Collection {
  const known = [...shared].filter(([mapName]) => spec.maps.has(mapName));
  const sizes = Object.entries(options.maxEntries ?? {}).filter(([mapName]) => spec.maps.has(mapName));
  return loadCollection(spec, {
    maps: Object.fromEntries(known),
    maxEntries: Object.fromEntries(sizes),
    ...(spec.variables.has("config") && { rodata: { config: options.config } }),
    pinDir: options.mapsDir,
    pin: (map) => !map.name.startsWith("."),
    onIncompatible: "rebuild",
  });
}
