#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# node-start.sh NETNS CGROUP INIT [ARG...]: joins the network namespace and the node's cgroup in every hierarchy, makes the node's
# other namespaces and becomes their first process' parent. When either dies, the kernel ends everything in the node.
set -eu
netns=$1 cgroup=$2
shift 2
awk '$3 ~ /^cgroup2?$/ { print $2 }' /proc/mounts | while read -r mount; do
	echo $$ >"$mount/$cgroup/cgroup.procs"
done
exec nsenter --net="$netns" unshare --mount --uts --ipc --pid --fork --cgroup --kill-child=KILL -- "$@"
