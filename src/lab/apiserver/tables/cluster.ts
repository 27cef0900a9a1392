// SPDX-License-Identifier: Apache-2.0
import { type KubeObject, listAt, numberAt, objectAt, stringAt, stringsAt, valueAt } from "../object.ts";
import { age, ageOf, columns, nameOf, orNone, orText, type TableLayout } from "./table.ts";

export const nodeTable: TableLayout = {
  columns: columns(
    "Name",
    "Status",
    "Roles",
    "Age",
    "Version",
    "!Internal-IP",
    "!External-IP",
    "!OS-Image",
    "!Kernel-Version",
    "!Container-Runtime",
  ),
  cells: (node) => {
    const info = objectAt(node, "status", "nodeInfo");
    return [
      nameOf(node),
      nodeStatus(node),
      roles(node),
      ageOf(node),
      stringAt(info, "kubeletVersion"),
      address(node, "InternalIP"),
      address(node, "ExternalIP"),
      orText(info["osImage"], "<unknown>"),
      orText(info["kernelVersion"], "<unknown>"),
      orText(info["containerRuntimeVersion"], "<unknown>"),
    ];
  },
};

function nodeStatus(node: KubeObject): string {
  const ready = listAt(node, "status", "conditions").find((condition) => condition["type"] === "Ready");
  const text = ready === undefined ? "Unknown" : ready["status"] === "True" ? "Ready" : "NotReady";
  return valueAt(node, "spec", "unschedulable") === true ? `${text},SchedulingDisabled` : text;
}

function roles(node: KubeObject): string {
  const prefix = "node-role.kubernetes.io/";
  const keys = Object.keys(node.metadata.labels ?? {}).filter((key) => key.startsWith(prefix));
  return orNone(keys.map((key) => key.slice(prefix.length)).sort());
}

function address(node: KubeObject, type: string): string {
  const found = listAt(node, "status", "addresses").find((item) => item["type"] === type);
  return orText(found?.["address"], "<none>");
}

export const namespaceTable: TableLayout = {
  columns: columns("Name", "Status", "Age"),
  cells: (object) => [nameOf(object), stringAt(object, "status", "phase"), ageOf(object)],
};

export const eventTable: TableLayout = {
  columns: columns(
    "Last Seen",
    "Type",
    "Reason",
    "Object",
    "!Subobject",
    "!Source",
    "Message",
    "!First Seen",
    "!Count",
    "!Name",
  ),
  cells: (event) => {
    const about = objectAt(event, "involvedObject");
    const first = stringAt(event, "firstTimestamp") || stringAt(event, "eventTime");
    const last = stringAt(event, "series", "lastObservedTime") || stringAt(event, "lastTimestamp") || first;
    const source = [
      stringAt(event, "source", "component") || stringAt(event, "reportingComponent"),
      stringAt(event, "source", "host"),
    ];
    return [
      last ? age(last) : "<unknown>",
      stringAt(event, "type"),
      stringAt(event, "reason"),
      `${stringAt(about, "kind").toLowerCase()}/${stringAt(about, "name")}`,
      stringAt(about, "fieldPath"),
      source.filter((part) => part !== "").join(", "),
      stringAt(event, "message").trim(),
      first ? age(first) : "<unknown>",
      numberAt(event, "series", "count") || numberAt(event, "count") || 1,
      nameOf(event),
    ];
  },
};

const size = (object: KubeObject, ...names: string[]): number =>
  names.reduce((sum, name) => sum + Object.keys(objectAt(object, name)).length, 0);

export const configMapTable: TableLayout = {
  columns: columns("Name", "Data", "Age"),
  cells: (object) => [nameOf(object), size(object, "data", "binaryData"), ageOf(object)],
};

export const secretTable: TableLayout = {
  columns: columns("Name", "Type", "Data", "Age"),
  cells: (object) => [nameOf(object), stringAt(object, "type"), size(object, "data"), ageOf(object)],
};

export const serviceAccountTable: TableLayout = {
  columns: columns("Name", "Secrets", "Age"),
  cells: (object) => [nameOf(object), listAt(object, "secrets").length, ageOf(object)],
};

export const leaseTable: TableLayout = {
  columns: columns("Name", "Holder", "Age"),
  cells: (object) => [nameOf(object), stringAt(object, "spec", "holderIdentity"), ageOf(object)],
};

export const disruptionBudgetTable: TableLayout = {
  columns: columns("Name", "Min Available", "Max Unavailable", "Allowed Disruptions", "Age"),
  cells: (object) => [
    nameOf(object),
    orText(valueAt(object, "spec", "minAvailable"), "N/A"),
    orText(valueAt(object, "spec", "maxUnavailable"), "N/A"),
    numberAt(object, "status", "disruptionsAllowed"),
    ageOf(object),
  ],
};

export const definitionTable: TableLayout = {
  columns: columns("Name", "Created At"),
  cells: (object) => [nameOf(object), orText(object.metadata.creationTimestamp, "<unknown>")],
};

export const roleBindingTable: TableLayout = {
  columns: columns("Name", "Role", "Age", "!Users", "!Groups", "!ServiceAccounts"),
  cells: (object) => {
    const subjects = (kind: string) =>
      listAt(object, "subjects").filter((subject) => subject["kind"] === kind);
    return [
      nameOf(object),
      `${stringAt(object, "roleRef", "kind")}/${stringAt(object, "roleRef", "name")}`,
      ageOf(object),
      subjects("User")
        .map((s) => stringAt(s, "name"))
        .join(", "),
      subjects("Group")
        .map((s) => stringAt(s, "name"))
        .join(", "),
      subjects("ServiceAccount")
        .map((s) => `${stringAt(s, "namespace")}/${stringAt(s, "name")}`)
        .join(", "),
    ];
  },
};

export const roleTable: TableLayout = {
  columns: columns("Name", "Created At"),
  cells: definitionTable.cells,
};

export const priorityClassTable: TableLayout = {
  columns: columns("Name", "Value", "Global-Default", "Age", "PreemptionPolicy"),
  cells: (object) => [
    nameOf(object),
    numberAt(object, "value"),
    object["globalDefault"] === true,
    ageOf(object),
    orText(object["preemptionPolicy"], "PreemptLowerPriority"),
  ],
};

export const volumeClaimTable: TableLayout = {
  columns: columns(
    "Name",
    "Status",
    "Volume",
    "Capacity",
    "Access Modes",
    "StorageClass",
    "Age",
    "!VolumeMode",
  ),
  cells: (object) => [
    nameOf(object),
    object.metadata.deletionTimestamp ? "Terminating" : stringAt(object, "status", "phase"),
    stringAt(object, "spec", "volumeName"),
    orText(valueAt(object, "status", "capacity", "storage"), ""),
    stringsAt(object, "status", "accessModes").join(","),
    orText(valueAt(object, "spec", "storageClassName"), ""),
    ageOf(object),
    orText(valueAt(object, "spec", "volumeMode"), "<unset>"),
  ],
};
