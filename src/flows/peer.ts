// SPDX-License-Identifier: Apache-2.0
import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type ChangeNotification,
  ChangeNotificationSchema,
  ChangeNotificationType,
  type Peer,
} from "#api/gen/peer/peer_pb.ts";
import type { Directory } from "./directory.ts";
import type { PeerNode } from "./messages.ts";

/** `peer.Peer`: names the nodes that have an observer, then says what changes, until the client goes. */
export function peerService(directory: Directory): ServiceImpl<typeof Peer> {
  return { notify: (_request, { signal }) => notify(directory, signal) };
}

async function* notify(directory: Directory, signal: AbortSignal): AsyncGenerator<ChangeNotification> {
  const told = new Map<string, PeerNode>();
  let wake: () => void = () => {};
  let dirty = true;
  const onChange = () => {
    dirty = true;
    wake();
  };
  const unsubscribe = directory.onPeers(onChange);
  signal.addEventListener("abort", onChange);
  try {
    while (!signal.aborted) {
      dirty = false;
      yield* changes(told, directory.peers);
      if (dirty || signal.aborted) continue;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    unsubscribe();
    signal.removeEventListener("abort", onChange);
  }
}

function* changes(
  told: Map<string, PeerNode>,
  now: ReadonlyMap<string, PeerNode>,
): Generator<ChangeNotification> {
  for (const [key, peer] of told) {
    if (now.has(key)) continue;
    told.delete(key);
    yield create(ChangeNotificationSchema, { ...peer, type: ChangeNotificationType.PEER_DELETED });
  }
  for (const [key, { name, address }] of now) {
    const before = told.get(key);
    if (before?.address === address && before.name === name) continue;
    told.set(key, { name, address });
    const type = before ? ChangeNotificationType.PEER_UPDATED : ChangeNotificationType.PEER_ADDED;
    yield create(ChangeNotificationSchema, { name, address, type });
  }
}
