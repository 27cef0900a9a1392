// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { statusReason } from "./hanging.ts";

const pod = (state: object) => ({
  status: { containerStatuses: [{ name: "agent", ready: false, ...state }] },
});

test("a container's last words are the reason, of a log the line of the error", () => {
  const message =
    '{"level":30,"msg":"starting"}\n{"level":60,"error":"no cgroup2","msg":"agent failed"}\n{"level":30,"msg":"stopped"}\n';
  const ended = { terminated: { exitCode: 1, reason: "Error", message } };
  assert.equal(
    statusReason(
      pod({ restartCount: 3, state: { waiting: { reason: "CrashLoopBackOff" } }, lastState: ended }),
    ),
    'container agent ended with 1 (3 restarts): {"level":60,"error":"no cgroup2","msg":"agent failed"}',
  );
});

test("what a container waits for is the reason, when it says something", () => {
  const waiting = { reason: "ErrImagePull", message: "not found" };
  assert.equal(statusReason(pod({ state: { waiting } })), "container agent: ErrImagePull: not found");
  assert.equal(statusReason(pod({ state: { waiting: { reason: "ContainerCreating" } } })), undefined);
});

test("a pod that nothing places says why", () => {
  const conditions = [{ type: "PodScheduled", status: "False", message: "0/2 nodes are available" }];
  assert.equal(statusReason({ status: { conditions } }), "0/2 nodes are available");
});
