// SPDX-License-Identifier: Apache-2.0
/** What `npm run test:kubernetes` consists of. */
import { type Suite, suites } from "./upstream/suites.ts";

export interface Part {
  readonly name: string;
  readonly about: string;
  /** Patterns of test files, for a part of our own. */
  readonly files?: readonly string[];
  /** Milliseconds a file may take. */
  readonly timeoutMs?: number;
  readonly suite?: Suite;
  /** True: it needs no cluster, and runs before there is one. */
  readonly alone?: boolean;
  /** False: only when asked for. */
  readonly usual: boolean;
}

/** In this order. */
export const parts: readonly Part[] = [
  {
    name: "image",
    about: "the container image",
    files: ["tests/image/*.test.ts"],
    alone: true,
    usual: true,
  },
  {
    name: "contract",
    about: "what we rely on of an API server, on Kubernetes' own",
    files: ["tests/k8s/contract.test.ts"],
    alone: true,
    usual: true,
  },
  {
    name: "cluster",
    about: "the test cluster itself, without Weft",
    files: ["tests/k8s/cluster/*.k8s.test.ts"],
    alone: true,
    usual: true,
  },
  {
    name: "scenarios",
    about: "what Weft does on a real cluster",
    files: ["tests/k8s/*.k8s.test.ts", "tests/k8s/scenarios/*.test.ts"],
    usual: true,
  },
  {
    name: "loadbalancing",
    about:
      "addresses from pools and on the wire, egress gateways, local redirects, DSR, XDP, prefilter, sockmap",
    files: ["tests/k8s/loadbalancing/*.test.ts"],
    timeoutMs: 1_300_000,
    alone: true,
    usual: true,
  },
  {
    name: "restart",
    about: "restarts and upgrades under load",
    files: ["tests/k8s/restart*.test.ts"],
    usual: true,
  },
  { name: "faults", about: "faults under load", files: ["tests/k8s/faults/*.test.ts"], usual: true },
  {
    name: "profiles",
    about: "Weft with other settings than the default ones",
    files: ["tests/k8s/profiles/*.test.ts"],
    timeoutMs: 2_400_000,
    alone: true,
    usual: true,
  },
  ...suites.map((suite): Part => ({ name: suite.name, about: suite.title, suite, usual: true })),
];
