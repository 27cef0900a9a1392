// SPDX-License-Identifier: Apache-2.0
import { readFileSync, unwatchFile, watchFile } from "node:fs";
import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from "node:http2";
import { WeftError } from "#lib/errors.ts";

/** Paths of PEM files: the server's certificate with those that vouch for it, and its key. */
export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
}

/** How often the files are looked at: certificates are renewed days before they end. */
const lookMs = 10_000;

/**
 * An HTTP/2 server with TLS 1.3. A renewed certificate serves from the next connection on; one that cannot be read leaves the old one.
 * @throws WeftError E_TLS naming the files
 */
export function secureServer(
  files: TlsFiles,
  handler: (request: Http2ServerRequest, response: Http2ServerResponse) => void,
): Http2SecureServer {
  const server = createSecureServer({ ...readPair(files), minVersion: "TLSv1.3" }, handler);
  const renew = () => {
    try {
      server.setSecureContext({ ...readPair(files), minVersion: "TLSv1.3" });
    } catch {
      // Half of a pair is being written: it is looked at again when the other half changes.
    }
  };
  const paths = [files.cert, files.key];
  for (const path of paths) watchFile(path, { interval: lookMs, persistent: false }, renew);
  server.once("close", () => {
    for (const path of paths) unwatchFile(path, renew);
  });
  return server;
}

function readPair({ cert, key }: TlsFiles): { readonly cert: Buffer; readonly key: Buffer } {
  try {
    return { cert: readFileSync(cert), key: readFileSync(key) };
  } catch (cause) {
    throw new WeftError("E_TLS", `cannot read the certificate ${cert} and its key ${key}`, { cause });
  }
}
