// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { globSync } from "node:fs";
import { test } from "node:test";
import { CtEntryOffset, ctEntryLayout } from "#datapath/layouts/ct-entry.ts";
import { EndpointOffset, endpointLayout } from "#datapath/layouts/endpoint.ts";
import { DropReason, dropReasonNames, LbBackendFlag, PolicyBits } from "#datapath/layouts/enums.ts";
import { ipcacheKeyLayout } from "#datapath/layouts/ipcache-key.ts";
import { lbFrontendKeyLayout } from "#datapath/layouts/lb-frontend-key.ts";
import { policyKeyLayout } from "#datapath/layouts/policy-key.ts";
import type { Layout } from "#kernel/bpf/layout.ts";
import { parseAddress } from "#model/ip.ts";

function bytesOf<T>(layout: Layout<T>, value: T): Uint8Array {
  // Dirty memory: a write must leave nothing of it.
  const bytes = new Uint8Array(layout.size).fill(0xaa);
  layout.write(new DataView(bytes.buffer), 0, value);
  return bytes;
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

test("ports and addresses are in network order, the rest in the host's, padding is zero", () => {
  const key = { addr: parseAddress("10.0.0.1"), port: 80, proto: 6, scope: 1 };
  assert.equal(
    hex(bytesOf(lbFrontendKeyLayout, key)),
    "00000000000000000000ffff0a000001" + "0050" + "06" + "01" + "00000000",
  );
  const policy = { prefixlen: 64, identity: 0x12345, direction: 1, proto: 17, port: 53 };
  assert.equal(hex(bytesOf(policyKeyLayout, policy)), "40000000" + "45230100" + "01" + "11" + "0035");
});

test("no address and the address of zeros are told apart by where they stand", () => {
  const key = { prefixlen: 0, addr: parseAddress("::") };
  assert.deepEqual(ipcacheKeyLayout.read(new DataView(new ArrayBuffer(20)), 0), key);
  assert.equal(hex(bytesOf(ipcacheKeyLayout, key)), "00".repeat(20));
  const endpoint = {
    ...endpointLayout.read(new DataView(new ArrayBuffer(endpointLayout.size)), 0),
    v6: parseAddress("fd00::1"),
    mac: "02:00:00:00:00:0f",
  };
  assert.equal(endpoint.v4, undefined);
  const bytes = bytesOf(endpointLayout, endpoint);
  assert.deepEqual(endpointLayout.read(new DataView(bytes.buffer), 0), endpoint);
  assert.equal(hex(bytes.subarray(EndpointOffset.mac, EndpointOffset.mac + 6)), "02000000000f");
  assert.throws(() => bytesOf(endpointLayout, { ...endpoint, mac: "02:00:00" }), { code: "E_MAC" });
});

test("arrays and 64-bit counters", () => {
  const bytes = new Uint8Array(ctEntryLayout.size);
  new DataView(bytes.buffer).setBigUint64(CtEntryOffset.bytes + 8, 2n ** 60n, true);
  assert.deepEqual(ctEntryLayout.read(new DataView(bytes.buffer), 0).bytes, [0n, 2n ** 60n]);
});

test("enums lose the prefix their values share", () => {
  assert.deepEqual(
    [DropReason.policyDenied, DropReason.nat46, PolicyBits.fixed, LbBackendFlag.terminating],
    [133, 187, 40, 1],
  );
  assert.equal(dropReasonNames.get(133), "POLICY_DENIED");
});

test("every layout reads back what it wrote, at any offset", async () => {
  const files = globSync("layouts/*.ts", { cwd: import.meta.dirname });
  let layouts = 0;
  for (const file of files) {
    const module = (await import(new URL(file, import.meta.url).href)) as Record<string, unknown>;
    for (const [name, layout] of Object.entries(module)) {
      if (!name.endsWith("Layout")) continue;
      layouts++;
      roundTrip(layout as Layout<unknown>);
    }
  }
  assert.ok(layouts > 20);
});

function roundTrip(layout: Layout<unknown>): void {
  for (const seed of [1, 77, 200]) {
    const noise = Uint8Array.from({ length: layout.size + 16 }, (_, i) => (i * seed * 31 + seed) & 0xff);
    const value = layout.read(new DataView(noise.buffer), 5);
    const again = new DataView(new ArrayBuffer(layout.size + 16));
    layout.write(again, 9, value);
    assert.deepEqual(layout.read(again, 9), value, layout.name);
    for (let i = 0; i < again.byteLength; i++) {
      if (i < 9 || i >= 9 + layout.size) assert.equal(again.getUint8(i), 0, `${layout.name} wrote outside`);
    }
  }
}
