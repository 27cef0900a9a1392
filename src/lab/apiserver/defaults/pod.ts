// SPDX-License-Identifier: Apache-2.0
import {
  ensureObject,
  isObject,
  type JsonObject,
  type KubeObject,
  listAt,
  objectAt,
  setDefault,
  stringAt,
} from "../object.ts";

/** Fills in a pod spec, of a pod or a template. */
export function defaultPodSpec(spec: JsonObject): void {
  setDefault(spec, "restartPolicy", "Always");
  setDefault(spec, "dnsPolicy", "ClusterFirst");
  setDefault(spec, "schedulerName", "default-scheduler");
  setDefault(spec, "terminationGracePeriodSeconds", 30);
  setDefault(spec, "securityContext", {});
  if (spec["serviceAccountName"] !== undefined)
    setDefault(spec, "serviceAccount", spec["serviceAccountName"]);
  else if (spec["serviceAccount"] !== undefined)
    setDefault(spec, "serviceAccountName", spec["serviceAccount"]);
  for (const name of ["containers", "initContainers", "ephemeralContainers"]) {
    for (const container of listAt(spec, name)) defaultContainer(container, spec["hostNetwork"] === true);
  }
  for (const volume of listAt(spec, "volumes")) defaultVolume(volume);
}

/** What a pod has beyond a template: the service account, tolerations for failing nodes. */
export function defaultPod(pod: KubeObject): void {
  const spec = ensureObject(pod, "spec");
  defaultPodSpec(spec);
  setDefault(spec, "enableServiceLinks", true);
  setDefault(spec, "serviceAccountName", "default");
  setDefault(spec, "serviceAccount", spec["serviceAccountName"]);
  setDefault(spec, "priority", 0);
  setDefault(spec, "preemptionPolicy", "PreemptLowerPriority");
  const tolerations = listAt(spec, "tolerations");
  const missing = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"].filter(
    (key) =>
      !tolerations.some(
        (toleration) =>
          toleration["key"] === key || (!toleration["key"] && toleration["operator"] === "Exists"),
      ),
  );
  const added = missing.map((key) => ({
    key,
    operator: "Exists",
    effect: "NoExecute",
    tolerationSeconds: 300,
  }));
  if (added.length > 0) spec["tolerations"] = [...tolerations, ...added];
}

export function startPod(pod: KubeObject): void {
  pod["status"] = { phase: "Pending", qosClass: qosClass(objectAt(pod, "spec")) };
}

function defaultContainer(container: JsonObject, hostNetwork: boolean): void {
  const image = stringAt(container, "image");
  const tag = /:([^/:@]+)$/.exec(image)?.[1];
  const pinned = image.includes("@") || (tag !== undefined && tag !== "latest");
  setDefault(container, "imagePullPolicy", pinned ? "IfNotPresent" : "Always");
  setDefault(container, "terminationMessagePath", "/dev/termination-log");
  setDefault(container, "terminationMessagePolicy", "File");
  const resources = ensureObject(container, "resources");
  for (const [name, limit] of Object.entries(objectAt(resources, "limits")))
    setDefault(ensureObject(resources, "requests"), name, limit);
  for (const port of listAt(container, "ports")) {
    setDefault(port, "protocol", "TCP");
    if (hostNetwork) setDefault(port, "hostPort", port["containerPort"]);
  }
  for (const env of listAt(container, "env")) {
    const reference = objectAt(env, "valueFrom", "fieldRef");
    if (isObject(env["valueFrom"]) && isObject(env["valueFrom"]["fieldRef"]))
      setDefault(reference, "apiVersion", "v1");
  }
  for (const name of ["livenessProbe", "readinessProbe", "startupProbe"]) {
    const probe = container[name];
    if (isObject(probe)) defaultProbe(probe);
  }
  for (const hook of Object.values(objectAt(container, "lifecycle"))) if (isObject(hook)) defaultAction(hook);
}

function defaultProbe(probe: JsonObject): void {
  setDefault(probe, "timeoutSeconds", 1);
  setDefault(probe, "periodSeconds", 10);
  setDefault(probe, "successThreshold", 1);
  setDefault(probe, "failureThreshold", 3);
  defaultAction(probe);
  const grpc = probe["grpc"];
  if (isObject(grpc)) setDefault(grpc, "service", "");
}

function defaultAction(action: JsonObject): void {
  const get = action["httpGet"];
  if (!isObject(get)) return;
  setDefault(get, "path", "/");
  setDefault(get, "scheme", "HTTP");
}

function defaultVolume(volume: JsonObject): void {
  if (Object.keys(volume).length === 1) volume["emptyDir"] = {};
  for (const name of ["secret", "configMap", "downwardAPI", "projected"]) {
    const source = volume[name];
    if (isObject(source)) setDefault(source, "defaultMode", 420);
  }
  const host = volume["hostPath"];
  if (isObject(host)) setDefault(host, "type", "");
}

/** Quality of service: Guaranteed when every container's limits are its requests, BestEffort when nobody asks for anything. */
function qosClass(spec: JsonObject): string {
  const containers = [...listAt(spec, "containers"), ...listAt(spec, "initContainers")];
  const resources = containers.map((container) => objectAt(container, "resources"));
  if (
    resources.every(
      (r) => Object.keys(objectAt(r, "limits")).length + Object.keys(objectAt(r, "requests")).length === 0,
    )
  )
    return "BestEffort";
  const guaranteed = resources.every((r) =>
    ["cpu", "memory"].every((name) => {
      const limit = objectAt(r, "limits")[name];
      return limit !== undefined && objectAt(r, "requests")[name] === limit;
    }),
  );
  return guaranteed ? "Guaranteed" : "Burstable";
}
