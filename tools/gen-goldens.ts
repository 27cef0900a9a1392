// SPDX-License-Identifier: Apache-2.0
// Writes charts/weft/golden: the chart as helm itself renders it, which our own renderer is held against. `gen-goldens.ts [HELM]`: the program to
// ask, the one on PATH without it; no part of `npm run gen`, which needs no helm.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { chartCases, chartDir, goldenFile } from "#kit/chart-cases.ts";

const [helm = "helm"] = process.argv.slice(2);
for (const { name, profile, set } of chartCases) {
  const values = profile ? ["-f", join(chartDir, "profiles", `${profile}.yaml`)] : [];
  const where = ["--namespace", "kube-system", "--kube-version", "1.35.4"];
  const args = ["template", "weft", chartDir, ...where, ...values, ...set.flatMap((one) => ["--set", one])];
  writeFileSync(goldenFile(name), execFileSync(helm, args));
}
