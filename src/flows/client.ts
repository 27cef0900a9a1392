// SPDX-License-Identifier: Apache-2.0
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { Observer } from "#api/gen/observer/observer_pb.ts";
import { WeftError } from "#lib/errors.ts";

export interface ObserverClient extends Disposable {
  readonly address: string;
  readonly api: Client<typeof Observer>;
}

/**
 * A client of an observer, of a node or of many. Address: `unix:///path` (or `unix:/path`, or a path with a slash), `host:port`,
 * `[host]:port`. Connects with the first call; disposing ends all calls.
 * @throws WeftError E_USAGE for another form
 */
export function observerClient(address: string): ObserverClient {
  const path = /^unix:(?:\/\/)?(\/.+)$/.exec(address)?.[1] ?? (address.startsWith("/") ? address : undefined);
  const host = address.replace(/^(?:tcp|http|dns):\/*/, "");
  if (path === undefined && !/^(?:\[[0-9a-fA-F:]+\]|[^:/[\]]+):\d{1,5}$/.test(host)) {
    throw new WeftError("E_USAGE", `"${address}" is not the address of an observer`, {
      hint: "write HOST:PORT or unix:///PATH",
    });
  }
  return path === undefined
    ? clientOver(address, `http://${host}`)
    : clientOver(address, "http://localhost", () => connect(path));
}

/** A client of an observer that is reached in another way: `open` makes a connection each time one is needed; the name is for messages. */
export function observerClientOver(name: string, open: () => Duplex): ObserverClient {
  return clientOver(name, "http://localhost", open);
}

function clientOver(address: string, baseUrl: string, open?: () => Duplex): ObserverClient {
  const sessions = new Http2SessionManager(baseUrl, {}, open ? { createConnection: open } : {});
  const api = createClient(Observer, createGrpcTransport({ baseUrl, sessionManager: sessions }));
  return { address, api, [Symbol.dispose]: () => sessions.abort() };
}
