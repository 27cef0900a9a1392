// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { after, test } from "node:test";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { setLink } from "#kernel/netlink/link.ts";
import { destroySocket, listSockets } from "#kernel/netlink/sock-diag.ts";
import { createNetns, deleteNetns } from "#kernel/netns.ts";
import { bindUdp, localPort } from "#kernel/socket.ts";
import { parseAddress } from "#model/ip.ts";

const name = `c-diag-${process.pid}`;
after(() => void deleteNetns(name));

test("connected UDP sockets of a namespace are listed, and one is told to look elsewhere", async () => {
  const netns = createNetns(name);
  using netlink = openNetlink({ netns });
  setLink(netlink, "lo", { up: true });
  using diag = openNetlink({ netns, protocol: "diag" });
  for (const text of ["127.0.0.1", "::1"]) {
    const address = parseAddress(text);
    const server = bindUdp(address, 0, { netns });
    const port = localPort(server);
    const echo = createSocket(text.includes(":") ? "udp6" : "udp4");
    echo.bind({ fd: server });
    const client = createSocket(text.includes(":") ? "udp6" : "udp4");
    client.bind({ fd: bindUdp(address, 0, { netns }) });
    const peers = () => listSockets(diag, 17).filter(({ peerPort }) => peerPort === port);
    assert.deepEqual(peers(), []);
    client.connect(port, text);
    await once(client, "connect");
    const [found, ...others] = peers();
    assert.ok(found && others.length === 0);
    assert.deepEqual([found.peer, found.cookie > 0n], [address, true]);
    const told = once(client, "error");
    assert.equal(destroySocket(diag, found), true);
    const [error] = (await told) as [NodeJS.ErrnoException];
    assert.equal(error.code, "ECONNABORTED");
    assert.deepEqual(peers(), []);
    assert.equal(destroySocket(diag, found), false);
    client.close();
    echo.close();
  }
});
