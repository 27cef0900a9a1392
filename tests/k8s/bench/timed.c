// SPDX-License-Identifier: Apache-2.0
/*
 * Stands in the place of a CNI plugin: runs NAME.real beside it, which it hands everything on to, and appends
 * "COMMAND CONTAINERID NAME MICROSECONDS EXIT_CODE" to /run/cni-times.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static unsigned long long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000ull + t.tv_nsec / 1000;
}

int main(int argc, char **argv)
{
	unsigned long long start = now_us();
	const char *command = getenv("CNI_COMMAND"), *id = getenv("CNI_CONTAINERID");
	const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	char real[4096], line[512];
	int status, log;
	pid_t pid;

	(void)argc;
	snprintf(real, sizeof(real), "%s.real", argv[0]);
	pid = fork();
	if (pid == 0) {
		execv(real, argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 127;
	status = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
	snprintf(line, sizeof(line), "%s %s %s %llu %d\n", command ? command : "-", id && *id ? id : "-", name,
		 now_us() - start, status);
	log = open("/run/cni-times", O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (log >= 0 && write(log, line, strlen(line)) < 0)
		perror("cni-times");
	return status;
}
