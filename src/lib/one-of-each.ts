// SPDX-License-Identifier: Apache-2.0

/** Texts that come again and again, in one copy each: what is parsed brings a new one every time. */
export class OneOfEach {
  readonly #texts = new Map<string, string>();
  readonly #room: number;

  /** @param room more different ones than this, and it begins anew */
  constructor(room: number) {
    this.#room = room;
  }

  /** The copy of the text that was given out first. */
  one(text: string): string {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    if (this.#texts.size >= this.#room) this.#texts.clear();
    this.#texts.set(text, text);
    return text;
  }
}
