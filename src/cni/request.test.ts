// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "#kit/property.ts";
import { CniError } from "./errors.ts";
import { decodeFrame, encodeAnswer } from "./frame.ts";
import { hostIfname, isHostIfname, randomMac } from "./names.ts";
import { parseRequest } from "./request.ts";

function encodeFrame(environment: Record<string, string>, config: string): Buffer {
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}\0`);
  const body = Buffer.from(`${variables.join("")}\0${config}`);
  const header = Buffer.alloc(4);
  header.writeUInt32BE(body.length);
  return Buffer.concat([header, body]);
}

const printable = fc.string({ unit: "grapheme-ascii" });

test("a frame comes back whole and not a byte earlier", () => {
  const variables = fc.dictionary(
    printable.map((name) => `CNI_${name.replaceAll("=", "")}`),
    printable,
    { maxKeys: 5 },
  );
  fc.assert(
    fc.property(variables, printable, (environment, config) => {
      const bytes = encodeFrame(environment, config);
      const frame = decodeFrame(bytes);
      assert.deepEqual(Object.fromEntries(frame?.environment ?? []), { ...environment });
      assert.equal(frame?.config, config);
      for (let length = 0; length < bytes.length; length++) {
        assert.equal(decodeFrame(bytes.subarray(0, length)), undefined);
      }
    }),
  );
});

test("whatever bytes come, they are a frame, an unfinished one, or a CNI error", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      try {
        decodeFrame(bytes);
      } catch (error) {
        assert.ok(error instanceof CniError && error.cniCode === 6);
      }
    }),
    { numRuns: 1000 },
  );
});

test("whatever a runtime says, parsing gives a request or a CNI error of a known code", () => {
  const config = fc.oneof(
    fc.json(),
    printable,
    fc
      .record({ cniVersion: fc.constantFrom("1.1.0", "9"), name: printable, type: printable })
      .map((at) => JSON.stringify(at)),
  );
  const command = fc.constantFrom("ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION", "", "toString");
  fc.assert(
    fc.property(
      command,
      fc.array(printable, { minLength: 4, maxLength: 4 }),
      config,
      (name, values, text) => {
        const [container, netns, ifname, args] = values as [string, string, string, string];
        const environment = new Map(
          Object.entries({
            CNI_COMMAND: name,
            CNI_CONTAINERID: container,
            CNI_NETNS: netns,
            CNI_IFNAME: ifname,
            CNI_ARGS: args,
          }),
        );
        try {
          parseRequest({ environment, config: text });
        } catch (error) {
          assert.ok(error instanceof CniError && [1, 2, 4, 6, 7].includes(error.cniCode), String(error));
        }
      },
    ),
    { numRuns: 500 },
  );
});

test("device names are stable, short enough and told from others", () => {
  const name = hostIfname({ containerId: "c1", ifname: "eth0" });
  assert.equal(name, hostIfname({ containerId: "c1", ifname: "eth0" }));
  assert.notEqual(name, hostIfname({ containerId: "c1", ifname: "eth1" }));
  assert.ok(name.length <= 15 && isHostIfname(name));
  assert.ok(!isHostIfname("weft_vxlan"));
  assert.match(randomMac(), /^[0-9a-f][26ae](:[0-9a-f]{2}){5}$/);
});

test("an answer is exit code, length and text", () => {
  assert.deepEqual([...encodeAnswer(1, "hé")], [0, 0, 0, 1, 0, 0, 0, 3, 104, 0xc3, 0xa9]);
});
