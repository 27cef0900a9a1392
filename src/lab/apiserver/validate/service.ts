// SPDX-License-Identifier: Apache-2.0
import { isAddress } from "#model/ip.ts";
import { type FieldError, invalidField, notSupported, required } from "../errors.ts";
import { type JsonObject, type KubeObject, listAt, objectAt, stringAt, stringsAt } from "../object.ts";
import { labelProblem, portProblem, protocols } from "./fields.ts";
import { validateLabels } from "./names.ts";

const types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const externalPolicies = ["Cluster", "Local"];

export function validateService(service: KubeObject): FieldError[] {
  const spec = objectAt(service, "spec");
  const errors: FieldError[] = [];
  const type = stringAt(spec, "type");
  const ports = listAt(spec, "ports");
  const headless = spec["clusterIP"] === "None";
  if (!types.includes(type)) errors.push(notSupported("spec.type", type, types));
  if (type === "ExternalName") {
    if (!stringAt(spec, "externalName")) errors.push(required("spec.externalName"));
  } else if (ports.length === 0 && !headless) errors.push(required("spec.ports"));
  if (headless && (type === "NodePort" || type === "LoadBalancer")) {
    errors.push(invalidField("spec.clusterIPs[0]", "None", `may not be set to 'None' for ${type} services`));
  }
  if (!["None", "ClientIP"].includes(stringAt(spec, "sessionAffinity"))) {
    errors.push(notSupported("spec.sessionAffinity", spec["sessionAffinity"], ["ClientIP", "None"]));
  }
  for (const name of ["internalTrafficPolicy", "externalTrafficPolicy"]) {
    if (spec[name] !== undefined && !externalPolicies.includes(stringAt(spec, name))) {
      errors.push(notSupported(`spec.${name}`, spec[name], externalPolicies));
    }
  }
  errors.push(...validatePorts(ports), ...validateLabels(spec["selector"], "spec.selector"));
  for (const [i, address] of stringsAt(spec, "externalIPs").entries()) {
    if (!isAddress(address))
      errors.push(
        invalidField(
          `spec.externalIPs[${i}]`,
          address,
          "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
      );
  }
  return errors;
}

function validatePorts(ports: readonly JsonObject[]): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  const numbers = new Set<string>();
  for (const [i, port] of ports.entries()) {
    const path = `spec.ports[${i}]`;
    const name = stringAt(port, "name");
    if (ports.length > 1 && name === "") errors.push(required(`${path}.name`));
    if (name !== "") {
      const problem = labelProblem(name);
      if (problem) errors.push(invalidField(`${path}.name`, name, problem));
      if (names.has(name)) errors.push({ type: "Duplicate", path: `${path}.name`, value: name });
      names.add(name);
    }
    const problem = portProblem(port["port"]);
    if (problem) errors.push(invalidField(`${path}.port`, port["port"] ?? 0, problem));
    if (!protocols.includes(stringAt(port, "protocol")))
      errors.push(notSupported(`${path}.protocol`, port["protocol"], protocols));
    const targetProblem = portProblem(port["targetPort"], true);
    if (targetProblem) errors.push(invalidField(`${path}.targetPort`, port["targetPort"], targetProblem));
    const key = `${stringAt(port, "protocol")}/${String(port["port"])}`;
    if (numbers.has(key))
      errors.push({ type: "Duplicate", path, value: { port: port["port"], protocol: port["protocol"] } });
    numbers.add(key);
  }
  return errors;
}
