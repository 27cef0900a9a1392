// SPDX-License-Identifier: Apache-2.0
/** The generated protocol code against a list of every name, number and type on the wire (flow-api.tsv). */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  type DescEnum,
  type DescField,
  type DescFile,
  type DescMessage,
  type DescService,
  ScalarType,
} from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { file_flow_flow } from "#api/gen/flow/flow_pb.ts";
import { file_observer_observer } from "#api/gen/observer/observer_pb.ts";
import { file_peer_peer } from "#api/gen/peer/peer_pb.ts";
import { file_relay_relay } from "#api/gen/relay/relay_pb.ts";

function messageLines(message: DescMessage): string[] {
  if (message.fields.length === 0) return [message.typeName];
  return message.fields.map((field) => {
    const oneof = field.oneof === undefined ? "" : `/${field.oneof.name}`;
    const repeated = field.fieldKind === "list" ? "*" : "";
    return [message.typeName, field.name, field.number, `${repeated}${typeText(field)}${oneof}`].join("\t");
  });
}

function typeText(field: DescField): string {
  if (field.message) return field.message.typeName;
  if (field.enum) return field.enum.typeName;
  assert.ok(field.scalar !== undefined);
  return ScalarType[field.scalar].toLowerCase();
}

function enumLines({ typeName, values }: DescEnum): string[] {
  return values.map(({ name, number }) => [typeName, name, number].join("\t"));
}

function serviceLines({ typeName, methods }: DescService): string[] {
  return methods.map(({ name, input, output, methodKind }) => {
    const stream = methodKind === "server_streaming" ? "*" : "";
    return [typeName, name, "rpc", `${input.typeName} > ${stream}${output.typeName}`].join("\t");
  });
}

function fileLines(file: DescFile): string[] {
  assert.equal(file.proto.syntax, "proto3");
  return [...nestedTypes(file)].flatMap((type) => {
    if (type.kind === "message") return messageLines(type);
    if (type.kind === "enum") return enumLines(type);
    return type.kind === "service" ? serviceLines(type) : [];
  });
}

test("every message, field, enum and method is the one on the wire, and there is no other", () => {
  const listed = readFileSync(new URL("flow-api.tsv", import.meta.url), "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
  const generated = [file_flow_flow, file_observer_observer, file_peer_peer, file_relay_relay].flatMap(
    fileLines,
  );
  assert.deepEqual(generated.sort(), listed.sort());
  assert.ok(listed.length > 500);
});
