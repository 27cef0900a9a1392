#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# node-init.sh DIR BIN LOGS NODE IPS PROXY KUBECONFIG LABELS: first process of a node. Gives it mounts of its own, then runs containerd,
# kubelet and, unless PROXY is none, kube-proxy, each started again when it ends.
set -euo pipefail
dir=$1 bin=$2 logs=$3 node=$4 ips=$5 proxy=$6 kubeconfig=$7 labels=$8
shift 8

mount --make-rprivate /
hierarchies=$(awk '$3 == "cgroup" { print $2, $4 }' /proc/mounts) # before /sys is covered
mount -t proc proc /proc
umount -R -l /sys # the machine's cgroup mounts would show up twice, with a root outside the node
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
while read -r path options; do
	[ -n "$path" ] || continue
	wanted=$(tr , '\n' <<<"$options" | grep -vE '^(rw|relatime|nosuid|nodev|noexec)$' | paste -sd,)
	case $wanted in name=*) wanted=none,$wanted ;; esac
	mkdir -p "$path"
	mount -t cgroup -o "$wanted" cgroup "$path"
done <<<"$hierarchies"
mkdir /sys/fs/cgroup/unified
mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null || true
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/netns /run/containerd
mount -t tmpfs -o mode=1777 tmpfs /dev/shm

mkdir -p /etc/cni
for pair in var-lib:/var/lib var-log:/var/log opt:/opt etc-cni:/etc/cni; do
	mount --bind "$dir/${pair%%:*}" "${pair#*:}"
done
mkdir -p /etc/cni/net.d
for file in hostname machine-id hosts resolv.conf; do
	[ -e "/etc/$file" ] || touch "/etc/$file"
	mount --bind "$dir/etc/$file" "/etc/$file"
done
# kubelet insists on three machine-wide settings: it is shown the values it wants, the machine keeps its own.
for setting in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1; do
	file=$dir/etc/sysctl.$(tr / . <<<"${setting%=*}")
	echo "${setting#*=}" >"$file"
	mount --bind "$file" "/proc/sys/${setting%=*}"
done
mount --make-rshared / # pods may ask for mounts that propagate
hostname "$node"
export PATH="$bin:$PATH"
ulimit -n "$(ulimit -Hn)"

# keep NAME COMMAND...: runs a program and starts it again, as the service manager of a machine does
keep() {
	local name=$1
	shift
	while :; do
		"$@" >>"$logs/$node.$name.log" 2>&1 || true
		sleep 1
	done
}
keep containerd containerd --config "$dir/containerd.toml" &
until ctr version >/dev/null 2>&1; do sleep 0.1; done
for archive in "$dir"/images/*; do
	[ -e "$archive" ] || continue
	ctr -n k8s.io images import "$archive" >>"$logs/$node.images.log" 2>&1 || echo "import of $archive failed" >>"$logs/$node.images.log"
done
keep kubelet kubelet --config="$dir/kubelet.yaml" --kubeconfig="$kubeconfig" --node-ip="$ips" --hostname-override="$node" --node-labels="$labels" --v=2 &
[ "$proxy" = none ] || keep kube-proxy kube-proxy --config="$dir/kube-proxy.yaml" --v=2 &
trap 'exit 0' TERM INT
while :; do wait -n 2>/dev/null || sleep 1; done # also collects orphans
