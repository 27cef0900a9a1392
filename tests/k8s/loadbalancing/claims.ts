// SPDX-License-Identifier: Apache-2.0
/** Services and pools that ask for what cannot be: who is told, how, and that whoever came first goes on. */
import assert from "node:assert/strict";
import { administratorOk } from "../cluster/administrator.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { until } from "../cluster/until.ts";
import { ask } from "./outside.ts";
import { forwardingMode, lbPool, namespace } from "./scene.ts";

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

/** What the second one asks for that has its address already, by pool, by hand and by node port; an annotation with a slip; a pool over another. */
export async function losersAreTold(cluster: Cluster, owned: readonly string[]): Promise<void> {
  const ours = (...args: string[]) => cluster.kubectl(["-n", namespace, ...args]);
  const service = (name: string, annotations: object, spec: object) => ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace, annotations, labels: { color: "blue" } },
    spec: { selector: { app: "echo" }, ports: [{ port: 80, targetPort: 7000 }], ...spec },
  });
  const [v4 = ""] = owned;
  const type = { type: "LoadBalancer", ipFamilyPolicy: "RequireDualStack" };
  const late = [
    service("taker", { "lbipam.cilium.io/ips": owned.join(",") }, type),
    service("outer", {}, { externalIPs: [v4] }),
    service("slip", { [forwardingMode]: "dsrr" }, { type: "NodePort" }),
    { ...lbPool, metadata: { name: "over" } },
  ];
  /** Its condition, once it says so; and what `kubectl describe` has under Events. */
  const told = async (kind: string, name: string, wanted: Pick<Condition, "type" | "status" | "reason">) => {
    const condition = await until(`${kind} ${name}: ${wanted.type}`, 30_000, async () => {
      const text = await ours("get", kind, name, "-o", "jsonpath={.status.conditions}");
      const all = JSON.parse(text || "[]") as Condition[];
      return all.find((one) => one.type === wanted.type && one.status === wanted.status);
    });
    assert.equal(condition.reason, wanted.reason, name);
    await until(`an Event of ${kind} ${name}`, 30_000, async () => {
      const described = await ours("describe", kind, name);
      return described.slice(described.indexOf("Events:")).includes(condition.message);
    });
    return condition.message;
  };
  const goesOn = async () => {
    for (const address of owned) assert.equal(await ask(cluster, address, 80), "web", address);
  };
  try {
    await cluster.apply({ apiVersion: "v1", kind: "List", items: late });
    const unsatisfied = {
      type: "cilium.io/IPAMRequestSatisfied",
      status: "False",
      reason: "already_allocated",
    };
    assert.match(
      await told("service", "taker", unsatisfied),
      new RegExp(`'${v4}' is service ${namespace}/web's`),
    );
    const served = { type: "weft.io/ServedAsAsked", status: "False" };
    const conflict = await told("service", "outer", { ...served, reason: "AddressConflict" });
    assert.equal(conflict, `${v4}:80/TCP: of Service ${namespace}/web, which is older`);
    const slip = await told("service", "slip", { ...served, reason: "Unsupported" });
    assert.match(slip, /"dsrr" is none of snat, dsr/);
    const overlap = { type: "cilium.io/PoolConflict", status: "True", reason: "cidr_overlap" };
    assert.match(await told("ippool", "over", overlap), /of the older pool 'blue'/);
    await goesOn();

    const taken = (await ours("get", "service", "web", "-o", "jsonpath={.spec.ports[0].nodePort}")).trim();
    const patch = { spec: { ports: [{ port: 80, nodePort: Number(taken) }] } };
    await assert.rejects(ours("patch", "service", "slip", "-p", JSON.stringify(patch)), /already allocated/);

    const listed = await administratorOk(cluster, ["weft", "service", "get", `${namespace}/outer`]);
    assert.match(listed, new RegExp(`${v4}:80/TCP .* lost .*Service ${namespace}/web is older`));
    const traced = await administratorOk(cluster, ["weft", "service", "trace", `${v4}:80`]);
    assert.match(traced, new RegExp(`is ${namespace}/web .*\\nclaimed by ${namespace}/outer too`));
    assert.match(await administratorOk(cluster, ["weft", "status"]), /everything works|1 warning/);
  } finally {
    await ours("delete", "service", "taker", "outer", "slip", "--ignore-not-found");
    await cluster.kubectl(["delete", "ippool", "over", "--ignore-not-found"]);
  }
  await goesOn();
}
