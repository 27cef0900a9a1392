// SPDX-License-Identifier: Apache-2.0
import { type FieldError, invalidField, required } from "../errors.ts";
import { isObject, type JsonObject, type KubeObject, objectAt, same } from "../object.ts";
import { matchesSelectorObject } from "../selectors.ts";
import { validateCount, validateSelector } from "./fields.ts";
import { validateLabels } from "./names.ts";
import { validatePodSpec } from "./pod.ts";

/** Deployment, ReplicaSet, DaemonSet and StatefulSet: a selector, fixed once made, that fits the template. */
export function validateWorkload(object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const spec = objectAt(object, "spec");
  const selector = spec["selector"];
  const errors: FieldError[] = [];
  if (!isObject(selector)) errors.push(required("spec.selector"));
  else {
    errors.push(...validateSelector(selector, "spec.selector"));
    const isEmpty = Object.keys(selector).length === 0;
    if (isEmpty) errors.push(invalidField("spec.selector", {}, "empty selector is invalid for this kind"));
    const labels = objectAt(spec, "template", "metadata", "labels");
    if (!isEmpty && !matchesSelectorObject(selector, labels)) {
      errors.push(
        invalidField("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"),
      );
    }
    if (old && !same(objectAt(old, "spec", "selector"), selector)) {
      errors.push(invalidField("spec.selector", selector, "field is immutable"));
    }
  }
  errors.push(...validateCount(spec, "replicas", "spec"), ...validateTemplate(spec));
  const restart = objectAt(spec, "template", "spec")["restartPolicy"];
  if (restart !== "Always" && restart !== undefined) {
    errors.push({
      type: "NotSupported",
      path: "spec.template.spec.restartPolicy",
      value: restart,
      detail: 'supported values: "Always"',
    });
  }
  return errors;
}

export function validateReplicationController(object: KubeObject): FieldError[] {
  const spec = objectAt(object, "spec");
  const errors = [...validateCount(spec, "replicas", "spec"), ...validateTemplate(spec)];
  if (Object.keys(objectAt(spec, "selector")).length === 0) errors.push(required("spec.selector"));
  return errors;
}

export function validateJob(object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const spec = objectAt(object, "spec");
  const errors = ["completions", "parallelism", "backoffLimit"].flatMap((name) =>
    validateCount(spec, name, "spec"),
  );
  errors.push(...validateTemplate(spec), ...validateJobRestart(spec, "spec"));
  if (old && !same(objectAt(old, "spec", "template"), objectAt(spec, "template"))) {
    errors.push(invalidField("spec.template", "object", "field is immutable"));
  }
  return errors;
}

export function validateCronJob(object: KubeObject): FieldError[] {
  const schedule = objectAt(object, "spec")["schedule"];
  const jobSpec = objectAt(object, "spec", "jobTemplate", "spec");
  const errors = validateJobRestart(jobSpec, "spec.jobTemplate.spec");
  if (typeof schedule !== "string" || schedule === "") return [required("spec.schedule"), ...errors];
  const fields = schedule.trim().split(/\s+/);
  if (fields.length !== 5 && !schedule.startsWith("@")) {
    const detail = `expected exactly 5 fields, found ${fields.length}: [${fields.join(" ")}]`;
    errors.push(invalidField("spec.schedule", schedule, detail));
  }
  return errors;
}

function validateJobRestart(spec: JsonObject, path: string): FieldError[] {
  const restart = objectAt(spec, "template", "spec")["restartPolicy"];
  if (restart === "OnFailure" || restart === "Never") return [];
  const detail = 'valid values: "OnFailure", "Never"';
  return [{ type: "Required", path: `${path}.template.spec.restartPolicy`, detail }];
}

function validateTemplate(spec: JsonObject): FieldError[] {
  const labels = objectAt(spec, "template", "metadata")["labels"];
  const podSpec = objectAt(spec, "template", "spec");
  return [
    ...validateLabels(labels, "spec.template.metadata.labels"),
    ...validatePodSpec(podSpec, "spec.template.spec"),
  ];
}
