// SPDX-License-Identifier: Apache-2.0

interface Family {
  readonly head: string[];
  readonly samples: string[];
}

/**
 * Joins Prometheus texts (exposition format 0.0.4) of several nodes: each family once, every sample with a label `node`. Pure.
 */
export function mergeMetrics(texts: readonly { readonly node: string; readonly text: string }[]): string {
  const families = new Map<string, Family>();
  for (const { node, text } of texts) {
    let current: Family | undefined;
    for (const line of text.split("\n")) {
      const head = /^# (HELP|TYPE) (\S+)/.exec(line);
      if (head) {
        const name = head[2]!;
        current = families.get(name) ?? { head: [], samples: [] };
        families.set(name, current);
        if (!current.head.some((one) => one.startsWith(`# ${head[1]} `))) current.head.push(line);
      } else if (line !== "" && !line.startsWith("#") && current) {
        current.samples.push(withNode(line, node));
      }
    }
  }
  return `${[...families.values()].flatMap(({ head, samples }) => [...head, ...samples]).join("\n")}\n`;
}

function withNode(sample: string, node: string): string {
  const match = /^([^\s{]+)(?:\{(.*)\})?(\s.*)$/.exec(sample);
  if (!match) return sample;
  const [, name, labels, rest] = match;
  return `${name}{${labels ? `${labels},` : ""}node="${node}"}${rest}`;
}
