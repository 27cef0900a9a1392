#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# npm run gen: generated files. `--check` fails when one is not what its source says.
set -eu
cd "$(dirname "$0")/.."
sh tools/build-bpf.sh
node_modules/node/bin/node tools/gen-layouts.ts
node_modules/node/bin/node tools/gen-proto.ts
node_modules/node/bin/node tools/gen-chart.ts
node_modules/node/bin/node tools/gen-crds.ts
node_modules/node/bin/node tools/gen-metrics.ts
if [ "${1:-}" = --check ] && ! git diff --exit-code --stat -- src/datapath/layouts api/gen charts/weft docs/reference; then
	echo "generated files are out of date: run \`npm run gen\` and commit what it changes" >&2
	exit 1
fi
