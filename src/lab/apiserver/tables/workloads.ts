// SPDX-License-Identifier: Apache-2.0
import {
  type Json,
  type JsonObject,
  type KubeObject,
  listAt,
  numberAt,
  objectAt,
  stringAt,
  valueAt,
} from "../object.ts";
import { selectorText } from "../selectors.ts";
import {
  age,
  ageOf,
  columns,
  duration,
  labelsText,
  nameOf,
  orNone,
  orText,
  type TableLayout,
} from "./table.ts";

/** Container names, images and selector: the wide columns of everything with a template. */
function wide(object: KubeObject): Json[] {
  return [...containerCells(objectAt(object, "spec", "template", "spec")), selectorCell(object)];
}

function containerCells(podSpec: JsonObject): Json[] {
  const containers = listAt(podSpec, "containers");
  return [orNone(containers.map((c) => c["name"])), orNone(containers.map((c) => c["image"] ?? ""))];
}

function selectorCell(object: KubeObject): string {
  const selector = objectAt(object, "spec", "selector");
  return orText(selectorText(selector), "<none>");
}

const count = (object: KubeObject, name: string): number => numberAt(object, "status", name);

export const deploymentTable: TableLayout = {
  columns: columns("Name", "Ready", "Up-to-date", "Available", "Age", "!Containers", "!Images", "!Selector"),
  cells: (object) => [
    nameOf(object),
    `${count(object, "readyReplicas")}/${numberAt(object, "spec", "replicas")}`,
    count(object, "updatedReplicas"),
    count(object, "availableReplicas"),
    ageOf(object),
    ...wide(object),
  ],
};

export const replicaSetTable: TableLayout = {
  columns: columns("Name", "Desired", "Current", "Ready", "Age", "!Containers", "!Images", "!Selector"),
  cells: (object) => [
    nameOf(object),
    numberAt(object, "spec", "replicas"),
    count(object, "replicas"),
    count(object, "readyReplicas"),
    ageOf(object),
    ...wide(object),
  ],
};

export const replicationControllerTable: TableLayout = {
  columns: replicaSetTable.columns,
  cells: (object) => [
    ...replicaSetTable.cells(object).slice(0, 7),
    labelsText(objectAt(object, "spec", "selector")),
  ],
};

export const daemonSetTable: TableLayout = {
  columns: columns(
    "Name",
    "Desired",
    "Current",
    "Ready",
    "Up-to-date",
    "Available",
    "Node Selector",
    "Age",
    "!Containers",
    "!Images",
    "!Selector",
  ),
  cells: (object) => [
    nameOf(object),
    count(object, "desiredNumberScheduled"),
    count(object, "currentNumberScheduled"),
    count(object, "numberReady"),
    count(object, "updatedNumberScheduled"),
    count(object, "numberAvailable"),
    labelsText(objectAt(object, "spec", "template", "spec", "nodeSelector")),
    ageOf(object),
    ...wide(object),
  ],
};

export const statefulSetTable: TableLayout = {
  columns: columns("Name", "Ready", "Age", "!Containers", "!Images"),
  cells: (object) => [
    nameOf(object),
    `${count(object, "readyReplicas")}/${numberAt(object, "spec", "replicas")}`,
    ageOf(object),
    ...containerCells(objectAt(object, "spec", "template", "spec")),
  ],
};

export const jobTable: TableLayout = {
  columns: columns("Name", "Status", "Completions", "Duration", "Age", "!Containers", "!Images", "!Selector"),
  cells: (object) => {
    const started = stringAt(object, "status", "startTime");
    const ended = stringAt(object, "status", "completionTime");
    const took =
      started === "" ? "" : duration((ended === "" ? Date.now() : Date.parse(ended)) - Date.parse(started));
    return [nameOf(object), jobStatus(object), completions(object), took, ageOf(object), ...wide(object)];
  },
};

function jobStatus(job: KubeObject): string {
  const isTrue = (type: string) =>
    listAt(job, "status", "conditions").some((c) => c["type"] === type && c["status"] === "True");
  if (isTrue("Complete")) return "Complete";
  if (isTrue("Failed")) return "Failed";
  if (job.metadata.deletionTimestamp) return "Terminating";
  return isTrue("Suspended") ? "Suspended" : "Running";
}

function completions(job: KubeObject): string {
  const done = count(job, "succeeded");
  const wanted = valueAt(job, "spec", "completions");
  if (typeof wanted === "number") return `${done}/${wanted}`;
  const parallelism = numberAt(job, "spec", "parallelism");
  return parallelism > 1 ? `${done}/1 of ${parallelism}` : `${done}/1`;
}

export const cronJobTable: TableLayout = {
  columns: columns(
    "Name",
    "Schedule",
    "Timezone",
    "Suspend",
    "Active",
    "Last Schedule",
    "Age",
    "!Containers",
    "!Images",
    "!Selector",
  ),
  cells: (object) => {
    const last = stringAt(object, "status", "lastScheduleTime");
    return [
      nameOf(object),
      stringAt(object, "spec", "schedule"),
      orText(valueAt(object, "spec", "timeZone"), "<none>"),
      valueAt(object, "spec", "suspend") === true ? "True" : "False",
      listAt(object, "status", "active").length,
      last === "" ? "<none>" : age(last),
      ageOf(object),
      ...containerCells(objectAt(object, "spec", "jobTemplate", "spec", "template", "spec")),
      orText(selectorText(objectAt(object, "spec", "jobTemplate", "spec", "selector")), "<none>"),
    ];
  },
};
