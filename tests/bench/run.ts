// SPDX-License-Identifier: Apache-2.0
// The bench: figures over interleaved rounds, ratios to the same thing without Weft wherever there is one. `npm run bench -- --help`
import { parseArgs } from "node:util";
import { errorText } from "#lib/errors.ts";
import { agent } from "./agent.ts";
import { balancer } from "./balancer.ts";
import { changes } from "./changes.ts";
import type { BenchPart } from "./context.ts";
import { events } from "./events.ts";
import { nativePaths, sockmapPaths, tunnelPaths } from "./paths.ts";
import { policy } from "./policy.ts";
import { programs } from "./programs.ts";
import { benchMain } from "./report.ts";
import { services } from "./services.ts";

const parts: readonly BenchPart[] = [
  tunnelPaths,
  nativePaths,
  sockmapPaths,
  programs,
  balancer,
  agent,
  policy,
  services,
  changes,
  events,
];

const help = `Measures Weft on this machine: about 7 minutes, needs root.

npm run bench -- [--only PART[,PART]...] [--rounds N] [--json FILE]

Parts:
${parts.map(({ name, what }) => `  ${name.padEnd(10)} ${what}`).join("\n")}

--rounds N   instead of each part's own number; more rounds, narrower quartiles
--json FILE  the figures as an array of {name, unit, median, q1, q3, rounds, control}
`;

function usage(message: string): never {
  console.error(`bench: ${message}\n\n${help}`);
  process.exit(2);
}

function parsed() {
  try {
    return parseArgs({
      options: {
        only: { type: "string", multiple: true, default: [] },
        rounds: { type: "string" },
        json: { type: "string" },
        help: { type: "boolean", short: "h", default: false },
      },
    }).values;
  } catch (error) {
    return usage(errorText(error));
  }
}

function options() {
  const values = parsed();
  if (values.help) {
    console.log(help);
    process.exit(0);
  }
  const wanted = values.only.flatMap((text) => text.split(","));
  const unknown = wanted.find((name) => !parts.some((part) => part.name === name));
  if (unknown !== undefined) usage(`no part "${unknown}"`);
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds >= 1 && rounds <= 1000))
    usage("--rounds takes 1 to 1000");
  const chosen = parts.filter((part) => wanted.length === 0 || wanted.includes(part.name));
  return { chosen, rounds, json: values.json };
}

const { chosen, rounds, json } = options();
await benchMain({
  name: "bench",
  json,
  async run({ signal, progress, add }) {
    const name = process.env["WEFT_LAB"] || "bench";
    for (const part of chosen)
      add(part.name, await part.run({ rounds, signal, name, progress: progress(part.name) }));
  },
});
