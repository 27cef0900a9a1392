// SPDX-License-Identifier: Apache-2.0
/** What a build leaves behind. */
export interface Artifacts {
  /** Version and hash of the recipe. */
  readonly key: string;
  readonly dir: string;
  /** Programs: hyperkube by its names, kubectl, e2e.test, ginkgo, helm. */
  readonly bin: string;
  /** A containerd root with the images of the build imported. */
  readonly seed: string;
}
