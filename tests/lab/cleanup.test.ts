// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterEach, suite, test } from "node:test";
import { checkout, labName, labPrefix, run, until, weft, weftOk } from "#kit/lab-run.ts";
import { assertNothingLeft, labLeftovers, labProcesses, labStatus, manifests } from "#kit/lab-use.ts";
import { processStartTicks } from "#lab/record.ts";

const upArguments = [
  ...["lab", "up", "--nodes", "1", "--timeout", "30", "-f", join(manifests, "processes.yaml")],
  ...["--image-map", join(manifests, "image-map.yaml")],
];

function up(): Promise<string> {
  return weftOk(...upArguments, "--detach");
}

/** The namespaces, cgroup and pins show that a lab is really there: what a test then finds gone, it has gone. */
function assertUp(): void {
  const left = labLeftovers().join("\n");
  for (const part of [`namespace ${labPrefix}-n1`, "/sys/fs/bpf/", "/run/", "process "])
    assert.ok(left.includes(part));
}

suite("nothing of a lab is left", () => {
  afterEach(async () => {
    await weft("lab", "down");
  });

  test("down, and down again", async () => {
    await up();
    assertUp();
    await weftOk("lab", "down");
    assertNothingLeft();
    const again = await weft("lab", "down");
    assert.equal(again.code, 0);
    assertNothingLeft();
    const status = await weft("lab", "status");
    assert.equal(status.code, 1);
    assert.match(status.stderr, /no lab/);
  });

  test("kill -9 of the supervisor: its processes end, `down` removes the rest", async () => {
    await up();
    assertUp();
    const { pid } = await labStatus();
    const inPod = run([join(checkout, "weft"), "lab", "exec", "default/both", "--", "sleep", "1000"]).catch(
      () => {},
    );
    await until("the command in the pod", () =>
      [...labProcesses().values()].some((argv) => argv.startsWith("sleep 1000")),
    );
    process.kill(pid, "SIGKILL");
    await until("agents and pods to end", () => {
      // The command a person runs in a pod is that person's; `down` ends it with the rest.
      const ours = [...labProcesses().values()].filter(
        (argv) => !argv.startsWith("sleep") && !argv.includes("pod-exec"),
      );
      return ours.length === 0;
    });
    assert.match((await weft("lab", "status")).stderr, /died/);
    await weftOk("lab", "down");
    await inPod;
    assertNothingLeft();
  });

  test("`up` over a lab whose supervisor was killed, and over one that runs: the new one takes its place", async () => {
    await up();
    const first = (await labStatus()).pid;
    process.kill(first, "SIGKILL");
    await up();
    const second = await labStatus();
    assert.ok(second.pods.length > 0 && second.pods.every(({ ready }) => ready));
    await up();
    const third = await labStatus();
    assert.equal(new Set([first, second.pid, third.pid]).size, 3);
    assert.equal(runs(second.pid), false);
    await weftOk("lab", "down");
    assertNothingLeft();
  });

  test("Ctrl-C of a lab in the foreground", async () => {
    const lab = foreground();
    await until("the lab's flows", () => lab.text().includes("Ctrl-C takes the lab down"), {
      timeoutMs: 40_000,
    });
    assertUp();
    lab.child.kill("SIGINT");
    assert.equal(await lab.ended, 0);
    assertNothingLeft();
  });

  test("the reader of a lab in the foreground goes away", async () => {
    const lab = foreground();
    await until("the lab's flows", () => lab.text().includes("Ctrl-C takes the lab down"), {
      timeoutMs: 40_000,
    });
    lab.child.stdout?.destroy();
    lab.child.stderr?.destroy();
    lab.child.kill("SIGINT");
    await lab.ended;
    assertNothingLeft();
  });

  for (const signal of ["SIGINT", "SIGKILL"] as const) {
    test(`${signal} while it comes up`, async () => {
      const lab = foreground();
      await until("the first agent", () => existsSync(`/sys/fs/bpf/${labPrefix}/n1/maps`), {
        timeoutMs: 20_000,
      });
      lab.child.kill(signal);
      const code = await lab.ended;
      if (signal === "SIGINT") assert.equal(code, 1);
      else await weftOk("lab", "down");
      assertNothingLeft();
    });
  }

  test("a lab whose pods do not become ready stays, to be looked at", async () => {
    const file = join(manifests, "never-ready.yaml");
    const late = await weft("lab", "up", "--nodes", "1", "--timeout", "6", "--detach", "-f", file);
    assert.equal(late.code, 1);
    assert.match(late.stderr, /not ready after 6 s: pod default\/never/);
    assertUp();
    assert.match(await weftOk("lab", "status"), /never/);
    await weftOk("lab", "down");
    assertNothingLeft();
  });
});

/** One that has ended but that nobody has waited for yet does not run. */
function runs(pid: number): boolean {
  return processStartTicks(pid) !== undefined;
}

function foreground(): { child: ChildProcess; ended: Promise<number>; text(): string } {
  const child = spawn(join(checkout, "weft"), upArguments, {
    env: { ...process.env, WEFT_LAB: labName },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  const ended = new Promise<number>((resolve) => child.once("close", (code) => resolve(code ?? -1)));
  return { child, ended, text: () => text };
}
