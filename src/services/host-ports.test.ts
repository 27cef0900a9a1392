// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { idle } from "#kit/clock.ts";
import { createHealth } from "#lib/health.ts";
import { parseAddress } from "#model/ip.ts";
import { type PodAddresses, type PodPorts, startHostPorts } from "#services/host-ports.ts";
import { hostPortTable } from "#services/table.ts";
import { Database } from "#store/table.ts";

test("a pod's host ports come with its address and go with either; what cannot be served is said", async () => {
  const db = new Database();
  const pods = db.table<PodPorts>({
    name: "pods",
    key: (row) => `${row.namespace}/${row.name}`,
    columns: [],
  });
  const endpoints = db.table<PodAddresses & { readonly id: number }>({
    name: "endpoints",
    key: (row) => String(row.id),
    indexes: { pod: (row) => [`${row.namespace}/${row.pod}`] },
    columns: [],
  });
  for (const table of [pods, endpoints]) table.source("t").synced();
  const hostPorts = hostPortTable(db);
  const health = createHealth();
  const stop = new AbortController();
  const log = pino({ level: "silent" });
  await using _ = startHostPorts({ db, pods, endpoints, hostPorts, health, log }, stop.signal);
  const shown = async () => {
    await idle();
    return [...hostPorts.all()].map(({ hostIp = "*", port, proto, targets, targetPort, problem = "" }) =>
      `${hostIp}:${port}/${proto} ${targets.join("+")} ${targetPort} ${problem}`.trim(),
    );
  };
  const web: PodPorts = {
    namespace: "shop",
    name: "web",
    hostPorts: [
      { proto: 6, port: 8000, targetPort: 80 },
      { proto: 17, port: 8000, targetPort: 53, hostIp: parseAddress("192.168.0.1") },
      { proto: 132, port: 8001, targetPort: 1 },
    ],
  };
  const [v4, v6] = [parseAddress("10.0.0.1"), parseAddress("fd00::1")];
  db.write((tx) => tx.put(pods, web));
  assert.deepEqual(await shown(), [], "no address yet");
  db.write((tx) => tx.put(endpoints, { id: 1, namespace: "shop", pod: "web", v4, v6 }));
  const targets = `${v4}+${v6}`;
  assert.deepEqual(await shown(), [
    `*:8000/6 ${targets} 80`,
    `192.168.0.1:8000/17 ${targets} 53`,
    `*:8001/132 ${targets} 1 protocol SCTP is not supported`,
  ]);
  assert.equal(
    health.rows().find(({ name }) => name === "host-ports")?.message,
    "3 port(s), 1 of them not served",
  );

  // Its sandbox is made anew: the later attachment is the one that lives.
  const next = parseAddress("10.0.0.2");
  db.write((tx) => tx.put(endpoints, { id: 2, namespace: "shop", pod: "web", v4: next }));
  assert.match((await shown())[0]!, /^\*:8000\/6 10\.0\.0\.2\+10\.0\.0\.1/);
  db.write((tx) => {
    tx.delete(endpoints, "1");
    tx.put(pods, { ...web, hostPorts: web.hostPorts!.slice(0, 1) });
  });
  assert.deepEqual(await shown(), ["*:8000/6 10.0.0.2 80"]);
  db.write((tx) => tx.delete(endpoints, "2"));
  assert.deepEqual(await shown(), []);
});
