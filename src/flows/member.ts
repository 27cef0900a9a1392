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

/** Nodes that come and go. */
export interface MemberSet {
  all(): readonly Member[];
  /** Calls back after each change; returns what ends that. */
  onChange(listener: () => void): () => void;
}

/** Nodes that stay as they are. */
export function fixedMembers(members: readonly Member[]): MemberSet {
  return { all: () => members, onChange: () => () => {} };
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
