/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The other end of a device's cable: sends frames into it, and keeps the last one that came out. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define KEPT 256

struct kept {
	__u32 frames;
	__u32 length;
	__u8 bytes[KEPT];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} cable SEC(".maps"); /* ifindex of this end */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct kept);
} out SEC(".maps");

SEC("xdp")
int send(struct xdp_md *frame)
{
	__u32 key = 0;
	__u32 *ifindex = bpf_map_lookup_elem(&cable, &key);

	return ifindex ? bpf_redirect(*ifindex, 0) : XDP_ABORTED;
}

SEC("xdp")
int keep(struct xdp_md *frame)
{
	__u32 length = bpf_xdp_get_buff_len(frame);
	__u32 key = 0;
	struct kept *kept = bpf_map_lookup_elem(&out, &key);
	__u8 to;

	if (!kept || length < 1 || length > KEPT)
		return XDP_DROP;
	if (bpf_xdp_load_bytes(frame, 0, &to, 1) < 0 || (to & 1)) /* the device's own chatter */
		return XDP_DROP;
	if (bpf_xdp_load_bytes(frame, 0, kept->bytes, length) == 0) {
		kept->length = length;
		__sync_fetch_and_add(&kept->frames, 1);
	}
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
