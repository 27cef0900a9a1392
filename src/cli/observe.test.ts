// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { after, test } from "node:test";
import { nodeObserver } from "#flows/observer.ts";
import { startRpcServer } from "#flows/server.ts";
import { shop, testStore } from "#kit/flow-store.ts";
import { observeCommand } from "./observe.ts";
import { FilterArguments } from "./observe-filter.ts";
import { type ObserveOptions, observe, observeRequest } from "./observe-run.ts";

const base = 1_700_000_000n * 1_000_000_000n;
const directory = mkdtempSync(join(tmpdir(), "observe-"));
const unix = join(directory, "observer.sock");
const made = testStore();
made.update(shop);
const open = { srcIdentity: 1234, dstIdentity: 5678, sport: 40_000, dport: 8080, tcpFlags: 2 };
made.add(
  { ...open, timeNs: base, flags: 16, ingressRule: 77 },
  { ...open, timeNs: base + 1_000_000n, type: 1, reason: 133, point: 101, flags: 4, ingressRule: 0 },
);
const server = await startRpcServer({ unix }, { observer: nodeObserver(made.store) });
after(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

async function run(options: ObserveOptions): Promise<{ out: string; err: string }> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const read = Promise.all([text(stdout), text(stderr)]);
  try {
    await observe(
      { server: unix, ...options },
      { stdout, stderr, signal: new AbortController().signal, now: Date.now },
    );
  } finally {
    stdout.end();
    stderr.end();
  }
  const [out, err] = await read;
  return { out, err };
}

test("flows are asked for and printed, with the policy that allowed", async () => {
  assert.deepEqual(await run({}), {
    out:
      "Nov 14 22:13:20.000: shop/client-xyz:40000 (ID:1234) -> shop/front-abc:8080 (ID:5678) to-endpoint FORWARDED (TCP Flags: SYN) [ingress allowed by NetworkPolicy shop/front-from-client]\n" +
      "Nov 14 22:13:20.001: shop/client-xyz:40000 (ID:1234) -> shop/front-abc:8080 (ID:5678) Policy denied DROPPED (TCP Flags: SYN) [ingress: default deny: nothing matched]\n",
    err: "",
  });
});

test("with --why each flow tells the rule that decided, or that there is none", async () => {
  const { out } = await run({ print: { why: true } });
  const [allowed, denied] = out.split("\n");
  assert.match(allowed!, / \[ingress allowed by NetworkPolicy shop\/front-from-client spec\.ingress\[0\]\]$/);
  assert.match(denied!, /ingress: default deny: nothing matched\]$/);
});

test("filters of the command line reach the server, saved flows print the same", async () => {
  const filters = new FilterArguments();
  filters.add("verdict", "DROPPED");
  const { out } = await run({ ...filters.result(), print: { output: "jsonpb" } });
  assert.equal(out.split("\n").length, 2);
  const file = join(directory, "flows.json");
  writeFileSync(file, out);
  assert.match(
    (await run({ inputFile: file })).out,
    /^Nov 14 22:13:20\.001: .* Policy denied DROPPED \(TCP Flags: SYN\) \[ingress: default deny: nothing matched\]\n$/,
  );
  writeFileSync(file, `${out}nonsense\n`);
  await assert.rejects(run({ inputFile: file }), { code: "E_INPUT", message: /flows\.json, line 2/ });
});

test("what the server refuses and a server that is not there are told apart", async () => {
  await assert.rejects(run({ fieldMask: ["nothing"] }), { code: "E_USAGE", message: /nothing/ });
  await assert.rejects(run({ server: join(directory, "none.sock") }), {
    code: "E_OBSERVER",
    message: /none\.sock/,
  });
  await assert.rejects(run({ server: "nonsense" }), { code: "E_USAGE" });
});

test("the request for each way to select", () => {
  const nowMs = Date.parse("2026-11-22T12:00:00Z");
  const of = (options: ObserveOptions) => {
    const { number, first, follow, since } = observeRequest(options, nowMs);
    return [Number(number), first, follow, since && Number(since.seconds) - nowMs / 1_000];
  };
  assert.deepEqual(of({}), [20, false, false, undefined]);
  assert.deepEqual(of({ last: 5 }), [5, false, false, undefined]);
  assert.deepEqual(of({ first: 5 }), [5, true, false, undefined]);
  assert.deepEqual(of({ follow: true }), [0, false, true, undefined]);
  assert.deepEqual(of({ follow: true, last: 3 }), [3, false, true, undefined]);
  assert.deepEqual(of({ since: "1m" }), [0, false, false, -60]);
  assert.deepEqual(of({ all: true }), [2 ** 64, false, false, undefined]);
  for (const bad of [
    { first: 1, last: 1 },
    { first: 1, follow: true },
    { all: true, last: 1 },
    { since: "soon" },
  ] as const) {
    assert.throws(() => of(bad), { code: "E_USAGE" });
  }
});

test("the command keeps the order of --not and names what is wrong", async () => {
  const written: string[] = [];
  const parse = async (...args: string[]) => {
    const command = observeCommand()
      .exitOverride()
      .configureOutput({ writeErr: () => {} });
    const write = process.stdout.write;
    process.stdout.write = ((chunk: string) => written.push(chunk) > 0) as typeof write;
    try {
      await command.parseAsync(args, { from: "user" });
    } finally {
      process.stdout.write = write;
    }
    return written.splice(0).join("");
  };
  assert.equal(
    await parse(
      "--print-raw-filters",
      "--to-port",
      "80",
      "--not",
      "--protocol",
      "icmp",
      "--from-pod",
      "shop/a",
      "-4",
    ),
    `allowlist:\n    - '{"source_pod":["shop/a"],"destination_port":["80"],"ip_version":["IPv4"]}'\ndenylist:\n    - '{"protocol":["icmp"]}'\n`,
  );
  await assert.rejects(parse("--not"), { code: "E_USAGE" });
  await assert.rejects(parse("--verdict", "maybe"), { code: "E_USAGE", message: /--verdict: "maybe"/ });
  await assert.rejects(parse("-o", "xml"), { code: "E_USAGE" });
  await assert.rejects(parse("--last", "few"), { code: "E_USAGE" });
  await assert.rejects(parse("--allowlist", "{"), { code: "E_USAGE" });
});
