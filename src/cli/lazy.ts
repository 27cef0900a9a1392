// SPDX-License-Identifier: Apache-2.0
import type { Command } from "commander";

/** Commands by name, each loaded only when it is asked for: most of a short command's time goes into reading programs. */
export type Commands = Readonly<Record<string, () => Promise<Command>>>;

/** The one that is asked for, or all where it is none of them: for the help, and for suggestions. */
export async function loadCommands(commands: Commands, asked: string | undefined): Promise<Command[]> {
  const one =
    asked === undefined ? undefined : Object.entries(commands).find(([name]) => name === asked)?.[1];
  return one ? [await one()] : await Promise.all(Object.values(commands).map((load) => load()));
}
