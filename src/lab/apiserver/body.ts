// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage } from "node:http";
import { parse as parseYaml } from "yaml";
import { errorText } from "#lib/errors.ts";
import { ApiError, badRequest } from "./errors.ts";
import { isObject, type Json, type KubeObject } from "./object.ts";
import { decodeProtobuf } from "./protobuf/decode.ts";
import { apiVersionOf, type Resource } from "./resource.ts";
import { decode } from "./schema/decode.ts";
import { duplicateFields } from "./schema/duplicates.ts";

/** etcd's own limit is half of it; the real server reads this much. */
const bodyLimitBytes = 3 * 1024 * 1024;

export interface Body {
  /** Media type without parameters. */
  readonly type: string;
  readonly bytes: Uint8Array;
  readonly text: string;
}

/** @throws ApiError 413. */
export async function readBody(request: IncomingMessage): Promise<Body> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= bodyLimitBytes) chunks.push(chunk);
    // Leaving the loop closes the connection: what is a little too long is read to its end, so that the client gets an answer.
    if (size > 8 * bodyLimitBytes) break;
  }
  if (size > bodyLimitBytes) {
    const message = `Request entity too large: limit is ${bodyLimitBytes}`;
    throw new ApiError(413, "RequestEntityTooLarge", message);
  }
  const type = (request.headers["content-type"] ?? "application/json").split(";")[0]!.trim();
  const bytes = Buffer.concat(chunks);
  return { type, bytes, text: type === protobuf ? "" : bytes.toString() };
}

const protobuf = "application/vnd.kubernetes.protobuf";

/** @throws ApiError 400, 415. */
export function parseBody(body: Body): Json {
  if (body.type === protobuf) return decodeProtobuf(body.bytes);
  try {
    if (body.type.endsWith("yaml")) return parseYaml(body.text, { schema: "core", merge: true }) as Json;
    if (body.type.endsWith("json")) return JSON.parse(body.text) as Json;
  } catch (thrown) {
    throw badRequest(`couldn't get version/kind; json parse error: ${errorText(thrown)}`);
  }
  const accepted = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
  throw new ApiError(
    415,
    "UnsupportedMediaType",
    `the body of the request was in an unknown format - accepted media types include: ${accepted}`,
  );
}

export interface FieldValidation {
  /** The `fieldValidation` parameter. */
  readonly mode: string;
  /** Takes the texts of warnings. */
  readonly warn: (text: string) => void;
}

/** An object read from a body by its kind's schema. @throws ApiError 400. */
export function decodeObject(
  resource: Resource,
  parsed: Json,
  raw: Body | undefined,
  validation: FieldValidation,
): KubeObject {
  if (!isObject(parsed)) throw badRequest("the object provided is unrecognized: it is not a JSON object");
  const filled = { apiVersion: apiVersionOf(resource), kind: resource.kind, ...parsed } as KubeObject;
  const { object, unknown } = decode(resource.schema, filled, resource.custom);
  if (!isObject(object["metadata"])) object.metadata = { name: "" };
  const problems = unknown.map((path) => `unknown field "${path}"`);
  if (raw?.type.endsWith("json") && validation.mode !== "Ignore") {
    problems.unshift(...duplicateFields(raw.text).map((path) => `duplicate field "${path}"`));
  }
  report(filled, problems, validation);
  return object;
}

function report(object: KubeObject, problems: readonly string[], validation: FieldValidation): void {
  if (problems.length === 0 || validation.mode === "Ignore") return;
  if (validation.mode === "Strict") {
    const version = object.apiVersion.slice(object.apiVersion.lastIndexOf("/") + 1);
    throw badRequest(
      `${object.kind} in version "${version}" cannot be handled as a ${object.kind}: strict decoding error: ${problems.join(", ")}`,
    );
  }
  for (const problem of problems.slice(0, 20)) validation.warn(problem);
}
