// SPDX-License-Identifier: Apache-2.0
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Authority, createAuthority, type Identity } from "#lab/apiserver/certificates.ts";
import { addresses, type ClusterOptions, type Layout, nodeNames, serviceAddress } from "./shape.ts";

/** Writes authorities, certificates, the service account key and a kubeconfig per component into `layout.pki`. */
export function writePki(layout: Layout, options: ClusterOptions): void {
  mkdirSync(layout.pki, { recursive: true, mode: 0o700 });
  const file = (name: string, text: string) => writeFileSync(join(layout.pki, name), text, { mode: 0o600 });
  const pair = (name: string, identity: Identity) => {
    file(`${name}.crt`, identity.certificate);
    file(`${name}.key`, identity.key);
  };
  const authority = createAuthority();
  const frontProxy = createAuthority();
  file("ca.crt", authority.certificate);
  file("front-proxy-ca.crt", frontProxy.certificate);
  const names = [
    ...["", ".default", ".default.svc", ".default.svc.cluster.local"].map((suffix) => `kubernetes${suffix}`),
    "localhost",
    "127.0.0.1",
    addresses.gateway.v4,
    addresses.gateway.v6,
    serviceAddress(options, 1, 4),
    serviceAddress(options, 1, 6),
  ];
  pair("apiserver", authority.server("kube-apiserver", names));
  pair("apiserver-kubelet", authority.client("kube-apiserver-kubelet-client", ["system:masters"]));
  pair("front-proxy", frontProxy.client("front-proxy-client", []));
  const users: [file: string, user: string, groups: string[]][] = [
    ["admin", "admin", ["system:masters"]],
    ["controller-manager", "system:kube-controller-manager", []],
    ["scheduler", "system:kube-scheduler", []],
    ["kube-proxy", "system:kube-proxy", []],
    ...nodeNames(options).map((node): [string, string, string[]] => [
      node,
      `system:node:${node}`,
      ["system:nodes"],
    ]),
  ];
  for (const [name, user, groups] of users) {
    file(`${name}.conf`, kubeconfig(authority, authority.client(user, groups)));
  }
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  file("sa.key", privateKey.export({ type: "pkcs8", format: "pem" }).toString());
  file("sa.pub", publicKey.export({ type: "spki", format: "pem" }).toString());
}

function kubeconfig(authority: Authority, identity: Identity): string {
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  const server = `https://${addresses.gateway.v4}:${addresses.apiPort}`;
  const cluster = { server, "certificate-authority-data": base64(authority.certificate) };
  const user = {
    "client-certificate-data": base64(identity.certificate),
    "client-key-data": base64(identity.key),
  };
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "test", cluster }],
    users: [{ name: "user", user }],
    contexts: [{ name: "test", context: { cluster: "test", user: "user" } }],
    "current-context": "test",
  });
}
