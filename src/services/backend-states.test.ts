// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { room, slice, web } from "#kit/service-room.ts";
import { backendStates } from "#services/backend-states.ts";

test("each endpoint of a service has a state, a share and, where it is not plain, a reason", async () => {
  await using r = await room();
  r.sync();
  const states = async (yaml: string) => {
    await r.apply(yaml);
    const here = { nodeName: "n1", addresses: [], families: [4, 6] as const };
    const service = r.services.get("shop/web")!;
    const rows = backendStates(service, [...r.slices.all()], [...r.frontends.all()], here);
    return rows.map(
      ({ backend, state, share, reason }) => `${backend.split(":")[0]} ${state} ${share} ${reason}`,
    );
  };
  assert.deepEqual(await states(web), [" unused 0 there is no endpoint"]);
  const all = [
    "10.0.0.1 node=n1",
    "10.0.0.2 ready=false",
    "10.0.0.3 ready=false serving=true terminating=true",
    "10.0.0.4 node=n2",
  ];
  assert.deepEqual(await states(slice(all)), [
    "10.0.0.1 active 50 ",
    "10.0.0.2 draining 0 not ready",
    "10.0.0.3 draining 0 terminates, and others are ready",
    "10.0.0.4 active 50 ",
  ]);
  assert.deepEqual(await states(slice(all.slice(1, 3))), [
    "10.0.0.2 draining 0 not ready",
    "10.0.0.3 active 100 terminates, and none is ready",
  ]);
  r.put(slice(all));
  const local = web.replace("spec: {", "spec: { internalTrafficPolicy: Local,");
  assert.deepEqual(
    (await states(local)).filter((line) => line.startsWith("10.0.0.4")),
    ["10.0.0.4 unused 0 on another node, and the internalTrafficPolicy is Local"],
  );
});
