// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createKubeClient } from "#k8s/client.ts";
import { isConflict, isNotFound, KubeError } from "#k8s/errors.ts";
import { loadCredentials } from "#k8s/kubeconfig.ts";
import { resourcePath, resources } from "#k8s/resource.ts";
import { fakeClock } from "#kit/clock.ts";

async function server(handle: (request: IncomingMessage, body: string, answer: ServerResponse) => void) {
  const seen: string[] = [];
  const http = createServer(async (request, answer) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    seen.push(`${request.method} ${request.url}`);
    handle(request, body, answer);
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  // Waits of a retry are over at once.
  const clock = {
    ...fakeClock(),
    after: (_ms: number, callback: () => void) => {
      const soon = setImmediate(callback);
      return () => clearImmediate(soon);
    },
  };
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  const client = createKubeClient(
    { server: url, namespace: "default", insecure: false, token: async () => "s3cret" },
    { clock },
  );
  return {
    seen,
    client,
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}
const reply = (answer: ServerResponse, code: number, body: unknown, headers = {}) => {
  answer.writeHead(code, headers);
  answer.end(JSON.stringify(body));
};

test("paths of core and group kinds, names escaped", () => {
  assert.equal(resourcePath(resources.nodes, { name: "a b" }), "/api/v1/nodes/a%20b");
  assert.equal(
    resourcePath(resources.endpointSlices, { namespace: "x", name: "y", subresource: "status" }),
    "/apis/discovery.k8s.io/v1/namespaces/x/endpointslices/y/status",
  );
});

test("each verb is sent as the API expects it", async () => {
  const bodies: string[] = [];
  await using s = await server((request, body, answer) => {
    bodies.push(`${request.headers["content-type"] ?? ""} ${request.headers.authorization} ${body}`);
    reply(answer, 200, { kind: "PodList", items: null, metadata: { resourceVersion: "7" } });
  });
  const ref = { namespace: "x", name: "y" };
  const pod = { metadata: ref };
  const { client } = s;
  await client.get(resources.pods, ref);
  assert.deepEqual(await client.list(resources.pods, { labelSelector: "a=b", limit: 5 }), {
    items: [],
    resourceVersion: "7",
  });
  await client.create(resources.pods, pod);
  await client.replace(resources.pods, pod, { subresource: "status" });
  await client.patch(resources.pods, ref, { type: "merge", body: { a: null } });
  await client.patch(resources.pods, ref, { type: "apply", body: pod }, { fieldManager: "me", force: true });
  await client.delete(resources.pods, ref, { propagationPolicy: "Background", uid: "u1" });
  assert.deepEqual(s.seen, [
    "GET /api/v1/namespaces/x/pods/y",
    "GET /api/v1/pods?labelSelector=a%3Db&limit=5",
    "POST /api/v1/namespaces/x/pods?fieldManager=weft",
    "PUT /api/v1/namespaces/x/pods/y/status?fieldManager=weft",
    "PATCH /api/v1/namespaces/x/pods/y?fieldManager=weft",
    "PATCH /api/v1/namespaces/x/pods/y?fieldManager=me&force=true",
    "DELETE /api/v1/namespaces/x/pods/y",
  ]);
  assert.equal(bodies[4], 'application/merge-patch+json Bearer s3cret {"a":null}');
  assert.match(bodies[5]!, /^application\/apply-patch\+yaml/);
  assert.match(bodies[6]!, /"propagationPolicy":"Background","preconditions":\{"uid":"u1"\}/);
});

test("a refusal is an error with status, reason and the server's words", async () => {
  await using s = await server((_request, _body, answer) =>
    reply(answer, 404, { kind: "Status", reason: "NotFound", message: 'pods "y" not found' }),
  );
  await assert.rejects(s.client.get(resources.pods, { namespace: "x", name: "y" }), (thrown) => {
    assert.ok(thrown instanceof KubeError && isNotFound(thrown) && !isConflict(thrown));
    assert.deepEqual([thrown.code, thrown.status, thrown.reason], ["E_K8S", 404, "NotFound"]);
    assert.equal(thrown.message, 'GET /api/v1/namespaces/x/pods/y: pods "y" not found (404)');
    return true;
  });
  assert.equal(s.seen.length, 1);
});

test("what can be repeated is, four times in all; what cannot is not, save after 429", async () => {
  const codes: number[] = [];
  await using s = await server((_request, _body, answer) => reply(answer, codes.shift() ?? 200, {}));
  const ref = { namespace: "x", name: "y" };
  codes.push(500, 503);
  await s.client.get(resources.pods, ref);
  codes.push(500, 500, 500, 500);
  await assert.rejects(s.client.get(resources.pods, ref), { status: 500 });
  assert.equal(s.seen.splice(0).length, 3 + 4);
  codes.push(500);
  await assert.rejects(s.client.create(resources.pods, { metadata: ref }), { status: 500 });
  codes.push(429);
  await s.client.create(resources.pods, { metadata: ref });
  assert.equal(s.seen.length, 1 + 2);
});

test("a lost connection, an answer cut short and one that is no JSON are errors with status 0", async () => {
  const ways: ((answer: ServerResponse) => void)[] = [];
  await using s = await server((_request, _body, answer) => ways[0]!(answer));
  const post = () => s.client.create(resources.pods, { metadata: { namespace: "x", name: "y" } });
  ways[0] = (answer) => answer.destroy();
  await assert.rejects(post(), { code: "E_K8S", status: 0, reason: "Unreachable" });
  ways[0] = (answer) => {
    answer.writeHead(200, { "content-length": "100" });
    answer.write("{");
    setImmediate(() => answer.destroy());
  };
  await assert.rejects(post(), { status: 0 });
  ways[0] = (answer) => answer.end("<html>");
  await assert.rejects(post(), { status: 0 });
});

test("an abort ends a request that hangs, with the signal's reason", async () => {
  const stop = new AbortController();
  await using s = await server(() => stop.abort(new Error("enough")));
  await assert.rejects(s.client.get(resources.pods, { name: "y" }, stop.signal), /enough/);
});

test("kubeconfig: files and inline data, a chosen context, and clear words for what is wrong", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "weft-kubeconfig-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const path = join(dir, "config");
  const data = (text: string) => Buffer.from(text).toString("base64");
  writeFileSync(join(dir, "ca.crt"), "CA");
  writeFileSync(join(dir, "token"), "from-file\n");
  writeFileSync(
    path,
    `
apiVersion: v1
kind: Config
current-context: one
clusters: [{ name: c, cluster: { server: "https://10.0.0.1:6443/", certificate-authority: ca.crt, tls-server-name: api } }]
contexts: [{ name: one, context: { cluster: c, user: u, namespace: ns } }, { name: two, context: { cluster: c, user: t } }, { name: three, context: { cluster: nope } }]
users: [{ name: u, user: { client-certificate-data: ${data("CERT")}, client-key-data: ${data("KEY")} } }, { name: t, user: { tokenFile: token } }]
`,
  );
  const one = await loadCredentials(path);
  assert.deepEqual(
    [
      one.server,
      one.namespace,
      String(one.ca),
      String(one.cert),
      String(one.key),
      one.servername,
      await one.token(),
    ],
    ["https://10.0.0.1:6443", "ns", "CA", "CERT", "KEY", "api", undefined],
  );
  assert.equal(await (await loadCredentials(path, { context: "two" })).token(), "from-file");
  await assert.rejects(loadCredentials(path, { context: "three" }), {
    code: "E_KUBECONFIG",
    message: `${path}: there is no cluster "nope"`,
  });
  await assert.rejects(loadCredentials(path, { context: "four" }), /no context "four"/);
  writeFileSync(path, "clusters: 3");
  await assert.rejects(loadCredentials(path), /current-context/);
  await assert.rejects(loadCredentials(join(dir, "none")), /cannot be read/);
});

test("kubeconfig: a program hands out the token", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "weft-kubeconfig-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const path = join(dir, "config");
  const credential = {
    apiVersion: "client.authentication.k8s.io/v1",
    kind: "ExecCredential",
    status: { token: "from-program" },
  };
  writeFileSync(join(dir, "credential.json"), JSON.stringify(credential));
  const exec = {
    apiVersion: credential.apiVersion,
    command: "cat",
    args: [join(dir, "credential.json")],
    interactiveMode: "Never",
  };
  const config = {
    "current-context": "one",
    clusters: [{ name: "c", cluster: { server: "https://10.0.0.1:6443" } }],
    contexts: [{ name: "one", context: { cluster: "c", user: "u" } }],
    users: [{ name: "u", user: { exec } }],
  };
  writeFileSync(path, JSON.stringify(config));
  const credentials = await loadCredentials(path);
  assert.equal(await credentials.token(), "from-program");
});

test("in a pod: the address that was set instead of the environment's", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "weft-account-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const files = { token: "t0ken\n", namespace: "kube-system\n", "ca.crt": "CA" };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
  const kubeconfig = process.env.KUBECONFIG;
  delete process.env.KUBECONFIG;
  t.after(() => {
    if (kubeconfig !== undefined) process.env.KUBECONFIG = kubeconfig;
  });
  const apiServer = { host: "fd00::1", port: 6443 };
  const credentials = await loadCredentials(undefined, { apiServer, serviceAccountDir: dir });
  assert.equal(credentials.server, "https://[fd00::1]:6443");
  assert.equal(credentials.namespace, "kube-system");
  assert.equal(await credentials.token(), "t0ken");
});
