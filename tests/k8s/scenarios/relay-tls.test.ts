// SPDX-License-Identifier: Apache-2.0
/** The relay with a certificate of one's own: clients meet it at its Service, and `weft observe` goes on as before. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { administratorOk } from "../cluster/administrator.ts";
import { command } from "../cluster/command.ts";
import { until } from "../cluster/until.ts";
import { weftCluster } from "../cluster/weft.ts";

const cluster = await weftCluster();
const dir = mkdtempSync(join(tmpdir(), "relay-tls-"));
const cert = join(dir, "tls.crt");
const key = join(dir, "tls.key");
const namespace = ["-n", "kube-system"];
const wait = ["--wait", "--timeout", "120"];

suite("relay with TLS", () => {
  after(async () => {
    await administratorOk(cluster, ["weft", "upgrade", "--reset-values", ...wait]);
    await cluster.kubectl([...namespace, "delete", "secret", "relay-tls", "--ignore-not-found"]);
    rmSync(dir, { recursive: true });
    await cluster[Symbol.asyncDispose]();
  });

  test("is rolled out with the Secret's certificate", async () => {
    const form = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    const name = ["-subj", "/CN=relay", "-addext", "subjectAltName=DNS:relay.example"];
    await command(["openssl", "req", "-x509", ...form, ...name, "-keyout", key, "-out", cert]);
    const files = [`--cert=${cert}`, `--key=${key}`];
    await cluster.kubectl([...namespace, "create", "secret", "tls", "relay-tls", ...files]);
    await administratorOk(cluster, ["weft", "upgrade", "--set", "relay.tlsSecret=relay-tls", ...wait]);
  });

  test("shows that certificate at its Service", async () => {
    const path = "jsonpath={.spec.clusterIP}:{.spec.ports[0].port}";
    const at = await cluster.kubectl([...namespace, "get", "service", "hubble-relay", "-o", path]);
    assert.match(at, /:443$/);
    const trust = ["-CAfile", cert, "-verify_return_error", "-verify_hostname", "relay.example"];
    const client = ["openssl", "s_client", "-connect", at, "-tls1_3", "-alpn", "h2", ...trust];
    await until("the relay to answer", 30_000, async () => {
      const { code, stdout } = await cluster.onNode("n1", client, { input: "" });
      return code === 0 && stdout.includes("ALPN protocol: h2");
    });
  });

  test("weft observe reads from it", async () => {
    const flows = await administratorOk(cluster, ["weft", "observe", "--last", "3"]);
    assert.match(flows, /FORWARDED|DROPPED/);
  });
});
