// SPDX-License-Identifier: Apache-2.0
import { create, type DescMessage } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { type Flow, FlowSchema } from "#api/gen/flow/flow_pb.ts";
import { WeftError } from "#lib/errors.ts";

interface MaskNode {
  readonly whole: boolean;
  readonly fields: Map<string, MaskNode>;
}

/**
 * What a field mask (`source.pod_name`, `verdict`) leaves of a flow; undefined for an empty mask, which leaves all.
 * @throws WeftError E_FILTER for a path that flows do not have
 */
export function flowMask(paths: readonly string[]): ((flow: Flow) => Flow) | undefined {
  if (paths.length === 0) return undefined;
  const root: MaskNode = { whole: false, fields: new Map() };
  for (const path of paths) addPath(root, path);
  return (flow) => {
    const out = create(FlowSchema);
    copyFields(reflect(FlowSchema, flow), reflect(FlowSchema, out), root);
    return out;
  };
}

function addPath(root: MaskNode, path: string): void {
  let at = root;
  let message: DescMessage | undefined = FlowSchema;
  const names = path.split(".");
  for (const [i, name] of names.entries()) {
    const field: DescMessage["fields"][number] | undefined = message?.fields.find(
      (candidate) => candidate.name === name,
    );
    if (!field) throw new WeftError("E_FILTER", `field mask: flows have no field "${path}"`);
    const whole = i === names.length - 1;
    const next: MaskNode = at.fields.get(name) ?? { whole, fields: new Map() };
    at.fields.set(name, whole && !next.whole ? { whole: true, fields: next.fields } : next);
    at = at.fields.get(name)!;
    message = field.fieldKind === "message" ? field.message : undefined;
  }
}

function copyFields(from: ReflectMessage, to: ReflectMessage, mask: MaskNode): void {
  for (const [name, node] of mask.fields) {
    const field = from.desc.fields.find((candidate) => candidate.name === name)!;
    if (!from.isSet(field)) continue;
    if (node.whole || field.fieldKind !== "message") {
      to.set(field, from.get(field));
      continue;
    }
    const inner = reflect(field.message);
    copyFields(from.get(field), inner, node);
    to.set(field, inner);
  }
}
