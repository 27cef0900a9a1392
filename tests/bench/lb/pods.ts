// SPDX-License-Identifier: Apache-2.0
/** Connections and streams from a pod to a service whose endpoints are on its node. */
import { netnsPath } from "#kernel/netns.ts";
import { compileTool } from "../native.ts";
import { directVeth, removeReferences } from "../reference.ts";
import { type Figure, figure } from "../stats.ts";
import { type Comparison, compare, modes, type Path } from "../traffic.ts";
import type { SizeContext } from "./context.ts";
import { type ProxyNode, placesOf, type RulePlace, serviceRules } from "./proxy-node.ts";
import { endpointsEach, nearAddress, nearPort, twins } from "./services.ts";
import type { World } from "./world.ts";

const defaultRounds = 15;

export async function podFigures(world: World, context: SizeContext): Promise<Figure[]> {
  const { signal, progress, rounds = defaultRounds } = context;
  const at = (name: string) => `${name}, ${context.size}`;
  removeReferences();
  try {
    const cable = (tag: string): Path => ({ ...directVeth(tag), ports: endpointsEach });
    const [veth, again] = [cable(""), cable("again")];
    const weft = weftPath(world, at("Weft"));
    const pairs: Comparison[] = [
      { path: { ...again, name: at(again.name) }, base: veth },
      { path: weft, base: veth },
    ];
    const notes: Figure[] = [];
    for (const proxy of world.proxies) {
      for (const { name, address, note } of servicesOf(proxy, at)) {
        if (note) notes.push(note);
        const path = proxyPath(world, proxy, { name, address });
        pairs.push({ path, base: veth }, { path: weft, base: path });
      }
    }
    return [...(await compare(compileTool("nb"), pairs, { rounds, modes, progress, signal })), ...notes];
  } finally {
    removeReferences();
  }
}

const served = { ports: endpointsEach } as const;

function weftPath({ weft, podAddresses }: World, name: string): Path {
  return {
    name,
    serverNetns: weft.pods.near!.netns,
    clientNetns: weft.pods.client!.netns,
    clientCgroup: weft.podCgroup,
    listen: `${podAddresses.near}:${nearPort}`,
    connect: `${nearAddress()}:80`,
    ...served,
  };
}

function proxyPath(
  { podAddresses }: World,
  { pods }: ProxyNode,
  { name, address }: { readonly name: string; readonly address: string },
): Path {
  return {
    name,
    serverNetns: netnsPath(pods.near),
    clientNetns: netnsPath(pods.client),
    listen: `${podAddresses.near}:${nearPort}`,
    connect: `${address}:80`,
    ...served,
  };
}

interface Asked {
  readonly name: string;
  readonly address: string;
  readonly note?: Figure;
}

/** The services that are asked: with iptables one in the middle of the rules and a late one; nftables finds all of them alike. */
function servicesOf(proxy: ProxyNode, at: (name: string) => string): Asked[] {
  if (proxy.mode !== "iptables") return [{ name: at(proxy.name), address: nearAddress() }];
  const addresses = Array.from({ length: twins + 1 }, (_, twin) => nearAddress(twin));
  const { middle, last, rules } = placesOf(serviceRules(proxy), addresses);
  const asked = ({ address, before }: RulePlace, name: string): Asked => ({
    name,
    address,
    note: figure(`${name}: rules before the service's, of ${rules}`, "rules", [before]),
  });
  const one = asked(middle, at(proxy.name));
  return last.address === middle.address ? [one] : [one, asked(last, at(`${proxy.name}, late rule`))];
}
