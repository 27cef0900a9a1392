// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage } from "node:http";
import { errorOfStatus, KubeError, type Status } from "#k8s/errors.ts";
import type { KubeObject } from "#k8s/resource.ts";
import type { Clock } from "#lib/clock.ts";

/** One line of a watch (meta/v1 WatchEvent). */
export type WatchEvent<T> =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: T }
  | { readonly type: "BOOKMARK"; readonly object: KubeObject };

const maxLineBytes = 64 * 2 ** 20;

/**
 * Reads a watch stream: yields the events of each piece that arrived, together. Returns when the server ends the
 * stream in order.
 * @throws KubeError for a line that is no event, an ERROR event (with its status), a cut stream, or silence of `idleMs`
 */
export async function* readWatch<T extends KubeObject>(
  stream: IncomingMessage,
  options: { readonly what: string; readonly idleMs: number; readonly clock: Clock },
): AsyncIterableIterator<readonly WatchEvent<T>[]> {
  const { what, idleMs, clock } = options;
  let silent = false;
  const arm = () =>
    clock.after(idleMs, () => {
      silent = true;
      stream.destroy(new Error("silence"));
    });
  let disarm = arm();
  let rest: Buffer[] = [];
  let restBytes = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      disarm();
      const end = chunk.lastIndexOf(10);
      if (end < 0) {
        restBytes += chunk.length;
        if (restBytes > maxLineBytes) throw broken(what, "a line has no end");
        rest.push(chunk);
      } else {
        const text = Buffer.concat([...rest, chunk.subarray(0, end)]).toString("utf8");
        rest = [chunk.subarray(end + 1)];
        restBytes = rest[0]!.length;
        yield* parseLines<T>(what, text);
      }
      disarm = arm();
    }
    if (restBytes > 0) throw broken(what, "the stream ended inside a line");
  } catch (thrown) {
    if (thrown instanceof KubeError) throw thrown;
    throw broken(what, silent ? `nothing came for ${idleMs / 1000} s` : "the stream was cut", thrown);
  } finally {
    disarm();
    stream.destroy();
  }
}

/** The events before a bad line are delivered before it is reported. */
function* parseLines<T extends KubeObject>(what: string, text: string): Iterable<readonly WatchEvent<T>[]> {
  const events: WatchEvent<T>[] = [];
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    let event: { type?: unknown; object?: unknown };
    try {
      event = JSON.parse(line);
      if (typeof event.object !== "object" || event.object === null) throw new Error("no object");
    } catch (cause) {
      if (events.length > 0) yield events;
      throw broken(what, `"${line.slice(0, 80)}" is not an event`, cause);
    }
    if (event.type === "ERROR") {
      if (events.length > 0) yield events;
      throw errorOfStatus(what, event.object as Status);
    }
    if (
      event.type === "ADDED" ||
      event.type === "MODIFIED" ||
      event.type === "DELETED" ||
      event.type === "BOOKMARK"
    ) {
      events.push(event as WatchEvent<T>);
    }
  }
  if (events.length > 0) yield events;
}

function broken(what: string, problem: string, cause?: unknown): KubeError {
  return new KubeError(`${what}: ${problem}`, { status: 0, reason: "Unreachable", cause });
}
