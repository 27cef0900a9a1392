// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { pino } from "pino";
import { identityTable } from "#identities/table.ts";
import { idle } from "#kit/clock.ts";
import type { Address } from "#model/ip.ts";
import { labelText } from "#model/labels.ts";
import { Database } from "#store/table.ts";
import type { Endpoint } from "./endpoint.ts";
import { EndpointManager, type EndpointRequest } from "./manager.ts";
import { EndpointState } from "./state.ts";
import { datapathEndpointTable, endpointTable, namespaceTable, type Pod, podTable } from "./table.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "weft-endpoints-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

const log = pino({ level: "silent" });
const never = new AbortController().signal;
const web: Pod = {
  namespace: "shop",
  name: "web",
  uid: "u1",
  labels: { app: "web" },
  serviceAccount: "default",
  namedPorts: [],
};
const request: EndpointRequest = {
  containerId: "c1",
  ifname: "eth0",
  netns: "/run/netns/x",
  namespace: "shop",
  pod: "web",
  podUid: "u1",
  hostIfname: "weft1",
  hostIfindex: 7,
  mac: "02:00:00:00:00:01",
  hostMac: "02:00:00:00:00:02",
  v4: "10.0.0.9" as Address,
};

/** A manager over tables in memory: policy is in force when `judge` says so, the kernel follows when `kernel` resolves. */
function room(fetched?: Pod) {
  const db = new Database();
  const endpoints = endpointTable(db);
  const desired = datapathEndpointTable(db);
  const pods = podTable(db);
  const identities = identityTable(db);
  const namespaces = namespaceTable(db);
  const kernel = Promise.withResolvers<void>();
  const attached: string[] = [];
  const manager = new EndpointManager({
    db,
    endpoints,
    desired,
    pods,
    namespaces,
    state: new EndpointState(dir, log),
    log,
    fetchPod: async () => fetched,
    fetchNamespace: async () => undefined,
    securityLabels: (pod) => new Map(Object.entries(pod.labels)),
    identities,
    identityOf: async (labels, _, prefer) => {
      const id = prefer ?? 1000 + labelText(labels).length;
      db.write((tx) => tx.put(identities, { id, labels }));
      return id;
    },
    attach: ({ hostIfname }) => void attached.push(hostIfname),
    settled: () => kernel.promise,
  });
  const judge = (endpoint: Endpoint) =>
    db.write((tx) =>
      tx.put(desired, {
        endpoint,
        policyId: 0,
        policyRevision: 0,
        enforceIngress: false,
        enforceEgress: false,
        audit: false,
        audits: false,
        anySource: false,
      }),
    );
  const know = (pod: Pod) => db.write((tx) => tx.put(pods, pod));
  return { db, manager, endpoints, identities, namespaces, attached, kernel, judge, know };
}

const saved = () => readdirSync(dir).sort();

test("an ADD is done when policy has judged the endpoint and the kernel holds it", async () => {
  const { manager, endpoints, attached, kernel, judge, know } = room();
  know(web);
  let done = false;
  const added = manager.create(request, never).then((endpoint) => {
    done = true;
    return endpoint;
  });
  await idle();
  assert.deepEqual(attached, ["weft1"]);
  assert.equal(done, false, "no policy yet");
  judge(endpoints.get("1")!);
  await idle();
  assert.equal(done, false, "not in the kernel yet");
  kernel.resolve();
  const { id, identity } = await added;
  assert.deepEqual({ id, identity }, { id: 1, identity: 1007 });
  assert.deepEqual(saved(), ["1.json"]);
  assert.equal(manager.find("c1", "eth0")?.id, 1);
  manager.remove("c1", "eth0");
  manager.remove("c1", "eth0");
  assert.equal(manager.find("c1", "eth0"), undefined);
  assert.deepEqual(saved(), []);
});

test("a pod's annotations set its modes; from any address it sends only where its namespace delegates that", async () => {
  const { db, manager, endpoints, namespaces, kernel, judge, know } = room();
  kernel.resolve();
  know({ ...web, audit: true, anySource: true });
  const added = manager.create(request, never);
  await idle();
  judge(endpoints.get("1")!);
  await added;
  const modes = () => [endpoints.get("1")?.audit, endpoints.get("1")?.anySource];
  assert.deepEqual(modes(), [true, undefined]);
  const abort = new AbortController();
  const following = manager.followLabels(abort.signal);
  db.write((tx) => tx.put(namespaces, { name: "shop", labels: {}, delegatesSource: true }));
  await idle();
  assert.deepEqual(modes(), [true, true]);
  know(web);
  await idle();
  assert.deepEqual(modes(), [undefined, undefined]);
  abort.abort();
  await following;
});

test("an ADD that fails or is given up leaves nothing", async () => {
  const failing = room();
  failing.know(web);
  const added = failing.manager.create(request, never);
  await idle();
  failing.judge(failing.endpoints.get("1")!);
  failing.kernel.reject(new Error("map full"));
  await assert.rejects(added, /map full/);
  assert.deepEqual([failing.endpoints.size, saved()], [0, []]);

  const waiting = room();
  waiting.know(web);
  const stop = new AbortController();
  const given = waiting.manager.create(request, stop.signal);
  await idle();
  stop.abort(new Error("given up"));
  await assert.rejects(given, /given up/);
  await assert.rejects(waiting.manager.create(request, stop.signal), /given up/);
  assert.deepEqual([waiting.endpoints.size, saved()], [0, []]);
});

test("a pod the informer lacks is asked for; one with another uid is not the pod", async () => {
  const { manager, endpoints, kernel, judge, know } = room({ ...web, labels: { app: "new" } });
  kernel.resolve();
  const added = manager.create(request, never);
  await idle();
  judge(endpoints.get("1")!);
  assert.equal(labelText((await added).labels), labelText(new Map([["app", "new"]])));
  know({ ...web, uid: "u2" });
  await assert.rejects(manager.create({ ...request, podUid: "u3" }, never), { code: "E_POD_UNKNOWN" });
});

test("endpoints of an earlier run are taken up, those without a device forgotten, ids go on", async () => {
  const before = room();
  before.kernel.resolve();
  before.know(web);
  for (const [id, containerId] of [
    ["1", "c1"],
    ["2", "c2"],
  ] as const) {
    const added = before.manager.create({ ...request, containerId, hostIfname: `weft${id}` }, never);
    await idle();
    before.judge(before.endpoints.get(id)!);
    await added;
  }
  const after = room();
  const kept = after.manager.restore(({ hostIfname }) => hostIfname === "weft2");
  assert.deepEqual(
    kept.map(({ id, v4 }) => [id, v4]),
    [[2, "10.0.0.9"]],
  );
  assert.deepEqual([after.attached, saved()], [["weft2"], ["2.json"]]);
  after.know(web);
  after.kernel.resolve();
  const added = after.manager.create({ ...request, containerId: "c3" }, never);
  await idle();
  after.judge(after.endpoints.get("3")!);
  assert.equal((await added).id, 3);
});

test("an endpoint's identity follows its pod's labels", async () => {
  const { manager, endpoints, kernel, judge, know } = room();
  know(web);
  kernel.resolve();
  const added = manager.create(request, never);
  await idle();
  judge(endpoints.get("1")!);
  await added;
  const stop = new AbortController();
  const following = manager.followLabels(stop.signal);
  know({ ...web, labels: { app: "database" } });
  await idle();
  const { identity, labels } = endpoints.get("1")!;
  assert.deepEqual([identity, labels.get("app")], [1012, "database"]);
  know({ ...web, uid: "u2", labels: { app: "other" } });
  await idle();
  assert.equal(endpoints.get("1")!.labels.get("app"), "database", "another pod of that name");
  stop.abort();
  await following;
});

test("an identity in use that somebody deletes is made again, under its number", async () => {
  const { db, manager, endpoints, identities, kernel, judge, know } = room();
  const source = identities.source("api");
  know(web);
  kernel.resolve();
  const added = manager.create(request, never);
  await idle();
  judge(endpoints.get("1")!);
  const endpoint = await added;
  const stop = new AbortController();
  const following = manager.followLabels(stop.signal);
  const remove = () => db.write((tx) => tx.delete(identities, String(endpoint.identity)));
  remove();
  await idle();
  assert.equal(
    identities.get(String(endpoint.identity)),
    undefined,
    "not before the list of them is complete",
  );
  source.synced();
  await idle();
  for (let round = 0; round < 2; round++) {
    assert.equal(labelText(identities.get(String(endpoint.identity))!.labels), "app=web");
    remove();
    await idle();
  }
  assert.equal(endpoints.get("1"), endpoint, "the endpoint itself is as it was");
  stop.abort();
  await following;
});

test("a static pod is found by the uid its mirror names; a mirror made anew is still that pod", async () => {
  const { manager, endpoints, kernel, judge, know } = room();
  know({ ...web, uid: "mirror-1", staticUid: "hash" });
  kernel.resolve();
  const added = manager.create({ ...request, podUid: "hash" }, never);
  await idle();
  judge(endpoints.get("1")!);
  assert.equal((await added).podUid, "mirror-1");
  const stop = new AbortController();
  const following = manager.followLabels(stop.signal);
  know({ ...web, uid: "mirror-2", staticUid: "hash" });
  await idle();
  assert.equal(endpoints.get("1")!.podUid, "mirror-2");
  stop.abort();
  await following;
});

test("an endpoint that cannot be saved is none, and what is half written is taken away", async () => {
  const { manager, endpoints, know } = room();
  know(web);
  // A directory in the way of the file, as a disk without space is in the way of its content.
  mkdirSync(join(dir, "1.json.new"));
  await assert.rejects(manager.create(request, never), {
    code: "E_STATE",
    message: /^endpoint 1 cannot be saved in .*/,
  });
  assert.deepEqual([endpoints.size, saved()], [0, []]);
});
