// SPDX-License-Identifier: Apache-2.0
import { type FieldError, invalidField, notSupported, required } from "../errors.ts";
import {
  ensureObject,
  type JsonObject,
  type KubeObject,
  listAt,
  now,
  objectAt,
  setDefault,
  stringAt,
  valueAt,
} from "../object.ts";
import type { Behaviour } from "../resource.ts";
import { schemaErrors } from "./validate-schema.ts";

function defaults(draft: KubeObject): void {
  const names = ensureObject(ensureObject(draft, "spec"), "names");
  setDefault(names, "singular", stringAt(names, "kind").toLowerCase());
  setDefault(names, "listKind", `${stringAt(names, "kind")}List`);
  setDefault(ensureObject(draft, "spec"), "conversion", { strategy: "None" });
}

/** A definition is in force with the write that makes it, and says so at once. */
function start(draft: KubeObject): void {
  const condition = (type: string, reason: string, message: string): JsonObject => ({
    type,
    status: "True",
    reason,
    message,
    lastTransitionTime: now(),
  });
  draft["status"] = {
    acceptedNames: { ...objectAt(draft, "spec", "names") },
    storedVersions: listAt(draft, "spec", "versions")
      .filter((v) => v["storage"] === true)
      .map((v) => stringAt(v, "name")),
    conditions: [
      condition("NamesAccepted", "NoConflicts", "no conflicts found"),
      condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    ],
  };
}

function validate(object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const errors: FieldError[] = [];
  const spec = objectAt(object, "spec");
  const group = stringAt(spec, "group");
  const plural = stringAt(spec, "names", "plural");
  if (!group) errors.push(required("spec.group"));
  if (!plural) errors.push(required("spec.names.plural"));
  if (!stringAt(spec, "names", "kind")) errors.push(required("spec.names.kind"));
  if (group && plural && object.metadata.name !== `${plural}.${group}`) {
    errors.push(
      invalidField("metadata.name", object.metadata.name, 'must be spec.names.plural+"."+spec.group'),
    );
  }
  const scope = stringAt(spec, "scope");
  if (scope !== "Namespaced" && scope !== "Cluster")
    errors.push(notSupported("spec.scope", scope, ["Cluster", "Namespaced"]));
  const versions = listAt(spec, "versions");
  if (versions.filter((version) => version["storage"] === true).length !== 1) {
    errors.push(
      invalidField(
        "spec.versions",
        versions.map((v) => v["name"]),
        "must have exactly one version marked as storage version",
      ),
    );
  }
  for (const [i, version] of versions.entries()) {
    if (valueAt(version, "schema", "openAPIV3Schema") === undefined) {
      errors.push(required(`spec.versions[${i}].schema.openAPIV3Schema`, "schemas are required"));
    } else {
      // One schema for all versions is spoken of as the definition's own.
      const path = versions.length === 1 ? "spec.validation" : `spec.versions[${i}].schema`;
      const schema = objectAt(version, "schema", "openAPIV3Schema");
      errors.push(...schemaErrors(schema, `${path}.openAPIV3Schema`));
    }
  }
  for (const name of ["group", "scope"]) {
    if (old && stringAt(old, "spec", name) !== stringAt(spec, name)) {
      errors.push(invalidField(`spec.${name}`, spec[name], "field is immutable"));
    }
  }
  return errors;
}

/** CustomResourceDefinitions themselves; what they make served is in serve.ts beside this file. */
export const definitionBehaviour: Behaviour = { defaults, start, validate };
