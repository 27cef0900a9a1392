// SPDX-License-Identifier: Apache-2.0
/** Real traffic to and from a node that policies select, in both families: what opens, what is cut, what never is. And audit. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { checkout, labName, until, weft, weftOk } from "#kit/lab-run.ts";
import { kubectlOk, labStatus, podOf, useLab } from "#kit/lab-use.ts";

const [OPEN, RESCUE, OTHER, WORLD, API] = [9022, 9122, 9222, 9322, 6443];
const addresses = {
  v4: { node: "172.30.0.11", world: "172.30.0.1" },
  v6: { node: "fd00:30::11", world: "fd00:30::1" },
} as const;

/** Answers every byte, on all addresses. */
const server = (ports: readonly number[]) =>
  `for (const port of [${ports}]) require("net").createServer((s) => { s.on("error", () => {}); s.pipe(s); }).listen(port, "::");`;
/** Says something five times a second and prints a dot for each answer. */
const talker = (host: string, port: number) =>
  `const s = require("net").connect(${port}, "${host}"); s.on("data", () => process.stdout.write("."));
   s.on("error", () => {}); setInterval(() => s.write("x"), 200);`;
const attempt = (host: string, port: number) =>
  `const s = require("net").connect(${port}, "${host}"); const end = (t) => { console.log(t); process.exit(); };
   s.once("connect", () => end("open")); s.once("error", () => end("closed")); setTimeout(() => end("silence"), 1500);`;

const policy = `
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: nodes}
spec:
  nodeSelector: {matchLabels: {kubernetes.io/hostname: n1}}
  ingress:
    - fromEntities: [world]
      toPorts: [{ports: [{port: "${OPEN}", protocol: TCP}]}]
`;

const closed = `
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: nodes}
spec:
  nodeSelector: {matchLabels: {kubernetes.io/hostname: n1}}
  ingressDeny: [{fromEntities: [all]}]
  egressDeny: [{toEntities: [all]}]
`;

suite("the node's own firewall", () => {
  const open = [`ports={${RESCUE}}`, "cidrs={172.30.0.1/32,fd00:30::1/128}"];
  const settings = [
    "hostFirewall.enabled=true",
    ...open.map((setting) => `hostFirewall.neverLockOut.${setting}`),
  ];
  const lab = useLab({ families: "dual", files: ["restart.yaml"], settings });
  const children: ChildProcess[] = [];
  const started = (where: string, script: string) => {
    const argv = ["lab", "exec", where, "--", process.execPath, "-e", script];
    const child = spawn(join(checkout, "weft"), argv, { env: { ...process.env, WEFT_LAB: labName } });
    children.push(child);
    let said = "";
    child.stdout.on("data", (chunk) => {
      said += chunk;
    });
    return { said: () => said.length };
  };
  const tries = async (where: string, host: string, port: number, namespace = "default") => {
    const argv = ["lab", "exec", "-n", namespace, where, "--", process.execPath, "-e", attempt(host, port)];
    return (await weftOk(...argv)).trim();
  };
  const goesOn = async (what: string, talk: { said(): number }) => {
    const before = talk.said();
    await until(what, () => talk.said() >= before + 3);
  };
  const inForce = (what: string, check: () => Promise<boolean>) => until(what, check, { timeoutMs: 30_000 });
  const talks: Record<string, { said(): number }> = {};
  /** By the declared ports from the declared addresses alone, by an API server's port from anywhere. */
  const neverLockedOut = async (node: string) => {
    const found = await Promise.all([
      tries("world", node, RESCUE),
      tries("n2", node, RESCUE),
      tries("n2", node, API),
    ]);
    assert.deepEqual(found, ["open", "silence", "open"], node);
  };

  before(async () => {
    // Pods are judged by the node's policy alone.
    await kubectlOk(["-n", "load", "delete", "networkpolicy", "echo"]);
    await kubectlOk(["-n", "load", "delete", "cnp", "client"]);
    started("n1", server([OPEN, RESCUE, OTHER, API]));
    started("world", server([WORLD]));
    for (const [family, { node, world }] of Object.entries(addresses)) {
      await until("the servers", async () => (await tries("world", node, OTHER)) === "open");
      await until("the servers", async () => (await tries("n1", world, WORLD)) === "open");
      talks[`into ${family}`] = started("world", talker(node, OPEN));
      talks[`out ${family}`] = started("n1", talker(world, WORLD));
      talks[`other ${family}`] = started("world", talker(node, OTHER));
    }
    for (const [what, talk] of Object.entries(talks)) await goesOn(what, talk);
  });
  after(() => {
    for (const child of children) child.kill();
  });

  test("with a policy, what it allows opens and the rest does not", async () => {
    await kubectlOk(["apply", "-f", "-"], { input: policy });
    await Promise.all(
      Object.values(addresses).map(async ({ node }) => {
        await inForce("the policy", async () => (await tries("world", node, OTHER)) === "silence");
        const found = await Promise.all([
          tries("world", node, OPEN),
          tries("n2", node, OPEN),
          tries("client", node, OPEN, "load"),
          tries("far", node, OPEN, "load"),
        ]);
        // Neither another node is the world, nor a pod of this node or of another.
        assert.deepEqual(found, ["open", "silence", "silence", "silence"]);
        await neverLockedOut(node);
      }),
    );
  });

  test("connections that were open go on, in and out, and those it denies stop", async () => {
    for (const family of ["v4", "v6"]) {
      await goesOn(`into ${family}`, talks[`into ${family}`]!);
      await goesOn(`out ${family}`, talks[`out ${family}`]!);
      let before = -1;
      await until(`other ${family} to stop`, async () => {
        await new Promise((resolve) => setTimeout(resolve, 1000));
        const stopped = talks[`other ${family}`]!.said() === before;
        before = talks[`other ${family}`]!.said();
        return stopped;
      });
    }
  });

  test("the node reaches its pods and the cluster, and the agent its API server", async () => {
    const near = podOf(lab.status, "load", "near");
    const far = podOf(lab.status, "load", "far");
    for (const host of [...near.ips, ...far.ips]) assert.equal(await tries("n1", host, 7000), "open", host);
    assert.ok((await labStatus()).nodes.every(({ ready }) => ready));
  });

  test("the flows name the policy that isolates the node", async () => {
    await tries("world", addresses.v4.node, OTHER);
    await until("the flow", async () => {
      const { stdout } = await weft("observe", "--verdict", "DROPPED", "--port", String(OTHER), "-o", "json");
      return stdout.includes('"nodes"') && stdout.includes("reserved:host");
    });
  });

  test("in audit it lets everything through and tells what it would deny", async () => {
    await kubectlOk(["annotate", "ccnp", "nodes", "weft.io/policy-audit=true"]);
    for (const { node } of Object.values(addresses))
      await inForce("the audit", async () => (await tries("world", node, OTHER)) === "open");
    await until("the AUDIT flow", async () => {
      const { stdout } = await weft("observe", "--verdict", "AUDIT", "--port", String(OTHER), "-o", "json");
      return stdout.includes('"nodes"');
    });
    await kubectlOk(["annotate", "ccnp", "nodes", "weft.io/policy-audit-"]);
    await inForce("the policy", async () => (await tries("world", addresses.v4.node, OTHER)) === "silence");
  });

  test("closed both ways, what is never locked out stays open, and the agent hears when that ends", async () => {
    await kubectlOk(["apply", "-f", "-"], { input: closed });
    await Promise.all(
      Object.values(addresses).map(async ({ node, world }) => {
        await inForce("egress to close", async () => (await tries("n1", world, WORLD)) === "silence");
        assert.equal(await tries("world", node, OPEN), "silence");
        await neverLockedOut(node);
      }),
    );
  });

  test("without the policy everything opens again", async () => {
    await kubectlOk(["delete", "ccnp", "nodes"]);
    for (const { node } of Object.values(addresses))
      await inForce("the policy to go", async () => (await tries("world", node, OTHER)) === "open");
  });
});
