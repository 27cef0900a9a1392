// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, renameSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { listenOwnerOnly } from "#lib/unix-socket.ts";

const dir = mkdtempSync(join(tmpdir(), "weft-unix-socket-"));
after(() => rmSync(dir, { recursive: true }));

test("only the owner can open the socket, and the umask is as before", async () => {
  await using server = createServer();
  const umask = process.umask();
  await listenOwnerOnly(server, join(dir, "run", "own.sock"));
  assert.equal(statSync(join(dir, "run", "own.sock")).mode & 0o777, 0o600);
  assert.equal(process.umask(), umask);
});

test("a socket somebody serves stays theirs", async () => {
  const path = join(dir, "served.sock");
  await using first = createServer();
  await listenOwnerOnly(first, path);
  await assert.rejects(listenOwnerOnly(createServer(), path), {
    code: "E_LISTEN",
    message: `another process serves ${path}`,
  });
  assert.ok(statSync(path).isSocket());
});

test("the socket of a process that is gone is replaced", async () => {
  const path = join(dir, "left.sock");
  const gone = createServer();
  await listenOwnerOnly(gone, `${path}.first`);
  // Closing removes the file by its first name: under another one it stays, as after a crash.
  renameSync(`${path}.first`, path);
  gone.close();
  await once(gone, "close");
  await using server = createServer();
  await listenOwnerOnly(server, path);
  assert.ok(server.listening);
});

test("what is no place for a socket is named", async () => {
  const long = join(dir, "x".repeat(120));
  await assert.rejects(listenOwnerOnly(createServer(), long), { code: "E_LISTEN", message: /is too long/ });
  await assert.rejects(listenOwnerOnly(createServer(), dir), {
    code: "E_LISTEN",
    message: `cannot listen on ${dir}`,
  });
});
