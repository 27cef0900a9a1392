// SPDX-License-Identifier: Apache-2.0
import koffi from "koffi";

/** close(2). Not closeSync of node:fs: in a worker that warns of every fd node:fs did not open. */
export const closeFd = koffi.load("libc.so.6").func("close", "int", ["int"]) as (fd: number) => number;

const open = new Map<number, string>();

/**
 * A file descriptor with one owner. Closing twice does nothing; the number must not be kept past `close`, for the
 * kernel gives it to whatever is opened next.
 */
export class Fd implements Disposable {
  readonly label: string;
  #number: number;

  constructor(number: number, label: string) {
    this.#number = number;
    this.label = label;
    open.set(number, label);
  }

  /** @throws Error when it is closed */
  get number(): number {
    if (this.#number < 0) throw new Error(`${this.label} is closed`);
    return this.#number;
  }

  get closed(): boolean {
    return this.#number < 0;
  }

  close(): void {
    if (this.#number < 0) return;
    open.delete(this.#number);
    closeFd(this.#number);
    this.#number = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** What this thread's {@link Fd}s hold open: number → label. For leak checks and `weft status`. */
export function openFds(): ReadonlyMap<number, string> {
  return open;
}
