// SPDX-License-Identifier: Apache-2.0
/*
 * swarm: runs a CNI plugin for many containers and says how long each took, without a busy event loop in between.
 *
 * swarm COMMAND PARALLEL PAUSE_MS PLUGIN CONF < jobs
 *
 * A job is a line "CONTAINERID NETNS NAMESPACE POD UID". At most PARALLEL run at a time, PAUSE_MS apart from each other's end when that is 1.
 * Prints "MICROSECONDS EXIT_CODE" for each, in the order they end; what the plugins print goes to stderr when they fail.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_JOBS 4096

static char jobs[MAX_JOBS][1024];
static pid_t pids[MAX_JOBS];
static int outputs[MAX_JOBS];
static unsigned long long started[MAX_JOBS];

static void die(const char *what)
{
	fprintf(stderr, "swarm: %s: %s\n", what, strerror(errno));
	exit(1);
}

static unsigned long long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void start(int index, char **argv)
{
	outputs[index] = memfd_create("out", MFD_CLOEXEC);
	if (outputs[index] < 0)
		die("memfd_create");
	started[index] = now_ns();
	pids[index] = fork();
	if (pids[index] < 0)
		die("fork");
	if (pids[index])
		return;

	char id[128], netns[512], namespace[128], pod[128], uid[128], args[1024];
	int conf = open(argv[5], O_RDONLY);

	if (conf < 0 || sscanf(jobs[index], "%127s %511s %127s %127s %127s", id, netns, namespace, pod, uid) != 5)
		die("job");
	snprintf(args, sizeof(args), "IgnoreUnknown=1;K8S_POD_NAMESPACE=%s;K8S_POD_NAME=%s;K8S_POD_INFRA_CONTAINER_ID=%s;K8S_POD_UID=%s",
		 namespace, pod, id, uid);
	setenv("CNI_COMMAND", argv[1], 1);
	setenv("CNI_CONTAINERID", id, 1);
	setenv("CNI_NETNS", netns, 1);
	setenv("CNI_IFNAME", "eth0", 1);
	setenv("CNI_PATH", "/", 1);
	setenv("CNI_ARGS", args, 1);
	dup2(conf, 0);
	dup2(outputs[index], 1);
	execl(argv[4], argv[4], (char *)NULL);
	die(argv[4]);
}

static void finish(void)
{
	int status, code;
	pid_t pid = wait(&status);
	unsigned long long end = now_ns();

	for (int i = 0; i < MAX_JOBS; i++) {
		if (pids[i] != pid)
			continue;
		code = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
		printf("%llu %d\n", (end - started[i]) / 1000, code);
		if (code) {
			char text[2048];
			ssize_t n = pread(outputs[i], text, sizeof(text), 0);

			fprintf(stderr, "%s%.*s\n", jobs[i], (int)n, text);
		}
		close(outputs[i]);
		return;
	}
	die("wait");
}

int main(int argc, char **argv)
{
	int count = 0, next = 0, running = 0, parallel, pause_ms;

	if (argc != 6) {
		fprintf(stderr, "swarm: COMMAND PARALLEL PAUSE_MS PLUGIN CONF < jobs\n");
		return 2;
	}
	parallel = atoi(argv[2]);
	pause_ms = atoi(argv[3]);
	while (count < MAX_JOBS && fgets(jobs[count], sizeof(jobs[0]), stdin))
		count++;
	while (next < count || running) {
		if (next < count && running < parallel) {
			start(next++, argv);
			running++;
			continue;
		}
		finish();
		running--;
		if (pause_ms)
			usleep(pause_ms * 1000);
	}
	return 0;
}
