// SPDX-License-Identifier: Apache-2.0
import { type FieldError, invalidField } from "./errors.ts";
import type { Holdings } from "./holdings.ts";
import { type KubeObject, listAt, objectAt, stringAt } from "./object.ts";
import { objectKey } from "./store.ts";

export const firstNodePort = 30_000;
const lastNodePort = 32_767;

/** Gives or keeps the node ports of a draft. */
export function allocatePorts(
  holdings: Holdings,
  draft: KubeObject,
  old: KubeObject | undefined,
): FieldError[] {
  const spec = objectAt(draft, "spec");
  const key = objectKey(draft.metadata.namespace, draft.metadata.name);
  const ports = listAt(spec, "ports");
  const wanted =
    spec["type"] === "NodePort" ||
    (spec["type"] === "LoadBalancer" && spec["allocateLoadBalancerNodePorts"] !== false);
  const taken = new Set<string>();
  const errors: FieldError[] = [];
  for (const [i, port] of ports.entries()) {
    if (spec["type"] !== "NodePort" && spec["type"] !== "LoadBalancer") {
      delete port["nodePort"];
      continue;
    }
    const protocol = stringAt(port, "protocol");
    const same = listAt(old, "spec", "ports").find(
      (item) => item["port"] === port["port"] && item["protocol"] === protocol,
    );
    if (port["nodePort"] === undefined && same?.["nodePort"] !== undefined)
      port["nodePort"] = same["nodePort"];
    if (port["nodePort"] === undefined && wanted) port["nodePort"] = freePort(holdings, protocol, taken);
    if (port["nodePort"] === undefined) continue;
    const thing = `${protocol}/${String(port["nodePort"])}`;
    const holder = holdings.held.get(thing);
    const path = `spec.ports[${i}].nodePort`;
    const number = Number(port["nodePort"]);
    if (number < firstNodePort || number > lastNodePort) {
      const range = `provided port is not in the valid range. The range of valid ports is ${firstNodePort}-${lastNodePort}`;
      errors.push(invalidField(path, number, range));
    } else if ((holder !== undefined && holder !== key) || taken.has(thing)) {
      errors.push(invalidField(path, number, "provided port is already allocated"));
    }
    taken.add(thing);
  }
  return errors;
}

function freePort(holdings: Holdings, protocol: string, taken: ReadonlySet<string>): number | undefined {
  for (let tries = 0; tries <= lastNodePort - firstNodePort; tries++) {
    const port = holdings.nextPort;
    holdings.nextPort = port === lastNodePort ? firstNodePort : port + 1;
    const thing = `${protocol}/${port}`;
    if (!holdings.held.has(thing) && !taken.has(thing)) return port;
  }
  return undefined;
}
