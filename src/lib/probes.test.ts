// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { request } from "node:http";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { startProbeServer } from "#lib/probes.ts";

function get(port: number, path: string, method = "GET"): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port, path, method }, (response) => {
      text(response).then((body) => resolve(`${response.statusCode} ${body.trim()}`), reject);
    });
    sent.once("error", reject);
    sent.end();
  });
}

test("probes answer with what is wrong", async () => {
  let problem: string | undefined = "not elected yet";
  await using server = await startProbeServer({
    listen: "127.0.0.1:0",
    live: () => undefined,
    ready: () => problem,
  });
  assert.equal(await get(server.port, "/healthz"), "200 ok");
  assert.equal(await get(server.port, "/readyz"), "503 not elected yet");
  problem = undefined;
  assert.equal(await get(server.port, "/readyz?verbose"), "200 ok");
  assert.match(await get(server.port, "/"), /^404/);
  assert.match(await get(server.port, "/healthz", "POST"), /^404/);
  await assert.rejects(
    startProbeServer({ listen: `127.0.0.1:${server.port}`, live: () => undefined, ready: () => undefined }),
    {
      code: "E_LISTEN",
    },
  );
});
