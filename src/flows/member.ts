// SPDX-License-Identifier: Apache-2.0
import type { ServerStatusResponse } from "#api/gen/observer/observer_pb.ts";
import type { ObserverClient } from "./client.ts";

/** A node and where its observer listens. */
export interface FanInNode {
  /** `cluster/node`. */
  readonly name: string;
  /** `unix:///path` or `host:port`. */
  readonly address: string;
}

/** A node the fan-in reads from. */
export interface Member extends FanInNode {
  readonly client: ObserverClient;
}

/** A node that does not answer in that time counts as unavailable. */
export const ANSWER_MS = 3_000;

/** The status of one node; undefined when it does not answer. */
export async function memberStatus(
  { client }: Member,
  signal: AbortSignal,
): Promise<ServerStatusResponse | undefined> {
  return client.api.serverStatus({}, { signal, timeoutMs: ANSWER_MS }).catch(() => undefined);
}
