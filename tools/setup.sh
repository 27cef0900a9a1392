#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what Weft needs on a Debian machine and builds it. Run again, it does only what is missing.
set -eu
cd "$(dirname "$0")/.."

packages="clang-19 lld-19 libbpf-dev linux-libc-dev libc6-dev iproute2"

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
fail() {
	printf 'weft setup: %s\n' "$1" >&2
	[ -z "${2:-}" ] || printf '  %s\n' "$2" >&2
	exit 1
}

command -v node >/dev/null || fail "node is missing" "install Node.js 20 or newer with npm, then run this again"
major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 20 ] || fail "node $(node --version) is too old" "Node.js 20 or newer is needed to set up (Weft itself then runs on its pinned version)"

missing=""
for package in $packages; do
	dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
	[ "$(id -u)" = 0 ] || fail "Debian packages are missing:$missing" "run as root: apt-get install --no-install-recommends$missing"
	say "installing Debian packages:$missing"
	export DEBIAN_FRONTEND=noninteractive
	log=$(mktemp -t weft-apt.XXXXXX)
	apt-get update -q >"$log" 2>&1 || fail "apt-get update failed" "see $log"
	# shellcheck disable=SC2086 # one word per package
	apt-get install -y -q --no-install-recommends $missing >>"$log" 2>&1 ||
		fail "apt-get install$missing failed" "see $log"
	rm -f "$log"
fi

stamp=node_modules/.weft-lock
if ! cmp -s package-lock.json "$stamp" || [ ! -x node_modules/node/bin/node ]; then
	say "installing npm packages"
	npm ci --no-audit --no-fund --loglevel=error || fail "npm ci failed" "the lines above say why"
	if [ ! -x node_modules/node/bin/node ]; then
		npm rebuild node --loglevel=error || true
	fi
	[ -x node_modules/node/bin/node ] || fail "the pinned Node did not install" "npm must be allowed to run the install script of the package 'node'"
	cp package-lock.json "$stamp"
fi

sh tools/build.sh
