// SPDX-License-Identifier: Apache-2.0
// Writes api/gen/kubernetes-wire.ts: the protobuf field numbers of the kinds the lab's API server serves, read from the
// generated.proto files of the Go modules k8s.io/api, k8s.io/apimachinery and k8s.io/apiextensions-apiserver.
// Run: node tools/gen-kubernetes-wire.ts DIR-OF-API DIR-OF-APIMACHINERY DIR-OF-APIEXTENSIONS
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { kubernetesTypes } from "../api/gen/kubernetes.ts";

const target = join(import.meta.dirname, "../api/gen/kubernetes-wire.ts");

const roots: Readonly<Record<string, string>> = {
  "api.core.v1":
    "Namespace Pod Service Endpoints Node ConfigMap Secret ServiceAccount Event ReplicationController PersistentVolumeClaim PersistentVolume ResourceQuota LimitRange Binding PodTemplate",
  "api.apps.v1": "Deployment ReplicaSet DaemonSet StatefulSet ControllerRevision",
  "api.batch.v1": "Job CronJob",
  "api.networking.v1": "NetworkPolicy Ingress IngressClass",
  "api.discovery.v1": "EndpointSlice",
  "api.coordination.v1": "Lease",
  "api.events.v1": "Event",
  "api.policy.v1": "PodDisruptionBudget Eviction",
  "api.rbac.v1": "Role RoleBinding ClusterRole ClusterRoleBinding",
  "api.scheduling.v1": "PriorityClass",
  "api.storage.v1": "StorageClass",
  "api.authentication.v1": "TokenReview SelfSubjectReview",
  "api.authorization.v1":
    "SubjectAccessReview SelfSubjectAccessReview LocalSubjectAccessReview SelfSubjectRulesReview",
  "api.autoscaling.v1": "Scale",
  "api.autoscaling.v2": "HorizontalPodAutoscaler",
  "apimachinery.pkg.apis.meta.v1": "DeleteOptions",
  "apiextensions_apiserver.pkg.apis.apiextensions.v1": "CustomResourceDefinition",
};

interface Field {
  readonly number: string;
  readonly name: string;
  readonly repeated: string;
  readonly type: string;
}

const messages = new Map<string, Field[]>();
for (const directory of process.argv.slice(2)) {
  for (const path of globSync("**/generated.proto", { cwd: directory }))
    readProto(readFileSync(join(directory, path), "utf8"));
}

function readProto(text: string): void {
  const source = text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/\/\/.*$/gm, "");
  const prefix = /package k8s\.io\.([\w.]+);/.exec(source)?.[1];
  if (!prefix) return;
  for (const [, name, body] of source.matchAll(/message (\w+) \{([^}]*)\}/g)) {
    const fields = [...body!.matchAll(/(optional|repeated|map<string,) ([\w.]+)>? (\w+) = (\d+);/g)].map(
      (match): Field => {
        const [, label, type, field, number] = match;
        return {
          number: number!,
          name: field!,
          repeated: label === "repeated" ? "[]" : label === "optional" ? "" : "{}",
          type: qualify(prefix, type!),
        };
      },
    );
    messages.set(`${prefix}.${name!}`, fields);
  }
}

function qualify(prefix: string, type: string): string {
  if (type.startsWith(".k8s.io.")) return type.slice(".k8s.io.".length);
  return /^[A-Z]/.test(type) ? `${prefix}.${type}` : type;
}

function short(message: string): string {
  const parts = message.split(".");
  return parts.slice(-3).join(".");
}

/** A Go struct embedded in another is a field on the wire and none in JSON: the type table tells. */
function isInline(message: string, field: Field): boolean {
  const name = message.split(".").at(-1)!;
  const model = [`V1${name}`, `CoreV1${name}`, `RbacV1${name}`, `EventsV1${name}`]
    .map((key) => kubernetesTypes[key])
    .find((found) => found);
  return (
    model !== undefined &&
    !Object.hasOwn(model, field.name) &&
    field.type.includes(".") &&
    field.repeated === "" &&
    inlineNames.has(field.name)
  );
}

const inlineNames = new Set([
  "volumeSource",
  "persistentVolumeSource",
  "ephemeralContainerCommon",
  "handler",
  "localObjectReference",
  "ingressRuleValue",
]);

function jsonName(message: string, name: string): string {
  if (name === "aPIGroup") return "apiGroup";
  if (!message.endsWith(".JSONSchemaProps")) return name;
  if (name === "ref" || name === "schema") return `$${name}`;
  return name.startsWith("xKubernetes")
    ? name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
    : name;
}

const lines = new Map<string, string>();
const open = Object.entries(roots).flatMap(([prefix, names]) =>
  names.split(" ").map((name) => `${prefix}.${name}`),
);
while (open.length > 0) {
  const message = open.pop()!;
  if (lines.has(short(message))) continue;
  const fields = messages.get(message);
  if (!fields) throw new Error(`no message ${message}`);
  const texts = fields.map((field) => {
    const type = field.type.includes(".") ? short(field.type) : field.type;
    return `${field.number} ${isInline(message, field) ? "^" : jsonName(message, field.name)} ${field.repeated}${type}`;
  });
  lines.set(short(message), texts.join(", "));
  open.push(...fields.filter((field) => field.type.includes(".")).map((field) => field.type));
}

const body = [...lines]
  .sort(([a], [b]) => (a < b ? -1 : 1))
  .map(([name, text]) => `  "${name}": ${JSON.stringify(text)},`);
writeFileSync(
  target,
  `// SPDX-License-Identifier: Apache-2.0
// Generated by tools/gen-kubernetes-wire.ts; do not edit.

/**
 * Protobuf message → its fields as \`number name type\`, comma-separated. \`[]\` before a type is repeated, \`{}\` a map with
 * string keys; a name \`^\` stands for a struct embedded in JSON.
 */
export const kubernetesWire: Readonly<Record<string, string>> = {
${body.join("\n")}
};
`,
);
process.stdout.write(`${lines.size} messages\n`);
