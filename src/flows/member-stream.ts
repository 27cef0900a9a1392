// SPDX-License-Identifier: Apache-2.0
import { clone } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  type GetFlowsRequest,
  GetFlowsRequestSchema,
  type GetFlowsResponse,
} from "#api/gen/observer/observer_pb.ts";
import { NodeState } from "#api/gen/relay/relay_pb.ts";
import { pause } from "#lib/clock.ts";
import { timestamp, timestampNs } from "./decode.ts";
import { type Member, memberStatus } from "./member.ts";

const retryMs = 1_000;

interface Held {
  readonly response: GetFlowsResponse;
  /** When it came, of performance.now(). */
  readonly atMs: number;
}

/** The flows of one node on their way into the merged stream. */
export interface MemberStream {
  /** The next one; undefined: none is here now. */
  readonly head: Held | undefined;
  readonly ended: boolean;
  take(): GetFlowsResponse;
}

export interface MemberStreamOptions {
  readonly signal: AbortSignal;
  /** False: it did not answer just now, so wait for it first. */
  readonly answers: boolean;
  /** Answers held for merging; a node that is ahead of the others waits then. */
  readonly maxHeld: number;
  /** Called when there is something new: a flow, the end. */
  changed(): void;
  note(state: NodeState, nodeNames: readonly string[], message?: string): void;
  /** The request itself is wrong: no node will answer it. */
  refuse(error: ConnectError): void;
}

/** Starts reading a node's flows. While following, a node that went is asked again until it is back, from where it left off. */
export function readMember(
  member: Member,
  request: GetFlowsRequest,
  options: MemberStreamOptions,
): MemberStream {
  const { signal, maxHeld, changed, note, refuse } = options;
  const held: Held[] = [];
  let ended = false;
  let resume: () => void = () => {};
  let next = request;
  let last: GetFlowsResponse | undefined;

  signal.addEventListener("abort", () => resume(), { once: true });
  const receive = async () => {
    for await (const response of member.client.api.getFlows(next, { signal })) {
      last = response;
      held.push({ response, atMs: performance.now() });
      changed();
      if (held.length < maxHeld || signal.aborted) continue;
      await new Promise<void>((resolve) => {
        resume = resolve;
      });
    }
  };
  const run = async () => {
    if (!options.answers && (await comesBack(member, signal))) note(NodeState.NODE_CONNECTED, [member.name]);
    while (!signal.aborted) {
      try {
        await receive();
        break;
      } catch (thrown) {
        if (signal.aborted) break;
        const error = ConnectError.from(thrown);
        if (error.code === Code.InvalidArgument) refuse(error);
        else note(NodeState.NODE_ERROR, [member.name], error.rawMessage);
        if (error.code === Code.InvalidArgument || !request.follow) break;
      }
      next = requestFrom(request, last);
      if (await comesBack(member, signal)) note(NodeState.NODE_CONNECTED, [member.name]);
    }
    ended = true;
    changed();
  };
  void run();
  return {
    get head() {
      return held[0];
    },
    get ended() {
      return ended;
    },
    take() {
      const { response } = held.shift()!;
      resume();
      return response;
    },
  };
}

/** The same request from just after the last answer on; without one, from now on. */
export function requestFrom(request: GetFlowsRequest, last?: GetFlowsResponse): GetFlowsRequest {
  const next = clone(GetFlowsRequestSchema, request);
  next.number = 0n;
  next.since = timestamp(last?.time ? timestampNs(last.time) + 1n : BigInt(Date.now()) * 1_000_000n);
  return next;
}

async function comesBack(member: Member, signal: AbortSignal): Promise<boolean> {
  while (!signal.aborted) {
    await pause(retryMs, signal);
    if (await memberStatus(member, signal)) return true;
  }
  return false;
}
