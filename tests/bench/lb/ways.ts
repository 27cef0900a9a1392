// SPDX-License-Identifier: Apache-2.0
/** The ways that packets to a NodePort are balanced, and what they are held against. */
import type { Figure } from "../stats.ts";
import type { SizeContext } from "./context.ts";
import { compareWires, type WirePair } from "./nodeport.ts";
import { openWire, type WireEnd } from "./wire.ts";
import type { BareNode, World } from "./world.ts";

const defaultRounds = 15;

export async function nodePortFigures(world: World, context: SizeContext): Promise<Figure[]> {
  const { signal, progress, rounds = defaultRounds } = context;
  using stack = new DisposableStack();
  const open = (name: string, node: BareNode, end: WireEnd) =>
    stack.use(openWire({ name: `${name}, ${context.size}`, node: node.netns, outside: node.outside, end }));
  const [drop, again, bounce] = [world.bareNode(0), world.bareNode(1), world.bareNode(2)];
  const dropped = open("dropped at once", drop, "device");
  const sentBack = open("XDP_TX alone", bounce, "bounce");
  const weft = open("Weft", world.weft, "skb");
  const xdp = open("Weft at XDP", world.xdp, "xdp");
  const pairs: WirePair[] = [
    { wire: open("dropped at once (again)", again, "device"), base: dropped },
    { wire: sentBack, base: dropped },
    { wire: weft, base: dropped },
    { wire: xdp, base: dropped },
    { wire: xdp, base: sentBack },
  ];
  for (const proxy of world.proxies) {
    const wire = open(proxy.name, proxy, "skb");
    pairs.push({ wire, base: dropped }, { wire: weft, base: wire }, { wire: xdp, base: wire });
  }
  return await compareWires(pairs, { rounds, signal, progress });
}
