// SPDX-License-Identifier: Apache-2.0
import { connect } from "node:net";
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
  const baseUrl = path === undefined ? `http://${host}` : "http://localhost";
  const sessions = new Http2SessionManager(
    baseUrl,
    {},
    path === undefined ? {} : { createConnection: () => connect(path) },
  );
  const api = createClient(Observer, createGrpcTransport({ baseUrl, sessionManager: sessions }));
  return { address, api, [Symbol.dispose]: () => sessions.abort() };
}
