// SPDX-License-Identifier: Apache-2.0
import { type FieldError, invalidField, notSupported, required } from "../errors.ts";
import {
  isObject,
  type JsonObject,
  type KubeObject,
  listAt,
  objectAt,
  same,
  stringAt,
  valueAt,
} from "../object.ts";
import { labelProblem, portNameProblem, portProblem, protocols } from "./fields.ts";

/** May change after a pod was made; everything else of its spec may not. */
const mutable = [
  "activeDeadlineSeconds",
  "tolerations",
  "terminationGracePeriodSeconds",
  "nodeName",
  "schedulingGates",
  "ephemeralContainers",
];

export function validatePod(pod: KubeObject, old: KubeObject | undefined): FieldError[] {
  const errors = validatePodSpec(objectAt(pod, "spec"), "spec");
  if (old && errors.length === 0 && !same(fixedPart(pod), fixedPart(old))) {
    const detail = `pod updates may not change fields other than ${mutable.map((name) => `\`spec.${name}\``).join(",")},\`spec.containers[*].image\`,\`spec.initContainers[*].image\``;
    errors.push({ type: "Forbidden", path: "spec", detail });
  }
  const node = stringAt(old, "spec", "nodeName");
  if (node && stringAt(pod, "spec", "nodeName") !== node) {
    errors.push({ type: "Forbidden", path: "spec.nodeName", detail: "may not be changed once set" });
  }
  return errors;
}

function fixedPart(pod: KubeObject): JsonObject {
  const spec: JsonObject = { ...objectAt(pod, "spec") };
  for (const name of mutable) delete spec[name];
  for (const name of ["containers", "initContainers"]) {
    if (spec[name] !== undefined)
      spec[name] = listAt(spec, name).map((container) => ({ ...container, image: "" }));
  }
  return spec;
}

/** A pod's or template's spec. */
export function validatePodSpec(spec: JsonObject, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const containers = listAt(spec, "containers");
  if (containers.length === 0) errors.push(required(`${path}.containers`));
  const restart = stringAt(spec, "restartPolicy");
  const policies = ["Always", "OnFailure", "Never"];
  if (!policies.includes(restart)) errors.push(notSupported(`${path}.restartPolicy`, restart, policies));
  const dns = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
  if (!dns.includes(stringAt(spec, "dnsPolicy")))
    errors.push(notSupported(`${path}.dnsPolicy`, spec["dnsPolicy"], dns));
  const volumes = new Set<string>();
  for (const [i, volume] of listAt(spec, "volumes").entries()) {
    errors.push(...uniqueName(volume, volumes, `${path}.volumes[${i}]`));
  }
  const names = new Set<string>();
  for (const list of ["containers", "initContainers"]) {
    for (const [i, container] of listAt(spec, list).entries()) {
      errors.push(...validateContainer(container, { path: `${path}.${list}[${i}]`, names, volumes }));
    }
  }
  return errors;
}

function uniqueName(item: JsonObject, names: Set<string>, path: string): FieldError[] {
  const name = stringAt(item, "name");
  if (name === "") return [required(`${path}.name`)];
  const problem = labelProblem(name);
  if (problem) return [invalidField(`${path}.name`, name, problem)];
  if (names.has(name)) return [{ type: "Duplicate", path: `${path}.name`, value: name }];
  names.add(name);
  return [];
}

interface ContainerPlace {
  readonly path: string;
  readonly names: Set<string>;
  readonly volumes: ReadonlySet<string>;
}

function validateContainer(container: JsonObject, { path, names, volumes }: ContainerPlace): FieldError[] {
  const errors = uniqueName(container, names, path);
  if (!stringAt(container, "image")) errors.push(required(`${path}.image`));
  const policies = ["Always", "IfNotPresent", "Never"];
  const pull = stringAt(container, "imagePullPolicy");
  if (!policies.includes(pull)) errors.push(notSupported(`${path}.imagePullPolicy`, pull, policies));
  errors.push(...validateContainerPorts(listAt(container, "ports"), path));
  for (const [i, env] of listAt(container, "env").entries()) {
    if (!stringAt(env, "name")) errors.push(required(`${path}.env[${i}].name`));
    if (stringAt(env, "value") && isObject(env["valueFrom"])) {
      errors.push(
        invalidField(`${path}.env[${i}].valueFrom`, "", "may not be specified when `value` is not empty"),
      );
    }
  }
  for (const [i, mount] of listAt(container, "volumeMounts").entries()) {
    if (!volumes.has(stringAt(mount, "name"))) {
      errors.push({
        type: "Invalid",
        path: `${path}.volumeMounts[${i}].name`,
        value: mount["name"],
        detail: "Not found",
      });
    }
    if (!stringAt(mount, "mountPath")) errors.push(required(`${path}.volumeMounts[${i}].mountPath`));
  }
  for (const name of ["livenessProbe", "readinessProbe", "startupProbe"]) {
    if (isObject(container[name])) errors.push(...validateProbe(container[name], `${path}.${name}`));
  }
  return errors;
}

function validateContainerPorts(ports: readonly JsonObject[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const [i, port] of ports.entries()) {
    const at = `${path}.ports[${i}]`;
    const name = stringAt(port, "name");
    const nameProblem = name === "" ? undefined : portNameProblem(name);
    if (nameProblem) errors.push(invalidField(`${at}.name`, name, nameProblem));
    if (name !== "" && names.has(name)) errors.push({ type: "Duplicate", path: `${at}.name`, value: name });
    names.add(name);
    if (port["containerPort"] === undefined) errors.push(required(`${at}.containerPort`));
    else {
      const problem = portProblem(port["containerPort"]);
      if (problem) errors.push(invalidField(`${at}.containerPort`, port["containerPort"], problem));
    }
    const host = port["hostPort"];
    if (host !== undefined && host !== 0 && portProblem(host))
      errors.push(invalidField(`${at}.hostPort`, host, portProblem(host)!));
    if (!protocols.includes(stringAt(port, "protocol")))
      errors.push(notSupported(`${at}.protocol`, port["protocol"], protocols));
  }
  return errors;
}

const actions = ["exec", "httpGet", "tcpSocket", "grpc"];

function validateProbe(probe: JsonObject, path: string): FieldError[] {
  const found = actions.filter((name) => isObject(probe[name]));
  if (found.length === 0) return [required(path, "must specify a handler type")];
  if (found.length > 1)
    return [
      { type: "Forbidden", path: `${path}.${found[1]!}`, detail: "may not specify more than 1 handler type" },
    ];
  const errors: FieldError[] = [];
  const [action] = found as [string];
  if (action !== "exec") {
    const port = valueAt(probe, action, "port");
    const problem = portProblem(port, action !== "grpc");
    if (problem) errors.push(invalidField(`${path}.${action}.port`, port ?? 0, problem));
  }
  for (const name of [
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
  ]) {
    const value = probe[name];
    if (typeof value === "number" && value < 0)
      errors.push(invalidField(`${path}.${name}`, value, "must be greater than or equal to 0"));
  }
  return errors;
}
