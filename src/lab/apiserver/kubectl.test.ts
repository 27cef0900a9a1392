// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { kubectlMissing, startTestServer, type TestServer } from "./fixture.ts";
import type { KubeletClient, LogOptions } from "./kubelet.ts";

let api: TestServer;
const asked: LogOptions[] = [];

/** A node that logs two lines and runs three commands. */
const kubelet: KubeletClient = {
  async *logs(pod, container, options) {
    asked.push(options);
    yield Buffer.from(`${pod.metadata.name}/${container} one\n`);
    yield Buffer.from("two\n");
  },
  exec: async (_pod, _container, { command }, streams) => {
    if (command[0] === "fail") return 7;
    if (command[0] === "echo") await streams.stdout(Buffer.from(`${command.slice(1).join(" ")}\n`));
    if (command[0] === "cat") for await (const chunk of streams.stdin) await streams.stdout(chunk);
    await streams.stderr(Buffer.from("note\n"));
    return 0;
  },
};

before(async () => {
  api = await startTestServer(kubelet);
});
after(() => api[Symbol.asyncDispose]());

const skip = kubectlMissing;

/** Runs kubectl, which has to succeed; its output. */
async function kubectl(args: string, input?: string): Promise<string> {
  const result = await api.kubectl(args.split(" "), input);
  assert.equal(result.code, 0, `kubectl ${args}: ${result.stderr}`);
  return result.stdout;
}

async function failing(args: string, input?: string): Promise<string> {
  const result = await api.kubectl(args.split(" "), input);
  assert.notEqual(result.code, 0, `kubectl ${args} should have failed`);
  return result.stderr;
}

const inputs = join(import.meta.dirname, "../../../../shared/inputs");

for (const application of ["guestbook", "online-boutique"]) {
  const folder = join(inputs, application);
  const absent = existsSync(folder) ? undefined : "the real manifests are not beside the checkout";
  test(`apply of ${application}: everything is made, and unchanged the second time`, {
    skip: skip ?? absent,
  }, async () => {
    await kubectl(`create namespace ${application}`);
    const first = await kubectl(`apply -n ${application} -f ${folder}`);
    assert.ok(
      first
        .trim()
        .split("\n")
        .every((line) => line.endsWith(" created")),
      first,
    );
    const second = await kubectl(`apply -n ${application} -f ${folder}`);
    assert.ok(
      second
        .trim()
        .split("\n")
        .every((line) => line.endsWith(" unchanged")),
      second,
    );
    assert.match(await kubectl(`diff -n ${application} -f ${folder}`), /^$/);
    const deleted = await kubectl(`delete -n ${application} -f ${folder}`);
    assert.equal(deleted.trim().split("\n").length, first.trim().split("\n").length);
  });
}

test("create with protobuf bodies, get, label, annotate, patch, scale, delete", { skip }, async () => {
  await kubectl("create deployment web --image=shop/web:1 --replicas=2 --port=80");
  assert.match(
    await kubectl("get deployments -o wide"),
    /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE +CONTAINERS +IMAGES +SELECTOR\nweb +0\/2 +0 +0 +\d+s +web +shop\/web:1 +app=web\n$/,
  );
  await kubectl("expose deployment web --port=80 --target-port=8080 --type=NodePort");
  assert.match(await kubectl("get service web"), /web +NodePort +10\.96\.\d+\.\d+ +<none> +80:3\d{4}\/TCP/);
  await kubectl("label deployment web tier=front");
  await kubectl("annotate deployment web note=x");
  await kubectl("scale deployment web --replicas=3");
  await kubectl(
    'patch deployment web -p {"spec":{"template":{"spec":{"containers":[{"name":"web","image":"shop/web:2"}]}}}}',
  );
  await kubectl("set env deployment/web A=1");
  const shown = await kubectl(
    "get deployment web -o jsonpath={.metadata.labels.tier},{.spec.replicas},{.spec.template.spec.containers[0].image},{.spec.template.spec.containers[0].env[0].value}",
  );
  assert.equal(shown, "front,3,shop/web:2,1");
  assert.match(await kubectl("describe deployment web"), /Replicas: +3 desired/);
  assert.match(await kubectl("describe service web"), /NodePort: +<unset> +3\d{4}\/TCP/);
  assert.match(await kubectl("get all"), /deployment\.apps\/web/);
  assert.match(await kubectl("delete deployment,service web"), /"web" deleted/);
  assert.match(
    await failing("get deployment web"),
    /Error from server \(NotFound\): deployments\.apps "web" not found/,
  );
});

test("rollout status follows the status", { skip }, async () => {
  await kubectl("create deployment roll --image=shop/web:1");
  const rollout = kubectl("rollout status deployment roll --timeout=20s");
  const status =
    '{"status":{"observedGeneration":1,"replicas":1,"updatedReplicas":1,"readyReplicas":1,"availableReplicas":1}}';
  await kubectl(`patch deployment roll --subresource=status --type=merge -p ${status}`);
  assert.match(await rollout, /successfully rolled out/);
});

test("server-side apply and its conflict", { skip }, async () => {
  const manifest = (value: string) =>
    `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"ssa"},"data":{"a":"${value}"}}`;
  await kubectl("apply --server-side -f -", manifest("1"));
  assert.match(
    await failing("apply --server-side --field-manager=other -f -", manifest("2")),
    /conflict with "kubectl": \.data\.a/,
  );
  await kubectl("apply --server-side --field-manager=other --force-conflicts -f -", manifest("2"));
  assert.equal(await kubectl("get configmap ssa -o jsonpath={.data.a}"), "2");
});

test("what is wrong with a manifest is said with its field", { skip }, async () => {
  const service = (port: string, more = "") =>
    `{apiVersion: v1, kind: Service, metadata: {name: bad}, spec: {${more} ports: [{port: ${port}}]}}`;
  assert.match(
    await failing("apply -f -", service("70000")),
    /spec\.ports\[0\]\.port: Invalid value: 70000: must be between 1 and 65535, inclusive/,
  );
  assert.match(
    await failing("apply -f -", service("80", "typ: NodePort,")),
    /strict decoding error: unknown field "spec\.typ"/,
  );
  assert.match(
    await failing("apply -f -", service("eighty")),
    /cannot unmarshal string into Go struct field ServicePort\.spec\.ports\.port of type int32/,
  );
  const policy =
    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p}, spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/8]}}]}]}}";
  assert.match(await failing("apply -f -", policy), /spec\.ingress\[0\]\.from\[0\]\.ipBlock\.except\[0\]/);
  assert.match(
    await failing("apply -f -", "{apiVersion: shop/v1, kind: Toaster, metadata: {name: t}}"),
    /no matches for kind "Toaster" in version "shop\/v1"/,
  );
});

test("a CiliumNetworkPolicy, by its short name too", { skip }, async () => {
  const policy =
    "{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: web}, spec: {endpointSelector: {matchLabels: {app: web}}, ingress: [{fromEndpoints: [{matchLabels: {app: shop}}]}]}}";
  assert.match(await kubectl("apply -f -", policy), /ciliumnetworkpolicy\.cilium\.io\/web created/);
  assert.match(await kubectl("apply -f -", policy), /unchanged/);
  assert.match(await kubectl("get cnp"), /^NAME +AGE +VALID +ENFORCED\nweb /);
  assert.match(await kubectl("delete cnp web"), /deleted/);
});

test("logs and exec reach the node", { skip }, async () => {
  const pod =
    "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {nodeName: n1, containers: [{name: c, image: x}]}}";
  await kubectl("apply -f -", pod);
  assert.equal(await kubectl("logs p --tail=2 --since=1m -p"), "p/c one\ntwo\n");
  assert.deepEqual([asked[0]?.tailLines, asked[0]?.sinceSeconds, asked[0]?.previous], [2, 60, true]);
  assert.equal(await kubectl("exec p -- echo a b"), "a b\n");
  const input = "x".repeat(300_000);
  assert.equal(await kubectl("exec -i p -- cat", input), input);
  const failed = await api.kubectl(["exec", "p", "--", "fail"]);
  assert.equal(failed.code, 7);
  assert.match(failed.stderr, /command terminated with exit code 7/);
  assert.match(await failing("exec nope -- echo"), /pods "nope" not found/);
  assert.match(await failing("logs p -c other"), /container other is not valid for pod p/);
  assert.match(await kubectl("delete pod p --grace-period=0 --force"), /deleted/);
});

test("get --watch prints what comes", { skip }, async () => {
  await kubectl("create configmap seen --from-literal=a=b");
  const watching = api.kubectl([
    "get",
    "configmap",
    "seen",
    "--watch",
    "--request-timeout=2s",
    "--output=name",
  ]);
  const watched = await watching;
  assert.match(watched.stdout, /configmap\/seen/);
});

test("everything is allowed, and can be asked", { skip }, async () => {
  assert.equal(await kubectl("auth can-i delete pods"), "yes\n");
  assert.match(await kubectl("auth whoami"), /admin/);
  assert.match(
    await kubectl("api-resources"),
    /ciliumnetworkpolicies +cnp,ciliumnp +cilium\.io\/v2 +true +CiliumNetworkPolicy/,
  );
  assert.match(await kubectl("explain pod.spec.containers"), /FIELD: containers/);
  assert.equal(await kubectl("get --raw /readyz"), "ok");
});
