// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import type { KubeClient } from "#k8s/client.ts";
import { fakeClock } from "#kit/clock.ts";
import { followAgentNodes } from "./agent-nodes.ts";

const pod = (name: string, node: string, ip: string, more: object = {}) => ({
  metadata: { name, namespace: "kube-system", labels: { "k8s-app": "weft" }, resourceVersion: "5", ...more },
  spec: { nodeName: node, containers: [{ name: "agent" }] },
  status: { phase: "Running", podIP: ip },
});

/** A client whose one watch starts with the pods given and says what is written to it. */
function watched(pods: readonly object[]) {
  const stream = new PassThrough();
  const say = (type: string, object: object) => void stream.write(`${JSON.stringify({ type, object })}\n`);
  for (const object of pods) say("ADDED", object);
  say("BOOKMARK", {
    metadata: { resourceVersion: "9", annotations: { "k8s.io/initial-events-end": "true" } },
  });
  const open = async ({ signal }: { signal: AbortSignal }) => {
    signal.addEventListener("abort", () => stream.destroy());
    return stream;
  };
  const client = { stream: open } as unknown as KubeClient;
  return { client, say };
}

test("nodes come with their agents' pods; one whose pod is replaced stays, one whose pod is gone leaves later", async () => {
  const clock = fakeClock();
  const { client, say } = watched([pod("a", "n2", "192.0.2.2"), pod("b", "n1", "192.0.2.1")]);
  const stop = new AbortController();
  const told: string[] = [];
  let heard = Promise.withResolvers<void>();
  const next = async () => {
    await heard.promise;
    heard = Promise.withResolvers();
    return told.at(-1);
  };
  const following = followAgentNodes({
    client,
    namespace: "kube-system",
    signal: stop.signal,
    clock,
    keepMs: 1000,
    onNodes(nodes) {
      told.push(nodes.map(({ node, address }) => `${node}=${address}`).join(" "));
      heard.resolve();
    },
    onState() {},
  });
  assert.equal(await next(), "n1=192.0.2.1 n2=192.0.2.2");
  say("DELETED", pod("b", "n1", "192.0.2.1"));
  say("ADDED", pod("c", "n3", "192.0.2.3"));
  assert.equal(await next(), "n1=192.0.2.1 n2=192.0.2.2 n3=192.0.2.3");
  await clock.advance(1000);
  assert.equal(await next(), "n2=192.0.2.2 n3=192.0.2.3");
  say("DELETED", pod("a", "n2", "192.0.2.2"));
  say("ADDED", pod("d", "n2", "192.0.2.22"));
  assert.equal(await next(), "n2=192.0.2.22 n3=192.0.2.3");
  stop.abort();
  await following;
  assert.equal(told.length, 4);
});
