// SPDX-License-Identifier: Apache-2.0
import { RuleNumber } from "#datapath/layouts/enums.ts";
import { hash32 } from "#lib/hash.ts";
import type { RuleOrigin } from "./rule.ts";

/** How many names that nothing uses any more are remembered, for flows that are still on their way. */
const remembered = 4096;

/**
 * Numbers for sets of rules, as map entries and flow events carry them: the hash of the origins, the next free number when two sets
 * hash to one. Equal sets have equal numbers, also after a restart. 0: no rule; 1: what is no policy's (`enum rule_number`).
 */
export class RuleIds {
  readonly #byText = new Map<string, number>();
  readonly #byId = new Map<number, { readonly text: string; readonly origins: readonly RuleOrigin[] }>();
  readonly #unused = new Set<number>();
  readonly #changed = new Set<number>();
  readonly #hash: (text: string) => number;

  constructor(hash: (text: string) => number = hash32) {
    this.#hash = hash;
  }

  idOf(origins: readonly RuleOrigin[]): number {
    if (origins.length === 0) return 0;
    const byText = new Map(origins.map((origin) => [originText(origin), origin]));
    const texts = [...byText.keys()].sort();
    const text = texts.join("\n");
    const known = this.#byText.get(text);
    if (known !== undefined) {
      this.#unused.delete(known);
      this.#relocate(
        known,
        texts.map((one) => byText.get(one)!),
      );
      return known;
    }
    let id = this.#hash(text);
    while (id <= RuleNumber.prefilter || this.#byId.has(id)) id = (id + 1) >>> 0;
    this.#byText.set(text, id);
    this.#changed.add(id);
    this.#byId.set(id, { text, origins: texts.map((one) => byText.get(one)!) });
    return id;
  }

  /** The same rules, perhaps at other lines of their files. */
  #relocate(id: number, origins: readonly RuleOrigin[]): void {
    const { text, origins: held } = this.#byId.get(id)!;
    if (origins.every(({ source }, i) => source === held[i]!.source)) return;
    this.#byId.set(id, { text, origins });
    this.#changed.add(id);
  }

  /** The rules a number stands for, in the order of their texts; undefined for a number nobody was given. */
  origins(id: number): readonly RuleOrigin[] | undefined {
    return this.#byId.get(id)?.origins;
  }

  /** Says which numbers entries still carry. The others are remembered for a while, the longest unused forgotten first. */
  retain(used: ReadonlySet<number>): void {
    for (const id of this.#byId.keys()) {
      if (used.has(id)) this.#unused.delete(id);
      else this.#unused.add(id);
    }
    for (const id of this.#unused) {
      if (this.#unused.size <= remembered) return;
      this.#unused.delete(id);
      this.#byText.delete(this.#byId.get(id)!.text);
      this.#byId.delete(id);
      this.#changed.add(id);
    }
  }

  /** Numbers given or forgotten since the last call. */
  takeChanged(): number[] {
    const changed = [...this.#changed];
    this.#changed.clear();
    return changed;
  }
}

/** `NetworkPolicy shop/web spec.ingress[0]`: the place, not the instance, so a policy made again has the same numbers. */
export function originText(origin: RuleOrigin): string {
  const { kind, namespace, name, index, field, rule, log } = origin;
  const object = namespace === "" ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;
  const said = [rule, log && `log: ${log}`].filter((text) => text !== undefined);
  if (field !== undefined) return `${object} ${field}${said.map((text) => ` (${text})`).join("")}`;
  return index < 0 ? object : `${object} [${index}]`;
}
