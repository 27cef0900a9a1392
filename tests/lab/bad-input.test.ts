// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { listLinks } from "#kernel/netlink/link.ts";
import { createNetns, deleteNetns, netnsPath } from "#kernel/netns.ts";
import { cni } from "#kit/lab-cni.ts";
import { agentPid } from "#kit/lab-kernel.ts";
import { PodClient } from "#kit/lab-pod.ts";
import { checkout, labPrefix, labStateDir, run, until, weft, weftOk } from "#kit/lab-run.ts";
import { assertNothingLeft, kubectlOk, podOf, useLab } from "#kit/lab-use.ts";

/** A broken document each, and what the message must name. */
const broken: readonly [name: string, text: string, message: RegExp][] = [
  ["unknown kind", "apiVersion: v1\nkind: Podd\nmetadata: {name: x}", /kind.*Podd/],
  ["unknown version", "apiVersion: apps/v9\nkind: Deployment\nmetadata: {name: x}", /apps\/v9/],
  ["no name", "apiVersion: v1\nkind: ConfigMap\nmetadata: {}", /metadata\.name/],
  ["unknown field", netpol("podSelector: {}, ingresss: []"), /spec.*ingresss/],
  [
    "port",
    netpol("podSelector: {}, ingress: [{ports: [{port: 70000}]}]"),
    /spec\.ingress\[0\]\.ports\[0\]\.port/,
  ],
  [
    "protocol",
    netpol("podSelector: {}, ingress: [{ports: [{port: 80, protocol: TPC}]}]"),
    /ports\[0\]\.protocol/,
  ],
  [
    "end port",
    netpol("podSelector: {}, egress: [{ports: [{port: 80, endPort: 70}]}]"),
    /ports\[0\]\.endPort/,
  ],
  [
    "CIDR",
    netpol("podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.0.0.0/33}}]}]"),
    /egress\[0\]\.to\[0\]\.ipBlock\.cidr/,
  ],
  [
    "exception outside its CIDR",
    netpol("podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/8]}}]}]"),
    /ipBlock\.except\[0\]/,
  ],
  [
    "operator",
    netpol("podSelector: {matchExpressions: [{key: a, operator: Is, values: [b]}]}"),
    /podSelector\.matchExpressions\[0\]\.operator/,
  ],
  ["label", netpol("podSelector: {matchLabels: {a: 'b c'}}"), /podSelector\.matchLabels/],
  [
    "duplicate key",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: b, a: c}",
    /line \d+.*unique/i,
  ],
  ["not YAML", "a: [", /line \d+/],
  ["type", "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: many}", /spec\.ports/],
  [
    "target port",
    "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: 80, targetPort: 70000}]}",
    /spec\.ports\[0\]\.targetPort/,
  ],
  [
    "Cilium: unknown field",
    cnp("endpointSelector: {}, ingress: [{fromEndpoint: []}]"),
    /ingress\[0\].*fromEndpoint/,
  ],
  ["Cilium: CIDR", cnp("endpointSelector: {}, egress: [{toCIDR: [10.0.0]}]"), /egress\[0\]\.toCIDR\[0\]/],
  [
    "Cilium: entity",
    cnp("endpointSelector: {}, egress: [{toEntities: [moon]}]"),
    /egress\[0\]\.toEntities\[0\]/,
  ],
  [
    "Cilium: protocol",
    cnp('endpointSelector: {}, egress: [{toPorts: [{ports: [{port: "80", protocol: TPC}]}]}]'),
    /toPorts\[0\]\.ports\[0\]\.protocol/,
  ],
];

function netpol(spec: string): string {
  return `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x}\nspec: {${spec}}`;
}

function cnp(spec: string): string {
  return `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: x}\nspec: {${spec}}`;
}

suite("bad input", () => {
  const lab = useLab({ nodes: 1, files: ["pair.yaml"] });
  const dir = mkdtempSync(join(tmpdir(), "weft-bad-input-"));
  after(() => rmSync(dir, { recursive: true, force: true }));

  suite("manifests", { concurrency: 3 }, () => {
    for (const [i, [name, text, message]] of broken.entries()) {
      test(name, async () => {
        const file = join(dir, `${name.replaceAll(/\W/g, "-")}.yaml`);
        writeFileSync(file, `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: good-${i}}\n---\n${text}\n`);
        const { code, stderr, stdout } = await weft("lab", "apply", "-f", file);
        assert.equal(code, 1, stdout);
        assert.match(stderr, message);
        assert.ok(stderr.includes(file) && stderr.includes("document 2"), stderr);
        assert.equal(stderr.split("\n").filter((line) => line.startsWith("weft:")).length, 1, stderr);
      });
    }
  });

  test("nothing of all these files was applied", async () => {
    assert.doesNotMatch(await kubectlOk(["get", "configmap", "-o", "name"]), /good/);
  });

  test("one call that is wrong: exit code 2, and the word", async () => {
    const calls: [string[], RegExp][] = [
      [["lab", "up", "--nodes", "three"], /three/],
      [["lab", "up", "--routing", "magic"], /magic/],
      [["lab", "up", "--families", "v5"], /v5/],
      [["lab", "probe", "--timeout", "soon"], /soon/],
      [["lab", "apply"], /filename/],
      [["lab", "wat"], /wat/],
      [["status", "--jsn"], /--jsn/],
      [["db", "show"], /table/],
      [["status", "-o", "xml"], /xml/],
      [["endpoint", "list", "-o", "xml"], /xml/],
    ];
    for (const [args, message] of calls) {
      const { code, stderr } = await weft(...args);
      assert.equal(code, 2, `${args.join(" ")}: ${stderr}`);
      assert.match(stderr, message, args.join(" "));
    }
  });

  test("one that cannot be done: exit code 1, and what", async () => {
    const calls: [string[], RegExp][] = [
      [["db", "show", "nothing"], /nothing/],
      [["lab", "up", "--set", "policy.enforcemnt=always"], /--set: policy: .*enforcemnt/],
      [["lab", "up", "--set", "routing=native"], /--set: routing: is for the lab/],
      [["endpoint", "get", "pair/nobody"], /nobody/],
      [["policy", "get", "pair/nobody"], /nobody/],
      [["lab", "exec", "pair/nobody", "--", "true"], /nobody/],
      [["lab", "apply", "-f", "/nowhere.yaml"], /nowhere\.yaml/],
      [["status", "--node", "n9"], /n9/],
    ];
    for (const [args, message] of calls) {
      const { code, stderr } = await weft(...args);
      assert.equal(code, 1, `${args.join(" ")}: ${stderr}`);
      assert.match(stderr, message, args.join(" "));
    }
  });

  test("questions for the probe: which, and which field", async () => {
    const ask = (question: object) =>
      run([join(checkout, "weft"), "lab", "probe", "--questions", "-"], {
        input: JSON.stringify([question]),
      });
    const good = { from: "pair/client", to: "pair/server", port: 8080, protocol: "TCP" };
    assert.equal((await ask(good)).code, 0);
    for (const [change, message] of [
      [{ port: 0 }, /question 1: port/],
      [{ protocol: "IGMP" }, /question 1: protocol/],
      [{ from: "nobody" }, /question 1: from/],
      [{ from: "pair/nobody" }, /pair\/nobody/],
      [{ to: "pair/nobody" }, /pair\/nobody/],
      [{ verdict: "allow" }, /question 1: verdict/],
    ] as const) {
      const { code, stderr } = await ask({ ...good, ...change });
      assert.equal(code, 1, stderr);
      assert.match(stderr, message);
    }
  });

  test("a policy that cannot be enforced as written is refused as a whole, and says so", async () => {
    const rules = "rules: {http: [{method: GET}]}";
    const l7 = `toPorts: [{ports: [{port: "8080", protocol: TCP}], ${rules}}]`;
    const text = cnp(
      `endpointSelector: {matchLabels: {app: server}}, ingress: [{fromEndpoints: [{matchLabels: {app: nobody}}]}, {${l7}}]`,
    );
    await kubectlOk(["-n", "pair", "apply", "-f", "-"], { input: text.replace("name: x", "name: l7") });
    const condition = await until("the object's status", async () => {
      const object = JSON.parse(await kubectlOk(["-n", "pair", "get", "cnp", "l7", "-o", "json"])) as {
        status?: { conditions?: { type: string; status: string; message: string }[] };
      };
      return object.status?.conditions?.find(({ type }) => type === "Valid");
    });
    assert.equal(condition.status, "False");
    assert.match(condition.message, /spec\.ingress\[1\].*rules/);
    assert.match(await weftOk("policy", "get", "pair/l7"), /spec\.ingress\[1\].*rules/);
    using client = await PodClient.start("pair/client");
    const server = podOf(lab.status, "pair", "server").ips[0]!;
    assert.equal((await client.call("http", { host: server, port: 8080 })).outcome, "answered");
    await kubectlOk(["-n", "pair", "delete", "cnp", "l7"]);
  });

  suite("the CNI plugin", () => {
    const name = `${labPrefix}-cni`;
    const links = () => {
      using netlink = openNetlink({ netns: netnsPath(`${labPrefix}-n1`) });
      return [...listLinks(netlink)].map((link) => link.name).sort();
    };
    const one = { containerId: "bad-input", netns: netnsPath(name), pod: "pair/client" };
    let linksBefore: string[];
    before(() => {
      createNetns(name);
      linksBefore = links();
    });
    after(() => void deleteNetns(name));

    test("ADD twice: the second is an error and changes nothing", async () => {
      const first = await cni("n1", { command: "ADD", ...one });
      assert.equal(first.code, 0, first.object.msg ?? "");
      const second = await cni("n1", { command: "ADD", ...one });
      assert.equal(second.code, 1);
      assert.equal(second.object.code, 101);
      assert.equal((await cni("n1", { command: "CHECK", ...one, prevResult: first.object })).code, 0);
      for (let times = 0; times < 2; times++)
        assert.equal((await cni("n1", { command: "DEL", ...one })).code, 0);
      assert.deepEqual(links(), linksBefore);
    });

    test("a dead namespace, an unknown pod, an unset variable", async () => {
      const dead = await cni("n1", { command: "ADD", ...one, netns: "/run/netns/nowhere" });
      const unknown = await cni("n1", { command: "ADD", ...one, pod: "pair/nobody" });
      const unset = await cni("n1", { command: "ADD", netns: one.netns, pod: one.pod });
      assert.match(dead.object.msg ?? "", /nowhere/);
      assert.match(unknown.object.msg ?? "", /pair\/nobody/);
      assert.match(unset.object.msg ?? "", /CNI_CONTAINERID/);
      for (const { code, object } of [dead, unknown, unset]) assert.ok(code === 1 && (object.code ?? 0) > 0);
      assert.deepEqual(links(), linksBefore);
    });

    test("without an agent: try again later", async () => {
      const config = join(labStateDir, "nodes/n1/agent.yaml");
      renameSync(config, `${config}.away`);
      try {
        process.kill(agentPid("n1")!, "SIGKILL");
        const gone = await until("no agent", async () => {
          const answer = await cni("n1", { command: "ADD", ...one });
          return answer.code !== 0 && answer;
        });
        assert.equal(gone.object.code, 11);
        assert.match(gone.object.msg ?? "", /agent/);
        const status = await cni("n1", { command: "STATUS" });
        assert.equal(status.code, 1);
        assert.equal((await cni("n1", { command: "VERSION" })).code, 0);
      } finally {
        renameSync(`${config}.away`, config);
      }
      await until("the agent to be back", async () => (await cni("n1", { command: "STATUS" })).code === 0);
      assert.equal((await cni("n1", { command: "DEL", ...one })).code, 0);
      assert.deepEqual(links(), linksBefore);
    });
  });
});

suite("bad input before there is a lab", () => {
  test("a broken manifest costs nothing: no lab is begun", async () => {
    const argv = [join(checkout, "weft"), "lab", "up", "--quiet", "-f", "-"];
    const { code, stderr } = await run(argv, { input: "apiVersion: v1\nkind: Podd\nmetadata: {name: x}\n" });
    assert.equal(code, 1);
    assert.match(stderr, /document 1.*Podd/);
    assertNothingLeft();
  });
});
