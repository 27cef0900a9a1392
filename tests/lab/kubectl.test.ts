// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { suite, test } from "node:test";
import { PodClient } from "#kit/lab-pod.ts";
import { labStateDir, until } from "#kit/lab-run.ts";
import { kubectl, kubectlOk, labStatus, podOf, useLab } from "#kit/lab-use.ts";

const skip =
  spawnSync("kubectl", ["version", "--client"]).status === 0 ? false : "there is no kubectl on the PATH";
const inLoad = (...args: string[]) => kubectlOk(["-n", "load", ...args], { timeoutMs: 60_000 });

suite("kubectl against a lab", { skip }, () => {
  const lab = useLab({ files: ["restart.yaml"] });

  test("get and describe every kind", async () => {
    assert.match(await kubectlOk(["get", "nodes"]), /^n1 +Ready[\s\S]*^n2 +Ready/m);
    const table = await inLoad("get", "deploy,rs,pods,svc,networkpolicy,cnp,endpointslices,sa");
    for (const name of ["deployment.apps/near", "service/echo", "networkpolicy.networking.k8s.io/echo"])
      assert.ok(table.includes(name), table);
    assert.match(table, /ciliumnetworkpolicy\.cilium\.io\/client/);
    const pod = podOf(lab.status, "load", "near");
    const described = await inLoad("describe", "pod", pod.name);
    assert.ok(described.includes(pod.ips[0]!) && /^Status: +Running/m.test(described), described);
    assert.match(
      await inLoad("describe", "deployment", "near"),
      /1 desired \| 1 updated \| 1 total \| 1 available/,
    );
    assert.match(
      await inLoad("describe", "service", "echo"),
      /Endpoints: +10\.244\.\d\.\d+:7000,10\.244\.\d\.\d+:7000/,
    );
    assert.match(await inLoad("describe", "networkpolicy", "echo"), /PodSelector: +app=client/);
    assert.match(await inLoad("describe", "cnp", "client"), /To CIDR Set|toCIDRSet/i);
    assert.match(await kubectlOk(["describe", "node", "n1"]), /PodCIDR: +10\.244\.1\.0\/24/);
    assert.match(await kubectlOk(["get", "ciliumendpoints", "-A"]), new RegExp(pod.name));
  });

  test("logs, exec with input, output and exit code", async () => {
    const { name } = podOf(lab.status, "load", "near");
    assert.match(await inLoad("logs", name), /listening on 7000\/TCP/);
    assert.equal((await inLoad("exec", name, "--", "hostname")).trim(), name);
    const argv = ["-n", "load", "exec", "-i", name, "--", "sh", "-c", "cat; echo bad >&2; exit 5"];
    const { code, stdout, stderr } = await kubectl(argv, { input: "through" });
    assert.deepEqual([code, stdout], [5, "through"]);
    assert.match(stderr, /^bad$/m);
  });

  test("a Service that is patched leads elsewhere", async () => {
    using client = await PodClient.start("load/client");
    const host = await inLoad("get", "service", "echo", "-o", "jsonpath={.spec.clusterIP}");
    for (const at of ["near", "far"]) {
      await inLoad("patch", "service", "echo", "-p", JSON.stringify({ spec: { selector: { at } } }));
      const wanted = podOf(lab.status, "load", at).name;
      for (let inRow = 0; inRow < 5; ) {
        const { pod } = await until("an answer", () => client.call("http", { host, port: 70 }));
        inRow = pod === `load/${wanted}` ? inRow + 1 : 0;
      }
    }
    const merge = { spec: { selector: { at: null } } };
    await inLoad("patch", "service", "echo", "--type=merge", "-p", JSON.stringify(merge));
  });

  test("a watch prints what comes", async () => {
    const argv = [
      "--kubeconfig",
      join(labStateDir, "kubeconfig"),
      "-n",
      "load",
      "get",
      "pods",
      "--watch",
      "--no-headers",
    ];
    const child = spawn("kubectl", argv, { stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    const ended = once(child, "close");
    try {
      await until("the list", () => text.split("\n").length > 3);
      await inLoad("scale", "deployment", "far", "--replicas=2");
      await inLoad("rollout", "status", "deployment", "far", "--timeout=55s");
      const old = podOf(lab.status, "load", "far").name;
      await until("the new pod", () =>
        text.split("\n").some((l) => /^far-\S+ +1\/1 +Running/.test(l) && !l.startsWith(old)),
      );
      await inLoad("scale", "deployment", "far", "--replicas=1");
      await until("one to go", () => /^far-\S+ +\S+ +Terminating/m.test(text));
    } finally {
      child.kill("SIGTERM");
      await ended;
    }
  });

  test("restarted by rollout under traffic: no connection is lost", async () => {
    await inLoad("scale", "deployment", "near", "--replicas=2");
    await inLoad("rollout", "status", "deployment", "near", "--timeout=55s");
    using client = await PodClient.start("load/client");
    const address = await inLoad("get", "service", "echo", "-o", "jsonpath={.spec.clusterIP}");
    const { load } = await client.call("start", { kind: "connections", address, port: 70, everyMs: 20 });
    const before = await nearPods();
    await inLoad("rollout", "restart", "deployment", "near");
    await inLoad("rollout", "status", "deployment", "near", "--timeout=55s");
    await until("the old pods to go", async () => (await nearPods()).every((name) => !before.includes(name)));
    const report = await client.call("stop", { load });
    assert.deepEqual(report.lost, []);
    // How many there are depends on how long the rollout took; that there were some shows that it was watched.
    assert.ok(report.sent > 10 && report.received === report.sent, JSON.stringify(report));
  });

  test("policies come and go by apply and delete; labels are set", async () => {
    const { name } = podOf(await labStatus(), "load", "client");
    await inLoad("label", "pod", name, "seen=yes");
    assert.match(
      await inLoad("get", "pods", "-l", "seen=yes", "-o", "name"),
      new RegExp(`^pod/${name}$`, "m"),
    );
    const cnp =
      "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: one, namespace: load}\nspec: {endpointSelector: {}, ingress: [{}]}\n";
    assert.match(await kubectlOk(["apply", "-f", "-"], { input: cnp }), /created/);
    assert.match(await kubectlOk(["apply", "-f", "-"], { input: cnp }), /unchanged/);
    assert.match(
      await kubectlOk(["apply", "--server-side", "--force-conflicts", "-f", "-"], { input: cnp }),
      /serverside-applied/,
    );
    await until(
      "its status",
      async () =>
        (await inLoad("get", "cnp", "one", "-o", "jsonpath={.status.conditions[0].status}")) === "True",
    );
    assert.match(await kubectlOk(["delete", "-f", "-"], { input: cnp }), /deleted/);
  });
});

async function nearPods(): Promise<string[]> {
  return (await labStatus()).pods.filter(({ workload }) => workload === "near").map(({ name }) => name);
}
