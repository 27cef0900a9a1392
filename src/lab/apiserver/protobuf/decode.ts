// SPDX-License-Identifier: Apache-2.0
import { kubernetesWire } from "#api/gen/kubernetes-wire.ts";
import { badRequest } from "../errors.ts";
import { ensureObject, isObject, type Json, type JsonObject, stringAt } from "../object.ts";
import { malformed, type WireField, wireFields } from "./reader.ts";

/** What a protobuf body of Kubernetes starts with. */
const magic = "k8s\0";

interface Field {
  readonly name: string;
  readonly type: string;
  readonly repeated: boolean;
  readonly map: boolean;
}

/**
 * The object in a body of type `application/vnd.kubernetes.protobuf`, as JSON would say it. kubectl writes in this form from
 * version 1.32 on.
 * @throws ApiError 400 for a malformed body or a kind that is not known.
 */
export function decodeProtobuf(body: Uint8Array): JsonObject {
  if (Buffer.from(body.subarray(0, 4)).toString("latin1") !== magic) throw malformed();
  let typeMeta: Json;
  let raw: Uint8Array = new Uint8Array(0);
  for (const field of wireFields(body.subarray(4))) {
    if (field.number === 1) typeMeta = decodeMessage("meta.v1.TypeMeta", field.bytes);
    if (field.number === 2) raw = field.bytes;
  }
  const apiVersion = stringAt(typeMeta, "apiVersion");
  const kind = stringAt(typeMeta, "kind");
  const name = messageName(apiVersion, kind);
  if (!name) throw badRequest(`no kind "${kind}" is registered for version "${apiVersion}"`);
  return { apiVersion, kind, ...decodeMessage(name, raw) };
}

function messageName(apiVersion: string, kind: string): string | undefined {
  const [version, group = "core"] = apiVersion.split("/").reverse();
  const names = [`${group.split(".")[0]}.${version}.${kind}`, `meta.v1.${kind}`];
  return names.find((name) => Object.hasOwn(kubernetesWire, name));
}

const tables = new Map<string, ReadonlyMap<number, Field>>();

function fieldsOf(message: string): ReadonlyMap<number, Field> {
  let table = tables.get(message);
  if (!table) {
    const text =
      message === "meta.v1.TypeMeta" ? "1 apiVersion string, 2 kind string" : kubernetesWire[message];
    const entries = (text || undefined)?.split(", ").map((entry): [number, Field] => {
      const [number, name, type] = entry.split(" ") as [string, string, string];
      return [
        Number(number),
        {
          name,
          type: type.replace(/^(\[\]|\{\})/, ""),
          repeated: type.startsWith("[]"),
          map: type.startsWith("{}"),
        },
      ];
    });
    table = new Map(entries);
    tables.set(message, table);
  }
  return table;
}

function decodeMessage(message: string, bytes: Uint8Array): JsonObject {
  const fields = fieldsOf(message);
  const out: JsonObject = {};
  for (const wire of wireFields(bytes)) {
    const field = fields.get(wire.number);
    if (!field) continue;
    if (field.map) putEntry(out, field, wire.bytes);
    else if (field.repeated) {
      out[field.name] ??= [];
      (out[field.name] as Json[]).push(decodeValue(field.type, wire));
    } else {
      const value = decodeValue(field.type, wire);
      if (field.name === "^") Object.assign(out, value);
      else if (!isUnset(field.name, value)) out[field.name] = value;
    }
  }
  return out;
}

function putEntry(out: JsonObject, field: Field, bytes: Uint8Array): void {
  let key = "";
  let value: Json = field.type === "string" || field.type === "bytes" ? "" : null;
  for (const part of wireFields(bytes)) {
    if (part.number === 1) key = text(part.bytes);
    if (part.number === 2) value = decodeValue(field.type, part);
  }
  ensureObject(out, field.name)[key] = value;
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
}

/** Plain fields of Go are sent even when nobody set them. Their JSON is left out when zero; pointers' zeros are meant. */
const plainNumbers: ReadonlySet<string> = new Set(
  "nodePort hostPort healthCheckNodePort initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold generation observedGeneration minReadySeconds count".split(
    " ",
  ),
);
const plainBooleans: ReadonlySet<string> = new Set(
  "hostNetwork hostPID hostIPC stdin stdinOnce tty readOnly paused unschedulable publishNotReadyAddresses".split(
    " ",
  ),
);

function isUnset(name: string, value: Json): boolean {
  if (value === "" || value === undefined || value === null) return true;
  if (value === 0) return plainNumbers.has(name);
  return value === false && plainBooleans.has(name);
}

function decodeValue(type: string, wire: WireField): Json {
  switch (type) {
    case "string":
      return text(wire.bytes);
    case "bool":
      return wire.value !== 0n;
    case "int32":
    case "int64":
      return Number(BigInt.asIntN(64, wire.value));
    case "double":
      return new Float64Array(BigUint64Array.of(wire.value).buffer)[0];
    case "bytes":
      return Buffer.from(wire.bytes).toString("base64");
    default:
      return decodeSpecial(type, decodeMessage(type, wire.bytes));
  }
}

/** Types whose JSON is not an object of their fields. */
function decodeSpecial(type: string, fields: JsonObject): Json {
  switch (type) {
    case "meta.v1.Time":
    case "meta.v1.MicroTime":
      return time(fields, type === "meta.v1.MicroTime");
    case "api.resource.Quantity":
      return fields["string"] ?? "0";
    case "util.intstr.IntOrString":
      return fields["type"] === 1 ? (fields["strVal"] ?? "") : (fields["intVal"] ?? 0);
    case "meta.v1.FieldsV1":
      return embedded(fields["Raw"]);
    case "pkg.runtime.RawExtension":
    case "apiextensions.v1.JSON":
      return embedded(fields["raw"]);
    case "authentication.v1.ExtraValue":
    case "authorization.v1.ExtraValue":
      return fields["items"] ?? [];
    case "apiextensions.v1.JSONSchemaPropsOrBool":
      return fields["schema"] ?? fields["allows"] ?? false;
    case "apiextensions.v1.JSONSchemaPropsOrArray":
      return fields["schema"] ?? fields["jSONSchemas"];
    case "apiextensions.v1.JSONSchemaPropsOrStringArray":
      return fields["schema"] ?? fields["property"];
    default:
      return fields;
  }
}

function time(fields: JsonObject, micro: boolean): Json {
  if (!isObject(fields) || fields["seconds"] === undefined) return null;
  const date = new Date(Number(fields["seconds"]) * 1000);
  const seconds = date.toISOString().slice(0, 19);
  if (!micro) return `${seconds}Z`;
  return `${seconds}.${String(Math.floor(Number(fields["nanos"] ?? 0) / 1000)).padStart(6, "0")}Z`;
}

function embedded(base64: Json): Json {
  if (typeof base64 !== "string") return null;
  try {
    return JSON.parse(Buffer.from(base64, "base64").toString()) as Json;
  } catch {
    throw malformed();
  }
}
