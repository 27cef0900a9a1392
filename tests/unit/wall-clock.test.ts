// SPDX-License-Identifier: Apache-2.0
/**
 * Agent, operator and relay wait and count by clocks that nobody sets. Where they ask the wall clock nevertheless it is for a time that is
 * shown, and stands here; commands a person runs may take it as they like.
 */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { test } from "node:test";

const shown: Readonly<Record<string, string>> = {
  "src/election/leader.ts": "the times of a Lease; others' are not believed, only watched for change",
  "src/election/requests.ts": "the times of a Lease",
  "src/flows/boot-clock.ts": "what to add to the datapath's clock for a flow's time, asked again every 10 s",
  "src/flows/directory.ts":
    "since when a name holds, beside flows' times; a flow without name is the worst of it",
  "src/flows/ingest.ts": "when events were lost",
  "src/flows/member-stream.ts": "from which time on flows are asked for",
  "src/flows/merge.ts": "when a node came or went",
  "src/flows/observer.ts": "when flows were overrun",
  "src/lib/health.ts": "since when a part is as it is",
  "src/k8s/events.ts": "an Event's time",
  "src/operator/identity-gc.ts":
    "since when an identity is unused, for all operators; none is deleted it did not itself see unused for two minutes",
  "src/operator/l2-policies.ts": "a condition's time",
  "src/operator/lb-ipam-writer.ts": "a condition's time",
  "src/operator/policy-check-writer.ts": "a condition's time",
  "src/operator/policy-status.ts": "a condition's time",
  "src/operator/service-problem-writer.ts": "a condition's time",
  "src/policy/status.ts": "a condition's time",
  "src/prefilter/prefilter.ts": "when a CIDR came onto the list",
  "src/services/node-health.ts": "the time in an answer to a health check",
};

test("whoever runs for long asks the wall clock only for times that are shown", () => {
  const asks = globSync("src/**/*.ts")
    .filter((file) => !/\.test\.ts$|^src\/(lab|cli|live)\//.test(file))
    .filter((file) => /Date\.now\b|new Date\(\)/.test(readFileSync(file, "utf8")));
  assert.deepEqual(asks.sort(), Object.keys(shown).sort());
});

test("the datapath counts by clocks that nobody sets", () => {
  const clocks = globSync("bpf/**/*.{h,c}").flatMap((file) => [
    ...readFileSync(file, "utf8").matchAll(/bpf_ktime_get_\w+/g),
  ]);
  const names = new Set(clocks.map(([name]) => name));
  assert.deepEqual([...names].sort(), ["bpf_ktime_get_boot_ns", "bpf_ktime_get_coarse_ns"]);
});
