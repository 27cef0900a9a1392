// SPDX-License-Identifier: Apache-2.0

export interface LogLine {
  /** Milliseconds since the epoch. */
  readonly timeMs: number;
  readonly text: string;
}

export interface Follower {
  onLine(line: LogLine): void;
  onEnd(): void;
}

/** The last lines a container wrote, bounded in bytes; the oldest go first. */
export class LogBuffer {
  readonly #limit: number;
  #lines: LogLine[] = [];
  #bytes = 0;
  #partial = "";
  readonly #followers = new Set<Follower>();
  #ended = false;

  constructor(limitBytes = 256 * 1024) {
    this.#limit = limitBytes;
  }

  /** Takes output as it comes; a line ends with `\n`, or when it is longer than 16 KiB. */
  write(chunk: string): void {
    const parts = (this.#partial + chunk).split("\n");
    this.#partial = parts.pop() ?? "";
    for (const text of parts) this.line(text);
    if (this.#partial.length > 16_384) this.flush();
  }

  /** Ends a line that has no end: when the container exits. */
  flush(): void {
    const text = this.#partial;
    this.#partial = "";
    if (text !== "") this.line(text);
  }

  line(text: string): void {
    const line = { timeMs: Date.now(), text };
    this.#lines.push(line);
    this.#bytes += text.length + 32;
    if (this.#bytes > this.#limit) this.#trim();
    for (const { onLine } of this.#followers) onLine(line);
  }

  /** The last `tail` lines (all when absent) not older than `sinceMs`. */
  lines(options: { tail?: number; sinceMs?: number } = {}): LogLine[] {
    const since = options.sinceMs ?? 0;
    const recent = this.#lines.filter((line) => line.timeMs >= since);
    return options.tail === undefined ? recent : options.tail === 0 ? [] : recent.slice(-options.tail);
  }

  /** Calls back for each further line and once at the end. Returns what stops that. */
  follow(follower: Follower): () => void {
    if (this.#ended) follower.onEnd();
    else this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }

  /** The container has exited: nothing more will be written. */
  end(): void {
    this.flush();
    this.#ended = true;
    for (const { onEnd } of this.#followers) onEnd();
    this.#followers.clear();
  }

  /** Down to three quarters, so that this does not happen with every line. */
  #trim(): void {
    let drop = 0;
    while (this.#bytes > this.#limit * 0.75 && drop < this.#lines.length) {
      this.#bytes -= this.#lines[drop]!.text.length + 32;
      drop++;
    }
    this.#lines = this.#lines.slice(drop);
  }
}
