// SPDX-License-Identifier: Apache-2.0
import { RuleNumber } from "#datapath/layouts/enums.ts";
import { type Address, addressBytes } from "#model/ip.ts";
import type {
  DirectoryUpdate,
  FrontendName,
  Party,
  PeerNode,
  PolicyOrigin,
  ServiceAddress,
  Update,
} from "./messages.ts";
import { type AddressKey, addressKeyAt } from "./record.ts";
import { Registry } from "./registry.ts";

/** How long an address keeps its owner's name after the owner went: events on their way still belong to it. */
const leaveAfterMs = 1_000;
/** How much later than the event a name may arrive and still be taken for its time. */
const lateByMs = 5_000;

const maxForgetting = 65_536;

interface KnownParty {
  readonly party: Party;
  /** Milliseconds since the epoch, as events' times are. */
  readonly sinceMs: number;
  /** Of its namespace; shared, so that marking one flow is one write. */
  readonly seen: { lastMs: number };
}

/** What decides in the place of a policy's rule where the node's operator denies a source. */
const prefilter: PolicyOrigin = {
  kind: "Prefilter",
  namespace: "",
  name: "denied-cidrs",
  uid: "",
  fields: [],
  ruleNames: [],
  labels: [],
  log: [],
  sources: [],
};

interface ServiceName {
  readonly namespace: string;
  readonly name: string;
}

/**
 * What addresses, identities, service frontends and rules are called, kept up to date by the main thread. Looked up once per
 * record when it comes in (cheap: numbers and maps), read again when a record becomes a flow.
 */
export class Directory {
  /** When last seen, of performance.now() as every `nowMs` here. */
  readonly namespaces = new Map<string, { lastMs: number }>();
  readonly interfaces = new Map<number, string>();
  readonly peers = new Map<string, PeerNode>();
  nodeLabels: readonly string[] = [];
  readonly #parties = new Registry<KnownParty>();
  readonly #partyByKey = new Map<string, { index: number; party: Party }>();
  readonly #partyByAddress = new Map<AddressKey, number>();
  readonly #partyByEndpoint: (number | undefined)[] = [];
  readonly #services = new Registry<ServiceName>();
  readonly #serviceByKey = new Map<string, { readonly service: ServiceAddress; readonly index: number }>();
  readonly #serviceByFrontend = new Map<number, number>();
  readonly #serviceByAddress = new Map<AddressKey, Map<number, number>>();
  readonly #labels = new Map<number, readonly string[]>();
  readonly #rules = new Map<number, readonly PolicyOrigin[]>([[RuleNumber.prefilter, [prefilter]]]);
  readonly #interfaceByKey = new Map<string, number>();
  readonly #leaving: { readonly atMs: number; readonly index: number; readonly party: Party }[] = [];
  readonly #peerListeners = new Set<() => void>();
  readonly #forgetting: { readonly sequence: number; forget(): void }[] = [];

  /** `next`: sequence number the next record will get. */
  apply(update: DirectoryUpdate, next: number, nowMs: number, wallMs = Date.now()): void {
    if (update.parties) this.#applyParties(update.parties, nowMs, wallMs);
    if (update.services) this.#applyServices(update.services, next);
    if (update.frontends) this.#applyFrontends(update.frontends, next);
    for (const { id, labels } of update.identities?.put ?? []) this.#labels.set(id, labels);
    for (const { id, origins } of update.rules?.put ?? []) this.#rules.set(id, origins);
    for (const key of update.identities?.delete ?? []) this.#forgetLater(this.#labels, Number(key), next);
    for (const key of update.rules?.delete ?? []) this.#forgetLater(this.#rules, Number(key), next);
    this.#applyInterfaces(update);
    if (update.nodeLabels) this.nodeLabels = update.nodeLabels;
    if (update.peers) {
      for (const key of update.peers.delete) this.peers.delete(key);
      for (const peer of update.peers.put) this.peers.set(peer.key, peer);
      for (const listener of this.#peerListeners) listener();
    }
  }

  onPeers(listener: () => void): () => void {
    this.#peerListeners.add(listener);
    return () => this.#peerListeners.delete(listener);
  }

  /** Number of the party at the 16 address bytes; 0: nobody known. The endpoint id is asked first when there is one. */
  partyAt(view: DataView, offset: number, endpoint: number): number {
    if (endpoint !== 0) {
      const local = this.#partyByEndpoint[endpoint];
      if (local !== undefined) return local;
    }
    return this.#partyByAddress.get(addressKeyAt(view, offset)) ?? 0;
  }

  /** As {@link partyAt}, for a record that found nobody when it came in: a name that became known soon after is its name too. */
  latePartyAt(view: DataView, offset: number, eventMs: number): number {
    const index = this.#partyByAddress.get(addressKeyAt(view, offset)) ?? 0;
    const known = this.#parties.get(index);
    return known && known.sinceMs <= eventMs + lateByMs ? index : 0;
  }

  party(index: number): Party | undefined {
    return this.#parties.get(index)?.party;
  }

  /** Notes that a flow of the party's namespace was seen. */
  mark(index: number, nowMs: number): void {
    const known = this.#parties.get(index);
    if (known) known.seen.lastMs = nowMs;
  }

  serviceOf(frontend: number): number {
    return this.#serviceByFrontend.get(frontend) ?? 0;
  }

  serviceAt(view: DataView, offset: number, port: number, proto: number): number {
    const ports = this.#serviceByAddress.get(addressKeyAt(view, offset));
    return ports?.get(port * 256 + proto) ?? 0;
  }

  service(index: number): ServiceName | undefined {
    return this.#services.get(index);
  }

  labels(identity: number): readonly string[] {
    return this.#labels.get(identity) ?? [];
  }

  origins(rule: number): readonly PolicyOrigin[] {
    return this.#rules.get(rule) ?? [];
  }

  /** Housekeeping, now and then: lets go of parties that left and of names no record refers to. */
  tick(next: number, oldest: number, nowMs: number): void {
    while (this.#leaving.length > 0 && this.#leaving[0]!.atMs <= nowMs) {
      const { index, party } = this.#leaving.shift()!;
      for (const address of party.addresses) {
        const key = addressKey(address);
        if (this.#partyByAddress.get(key) === index) this.#partyByAddress.delete(key);
      }
      if (this.#partyByEndpoint[party.endpoint] === index) this.#partyByEndpoint[party.endpoint] = undefined;
      this.#parties.retire(index, next);
    }
    this.#parties.reclaim(oldest);
    this.#services.reclaim(oldest);
    while (this.#forgetting.length > maxForgetting || (this.#forgetting[0]?.sequence ?? Infinity) <= oldest) {
      this.#forgetting.shift()!.forget();
    }
  }

  /** A number names the same labels or rule for good, so a deleted one is kept while a record may carry it. */
  #forgetLater<V>(map: Map<number, V>, id: number, sequence: number): void {
    const value = map.get(id);
    this.#forgetting.push({
      sequence,
      forget: () => {
        if (map.get(id) === value) map.delete(id);
      },
    });
  }

  #applyParties(update: Update<Party>, nowMs: number, wallMs: number): void {
    for (const key of update.delete) this.#leave(key, nowMs);
    for (const party of update.put) {
      if (this.#refine(party)) continue;
      this.#leave(party.key, nowMs);
      let seen = this.namespaces.get(party.namespace);
      if (!seen) {
        seen = { lastMs: -Infinity };
        this.namespaces.set(party.namespace, seen);
      }
      const index = this.#parties.add({ party, sinceMs: wallMs, seen });
      this.#partyByKey.set(party.key, { index, party });
      for (const address of party.addresses) this.#partyByAddress.set(addressKey(address), index);
      if (party.endpoint !== 0) this.#partyByEndpoint[party.endpoint] = index;
    }
  }

  /** More is known of the same pod (its workload): records seen before belong to it as well. */
  #refine(party: Party): boolean {
    const known = this.#partyByKey.get(party.key);
    if (!known) return false;
    const same =
      known.party.endpoint === party.endpoint && known.party.addresses.join() === party.addresses.join();
    if (same) {
      this.#parties.replace(known.index, { ...this.#parties.get(known.index)!, party });
      this.#partyByKey.set(party.key, { index: known.index, party });
    }
    return same;
  }

  #leave(key: string, nowMs: number): void {
    const known = this.#partyByKey.get(key);
    if (!known) return;
    this.#partyByKey.delete(key);
    this.#leaving.push({ atMs: nowMs + leaveAfterMs, ...known });
  }

  #applyServices(update: Update<ServiceAddress>, next: number): void {
    for (const key of update.delete) this.#dropService(key, next);
    for (const service of update.put) {
      this.#dropService(service.key, next);
      const index = this.#services.add(service);
      this.#serviceByKey.set(service.key, { service, index });
      const address = addressKey(service.address);
      let ports = this.#serviceByAddress.get(address);
      if (!ports) {
        ports = new Map();
        this.#serviceByAddress.set(address, ports);
      }
      ports.set(service.port * 256 + service.proto, index);
    }
  }

  #dropService(key: string, next: number): void {
    const known = this.#serviceByKey.get(key);
    if (!known) return;
    const { service, index } = known;
    this.#serviceByKey.delete(key);
    const address = addressKey(service.address);
    const ports = this.#serviceByAddress.get(address);
    if (ports?.get(service.port * 256 + service.proto) === index)
      ports.delete(service.port * 256 + service.proto);
    if (ports?.size === 0) this.#serviceByAddress.delete(address);
    this.#services.retire(index, next);
  }

  #applyFrontends(update: Update<FrontendName>, next: number): void {
    const drop = (id: number) => {
      const index = this.#serviceByFrontend.get(id);
      if (index === undefined) return;
      this.#serviceByFrontend.delete(id);
      this.#services.retire(index, next);
    };
    for (const key of update.delete) drop(Number(key));
    for (const frontend of update.put) {
      drop(frontend.id);
      this.#serviceByFrontend.set(frontend.id, this.#services.add(frontend));
    }
  }

  #applyInterfaces(update: DirectoryUpdate): void {
    for (const key of update.interfaces?.delete ?? []) {
      const index = this.#interfaceByKey.get(key);
      if (index !== undefined) this.interfaces.delete(index);
      this.#interfaceByKey.delete(key);
    }
    for (const { key, index, name } of update.interfaces?.put ?? []) {
      this.interfaces.set(index, name);
      this.#interfaceByKey.set(key, index);
    }
  }
}

const scratch = new DataView(new ArrayBuffer(16));

function addressKey(address: string): AddressKey {
  new Uint8Array(scratch.buffer).set(addressBytes(address as Address));
  return addressKeyAt(scratch, 0);
}
