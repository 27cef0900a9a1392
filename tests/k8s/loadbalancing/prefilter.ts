// SPDX-License-Identifier: Apache-2.0
/** `weft prefilter` for a whole cluster: what it refuses, what it drops, and what it outlives. */
import assert from "node:assert/strict";
import { administratorOk, asAdministrator } from "../cluster/administrator.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { addresses } from "../cluster/shape.ts";
import { until } from "../cluster/until.ts";
import { agentBack, killOn, pidOn } from "../faults/agents.ts";
import { addressOf, type Family } from "./outside.ts";

interface Row {
  readonly node: string;
  readonly cidr: string;
  readonly packets: number;
  readonly comment: string;
}

const cidrs = (count: number) => (count === 1 ? "1 CIDR" : `${count} CIDRs`);
const longest = { 4: 32, 6: 128 } as const;

/** The host outside is denied on every node, also while an agent is dead and after it is back, until the list is another. */
export async function deniesOutside(cluster: Cluster, families: readonly Family[]): Promise<void> {
  const weft = (...args: string[]) => administratorOk(cluster, ["weft", "prefilter", ...args]);
  const rows = async () => JSON.parse(await weft("list", "-o", "json")) as Row[];
  const outside = families.map((family) => (family === 4 ? addresses.outside.v4 : addresses.outside.v6));
  const everyNode = (text: string) => cluster.nodes.map((node) => `${node}: ${text}\n`).join("");
  const hears = async (node: string, family: Family) => {
    const address = addressOf(cluster, node, family);
    return (await cluster.outside(["ping", "-c", "1", "-W", "0.5", address])).code === 0;
  };
  const heard = async (is: boolean, nodes = cluster.nodes) => {
    for (const node of nodes)
      for (const family of families)
        await until(`${node} ${is ? "" : "not "}to hear IPv${family}`, 10_000, async () => {
          return (await hears(node, family)) === is;
        });
  };
  // Not the first one's agent: other tests kill that, and who ends often is started later and later.
  const last = cluster.nodes.at(-1)!;
  const count = families.length;
  try {
    await heard(true);
    const added = await weft("add", ...outside, "--comment", "INC-1");
    assert.equal(added, everyNode(`${count} added; ${cidrs(count)} denied`));
    await heard(false);
    const pid = await pidOn(cluster, last);
    await killOn(cluster, last);
    await heard(false, [last]);
    await agentBack(cluster, last, pid);
    await heard(false, [last]);
    const listed = await rows();
    for (const node of cluster.nodes)
      for (const [i, family] of families.entries()) {
        const row = listed.find(
          (one) => one.node === node && one.cidr === `${outside[i]}/${longest[family]}`,
        );
        assert.deepEqual([row?.comment, (row?.packets ?? 0) > 0], ["INC-1", true], `${node}, IPv${family}`);
      }
    const seen = await administratorOk(cluster, ["weft", "observe", "--verdict", "DROPPED", "--last", "20"]);
    assert.match(seen, /10\.240\.0\.200 .*Prefilter denied-cidrs/);

    const feed = "printf '203.0.113.0/24 ; a feed\\n203.0.113.77\\n' | weft prefilter replace -f -";
    const replaced = await administratorOk(cluster, ["sh", "-c", feed]);
    assert.equal(replaced, everyNode(`2 added, ${count} deleted; ${cidrs(2)} denied`));
    await heard(true);
    const { code, stderr } = await asAdministrator(cluster, ["weft", "prefilter", "delete", "192.0.2.1"]);
    assert.deepEqual([code, /not on the list: 192\.0\.2\.1/.test(stderr)], [1, true], stderr);
    const removed = await weft("delete", "203.0.113.77", "--node", last);
    assert.equal(removed, `${last}: 1 deleted; 1 CIDR denied\n`);
  } finally {
    await weft("flush");
  }
  assert.deepEqual(await rows(), []);
}

/** What would cut nodes off from each other or from the API server changes nothing on any of them. */
export async function doesNotLockOut(cluster: Cluster, families: readonly Family[]): Promise<void> {
  const refused = async (cidr: string, who: RegExp) => {
    const { code, stderr } = await asAdministrator(cluster, [
      "weft",
      "prefilter",
      "add",
      "192.0.2.0/24",
      cidr,
    ]);
    assert.equal(code, 1, cidr);
    assert.match(stderr, who);
    assert.match(stderr, /--force/);
  };
  const [, second = ""] = cluster.nodes;
  await refused(addresses.gateway.v4, /the API server \(10\.240\.0\.1\)/);
  for (const family of families) {
    const address = addressOf(cluster, second, family);
    await refused(
      family === 4 ? address : "fd00:240::/64",
      new RegExp(`(this node|node ${second}) \\(${address}\\)`),
    );
  }
  assert.equal(await administratorOk(cluster, ["weft", "prefilter", "list", "-o", "json"]), "[]\n");
}
