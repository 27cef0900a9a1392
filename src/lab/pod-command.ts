// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { nativeProgram } from "#lib/assets.ts";

export interface PodCommand {
  readonly netns: string;
  /** cgroup2 directory. */
  readonly cgroup: string;
  /** Absent: the host's files. */
  readonly root?: string | undefined;
  readonly cwd?: string | undefined;
  readonly hostname?: string | undefined;
  /** Directory whose resolv.conf and hosts appear in /etc. */
  readonly etc?: string | undefined;
  readonly argv: readonly string[];
  /** With a terminal; its size comes as lines `ROWSxCOLS` on fd 3. */
  readonly tty?: boolean;
}

/** The command line that runs `argv` inside a pod: namespace, cgroup and files by the pod-exec program, which then becomes it. */
export function podCommand(command: PodCommand): { file: string; args: string[] } {
  const args = ["--netns", command.netns, "--cgroup", command.cgroup, "--die-with-parent"];
  if (command.hostname) args.push("--hostname", command.hostname);
  if (command.tty) args.push("--tty", "24x80", "--resize-fd", "3");
  if (command.root) args.push("--root", command.root);
  args.push("--cwd", command.cwd ?? "/");
  if (command.etc) {
    for (const name of ["resolv.conf", "hosts"])
      args.push("--bind", `${join(command.etc, name)}:/etc/${name}`);
  }
  args.push("--", ...(command.root ? command.argv : withTool(command.argv)));
  return { file: nativeProgram("pod-exec"), args };
}

/** The tools come last: a machine's own `curl` is the better one. */
export function podPath(before = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"): string {
  return `${before}:${nativeProgram("tools")}`;
}

/** An image has its programs where it likes (`/agnhost`); what is not there on the machine may be a tool. */
function withTool([program = "", ...rest]: readonly string[]): readonly string[] {
  if (!program.includes("/") || existsSync(program)) return [program, ...rest];
  const tool = join(nativeProgram("tools"), basename(program));
  return [existsSync(tool) ? tool : program, ...rest];
}
