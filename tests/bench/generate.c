// SPDX-License-Identifier: Apache-2.0
/*
 * generate: runs an XDP program on live frames (BPF_PROG_TEST_RUN), in another network namespace, on one core, and says what that cost.
 * What the frames set off up to their end is work of this process, as the softirq of a frame runs before the next batch is made.
 *
 * generate --netns PATH --packets N [--core N] [--fifo] [--softirq PID] 3<PROGRAM
 *
 * PID is the core's ksoftirqd, whose time counts too. Prints one JSON line: packets, wall time, CPU time.
 *
 * generate --gro --netns PATH --device NAME: lets a device take frames in batches, as the driver of a real one does.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PROGRAM_FD 3
#define FRAME 60
#define BATCH 64

static void die(const char *what)
{
	fprintf(stderr, "generate: %s: %s\n", what, strerror(errno));
	exit(1);
}

static unsigned long long now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* CPU time of another process; 0 where it cannot be seen, as from inside a container. */
static unsigned long long cpu_of(const char *pid)
{
	unsigned long long ns = 0;
	char path[64];
	FILE *file;

	if (!pid)
		return 0;
	snprintf(path, sizeof(path), "/proc/%s/schedstat", pid);
	file = fopen(path, "r");
	if (!file)
		return 0;
	if (fscanf(file, "%llu", &ns) != 1)
		ns = 0;
	fclose(file);
	return ns;
}

static void run(unsigned int packets)
{
	static unsigned char frame[FRAME];
	union bpf_attr attr = { 0 };

	attr.test.prog_fd = PROGRAM_FD;
	attr.test.data_in = (uintptr_t)frame;
	attr.test.data_size_in = FRAME;
	attr.test.repeat = packets;
	attr.test.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
	attr.test.batch_size = BATCH;
	if (syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof(attr)))
		die("run the program");
}

static void take_batches(const char *device)
{
	struct ethtool_value value = { .cmd = ETHTOOL_SGRO, .data = 1 };
	struct ifreq request = { .ifr_data = (void *)&value };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device);
	if (fd < 0 || ioctl(fd, SIOCETHTOOL, &request))
		die(device);
}

static void pin(int core, int fifo)
{
	struct sched_param param = { .sched_priority = 1 };
	cpu_set_t set;

	if (core >= 0) {
		CPU_ZERO(&set);
		CPU_SET(core, &set);
		if (sched_setaffinity(0, sizeof(set), &set))
			die("sched_setaffinity");
	}
	if (fifo && sched_setscheduler(0, SCHED_FIFO, &param))
		die("sched_setscheduler");
}

int main(int argc, char **argv)
{
	const char *netns = NULL, *device = NULL, *softirq = NULL;
	struct timespec rest = { .tv_nsec = 1000000 };
	unsigned long long wall, cpu, helper;
	int packets = 0, core = -1, fifo = 0, gro = 0, fd;

	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (!strcmp(argv[i], "--fifo")) {
			fifo = 1;
			continue;
		}
		if (!strcmp(argv[i], "--gro")) {
			gro = 1;
			continue;
		}
		if (!strcmp(argv[i], "--netns"))
			netns = value;
		else if (!strcmp(argv[i], "--device"))
			device = value;
		else if (!strcmp(argv[i], "--packets"))
			packets = atoi(value);
		else if (!strcmp(argv[i], "--core"))
			core = atoi(value);
		else if (!strcmp(argv[i], "--softirq"))
			softirq = value;
		else
			goto usage;
		i++;
	}
	if (!netns || (gro ? !device : packets < 1))
		goto usage;
	fd = open(netns, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(netns);
	if (gro) {
		take_batches(device);
		return 0;
	}
	alarm(15);
	pin(core, fifo);
	helper = cpu_of(softirq);
	wall = now_ns(CLOCK_MONOTONIC);
	cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	run(packets);
	cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	wall = now_ns(CLOCK_MONOTONIC) - wall;
	/* What was left to ksoftirqd gets its turn now. */
	nanosleep(&rest, NULL);
	cpu += cpu_of(softirq) - helper;
	printf("{\"packets\":%d,\"wallNs\":%llu,\"cpuNs\":%llu}\n", packets, wall, cpu);
	return 0;
usage:
	fprintf(stderr, "generate: --netns PATH --packets N [--core N] [--fifo] [--softirq PID] 3<PROGRAM\n"
			"generate: --gro --netns PATH --device NAME\n");
	return 2;
}
