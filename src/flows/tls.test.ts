// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { Observer } from "#api/gen/observer/observer_pb.ts";
import { GrpcClient } from "#kit/grpc-client.ts";
import { startFanIn } from "./fan-in.ts";

suite("a relay with TLS", () => {
  const dir = mkdtempSync(join(tmpdir(), "relay-tls-"));
  const files = { cert: join(dir, "tls.crt"), key: join(dir, "tls.key") };
  after(() => rmSync(dir, { recursive: true }));
  const host = "127.0.0.1";
  const start = () =>
    startFanIn({
      nodes: [],
      listen: { tcp: { host, port: 0 }, tls: { host, port: 0, ...files } },
      version: "test",
    });

  test("without its files it does not start, and says which", async () => {
    await assert.rejects(start(), { code: "E_TLS", message: /tls\.crt/ });
  });

  test("answers who trusts its certificate, and nobody without TLS on that port", async () => {
    const names = ["-subj", "/CN=relay", "-addext", "subjectAltName=DNS:localhost"];
    const made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    execFileSync("openssl", ["req", "-x509", ...made, ...names, "-keyout", files.key, "-out", files.cert], {
      stdio: "ignore",
    });
    await using relay = await start();
    using trusting = new GrpcClient(`localhost:${relay.tlsPort}`, readFileSync(files.cert));
    assert.equal((await trusting.unary(Observer.method.serverStatus, {})).version, "test");
    using plain = new GrpcClient(`localhost:${relay.tlsPort}`);
    await assert.rejects(plain.unary(Observer.method.serverStatus, {}));
    using own = new GrpcClient(`${host}:${relay.tcpPort}`);
    assert.equal((await own.unary(Observer.method.serverStatus, {})).version, "test");
  });
});
