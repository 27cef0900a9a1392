#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds what is out of date: BPF objects, native programs, bundles.
set -eu
cd "$(dirname "$0")/.."
sh tools/build-bpf.sh
sh tools/build-native.sh
newest=$(find src api/gen api/crd package-lock.json tools/bundle.ts -type f ! -name '*.test.ts' -newer dist/weft.mjs -print -quit 2>/dev/null || echo none)
if [ ! -f dist/weft.mjs ] || [ ! -f dist/modules.json ] || [ -n "$newest" ]; then
	printf '\033[1m==>\033[0m bundling\n'
	node_modules/node/bin/node tools/bundle.ts
fi
