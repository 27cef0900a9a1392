// SPDX-License-Identifier: Apache-2.0

/*
 * Loading BPF objects. In short:
 *
 *   const spec = parseObject(readFileSync("build/bpf/pod.bpf.o"));      // spec.ts: pure
 *   using loaded = loadCollection(spec, {
 *     rodata: { config: encode(nodeConfigLayout, config) },               // const volatile globals, by name
 *     pinDir: "/sys/fs/bpf/weft", pin: () => true,                        // adopt pinned maps, pin new ones
 *     maps: { events: alreadyOpen },                                      // share maps between objects
 *   });
 *   const table = typedMap(loaded.map("endpoints"), keyLayout, valueLayout);
 *   using link = attachTcx({ program: loaded.program("from_pod"), ifindex, direction: "ingress" });
 *   using ring = openRingBuffer(loaded.map("events"));
 *   const { returned, data } = loaded.program("from_pod").testRun({ data: packet, context: skBuffContext({ mark: 1 }) });
 *
 * Files: spec.ts (ELF, BTF → spec), map.ts, typed-map.ts, program.ts, link.ts, ringbuf.ts, test-run.ts, pin.ts,
 * variable.ts, features.ts. Everything that holds an fd is Disposable; `openFds()` of fd.ts lists what is open.
 */
import { loadBtf } from "#kernel/bpf/btf-load.ts";
import type { Carried } from "#kernel/bpf/carry.ts";
import { type MapDifference, MapIncompatibleError, mapDifferences } from "#kernel/bpf/compatible.ts";
import { MapType } from "#kernel/bpf/kinds.ts";
import { type LoadedBtf, type MapSettings, makeMap } from "#kernel/bpf/make-map.ts";
import type { BpfMap } from "#kernel/bpf/map.ts";
import type { MapSpec } from "#kernel/bpf/map-spec.ts";
import { type BpfProgram, loadProgram } from "#kernel/bpf/program.ts";
import type { ObjectSpec } from "#kernel/bpf/spec.ts";
import { openVariable, type Variable } from "#kernel/bpf/variable.ts";
import { WeftError } from "#lib/errors.ts";

export interface LoadOptions {
  /** Values of `const volatile` globals by name, as bytes of exactly the variable's size. */
  readonly rodata?: Readonly<Record<string, Uint8Array>>;
  /** Maps to use instead of making them, by name. They stay the caller's: closing the collection leaves them open. */
  readonly maps?: Readonly<Record<string, BpfMap>>;
  /** Other sizes than the object asks for, by map name. */
  readonly maxEntries?: Readonly<Record<string, number>>;
  /** Programs to load; default all. */
  readonly programs?: readonly string[];
  /** Directory of pins, in a bpf file system; made when missing. */
  readonly pinDir?: string;
  /**
   * Which maps to pin there, and to adopt when they are pinned already. Default those with `LIBBPF_PIN_BY_NAME`.
   * Never asked about data sections: they belong to one load.
   */
  readonly pin?: (spec: MapSpec) => boolean;
  /** A pinned map that differs from the object's: an error E_MAP_INCOMPATIBLE (default), or replaced by one that takes over its content. */
  readonly onIncompatible?: "fail" | "rebuild";
}

/** The maps and programs of one object in the kernel. Closing gives up our fds; pins and links keep theirs. */
export interface Collection extends Disposable {
  /** @throws WeftError E_BPF_OBJECT when the object has none of that name */
  map(name: string): BpfMap;
  program(name: string): BpfProgram;
  /** A global variable, shared with the programs. `.rodata` ones are frozen: readable only. */
  variable(name: string): Variable;
  readonly maps: ReadonlyMap<string, BpfMap>;
  readonly programs: ReadonlyMap<string, BpfProgram>;
  /** Maps taken over from pins. */
  readonly adopted: readonly string[];
  /** Pinned maps that did not fit and were made anew: name and what differed (empty: it was no map). */
  readonly rebuilt: readonly { readonly name: string; readonly differences: readonly MapDifference[] }[];
  /** What these took over of the maps they replaced; the old ones stay open as long as the collection. */
  readonly carried: readonly Carried[];
  close(): void;
}

/**
 * Makes the object's maps, fills and freezes `.rodata`, loads its programs. All or nothing: on failure everything made
 * is closed again (pins made meanwhile stay: they are adopted next time).
 * @throws VerifierError E_BPF_VERIFIER; WeftError E_BPF_OBJECT, E_BPF_PIN, E_MAP_INCOMPATIBLE, E_NOT_SUPPORTED; KernelError
 */
export function loadCollection(spec: ObjectSpec, options: LoadOptions = {}): Collection {
  using undo = new DisposableStack();
  const state: LoadState = { maps: new Map(), own: undo, adopted: [], rebuilt: [], carried: [] };
  const btf = undo.use(loadBtf(spec.loadableBtf));
  makeMaps(spec, { options, btf: { types: spec.btf, fd: btf } }, state);
  const programs = new Map<string, BpfProgram>();
  for (const [name, program] of spec.programs) {
    if (options.programs !== undefined && !options.programs.includes(name)) continue;
    const mapFd = (map: string) => state.maps.get(map)!.fd.number;
    programs.set(name, undo.use(loadProgram(program, { license: spec.license, btf, mapFd })));
  }
  for (const name of options.programs ?? []) if (!programs.has(name)) throw unknown("program", name);
  fillReferences(spec, state.maps, programs);
  // Programs and maps hold on to the types by themselves.
  btf.close();
  return collection(spec.variables, { ...state, programs, stack: undo.move() });
}

interface LoadState {
  readonly maps: Map<string, BpfMap>;
  readonly own: DisposableStack;
  readonly adopted: string[];
  readonly rebuilt: { name: string; differences: readonly MapDifference[] }[];
  readonly carried: Carried[];
}

function makeMaps(
  spec: ObjectSpec,
  { options, btf }: { options: LoadOptions; btf: LoadedBtf },
  state: LoadState,
): void {
  checkNames(spec, options);
  for (const wanted of spec.maps.values()) {
    const given = options.maps?.[wanted.name];
    if (given !== undefined) {
      checkGiven(spec, wanted, given);
      state.maps.set(wanted.name, given);
      continue;
    }
    const size = options.maxEntries?.[wanted.name];
    const pin = wanted.contents === undefined && (options.pin ?? ((map) => map.pinByName))(wanted);
    const settings: MapSettings = {
      spec: size === undefined ? wanted : { ...wanted, maxEntries: size },
      contents: wanted.contents === undefined ? undefined : patched(spec, wanted, options.rodata ?? {}),
      btf,
      pinDir: pin ? options.pinDir : undefined,
      rebuild: options.onIncompatible === "rebuild",
    };
    const made = makeMap(settings);
    state.maps.set(wanted.name, state.own.use(made.map));
    if (made.carried !== undefined) state.carried.push(state.own.use(made.carried));
    if (made.adopted) state.adopted.push(wanted.name);
    if (made.differences !== undefined)
      state.rebuilt.push({ name: wanted.name, differences: made.differences });
  }
}

/** Its size is the caller's affair. */
function checkGiven(spec: ObjectSpec, wanted: MapSpec, given: BpfMap): void {
  const differences = mapDifferences(wanted, given.info, spec.btf).filter(
    ({ field }) => field !== "maxEntries",
  );
  if (differences.length > 0) throw new MapIncompatibleError(given.name, differences);
}

function checkNames(spec: ObjectSpec, options: LoadOptions): void {
  for (const name of [...Object.keys(options.maps ?? {}), ...Object.keys(options.maxEntries ?? {})]) {
    if (!spec.maps.has(name)) throw unknown("map", name);
  }
  for (const [name, value] of Object.entries(options.rodata ?? {})) {
    const variable = spec.variables.get(name);
    if (variable === undefined || !variable.section.startsWith(".rodata")) throw unknown("constant", name);
    if (value.length !== variable.size) {
      throw new WeftError(
        "E_BPF_OBJECT",
        `constant "${name}" has ${variable.size} bytes, given ${value.length}`,
      );
    }
  }
}

/** The section's bytes with the given constants in place. */
function patched(spec: ObjectSpec, map: MapSpec, values: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const contents = map.contents!.slice();
  for (const [name, value] of Object.entries(values)) {
    const variable = spec.variables.get(name);
    if (variable?.section === map.name) contents.set(value, variable.offset);
  }
  return contents;
}

/** Initial elements that name maps or programs: arrays by index, as the C initialiser says. */
function fillReferences(
  spec: ObjectSpec,
  maps: ReadonlyMap<string, BpfMap>,
  programs: ReadonlyMap<string, BpfProgram>,
): void {
  for (const { name, type, references } of spec.maps.values()) {
    for (const { index, name: target } of references) {
      const source = type === MapType.progArray ? programs : maps;
      const object = source.get(target);
      // A program that was left out leaves its place empty.
      if (object === undefined) continue;
      const map = maps.get(name)!;
      map.key.view.setUint32(0, index, true);
      map.value.view.setUint32(0, object.fd.number, true);
      map.updateScratch();
    }
  }
}

interface Parts extends LoadState {
  readonly programs: ReadonlyMap<string, BpfProgram>;
  readonly stack: DisposableStack;
}

/** Without the rest of the object: what was read to load it is megabytes, and a collection lives as long as the process. */
function collection(
  places: ObjectSpec["variables"],
  { maps, programs, stack, adopted, rebuilt, carried }: Parts,
): Collection {
  const close = () => stack.dispose();
  const variables = new Map<string, Variable>();
  const openOnce = (name: string): Variable => {
    const variable = places.get(name) ?? fail("variable", name);
    const opened = variables.get(name) ?? stack.use(openVariable(maps.get(variable.section)!, variable));
    variables.set(name, opened);
    return opened;
  };
  return {
    maps,
    programs,
    adopted,
    rebuilt,
    carried,
    map: (name) => maps.get(name) ?? fail("map", name),
    program: (name) => programs.get(name) ?? fail("program", name),
    variable: openOnce,
    close,
    [Symbol.dispose]: close,
  };
}

function unknown(what: string, name: string): WeftError {
  return new WeftError("E_BPF_OBJECT", `the BPF object has no ${what} "${name}"`);
}

function fail(what: string, name: string): never {
  throw unknown(what, name);
}
