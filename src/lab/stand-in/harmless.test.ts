// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { harmlessCommand } from "./harmless.ts";

const container = (more: object) => ({ name: "main", image: "busybox:1.36", ...more });
const script = (text: string) => harmlessCommand(container({ command: ["sh", "-c", text] }));

test("a client's command is run", () => {
  for (const command of [
    ["/agnhost", "connect", "web:80", "--timeout=1s"],
    ["wget", "-qO-", "--timeout=2", "http://web"],
    ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://web"],
    ["sleep", "3600"],
    ["/bin/true"],
  ])
    assert.deepEqual(harmlessCommand(container({ command })), command);
});

test("arguments alone are a command, or go to the program an image is known to start", () => {
  assert.deepEqual(harmlessCommand(container({ args: ["nc", "-zv", "web", "80"] })), [
    "nc",
    "-zv",
    "web",
    "80",
  ]);
  const agnhost = container({
    image: "registry.k8s.io/e2e-test-images/agnhost:2.53",
    args: ["connect", "web:80"],
  });
  assert.deepEqual(harmlessCommand(agnhost), ["agnhost", "connect", "web:80"]);
  assert.equal(harmlessCommand({ ...agnhost, args: ["netexec", "--http-port=80"] }), undefined);
});

test("a script of such commands is run", () => {
  for (const text of [
    "while true; do wget -q -T 1 -O- http://web:8080; sleep 1; done",
    "echo hello; sleep 3600",
    "exit 3",
    "trap : TERM INT; sleep infinity & wait",
    "for i in $(seq 1 10); do curl -sS -m 1 http://web >/dev/null 2>&1 || exit 1; done; echo ok",
    "until nslookup web.shop.svc.cluster.local; do echo waiting; sleep 2; done",
    "i=0; while [ $i -lt 5 ]; do nc -z -w1 web 80 && exit 0; sleep 1; done\nexit 1",
  ])
    assert.deepEqual(script(text), ["sh", "-c", text], text);
});

test("what might touch the machine's files, or is unknown, is played", () => {
  for (const text of [
    "rm -rf /data",
    "echo x > /etc/motd",
    "wget http://web",
    "curl -O http://web/file",
    "curl -so /tmp/x http://web",
    "echo $(cat /etc/passwd)",
    "touch /tmp/healthy; sleep 30",
    "$RUN",
    "eval sleep",
    "nc -lk -p 80 -e /bin/sh",
    "cat <<EOF\nEOF",
    "exec nginx",
    "trap 'rm -rf /data' EXIT",
  ])
    assert.equal(script(text), undefined, text);
  assert.equal(harmlessCommand(container({ command: ["nginx", "-g", "daemon off;"] })), undefined);
  assert.equal(harmlessCommand(container({})), undefined);
});

test("a container that serves is played", () => {
  const command = ["sleep", "infinity"];
  assert.equal(harmlessCommand(container({ command, ports: [{ containerPort: 80 }] })), undefined);
  assert.equal(
    harmlessCommand(container({ command, readinessProbe: { tcpSocket: { port: 80 } } })),
    undefined,
  );
  assert.ok(harmlessCommand(container({ command, livenessProbe: { exec: { command: ["true"] } } })));
});
