// SPDX-License-Identifier: Apache-2.0
// npm run bench:lb: figures of Weft's services beside those of the real kube-proxy, in one run on one machine.
import { errorText } from "#lib/errors.ts";
import { buildArtifacts } from "../../k8s/build/build.ts";
import { benchMain, type Report } from "../report.ts";
import type { Figure } from "../stats.ts";
import { type SizeContext, sizeText } from "./context.ts";
import { moveFigures } from "./moves.ts";
import { help, type LbOptions, lbOptions, type PartName } from "./options.ts";
import { podFigures } from "./pods.ts";
import { programmingFigures } from "./programming.ts";
import { nodePortFigures } from "./ways.ts";
import { startWorld, type World } from "./world.ts";

const measured: Readonly<
  Record<Exclude<PartName, "programming">, (world: World, context: SizeContext) => Promise<Figure[]>>
> = { pods: podFigures, nodeport: nodePortFigures, changes: moveFigures };

/** All kube-proxies from empty, one after the other; they stand still then, until a part lets one go on. */
async function fillProxies(world: World, progress: (text: string) => void) {
  const filled = [];
  for (const proxy of world.proxies) {
    progress(`${proxy.name} from empty`);
    filled.push({ name: proxy.name, runs: [await proxy.fill()] });
    proxy.freeze();
  }
  return filled;
}

async function run(options: LbOptions, report: Report): Promise<void> {
  const { signal } = report;
  const setUp = report.progress("set up");
  const { bin } = await buildArtifacts();
  const name = process.env["WEFT_LAB"] || "benchlb";
  await using world = await startWorld({ name, proxies: options.proxies, bin, signal, progress: setUp });
  for (const services of options.services) {
    const size = sizeText(services);
    // What is made at a larger size must not wait for who stands still.
    for (const proxy of world.proxies) await proxy.stop();
    await world.grow(services);
    const filled = await fillProxies(world, setUp);
    for (const part of options.parts) {
      const context = {
        services,
        size,
        rounds: options.rounds,
        signal,
        progress: report.progress(`${part}, ${size}`),
      };
      report.add(
        `${part}, ${size}`,
        part === "programming"
          ? await programmingFigures(world, context, filled)
          : await measured[part](world, context),
      );
    }
  }
}

function options(): LbOptions {
  try {
    const given = lbOptions(process.argv.slice(2));
    if (given !== "help") return given;
    console.log(help);
    process.exit(0);
  } catch (error) {
    console.error(`bench:lb: ${errorText(error)}\n\n${help}`);
    process.exit(2);
  }
}

const given = options();
await benchMain({ name: "bench:lb", json: given.json, run: (report) => run(given, report) });
