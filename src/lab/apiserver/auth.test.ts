// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { after, before, test } from "node:test";
import { startTestServer, type TestServer } from "./fixture.ts";
import { objectAt, valueAt } from "./object.ts";

let api: TestServer;
before(async () => {
  api = await startTestServer();
});
after(() => api[Symbol.asyncDispose]());

const review = '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}';

test("a client certificate of the authority says who is calling", async () => {
  const { certificate, key } = api.server.clientIdentity("jane", ["devs"]);
  assert.equal(new X509Certificate(certificate).verify(new X509Certificate(api.server.ca).publicKey), true);
  const sent = request({
    host: "127.0.0.1",
    port: api.server.addresses[0]!.port,
    path: "/apis/authentication.k8s.io/v1/selfsubjectreviews",
    method: "POST",
    ca: api.server.ca,
    cert: certificate,
    key,
    agent: false,
    headers: { "content-type": "application/json" },
  });
  sent.end(review);
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  const user = objectAt(JSON.parse(Buffer.concat(chunks).toString()), "status", "userInfo");
  assert.deepEqual([user["username"], user["groups"]], ["jane", ["devs", "system:authenticated"]]);
});

test("no token, a wrong one: 401; health and version are open", async () => {
  for (const authorization of ["", "Bearer nope", "Basic YTpi"]) {
    const answer = await api.call("GET", "/api/v1/pods", undefined, { authorization });
    assert.deepEqual([answer.code, answer.body["reason"]], [401, "Unauthorized"]);
  }
  for (const path of ["/healthz", "/readyz", "/livez", "/version"]) {
    assert.equal((await api.call("GET", path, undefined, { authorization: "" })).code, 200);
  }
});

test("the serving certificate is good for loopback and the Service's names", () => {
  const { subjectAltName } = new X509Certificate(api.server.servingCertificate);
  for (const name of ["IP Address:127.0.0.1", "IP Address:0:0:0:0:0:0:0:1", "DNS:kubernetes.default.svc"]) {
    assert.ok(subjectAltName?.includes(name), `${name} in ${subjectAltName}`);
  }
});

test("discovery in its three forms", async () => {
  assert.deepEqual((await api.call("GET", "/api")).body["versions"], ["v1"]);
  const groups = await api.call("GET", "/apis");
  assert.equal(groups.body["kind"], "APIGroupList");
  const accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
  const core = await api.call("GET", "/api", undefined, { accept });
  assert.equal(core.body["kind"], "APIGroupDiscoveryList");
  assert.match(String(core.headers["content-type"]), /as=APIGroupDiscoveryList/);
  const document = await api.call("GET", "/openapi/v3/apis/apps/v1");
  assert.ok(valueAt(document.body, "paths", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}"));
});

test("what cannot be read is refused with its reason", async () => {
  const maps = "/api/v1/namespaces/default/configmaps";
  assert.equal((await api.call("POST", maps, "{not json")).code, 400);
  assert.equal((await api.call("POST", maps, "x", { "content-type": "text/html" })).code, 415);
  assert.equal(
    (await api.call("POST", maps, "k8s\0zz", { "content-type": "application/vnd.kubernetes.protobuf" })).code,
    400,
  );
  assert.equal((await api.call("POST", maps, `"${"x".repeat(4 << 20)}"`)).code, 413);
  assert.equal(
    (await api.call("GET", maps, undefined, { accept: "application/vnd.kubernetes.protobuf" })).code,
    406,
  );
  assert.equal((await api.call("PUT", maps, "{}")).code, 405);
});
