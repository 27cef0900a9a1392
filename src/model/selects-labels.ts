// SPDX-License-Identifier: Apache-2.0

/** A label selector as Kubernetes objects carry it (meta/v1 LabelSelector). */
export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>> | undefined;
  readonly matchExpressions?:
    | readonly {
        readonly key: string;
        readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
        readonly values?: readonly string[] | undefined;
      }[]
    | undefined;
}

type PlainLabels = Readonly<Record<string, string>>;

/** Whether the labels are selected; no selector selects everything, and so does an empty one. */
export function selectsLabels(selector: LabelSelector | undefined, labels: PlainLabels): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector ?? {};
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key];
      if (operator === "Exists") return value !== undefined;
      if (operator === "DoesNotExist") return value === undefined;
      const among = value !== undefined && values.includes(value);
      return operator === "In" ? among : !among;
    })
  );
}

/** A Service's labels and, under the keys that selectors of pools and policies know, its namespace and name. */
export function serviceLabels(service: {
  readonly namespace: string;
  readonly name: string;
  readonly labels?: PlainLabels | undefined;
}): PlainLabels {
  return {
    ...service.labels,
    "io.kubernetes.service.namespace": service.namespace,
    "io.kubernetes.service.name": service.name,
  };
}
