// SPDX-License-Identifier: Apache-2.0
import { create } from "@bufbuild/protobuf";
import {
  type GetFlowsRequest,
  type GetFlowsResponse,
  GetFlowsResponseSchema,
} from "#api/gen/observer/observer_pb.ts";
import { NodeState } from "#api/gen/relay/relay_pb.ts";
import { timestamp, timestampNs } from "./decode.ts";
import { type Member, memberStatus } from "./member.ts";
import { type MemberStream, readMember } from "./member-stream.ts";

/** While following, a flow waits at most so long for an older one of another node: nodes read their events every 100 ms. */
const windowMs = 150;

export interface MergeOptions {
  /** How the fan-in calls itself. */
  readonly name: string;
  readonly signal: AbortSignal;
}

/**
 * The flows of all nodes in the order of their times, after a message about which nodes answer; later ones tell of nodes that
 * go and come back. Without `follow` the order is exact; with it, a flow that comes later than the window stands where it came.
 * `number` holds for each node.
 * @throws ConnectError InvalidArgument when a node refuses the request
 */
export async function* mergeFlows(
  members: readonly Member[],
  request: GetFlowsRequest,
  { name, signal }: MergeOptions,
): AsyncGenerator<GetFlowsResponse> {
  const stop = new AbortController();
  const notes: GetFlowsResponse[] = [];
  let refused: Error | undefined;
  let wake: () => void = () => {};
  signal.addEventListener("abort", () => wake(), { signal: stop.signal });
  const refuse = (error: Error) => {
    refused = error;
    wake();
  };
  const note = (state: NodeState, nodeNames: readonly string[], message = "") => {
    if (nodeNames.length > 0) notes.push(nodeStatus(name, state, nodeNames, message));
    wake();
  };
  const answers = await Promise.all(
    members.map(async (member) => (await memberStatus(member, signal)) !== undefined),
  );
  note(
    NodeState.NODE_CONNECTED,
    members.filter((_, i) => answers[i]).map((member) => member.name),
  );
  note(
    NodeState.NODE_UNAVAILABLE,
    members.filter((_, i) => !answers[i]).map((member) => member.name),
  );
  const streams = members.flatMap((member, i) => {
    const stream = {
      signal: AbortSignal.any([signal, stop.signal]),
      answers: answers[i]!,
      changed: () => wake(),
      note,
      refuse,
    };
    return answers[i] || request.follow ? [readMember(member, request, stream)] : [];
  });
  try {
    while (!signal.aborted) {
      yield* notes.splice(0);
      if (refused) throw refused;
      const next = chooseNext(streams, request.follow, Date.now());
      if (next === "end") return;
      if (typeof next === "object") {
        yield next.take();
        continue;
      }
      await new Promise<void>((resolve) => {
        const timer = next === Infinity ? undefined : setTimeout(resolve, next);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
        if (notes.length > 0 || refused || signal.aborted) wake();
      });
      wake = () => {};
    }
  } finally {
    stop.abort();
  }
}

/** The stream whose flow is next; how many milliseconds to wait for one (Infinity: until something comes); or the end. */
function chooseNext(
  streams: readonly MemberStream[],
  follow: boolean,
  nowMs: number,
): MemberStream | number | "end" {
  let oldest: MemberStream | undefined;
  let waitsForOther = false;
  for (const stream of streams) {
    const { head } = stream;
    if (!head) waitsForOther ||= !stream.ended;
    else if (!oldest || timeOf(head.response) < timeOf(oldest.head!.response)) oldest = stream;
  }
  if (!oldest) return waitsForOther ? Infinity : "end";
  if (!waitsForOther) return oldest;
  if (!follow) return Infinity;
  const leftMs = oldest.head!.atMs + windowMs - nowMs;
  return leftMs <= 0 ? oldest : leftMs;
}

function timeOf(response: GetFlowsResponse): bigint {
  return response.time ? timestampNs(response.time) : 0n;
}

function nodeStatus(
  name: string,
  stateChange: NodeState,
  nodeNames: readonly string[],
  message: string,
): GetFlowsResponse {
  return create(GetFlowsResponseSchema, {
    responseTypes: { case: "nodeStatus", value: { stateChange, nodeNames: [...nodeNames], message } },
    nodeName: name,
    time: timestamp(BigInt(Date.now()) * 1_000_000n),
  });
}
