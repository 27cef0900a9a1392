// SPDX-License-Identifier: Apache-2.0
import { basename } from "node:path";
import type { Container } from "../objects.ts";

/**
 * The command of a container that does nothing but ask the network, print and wait: it is run instead of played, so that a
 * client's loop makes its traffic and a job ends as its command does. Whatever might change a file of the machine is not among
 * them. Undefined: the stand-in plays the container. Pure.
 */
export function harmlessCommand(container: Container): readonly string[] | undefined {
  if (serves(container)) return undefined;
  const argv = commandOf(container);
  const [first, second] = argv;
  if (first === undefined) return undefined;
  if (shells.has(basename(first))) {
    if (!/^-[a-z]*c$/.test(second ?? "")) return undefined;
    return isHarmlessScript(argv[2] ?? "") ? ["sh", ...argv.slice(1)] : undefined;
  }
  return isHarmlessSegment([basename(first), ...argv.slice(1)].join(" ")) ? argv : undefined;
}

const shells = new Set(["sh", "ash", "bash", "dash"]);
/** Images whose arguments go to a program of ours. */
const entrypoints = [
  { image: /(^|\/)agnhost(:|@|$)/, program: "agnhost" },
  { image: /(^|\/)curl(:|@|$)/, program: "curl" },
] as const;

function commandOf({ command, args, image = "" }: Container): string[] {
  const words = [...(command ?? []), ...(args ?? [])];
  if (command?.length || words.length === 0) return words;
  const known = entrypoints.find((one) => one.image.test(image));
  return known ? [known.program, ...words] : words;
}

/** Something may want to connect to it, or the lab's own environment says what it calls. */
function serves({ ports, env, startupProbe, readinessProbe, livenessProbe }: Container): boolean {
  const probes = [startupProbe, readinessProbe, livenessProbe];
  if (probes.some((probe) => probe && !probe.exec)) return true;
  return (ports ?? []).length > 0 || (env ?? []).some(({ name }) => name === "CALLS");
}

function isHarmlessScript(script: string): boolean {
  const text = script.replace(/[0-9]*>>?\s*(\/dev\/(null|stdout|stderr)|&[12])(?=[\s;&|)]|$)/g, " ");
  if (/[<>{}]/.test(text.replace(/\$\{\w+\}|%\{\w+\}/g, ""))) return false;
  return text.split(/[;&|\n()`]|\$\(/).every((segment) => isHarmlessSegment(segment));
}

const leading = /^\s*(?:(?:while|until|if|elif|then|else|do|!)\s+|[A-Za-z_]\w*=\S*\s+)*/;
const programs = new Set([
  ...["agnhost", "nc", "netcat", "wget", "curl", "ping", "ping6", "nslookup", "host", "getent", "dig"],
  ...["echo", "printf", "sleep", "true", "false", ":", "exit", "test", "[", "seq", "hostname"],
  ...["break", "continue", "set", "wait", "done", "fi", "then", "else", "do", "pause"],
]);

/** One simple command of a script. Quotes stay where they are: what is odd is not harmless. */
function isHarmlessSegment(segment: string): boolean {
  const text = segment.replace(leading, "").trim();
  if (text === "" || text === '"' || text === "'" || /^[A-Za-z_]\w*=\S*$/.test(text)) return true;
  if (/^for\s+\w+\s+in(\s|$)/.test(text) || /^["']\s*$/.test(text)) return true;
  const name = basename(/^\S+/.exec(text)![0]);
  if (name === "trap") return /^trap\s+(:|''|""|(["'])exit(\s\d+)?\2)\s/.test(text);
  if (name === "date") return !/\s-\w*s|--set/.test(text);
  if (!programs.has(name)) return false;
  if (name === "agnhost") return /^\S+\s+(connect|pause)\b/.test(text);
  if (name === "nc" || name === "netcat") return !/\s-\w*[ec]\b/.test(text);
  if (name === "wget") return /\s--spider\b|\s-\w*O\s*(-|\/dev\/null)(\s|$)|--output-document=-/.test(text);
  if (name === "curl")
    return !/\s(-\w*O\b|--remote-name|-\w*o\s*(?!\/dev\/null)\S|--output\s+(?!\/dev\/null))/.test(text);
  return true;
}
