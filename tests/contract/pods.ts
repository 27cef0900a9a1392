// SPDX-License-Identifier: Apache-2.0
// The part of the contract that needs nodes: what kubectl shows of running pods, their logs, and commands in them.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

export interface KubectlResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface PodTarget {
  readonly kubectl: (args: readonly string[], input?: string) => Promise<KubectlResult>;
  /** An image with a shell. */
  readonly image: string;
}

const namespace = "contract-pods";
const deadlineMs = 60_000;

function pod(name: string, image: string, script: string, restartPolicy: string): unknown {
  const containers = [{ name: "main", image, command: ["sh", "-c", script] }];
  const spec = { restartPolicy, terminationGracePeriodSeconds: 0, containers };
  return { apiVersion: "v1", kind: "Pod", metadata: { name, namespace, labels: { app: name } }, spec };
}

/** The tests, against the cluster that `start` finds or makes. */
export function podContractTests(start: () => Promise<PodTarget>): void {
  let target: PodTarget;
  const run = (args: readonly string[], input?: string) => target.kubectl(["-n", namespace, ...args], input);
  const ok = async (args: readonly string[], input?: string) => {
    const { code, stdout, stderr } = await run(args, input);
    assert.equal(code, 0, `kubectl ${args.join(" ")}: ${stderr}`);
    return stdout;
  };
  const gone = () =>
    target?.kubectl(["delete", "namespace", namespace, "--ignore-not-found", "--timeout=60s"]);
  before(async () => {
    target = await start();
    await gone();
    const items = [
      { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } },
      pod("talks", target.image, "echo one; echo two; sleep 3600", "Always"),
      pod("ends", target.image, "echo done; sleep 1", "Never"),
    ];
    // A pod waits for its namespace's service account, which a controller makes.
    await applied(() =>
      target.kubectl(["apply", "-f", "-"], JSON.stringify({ apiVersion: "v1", kind: "List", items })),
    );
    await ok(["wait", "--for=condition=Ready", "pod/talks", "--timeout=60s"]);
    await ok(["wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/ends", "--timeout=60s"]);
  });
  after(gone);

  test("logs: all of it, its end, with times, no more than asked", async () => {
    assert.equal(await ok(["logs", "talks"]), "one\ntwo\n");
    assert.equal(await ok(["logs", "talks", "--tail=1"]), "two\n");
    assert.equal(await ok(["logs", "talks", "--limit-bytes=3"]), "one");
    assert.equal(await ok(["logs", "talks", "--since=1h"]), "one\ntwo\n");
    assert.match(
      await ok(["logs", "talks", "--timestamps"]),
      /^\d{4}-\d\d-\d\dT[0-9:.]+Z one\n\d{4}-.* two\n$/,
    );
    assert.equal(await ok(["logs", "-l", "app=talks"]), "one\ntwo\n");
  });

  test("logs of what has ended are read to their end, also when followed", async () => {
    assert.equal(await ok(["logs", "ends"]), "done\n");
    assert.equal(await ok(["logs", "-f", "ends"]), "done\n");
  });

  test("logs that are not there: no such container, no run before this one", async () => {
    const container = await run(["logs", "talks", "-c", "other"]);
    assert.notEqual(container.code, 0);
    assert.match(container.stderr, /container other is not valid for pod talks/);
    const previous = await run(["logs", "talks", "--previous"]);
    assert.notEqual(previous.code, 0);
    assert.match(previous.stderr, /previous terminated container "main".* not found/);
  });

  test("a command's output, errors and exit code come back apart", async () => {
    const { code, stdout, stderr } = await run([
      "exec",
      "talks",
      "--",
      "sh",
      "-c",
      "echo out; echo err >&2; exit 3",
    ]);
    assert.deepEqual([code, stdout], [3, "out\n"]);
    assert.match(stderr, /^err\n/);
    assert.match(stderr, /command terminated with exit code 3/);
  });

  test("a command reads what it is given, to its end", async () => {
    assert.equal(await ok(["exec", "-i", "talks", "--", "cat"], "through"), "through");
    const much = "line of input\n".repeat(20_000);
    assert.equal((await ok(["exec", "-i", "talks", "--", "wc", "-c"], much)).trim(), String(much.length));
  });

  test("a command that is not there, a pod that has ended, a container nobody knows", async () => {
    const command = await run(["exec", "talks", "--", "/no/such/command"]);
    assert.notEqual(command.code, 0);
    const ended = await run(["exec", "ends", "--", "true"]);
    assert.notEqual(ended.code, 0);
    assert.match(ended.stderr, /cannot exec into a container in a completed pod; current phase is Succeeded/);
    const container = await run(["exec", "talks", "-c", "other", "--", "true"]);
    assert.notEqual(container.code, 0);
    assert.match(
      container.stderr,
      /container (not found \("other"\)|other is not valid for pod talks|"other" not found)/,
    );
    const missing = await run(["exec", "nobody", "--", "true"]);
    assert.match(missing.stderr, /pods "nobody" not found/);
  });

  test("what a pod says of itself: addresses, node, state, restarts", async () => {
    const status = JSON.parse(await ok(["get", "pod", "talks", "-o", "json"])) as {
      spec: { nodeName: string };
      status: {
        phase: string;
        podIP: string;
        podIPs: { ip: string }[];
        hostIP: string;
        conditions: { type: string; status: string }[];
        containerStatuses: {
          name: string;
          ready: boolean;
          started: boolean;
          restartCount: number;
          containerID: string;
        }[];
      };
    };
    const { phase, podIP, podIPs, hostIP, conditions, containerStatuses } = status.status;
    assert.equal(phase, "Running");
    assert.equal(podIPs[0]?.ip, podIP);
    assert.match(hostIP, /^[0-9a-f.:]+$/);
    for (const type of ["PodScheduled", "Initialized", "ContainersReady", "Ready"]) {
      assert.equal(conditions.find((one) => one.type === type)?.status, "True", type);
    }
    const [main] = containerStatuses;
    assert.deepEqual([main?.name, main?.ready, main?.started, main?.restartCount], ["main", true, true, 0]);
    assert.match(main?.containerID ?? "", /^[a-z]+:\/\/.+/);
    assert.match(
      await ok(["get", "pod", "talks", "-o", "wide"]),
      new RegExp(`Running +0 .* ${podIP} +${status.spec.nodeName} `),
    );
  });

  test("a pod is deleted and gone", async () => {
    await ok(["delete", "pod", "talks", "--timeout=60s"]);
    assert.match((await run(["get", "pod", "talks"])).stderr, /pods "talks" not found/);
  });
}

async function applied(apply: () => Promise<KubectlResult>): Promise<void> {
  for (const deadline = Date.now() + deadlineMs; ; await pause(200)) {
    const { code, stderr } = await apply();
    if (code === 0) return;
    if (Date.now() > deadline || !/serviceaccount/.test(stderr)) throw new Error(`kubectl apply: ${stderr}`);
  }
}
