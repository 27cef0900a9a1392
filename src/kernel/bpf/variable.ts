// SPDX-License-Identifier: Apache-2.0

import type { VariableSpec } from "#kernel/bpf/data-sections.ts";
import { MapFlag } from "#kernel/bpf/kinds.ts";
import type { BpfMap } from "#kernel/bpf/map.ts";
import { mapMemory } from "#kernel/memory.ts";

/** A global variable of the programs, in shared memory: what either side writes the other sees at once. The collection's own. */
export interface Variable extends Disposable {
  readonly name: string;
  /** The variable and nothing else; gone when the collection is closed. Writing a constant faults: do not. */
  readonly view: DataView;
  readonly writable: boolean;
}

/** @throws KernelError */
export function openVariable(map: BpfMap, { name, offset, size }: VariableSpec): Variable {
  // The section's map was frozen when programs may only read it; then it cannot be mapped writable.
  const writable = (map.info.flags & MapFlag.rdonlyProg) === 0;
  const memory = mapMemory({
    fd: map.fd.number,
    length: map.info.valueSize,
    writable,
    what: `map variable ${name}`,
  });
  return {
    name,
    view: new DataView(memory.buffer, offset, size),
    writable,
    [Symbol.dispose]: () => memory.close(),
  };
}
