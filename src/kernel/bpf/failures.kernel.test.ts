// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { explainFailure, type Feature, features, haveFeature } from "#kernel/bpf/features.ts";
import { loadCollection } from "#kernel/bpf/object.ts";
import { VerifierError } from "#kernel/bpf/verifier-error.ts";
import { compiledSpec } from "#kit/bpf-object.ts";
import { assertNoFdLeak } from "#kit/fd-leak.ts";

const broken = compiledSpec("src/kernel/bpf/testdata/broken.bpf.c");

test("a program the verifier refuses: the useful line, the source line, the whole log, and nothing left", () => {
  assertNoFdLeak(() => {
    assert.throws(
      () => loadCollection(broken),
      (error) => {
        assert.ok(error instanceof VerifierError);
        assert.equal(error.code, "E_BPF_VERIFIER");
        assert.equal(error.errno, "EACCES");
        assert.match(
          error.message,
          /^load program unchecked: EACCES: R\d invalid mem access 'map_value_or_null' \(at: return \*value; @ broken\.bpf\.c:20\) \(\d+ log line\(s\) omitted\)$/,
        );
        assert.match(error.log, /call bpf_map_lookup_elem/);
        return true;
      },
    );
  });
});

test("every feature is found on this kernel, and the answer is kept", () => {
  assertNoFdLeak(() => {
    for (const [name, feature] of Object.entries(features)) assert.equal(haveFeature(feature), true, name);
  });
});

test("a failure is explained by what the kernel lacks, and only by what is certain", () => {
  let asked = 0;
  const feature = (verdict: boolean | undefined): Feature => ({
    what: "tc teleportation",
    since: "9.9",
    probe: () => {
      asked++;
      return verdict;
    },
  });
  const failure = new Error("invalid argument");
  const missing = feature(false);
  for (let i = 0; i < 3; i++) {
    assert.throws(
      () => {
        throw explainFailure(missing, failure);
      },
      {
        code: "E_NOT_SUPPORTED",
        since: "9.9",
        message: "this kernel has no tc teleportation (Linux 9.9 has)",
        cause: failure,
      },
    );
  }
  assert.equal(asked, 1);
  assert.equal(explainFailure(feature(true), failure), failure);
  const unclear = feature(undefined);
  assert.equal(explainFailure(unclear, failure), failure);
  explainFailure(unclear, failure);
  assert.equal(asked, 4, "what is not certain is asked again");
});

test("names that the object does not have", () => {
  const spec = compiledSpec("src/kernel/bpf/testdata/first.bpf.c");
  assertNoFdLeak(() => {
    assert.throws(() => loadCollection(spec, { programs: ["nope"] }), /has no program "nope"/);
    assert.throws(() => loadCollection(spec, { maxEntries: { nope: 1 } }), /has no map "nope"/);
    assert.throws(() => loadCollection(spec, { rodata: { nope: new Uint8Array() } }), /no constant "nope"/);
    using loaded = loadCollection(spec, { programs: ["pass"], maxEntries: { pairs: 1000 } });
    assert.equal(loaded.map("pairs").info.maxEntries, 1000);
    assert.throws(() => loaded.program("count"), { code: "E_BPF_OBJECT" });
    assert.throws(() => loaded.map("nope"), { code: "E_BPF_OBJECT" });
    assert.throws(() => loaded.variable("nope"), { code: "E_BPF_OBJECT" });
  });
});
