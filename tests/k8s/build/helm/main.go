// SPDX-License-Identifier: Apache-2.0

// Names Helm, so that the module needs it; what is built is Helm's own main package.
package main

import _ "helm.sh/helm/v3/pkg/cli"

func main() {}
