// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { isAbort } from "#lib/errors.ts";
import { badRequest } from "./errors.ts";
import type { LogOptions } from "./kubelet.ts";
import type { PodTarget } from "./pod-target.ts";

/** Streams a container's log as text until it ends or the client goes. @throws ApiError before the first byte. */
export async function serveLogs(
  target: PodTarget,
  query: URLSearchParams,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  const options = logOptions(query);
  const chunks = target.kubelet
    .logs(target.pod, target.container, options, gone.signal)
    [Symbol.asyncIterator]();
  try {
    // The first chunk is awaited only when the log is not followed: an error then is a Status, and a quiet log shows at once.
    let next = options.follow ? undefined : await chunks.next();
    response.writeHead(200, { "content-type": "text/plain", "cache-control": "no-cache, private" });
    response.flushHeaders();
    for (next ??= await chunks.next(); !next.done; next = await chunks.next()) {
      if (!response.write(next.value)) await once(response, "drain", { signal: gone.signal });
    }
    response.end();
  } catch (thrown) {
    if (!gone.signal.aborted || !isAbort(thrown)) throw thrown;
  } finally {
    await chunks.return?.();
  }
}

function logOptions(query: URLSearchParams): LogOptions {
  const flag = (name: string) => query.get(name) === "true" || query.get(name) === "1";
  return {
    follow: flag("follow"),
    previous: flag("previous"),
    timestamps: flag("timestamps"),
    tailLines: count(query, "tailLines"),
    sinceSeconds: count(query, "sinceSeconds"),
    sinceTime: query.get("sinceTime") ?? undefined,
    limitBytes: count(query, "limitBytes"),
  };
}

function count(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  if (!/^\d+$/.test(text))
    throw badRequest(`${name}: Invalid value: "${text}": must be greater than or equal to 0`);
  return Number(text);
}
