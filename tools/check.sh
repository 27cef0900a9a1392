#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# npm run check: format and lint, types, import rules, generated files. No root needed.
set -u
cd "$(dirname "$0")/.."
node=node_modules/node/bin/node
status=0
run() {
	printf '\033[1m==>\033[0m %s\n' "$1"
	shift
	"$@" || status=1
}
set -- node_modules/@biomejs/cli-linux-*/biome
run "format and lint" "$1" check --error-on-warnings --diagnostic-level=warn
run "types" node_modules/.bin/tsc -p .
run "import rules" $node tools/check-deps.ts
run "generated files" sh tools/gen.sh --check
exit $status
