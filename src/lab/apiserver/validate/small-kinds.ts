// SPDX-License-Identifier: Apache-2.0
/** Kinds of which there is little to check. */
import { isAddress } from "#model/ip.ts";
import { type FieldError, invalidField, notSupported, required } from "../errors.ts";
import { isObject, type KubeObject, listAt, objectAt, same, stringAt, stringsAt } from "../object.ts";
import { portProblem, protocols } from "./fields.ts";

const addressTypes = ["FQDN", "IPv4", "IPv6"];

export function validateEndpointSlice(slice: KubeObject, old: KubeObject | undefined): FieldError[] {
  const errors: FieldError[] = [];
  const type = stringAt(slice, "addressType");
  if (type === "") errors.push(required("addressType"));
  else if (!addressTypes.includes(type)) errors.push(notSupported("addressType", type, addressTypes));
  if (old && stringAt(old, "addressType") !== type)
    errors.push(invalidField("addressType", type, "field is immutable"));
  for (const [i, endpoint] of listAt(slice, "endpoints").entries()) {
    const addresses = stringsAt(endpoint, "addresses");
    if (addresses.length === 0)
      errors.push(required(`endpoints[${i}].addresses`, "must contain at least 1 address"));
    for (const address of addresses) {
      const fits = type === "FQDN" || (isAddress(address) && address.includes(":") === (type === "IPv6"));
      if (!fits)
        errors.push(invalidField(`endpoints[${i}].addresses`, address, `must be an ${type} address`));
    }
  }
  for (const [i, port] of listAt(slice, "ports").entries()) {
    if (port["port"] !== undefined && portProblem(port["port"]))
      errors.push(invalidField(`ports[${i}].port`, port["port"], portProblem(port["port"])!));
    if (!protocols.includes(stringAt(port, "protocol")))
      errors.push(notSupported(`ports[${i}].protocol`, port["protocol"], protocols));
  }
  return errors;
}

export function validateLease(lease: KubeObject): FieldError[] {
  const { leaseDurationSeconds: duration, leaseTransitions: transitions } = objectAt(lease, "spec");
  const errors: FieldError[] = [];
  if (typeof duration === "number" && duration <= 0) {
    errors.push(invalidField("spec.leaseDurationSeconds", duration, "must be greater than 0"));
  }
  if (typeof transitions === "number" && transitions < 0) {
    errors.push(invalidField("spec.leaseTransitions", transitions, "must be greater than or equal to 0"));
  }
  return errors;
}

/** Pods have addresses of a node's ranges: they are given once. */
export function validateNode(node: KubeObject, old: KubeObject | undefined): FieldError[] {
  const before = stringsAt(old, "spec", "podCIDRs");
  if (before.length === 0 || same(before, stringsAt(node, "spec", "podCIDRs"))) return [];
  const detail = 'node updates may not change podCIDR except from "" to valid';
  return [{ type: "Forbidden", path: "spec.podCIDRs", detail }];
}

const dataKey = /^[-._a-zA-Z0-9]+$/;

/** ConfigMap and Secret: their keys, that `immutable` ones stay, and that a Secret's values are base64. */
export function validateData(object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const errors: FieldError[] = [];
  for (const name of ["data", "binaryData"]) {
    for (const [key, value] of Object.entries(objectAt(object, name))) {
      if (!dataKey.test(key) || key.length > 253) {
        errors.push(
          invalidField(
            `${name}[${key}]`,
            key,
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
          ),
        );
      }
      const encoded = object.kind === "Secret" || name === "binaryData";
      if (encoded && !/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(String(value)))
        errors.push(invalidField(`${name}.${key}`, "<bytes>", "illegal base64 data"));
    }
  }
  if (old?.["immutable"] === true) {
    if (object["immutable"] !== true)
      errors.push({
        type: "Forbidden",
        path: "immutable",
        detail: "field is immutable when `immutable` is set",
      });
    if (!same(object["data"], old["data"]))
      errors.push({ type: "Forbidden", path: "data", detail: "field is immutable when `immutable` is set" });
  }
  if (object.kind === "Secret" && old && stringAt(old, "type") !== stringAt(object, "type")) {
    errors.push(invalidField("type", object["type"], "field is immutable"));
  }
  return errors;
}

export function validateIngress(ingress: KubeObject): FieldError[] {
  const errors: FieldError[] = [];
  const rules = listAt(ingress, "spec", "rules");
  if (rules.length === 0 && !isObject(objectAt(ingress, "spec")["defaultBackend"])) {
    errors.push(invalidField("spec", "object", "either `defaultBackend` or `rules` must be specified"));
  }
  for (const [i, rule] of rules.entries()) {
    for (const [j, path] of listAt(rule, "http", "paths").entries()) {
      const at = `spec.rules[${i}].http.paths[${j}]`;
      const type = stringAt(path, "pathType");
      if (type === "") errors.push(required(`${at}.pathType`, "pathType must be specified"));
      else if (!["Exact", "ImplementationSpecific", "Prefix"].includes(type)) {
        errors.push(notSupported(`${at}.pathType`, type, ["Exact", "ImplementationSpecific", "Prefix"]));
      }
      if ((type === "Exact" || type === "Prefix") && !stringAt(path, "path").startsWith("/")) {
        errors.push(invalidField(`${at}.path`, path["path"] ?? "", "must be an absolute path"));
      }
    }
  }
  return errors;
}

/** Events must be about something in their own namespace. */
export function validateEvent(event: KubeObject): FieldError[] {
  const about = stringAt(event, "involvedObject", "namespace");
  const own = event.metadata.namespace ?? "";
  const fits = about === own || (about === "" && own === "default");
  return fits ? [] : [invalidField("involvedObject.namespace", about, "does not match event.namespace")];
}

export function validateRoleBinding(object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const errors: FieldError[] = [];
  if (!stringAt(object, "roleRef", "name")) errors.push(required("roleRef.name"));
  if (old && !same(old["roleRef"], object["roleRef"]))
    errors.push(invalidField("roleRef", "object", "cannot change roleRef"));
  return errors;
}
