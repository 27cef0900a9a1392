// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { cgroupRoot, createCgroup, removeCgroup } from "#kernel/cgroup.ts";
import { createNetns, deleteNetns } from "#kernel/netns.ts";

const PROGRAM = join(import.meta.dirname, "../../build/native/pod-exec");
const NAME = `wpe-${process.pid}`;

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

describe("pod-exec", { timeout: 60_000 }, () => {
  let dir: string;
  let netns: string;
  let cgroup: string;

  before(() => {
    execFileSync("sh", [join(import.meta.dirname, "../../tools/build-native.sh")]);
    dir = mkdtempSync(join(tmpdir(), "weft-pod-exec-"));
    netns = createNetns(NAME);
    cgroup = createCgroup(NAME);
  });
  after(async () => {
    await removeCgroup(cgroup);
    deleteNetns(NAME);
    rmSync(dir, { recursive: true });
  });

  const run = async (args: readonly string[], input = ""): Promise<Outcome> => {
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    const child = execFile(PROGRAM, args, { timeout: 10_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
      resolve({ code, stdout, stderr });
    });
    child.stdin!.on("error", () => {});
    child.stdin!.end(input);
    return await promise;
  };

  test("joins cgroup, network, mount and UTS namespace and passes the exit code on", async () => {
    const file = join(dir, "resolv.conf");
    writeFileSync(file, "nameserver 10.96.0.10\n");
    const script =
      "hostname; cat /etc/hostname; ls /sys/class/net; grep ^0:: /proc/self/cgroup; ls -d /sys/fs/cgroup/*/ | wc -l; pwd; exit 7";
    const args = [
      "--netns",
      netns,
      "--cgroup",
      cgroup,
      "--hostname",
      "cart-1",
      "--bind",
      `${file}:/etc/hostname`,
      "--cwd",
      "/usr",
    ];
    const { code, stdout } = await run([...args, "--die-with-parent", "--", "sh", "-c", script]);
    const lines = stdout.trimEnd().split("\n");
    assert.deepEqual(lines.slice(0, 4), [
      "cart-1",
      "nameserver 10.96.0.10",
      "lo",
      `0::${cgroup.slice(cgroupRoot().length)}`,
    ]);
    assert.ok(Number(lines[4]) > 0, "the cgroup tree is visible");
    assert.deepEqual([lines[5], code], ["/usr", 7]);
    assert.notEqual(hostname(), "cart-1");
    assert.notEqual(readFileSync("/etc/hostname", "utf8"), "nameserver 10.96.0.10\n");
  });

  test("becomes the command without --tty", async () => {
    const child = spawn(PROGRAM, ["--", "sh", "-c", "echo $$"]);
    const [printed] = (await once(child.stdout, "data")) as [Buffer];
    assert.equal(Number(printed.toString()), child.pid);
  });

  test("a root directory of its own gets proc, sys, dev and the binds", async () => {
    const root = join(dir, "root");
    for (const name of ["bin", "proc", "sys", "dev"]) mkdirSync(join(root, name), { recursive: true });
    const tool = join(import.meta.dirname, "../../build/native/weft-cni");
    const token = join(dir, "token");
    writeFileSync(token, "secret");
    const bind = ["--bind", `${token}:/var/run/secrets/token`, "--bind", `${tool}:/bin/tool`];
    const { code, stdout } = await run(["--root", root, ...bind, "--", "/bin/tool"], "{}");
    assert.deepEqual([code, stdout], [1, '{"cniVersion":"1.1.0","code":4,"msg":"CNI_COMMAND is not set"}\n']);
    assert.equal(readFileSync(join(root, "var/run/secrets/token"), "utf8"), "");
  });

  test("--tty gives a terminal of the size asked for, and end of input ends the shell", async () => {
    const outcome = await run(
      ["--tty", "40x120", "--", "sh", "-c", "tty; stty size; cat; exit 3"],
      "hello\n",
    );
    assert.match(outcome.stdout, /\/dev\/pts\/\d+\r\n40 120\r\n/);
    assert.match(outcome.stdout, /hello\r\n/);
    assert.equal(outcome.code, 3);
    assert.equal((await run(["--tty", "24x80", "--", "sh", "-c", "kill -9 $$"])).code, 137);
  });

  test("--resize-fd changes the size while it runs", async () => {
    const script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do read x; done";
    const child = spawn(PROGRAM, ["--tty", "24x80", "--resize-fd", "3", "--", "sh", "-c", script], {
      stdio: ["pipe", "pipe", "inherit", "pipe"],
    });
    let output = "";
    child.stdout!.on("data", (chunk: Buffer) => {
      if (output === "") (child.stdio[3] as NodeJS.WritableStream).write("50x132\n");
      output += chunk.toString();
    });
    const [code] = await once(child, "exit");
    assert.match(output, /50 132/);
    assert.equal(code, 0);
  });

  test("dies with its parent, the command on a terminal too", async () => {
    for (const tty of [[], ["--tty", "24x80"]]) {
      const quoted = [PROGRAM, "--die-with-parent", ...tty, "--", "sh", "-c", "echo $$; exec sleep 1000"]
        .map((word) => `'${word}'`)
        .join(" ");
      const parent = spawn("sh", ["-c", `${quoted} & wait`], { stdio: ["pipe", "pipe", "inherit"] });
      const [printed] = (await once(parent.stdout!, "data")) as [Buffer];
      const pid = Number(printed.toString());
      assert.ok(pid > 1);
      const closed = once(parent.stdout!, "close");
      parent.kill("SIGKILL");
      // Both hold the pipe open: it ends when both are gone.
      await closed;
      while (existsSync(`/proc/${pid}`) && !/State:\s+Z/.test(readFileSync(`/proc/${pid}/status`, "utf8"))) {
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  });

  test("says what failed, with codes of its own", async () => {
    const cases: [string[], number, RegExp][] = [
      [[], 125, /usage/],
      [["--tty", "big", "--", "true"], 125, /usage/],
      [["--bind", "nocolon", "--", "true"], 125, /usage/],
      [["--", "/no/such"], 127, /no\/such: No such file/],
      [["--", "/etc"], 126, /Permission denied/],
      [["--netns", "/etc/passwd", "--", "true"], 125, /enter network namespace \/etc\/passwd/],
      [["--cgroup", "/no/such", "--", "true"], 125, /join cgroup \/no\/such/],
      [["--bind", "/no/such:/etc/hosts", "--", "true"], 125, /bind \/no\/such/],
      [["--root", "/no/such", "--", "true"], 125, /\/no\/such/],
    ];
    for (const [args, code, text] of cases) {
      const outcome = await run(args);
      assert.equal(outcome.code, code, args.join(" "));
      assert.match(outcome.stderr, text);
    }
  });
});
