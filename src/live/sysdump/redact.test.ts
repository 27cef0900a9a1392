// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { redactObject, redactText } from "./redact.ts";

const jwt = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl";
const pem = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIPlanted\nAoGCCqGSM49\n-----END EC PRIVATE KEY-----";

test("what looks like a secret goes from any text, the rest stays", () => {
  const planted: readonly string[] = [
    `Authorization: Bearer ${jwt}`,
    `sent token ${jwt} to`,
    "authorization: Basic dXNlcjpwbGFudGVk",
    "--token=planted-1234 --verbose",
    'password: "planted-1234"',
    '{\\"password\\":\\"planted-1234\\"}',
    "DB_PASSWORD=planted-1234",
    "AWS_SECRET_ACCESS_KEY: planted-1234",
    "postgres://user:planted-1234@db:5432/x",
    pem,
    pem.replaceAll("\n", "\\n"),
    `client-key-data: ${Buffer.from(pem).toString("base64")}`,
    `cut off ${pem.slice(0, 50)}`,
  ];
  for (const text of planted) {
    const left = redactText(text);
    assert.match(left, /<redacted>/, text);
    assert.doesNotMatch(left, /planted|MHcCAQ|dXNlcjp|eyJpc3Mi|LS0tLS1CRU/i, left);
  }
  for (const text of [
    "10.244.0.5:8080 -> shop/cart-0 FORWARDED",
    '{"level":30,"msg":"ready","took":12}',
    "sha256:aab934ba66e5aabb0734dc3318d50d489a92d4044d4555776f2355d48c413730",
    "https://10.96.0.1:443/version",
  ])
    assert.equal(redactText(text), text);
  assert.equal(redactText("postgres://user:planted-1234@db/x"), "postgres://user:<redacted>@db/x");
});

test("an object loses Secret data, variables named like secrets, managed fields and last applied configurations", () => {
  const pod = {
    kind: "Pod",
    metadata: {
      name: "p",
      managedFields: [{ manager: "kubectl" }],
      annotations: {
        "kubectl.kubernetes.io/last-applied-configuration": "planted",
        note: `a ${jwt}`,
        plain: "stays",
      },
    },
    spec: {
      automountServiceAccountToken: false,
      imagePullSecrets: [{ name: "registry" }],
      containers: [
        {
          args: ["--token=planted-1234", "--config", "/etc/weft/agent.yaml"],
          env: [
            { name: "API_TOKEN", value: "planted" },
            { name: "MODE", value: "fast" },
            { name: "DB_PASSWORD", valueFrom: { secretKeyRef: { name: "db", key: "password" } } },
          ],
        },
      ],
      volumes: [{ secret: { secretName: "tls" } }],
    },
    apiKey: "planted",
  };
  const left = JSON.stringify(redactObject(pod));
  assert.doesNotMatch(left, /planted|managedFields|last-applied|eyJhb/);
  for (const kept of [
    "stays",
    "fast",
    "registry",
    '"secretName":"tls"',
    "/etc/weft/agent.yaml",
    '"name":"db"',
  ])
    assert.ok(left.includes(kept), `${kept} in ${left}`);
  const secret = redactObject({ kind: "Secret", data: { a: "cGxhbnRlZA==" }, stringData: { b: "planted" } });
  assert.deepEqual(secret, { kind: "Secret", data: "<redacted>", stringData: "<redacted>" });
});
