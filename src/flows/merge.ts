// SPDX-License-Identifier: Apache-2.0
import { create } from "@bufbuild/protobuf";
import {
  type GetFlowsRequest,
  type GetFlowsResponse,
  GetFlowsResponseSchema,
} from "#api/gen/observer/observer_pb.ts";
import { NodeState } from "#api/gen/relay/relay_pb.ts";
import { timestamp, timestampNs } from "./decode.ts";
import { type Member, type MemberSet, memberStatus } from "./member.ts";
import { type MemberStream, readMember, requestFrom } from "./member-stream.ts";

/** While following, a flow waits at most so long for an older one of another node: nodes read their events every 100 ms. */
const windowMs = 150;

/** Answers held for merging of all nodes together, and the bounds of one node's share. */
const heldInAll = 16_384;
const heldOfNode = { min: 16, max: 1_024 };

export interface MergeOptions {
  /** How the fan-in calls itself. */
  readonly name: string;
  readonly signal: AbortSignal;
}

/**
 * The flows of all nodes in the order of their times, after a message about which nodes answer; later ones tell of nodes that
 * go and come back, and a node that joins is followed from then on. Without `follow` the order is exact; with it, a flow that comes later than the window stands where it came.
 * `number` holds for each node.
 * @throws ConnectError InvalidArgument when a node refuses the request
 */
export async function* mergeFlows(
  members: MemberSet,
  request: GetFlowsRequest,
  { name, signal }: MergeOptions,
): AsyncGenerator<GetFlowsResponse> {
  const stop = new AbortController();
  const notes: GetFlowsResponse[] = [];
  let refused: Error | undefined;
  let wake: () => void = () => {};
  signal.addEventListener("abort", () => wake(), { signal: stop.signal });
  const note = (state: NodeState, nodeNames: readonly string[], message = "") => {
    if (nodeNames.length > 0) notes.push(nodeStatus(name, state, nodeNames, message));
    wake();
  };
  const running = new Map<Member, { readonly stream: MemberStream; readonly leave: AbortController }>();
  const read = (member: Member, wanted: GetFlowsRequest, answers: boolean) => {
    const leave = new AbortController();
    const stream = readMember(member, wanted, {
      signal: AbortSignal.any([signal, stop.signal, leave.signal]),
      answers,
      maxHeld: shareOf(members.all().length),
      changed: () => wake(),
      note,
      refuse(error) {
        refused = error;
        wake();
      },
    });
    running.set(member, { stream, leave });
  };
  const membersChanged = () => {
    const now = new Set(members.all());
    for (const [member, { leave }] of running) {
      if (now.has(member) || leave.signal.aborted) continue;
      leave.abort();
      note(NodeState.NODE_GONE, [member.name]);
    }
    for (const member of now) if (!running.has(member)) read(member, requestFrom(request), false);
  };
  const first = members.all();
  const statuses = await Promise.all(first.map((member) => memberStatus(member, signal)));
  const namesWhere = (answers: boolean) =>
    first.filter((_, i) => (statuses[i] !== undefined) === answers).map((member) => member.name);
  note(NodeState.NODE_CONNECTED, namesWhere(true));
  note(NodeState.NODE_UNAVAILABLE, namesWhere(false));
  for (const [i, member] of first.entries())
    if (statuses[i] || request.follow) read(member, request, statuses[i] !== undefined);
  const unsubscribe = request.follow ? members.onChange(membersChanged) : () => {};
  try {
    if (request.follow) membersChanged();
    while (!signal.aborted) {
      yield* notes.splice(0);
      if (refused) throw refused;
      for (const [member, { stream, leave }] of running)
        if (leave.signal.aborted && stream.ended && !stream.head) running.delete(member);
      const next = chooseNext(running, request.follow, performance.now());
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
    unsubscribe();
    stop.abort();
  }
}

function shareOf(nodes: number): number {
  return Math.min(heldOfNode.max, Math.max(heldOfNode.min, Math.floor(heldInAll / Math.max(1, nodes))));
}

/** The stream whose flow is next; how many milliseconds to wait for one (Infinity: until something comes); or the end. */
function chooseNext(
  running: ReadonlyMap<Member, { readonly stream: MemberStream }>,
  follow: boolean,
  nowMs: number,
): MemberStream | number | "end" {
  let oldest: MemberStream | undefined;
  let waitsForOther = false;
  for (const { stream } of running.values()) {
    const { head } = stream;
    if (!head) waitsForOther ||= !stream.ended;
    else if (!oldest || timeOf(head.response) < timeOf(oldest.head!.response)) oldest = stream;
  }
  if (!oldest) return waitsForOther || follow ? Infinity : "end";
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
