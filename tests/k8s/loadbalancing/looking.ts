// SPDX-License-Identifier: Apache-2.0
/** `weft service` from beside the cluster, for Services of every type. */
import assert from "node:assert/strict";
import { administratorOk, asAdministrator } from "../cluster/administrator.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { addressOf } from "./outside.ts";
import { namespace } from "./scene.ts";

export interface Scene {
  /** Node of `web`'s pod and of the client. */
  readonly near: string;
  /** A node without backends. */
  readonly far: string;
  /** Node that answers for the load balancer's addresses on the wire. */
  readonly announcer: string;
  readonly loadBalancerIp: string;
}

/** What is told of `web` (LoadBalancer), `kept` (NodePort, dsr), `roll` and a headless Service. */
export async function tellsOfServices(cluster: Cluster, scene: Scene): Promise<void> {
  const { near, far, announcer, loadBalancerIp } = scene;
  const service = (...args: string[]) => administratorOk(cluster, ["weft", "service", ...args]);
  const trace = (...args: string[]) => service("trace", ...args);
  const of = async (kind: string, name: string, path: string) =>
    (await cluster.kubectl(["-n", namespace, "get", kind, name, "-o", `jsonpath=${path}`])).trim();
  const web = await of("pod", "web", "{.status.podIP}");
  const [clusterIp, nodePort, dsrPort] = [
    await of("service", "web", "{.spec.clusterIP}"),
    await of("service", "web", "{.spec.ports[0].nodePort}"),
    await of("service", "kept", "{.spec.ports[0].nodePort}"),
  ];
  const to = `→ ${web}:8080/TCP 100% on ${near}`;

  const all = await service("list");
  for (const row of [
    `${clusterIp}:80/TCP .*ClusterIP +${namespace}/web `,
    `${addressOf(cluster, far, 4)}:${nodePort}/TCP .*NodePort +${namespace}/web `,
    `${loadBalancerIp}:80/TCP .*LoadBalancer +${namespace}/web .* 3/3`,
  ])
    assert.match(all, new RegExp(row));
  assert.doesNotMatch(all, new RegExp(`${namespace}/headless`));
  const got = await service("get", `${namespace}/web`);
  assert.match(got, new RegExp(`${loadBalancerIp}:80/TCP .* ${near} +active +100% .*${announcer} eth0`));

  const fromPod = await trace(`${clusterIp}:80`, "--from", `${namespace}/client`);
  assert.match(fromPod, new RegExp(`asked on node ${near}\\npath: at the socket of ${namespace}/client`));
  const announced = await trace(`${loadBalancerIp}:80`);
  assert.match(
    announced,
    new RegExp(`asked on node ${announcer}\\nannounced on the wire by ${announcer} eth0\\n`),
  );
  const byPort = await trace(`${addressOf(cluster, far, 4)}:${nodePort}`);
  assert.match(byPort, new RegExp(`asked on node ${far}\\n.*XDP on eth0 .*sees the node's address`));
  const direct = await trace(`${addressOf(cluster, far, 4)}:${dsrPort}`);
  assert.match(direct, /sees the client's address .*\(dsr by option\)/);
  for (const text of [fromPod, announced, byPort, direct]) assert.ok(text.includes(to), text);
  const inside = await trace(`[${addressOf(cluster, far, 6)}]:${nodePort}`);
  assert.match(inside, /→ \[fd00:244:[0-9a-f:]+\]:8080\/TCP 100%/);

  const nobody = await asAdministrator(cluster, ["weft", "service", "trace", "10.96.255.254:80"]);
  assert.deepEqual([nobody.code, /no service .* has 10\.96\.255\.254:80/.test(nobody.stderr)], [1, true]);
  const none = await asAdministrator(cluster, ["weft", "service", "get", `${namespace}/headless`]);
  assert.deepEqual([none.code, /no service "balance\/headless" is served/.test(none.stderr)], [1, true]);
}
