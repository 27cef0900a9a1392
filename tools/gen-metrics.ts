// SPDX-License-Identifier: Apache-2.0
// Writes docs/reference/metrics.md from the registries the programs serve.
import { writeFileSync } from "node:fs";
import { FlowCounters } from "#flows/counters.ts";
import { flowMetrics } from "#flows/metrics.ts";
import { FlowRing } from "#flows/ring.ts";
import { createHealth } from "#lib/health.ts";
import { createRegistry, type Registry } from "#lib/metrics.ts";
import { operatorMetrics } from "#operator/metrics.ts";
import { agentMetrics } from "../src/main/agent-metrics.ts";
import { relayMetrics } from "../src/main/relay-metrics.ts";

interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  /** The client library keeps it, but does not declare it. */
  readonly labelNames?: readonly string[];
}

const byName = (a: Metric, b: Metric) => (a.name < b.name ? -1 : 1);

/** What each scrape's text says of a metric, and its labels. */
async function metricsOf(...registries: readonly Registry[]): Promise<Metric[]> {
  const told = (await Promise.all(registries.map((registry) => registry.getMetricsAsJSON()))).flat();
  const types = new Map(told.map(({ name, type }) => [name, String(type)]));
  return registries
    .flatMap((registry) => registry.getMetricsAsArray())
    .map((metric) => ({ ...(metric as unknown as Metric), type: types.get(metric.name) ?? "" }))
    .sort(byName);
}

const processMetrics = await metricsOf(createRegistry());
const ofProcess = new Set(processMetrics.map(({ name }) => name));

function table(metrics: readonly Metric[]): string {
  const rows = metrics.map(
    ({ name, type, labelNames = [], help }) =>
      `| \`${name}\` | ${type} | ${labelNames.map((label) => `\`${label}\``).join(", ")} | ${help} |`,
  );
  return `| name | type | labels | what it is |\n|---|---|---|---|\n${rows.join("\n")}\n`;
}

const own = async (...registries: readonly Registry[]) =>
  table((await metricsOf(...registries)).filter(({ name }) => !ofProcess.has(name)));

const health = createHealth();
const flows = flowMetrics(new FlowCounters(), new FlowRing(1));
const reach = { nodes: 0, connected: 0, unavailable: [] };

writeFileSync(
  "docs/reference/metrics.md",
  `# Metrics

Each program serves its metrics in the Prometheus text format at \`/metrics\`; the address is \`metrics.listen\` of its settings. Flow metrics
have Hubble's names and labels, so that its dashboards work. Generated from the programs' registries by \`npm run gen\`.

## Agent

Port 9962 of every node.

${await own(
  agentMetrics({
    health,
    maps: () => [],
    mapMemory: () => [],
    announced: () => 0,
    acceleration: { counts: () => undefined },
    prefilter: { size: 0, dropped: () => ({ packets: 0, bytes: 0 }) },
  }),
  flows,
)}
## Operator

Port 9963 of the node it runs on.

${await own(operatorMetrics(health, { leads: false }))}
## Relay

Port 9966 of its pod.

${await own(relayMetrics(reach))}
## Every program

Its process: what Node.js and the kernel say of it.

${table(processMetrics)}`,
);
