// SPDX-License-Identifier: Apache-2.0
// The figures of `npm run bench:lb -- --json FILE` as the tables of docs/performance.md: node tests/bench/lb/table.ts FILE...
import { readFileSync } from "node:fs";
import { type Figure, figureText } from "../stats.ts";
import { modes } from "../traffic.ts";
import { flowKinds } from "./wire.ts";

/** The tables, of the sizes and ways that there are figures of. */
export function tables(figures: readonly Figure[]): string {
  const sizes = sizesOf(figures);
  return [
    pods(figures, sizes),
    nodePort(figures, sizes),
    programming(figures, sizes),
    changes(figures, sizes),
  ]
    .filter((one) => one !== "")
    .join("\n\n");
}

function sizesOf(figures: readonly Figure[]): string[] {
  const found = figures.flatMap(({ name }) => /[\d,]+ services?(?=:)/.exec(name) ?? []);
  const number = (size: string) => Number(size.replace(/\D/g, ""));
  return [...new Set(found)].sort((a, b) => number(a) - number(b));
}

function cell(figures: readonly Figure[], name: string, unit: string, control?: string): string {
  const found = figures.find((one) => one.name === name && one.unit === unit && one.control === control);
  if (!found) return "";
  return found.rounds > 1 ? figureText(found) : (figureText(found).split(" ")[0] ?? "");
}

/** A table without the rows that have nothing to show; empty when none has. */
function table(title: string, heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const labels = heads.findIndex((head) => head.startsWith("*"));
  const shown = rows.filter((row) => row.slice(labels).some((text) => text !== ""));
  if (shown.length === 0) return "";
  const line = (texts: readonly string[]) => `| ${texts.join(" | ")} |`;
  const names = heads.map((head) => head.replace("*", ""));
  return [`#### ${title}`, "", line(names), line(heads.map(() => "---")), ...shown.map(line)].join("\n");
}

const ways = [
  "Weft",
  "kube-proxy iptables",
  "kube-proxy iptables, late rule",
  "kube-proxy nftables",
] as const;

function pods(figures: readonly Figure[], sizes: readonly string[]): string {
  const veth = "direct veth";
  const rows = (what: string) =>
    sizes.flatMap((size) => {
      const row = (name: string, base: string) => [
        name,
        base.replace(`, ${size}`, ""),
        size,
        ...modes.map((mode) => cell(figures, `${name}, ${size}: ${mode} ${what}`, "ratio", base)),
      ];
      const others = ways.slice(1).map((way) => row("Weft", `${way}, ${size}`));
      return [row("direct veth (again)", veth), ...ways.map((way) => row(way, veth)), ...others];
    });
  const heads = ["path", "held against", "", "*TCP_RR", "TCP_CRR", "UDP_RR", "stream"];
  return [
    table("From pods: CPU time per operation, ratio; lower is better", heads, rows("CPU per operation")),
    table("From pods: rate, ratio; higher is better", heads, rows("rate")),
  ]
    .filter((one) => one !== "")
    .join("\n\n");
}

function nodePort(figures: readonly Figure[], sizes: readonly string[]): string {
  const names = ["dropped at once", "dropped at once (again)", "XDP_TX alone", "Weft", "Weft at XDP"];
  const rows = sizes.flatMap((size) =>
    [...names, "kube-proxy iptables", "kube-proxy nftables"].map((name) => [
      name,
      size,
      ...flowKinds.flatMap((kind) => {
        const figure = `${name}, ${size}: ${kind}, CPU per packet`;
        return [
          cell(figures, figure, "ns"),
          cell(figures, figure, "ratio", `kube-proxy iptables, ${size}`),
          cell(figures, figure, "ratio", `XDP_TX alone, ${size}`),
        ];
      }),
    ]),
  );
  const columns = flowKinds.flatMap((kind) => [`${kind}: ns`, "to iptables", "to XDP_TX"]);
  return table("To a NodePort: CPU per packet", ["way", "", `*${columns[0]}`, ...columns.slice(1)], rows);
}

function programming(figures: readonly Figure[], sizes: readonly string[]): string {
  const done = "from empty to all services";
  const rows = sizes.flatMap((size) =>
    ["Weft", "kube-proxy iptables", "kube-proxy nftables"].map((name) => [
      name,
      size,
      cell(figures, `${name}, ${size}: ${done}, CPU`, "s"),
      cell(figures, `${name}, ${size}: ${done}`, "s"),
      cell(figures, `Weft, ${size}: ${done}, CPU`, "ratio", `${name}, ${size}`),
      cell(figures, `${name}, ${size}: heap of the agent`, "MB"),
    ]),
  );
  const heads = ["daemon", "", "*CPU, s", "time, s", "Weft's CPU to it", "heap, MB"];
  return table("From an empty node to all services", heads, rows);
}

function changes(figures: readonly Figure[], sizes: readonly string[]): string {
  const what = "endpoint change to first packet on the new backend";
  const rows = sizes.flatMap((size) =>
    ["Weft", "kube-proxy iptables", "kube-proxy nftables"].map((name) => [
      name,
      size,
      cell(figures, `${name}, ${size}: ${what}: p50`, "ms"),
      cell(figures, `${name}, ${size}: ${what}: p99`, "ms").split(" ")[0] ?? "",
    ]),
  );
  return table(
    "An endpoint's change to the first packet on the new one",
    ["daemon", "", "*p50, ms", "p99, ms"],
    rows,
  );
}

if (import.meta.main) {
  const files = process.argv.slice(2);
  if (files.length === 0) {
    console.error("usage: node tests/bench/lb/table.ts FILE...");
    process.exit(2);
  }
  console.log(tables(files.flatMap((file) => JSON.parse(readFileSync(file, "utf8")) as Figure[])));
}
