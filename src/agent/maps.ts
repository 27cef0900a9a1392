// SPDX-License-Identifier: Apache-2.0
import type { Column } from "#store/table.ts";
import { dumpRows, type TableDump } from "./api.ts";

/** A kernel map as `weft bpf NAME list` shows it. */
export function mapDump<R>(
  name: string,
  columns: readonly Column<R>[],
  rows: () => Iterable<R>,
): () => TableDump {
  return () => dumpRows(name, columns, rows());
}
