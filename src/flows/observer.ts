// SPDX-License-Identifier: Apache-2.0
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import {
  type GetFlowsRequest,
  type GetFlowsResponse,
  GetFlowsResponseSchema,
  GetNamespacesResponseSchema,
  type Observer,
  ServerStatusResponseSchema,
} from "#api/gen/observer/observer_pb.ts";
import { FlowEventOffset } from "#datapath/layouts/flow-event.ts";
import { WeftError } from "#lib/errors.ts";
import type { FlowCounters } from "./counters.ts";
import { decodeFlow, decodeLost, type NodeContext, timestamp, timestampNs } from "./decode.ts";
import type { Directory } from "./directory.ts";
import { flowMask } from "./field-mask.ts";
import { buildFilter } from "./filter.ts";
import { overrunSource, type Range, readRecords } from "./read.ts";
import { type RecordCursor, SlotField } from "./record.ts";
import type { FlowRing } from "./ring.ts";

/** Namespaces without a flow for so long are no longer named. */
const namespaceAgeMs = 3_600_000;

export interface FlowStore {
  readonly ring: FlowRing;
  readonly directory: Directory;
  readonly counters: FlowCounters;
  readonly node: NodeContext;
  readonly version: string;
  /** Of performance.now(). */
  readonly startedMs: number;
}

/** `observer.Observer` of one node. Agent and debug events are not kept: their streams are unimplemented. */
export function nodeObserver(store: FlowStore): ServiceImpl<typeof Observer> {
  const { ring, directory, counters, node } = store;
  return {
    getFlows: (request, context) => getFlows(store, request, context.signal),
    getAgentEvents: () => unimplemented("agent events"),
    getDebugEvents: () => unimplemented("debug events"),
    getNodes: () => {
      throw new ConnectError("a node does not know the others: ask the relay", Code.Unimplemented);
    },
    getNamespaces: () => {
      const oldest = performance.now() - namespaceAgeMs;
      const names = [...directory.namespaces]
        .filter(([, { lastMs }]) => lastMs > oldest)
        .map(([name]) => name);
      return create(GetNamespacesResponseSchema, {
        namespaces: names.sort().map((namespace) => ({ cluster: node.clusterName, namespace })),
      });
    },
    serverStatus: () =>
      create(ServerStatusResponseSchema, {
        numFlows: BigInt(ring.length),
        maxFlows: BigInt(ring.capacity),
        seenFlows: BigInt(counters.seen),
        uptimeNs: BigInt(Math.round(performance.now() - store.startedMs)) * 1_000_000n,
        version: store.version,
        flowsRate: counters.flowsPerSecond(performance.now()),
      }),
  };
}

async function* getFlows(
  store: FlowStore,
  request: GetFlowsRequest,
  signal: AbortSignal,
): AsyncGenerator<GetFlowsResponse> {
  const { ring, node, directory } = store;
  const { range, match, mask } = understand(store, request);
  const cursor = ring.cursor();
  for await (const found of readRecords(ring, { range, match, signal }, cursor)) {
    if (found.kind === "flow") {
      addLateNames(store, cursor);
      const flow = decodeFlow(cursor, directory, node);
      const value = mask ? mask(flow) : flow;
      yield create(GetFlowsResponseSchema, {
        responseTypes: { case: "flow", value },
        nodeName: node.nodeName,
        time: timestamp(cursor.timeNs),
      });
      continue;
    }
    const lost =
      found.kind === "lost"
        ? decodeLost(cursor)
        : { source: overrunSource, numEventsLost: BigInt(found.count) };
    yield create(GetFlowsResponseSchema, {
      responseTypes: { case: "lostEvents", value: lost },
      nodeName: node.nodeName,
      time: timestamp(found.kind === "lost" ? cursor.timeNs : BigInt(Date.now()) * 1_000_000n),
    });
  }
}

/** @throws ConnectError InvalidArgument saying what cannot be done */
function understand(store: FlowStore, request: GetFlowsRequest) {
  if (request.first && request.follow)
    throw new ConnectError("first cannot be combined with follow", Code.InvalidArgument);
  const range: Range = {
    // A client asks for "all" with the largest number.
    number: Number(request.number > 1n << 52n ? 0n : request.number),
    first: request.first,
    follow: request.follow,
    sinceNs: request.since && timestampNs(request.since),
    untilNs: request.until && timestampNs(request.until),
  };
  try {
    const match = buildFilter(request.whitelist, request.blacklist, store);
    return { range, match, mask: flowMask(request.fieldMask?.paths ?? []) };
  } catch (thrown) {
    if (thrown instanceof WeftError) throw new ConnectError(thrown.message, Code.InvalidArgument);
    throw thrown;
  }
}

/** A name that came to be known just after the packet: a new pod's first packets can be faster than the watch. */
function addLateNames({ ring, directory }: FlowStore, cursor: RecordCursor): void {
  const eventMs = Number(cursor.timeNs / 1_000_000n);
  for (const [party, address] of [
    ["srcParty", "saddr"],
    ["dstParty", "daddr"],
  ] as const) {
    if (cursor.u32(SlotField[party]) !== 0) continue;
    const index = directory.latePartyAt(cursor.view, cursor.offset + FlowEventOffset[address], eventMs);
    if (index !== 0) ring.setParty(cursor, party, index);
  }
}

function unimplemented(what: string): never {
  throw new ConnectError(`${what} are not recorded`, Code.Unimplemented);
}
