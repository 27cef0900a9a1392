// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import type { Endpoint } from "#endpoints/endpoint.ts";
import { createHealth } from "#lib/health.ts";
import { createLogger } from "#lib/log.ts";
import { type Address, parseAddress } from "#model/ip.ts";
import { Database, type WritableTable } from "#store/table.ts";
import { type AccelerationDeps, followEndpoints, startAcceleration } from "./agent-acceleration.ts";
import { agentTables } from "./agent-tables.ts";

describe("whose connections may go past the network", () => {
  let db: Database;
  let endpoints: WritableTable<Endpoint>;
  let trusted: Map<Address, bigint>;
  let cookieOf = (endpoint: Endpoint) => BigInt(endpoint.id * 10);

  beforeEach(() => {
    db = new Database();
    ({ endpoints } = agentTables(db));
    trusted = new Map();
    cookieOf = (endpoint) => BigInt(endpoint.id * 10);
  });

  const pod = (id: number, v4: string, sockmap?: boolean) =>
    ({
      id,
      namespace: "shop",
      pod: `pod-${id}`,
      containerId: `c${id}`,
      ifname: "eth0",
      v4: parseAddress(v4),
      identity: 1000,
      ...(sockmap !== undefined && { sockmap }),
    }) as Endpoint;
  const put = (endpoint: Endpoint) => db.write((tx) => tx.put(endpoints, endpoint));
  const follow = (all = false) =>
    followEndpoints({
      endpoints,
      trusted,
      takesPart: ({ sockmap }) => sockmap ?? all,
      cookieOf: (endpoint) => cookieOf(endpoint),
      log: createLogger("test", "silent"),
    });
  const named = () => Object.fromEntries(trusted);

  it("is who has the annotation, as it comes and goes, and nobody when the pod is gone", () => {
    follow();
    put(pod(1, "10.0.0.1"));
    put(pod(2, "10.0.0.2", true));
    assert.deepEqual(named(), { "10.0.0.2": 20n });
    put(pod(1, "10.0.0.1", true));
    put(pod(2, "10.0.0.2", false));
    assert.deepEqual(named(), { "10.0.0.1": 10n });
    db.write((tx) => tx.delete(endpoints, "1"));
    assert.deepEqual(named(), {});
  });

  it("is everyone but who says no, where all take part", () => {
    put(pod(1, "10.0.0.1"));
    put(pod(2, "10.0.0.2", false));
    follow(true);
    assert.deepEqual(named(), { "10.0.0.1": 10n });
  });

  it("is the next pod that has the address, when the one before goes after it came", () => {
    follow(true);
    put(pod(1, "10.0.0.1"));
    put(pod(2, "10.0.0.1"));
    db.write((tx) => tx.delete(endpoints, "1"));
    assert.deepEqual(named(), { "10.0.0.1": 20n });
  });

  it("is put right at the start: who went meanwhile, who came", () => {
    trusted.set(parseAddress("10.0.0.9"), 90n);
    trusted.set(parseAddress("10.0.0.1"), 7n);
    put(pod(1, "10.0.0.1", true));
    follow();
    assert.deepEqual(named(), { "10.0.0.1": 10n });
  });

  it("is not who has no namespace that can be opened", () => {
    cookieOf = () => {
      throw new Error("gone");
    };
    follow(true);
    put(pod(1, "10.0.0.1"));
    assert.deepEqual(named(), {});
  });
});

describe("acceleration on a kernel that cannot", () => {
  it("is refused, which is told, and asks nothing of the datapath", () => {
    const health = createHealth();
    const tables = agentTables(new Database());
    const nodeDatapath = { accelerates: false, accelerationProblem: "it does not count" };
    using acceleration = startAcceleration({
      config: { acceleration: { sockmap: "all" }, hostProc: "/none" },
      tables,
      nodeDatapath: nodeDatapath as AccelerationDeps["nodeDatapath"],
      health,
      log: createLogger("test", "silent"),
    });
    assert.equal(acceleration.setting, "refused: it does not count");
    assert.equal(acceleration.counts(), undefined);
    const [row] = health.rows();
    assert.deepEqual(
      [row?.name, row?.level, row?.message],
      ["acceleration", "degraded", "it does not count"],
    );
  });
});
