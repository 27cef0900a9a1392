/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loopback: the CNI plugin a container runtime executes before any other, to bring up `lo`. The agent installs it on
 * nodes that have none. The pod's namespace takes the interface away, so DEL has nothing to do.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* By this text the agent knows the program as its own when it updates or removes it. */
static const char mark[] = "weft-loopback";

/* Codes of the CNI specification, and the first one of our own. */
enum { CNI_BAD_ENVIRONMENT = 4, CNI_BAD_CONFIG = 7, CNI_KERNEL_REFUSED = 103 };

static const char *const versions[] = {"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};
enum { WITH_INTERFACES = 2, WITHOUT_IP_VERSION = 5, VERSIONS = sizeof(versions) / sizeof(*versions) };

static char config[1 << 20];
static size_t version = VERSIONS - 1;

static _Noreturn void fail(int code, const char *what, const char *why)
{
	printf("{\"cniVersion\":\"%s\",\"code\":%d,\"msg\":\"%s: %s: %s\"}\n", versions[version], code, mark, what, why);
	exit(1);
}

/* The index of the version the configuration names; none named is the oldest. */
static size_t read_version(void)
{
	size_t length = fread(config, 1, sizeof(config) - 1, stdin);
	config[length] = '\0';
	const char *at = strstr(config, "\"cniVersion\"");
	if (at == NULL)
		return 0;
	at += strlen("\"cniVersion\"");
	at += strspn(at, " \t\r\n:");
	for (size_t i = 0; i < VERSIONS; i++) {
		size_t n = strlen(versions[i]);
		if (at[0] == '"' && strncmp(at + 1, versions[i], n) == 0 && at[1 + n] == '"')
			return i;
	}
	fail(CNI_BAD_CONFIG, "cniVersion", "not spoken here");
}

/* Brings `lo` of the namespace up, or only looks whether it is; its flags afterwards. */
static int bring_up(const char *netns, int change)
{
	struct ifreq request = {.ifr_name = "lo"};
	int fd = open(netns, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
		fail(CNI_BAD_ENVIRONMENT, "CNI_NETNS", strerror(errno));
	int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (control < 0)
		control = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (control < 0 || ioctl(control, SIOCGIFFLAGS, &request) != 0)
		fail(CNI_KERNEL_REFUSED, "read the state of lo", strerror(errno));
	if (change && (request.ifr_flags & IFF_UP) == 0) {
		request.ifr_flags |= IFF_UP;
		if (ioctl(control, SIOCSIFFLAGS, &request) != 0)
			fail(CNI_KERNEL_REFUSED, "bring lo up", strerror(errno));
	}
	return request.ifr_flags;
}

static void print_result(const char *netns)
{
	const char *v4 = version < WITHOUT_IP_VERSION ? "\"version\":\"4\"," : "";
	const char *v6 = version < WITHOUT_IP_VERSION ? "\"version\":\"6\"," : "";
	printf("{\"cniVersion\":\"%s\",", versions[version]);
	if (version < WITH_INTERFACES) {
		printf("\"ip4\":{\"ip\":\"127.0.0.1/8\"},\"ip6\":{\"ip\":\"::1/128\"},\"dns\":{}}\n");
		return;
	}
	printf("\"interfaces\":[{\"name\":\"lo\",\"mac\":\"00:00:00:00:00:00\",\"sandbox\":\"%s\"}],", netns);
	printf("\"ips\":[{%s\"address\":\"127.0.0.1/8\",\"interface\":0},", v4);
	printf("{%s\"address\":\"::1/128\",\"interface\":0}],\"dns\":{}}\n", v6);
}

int main(void)
{
	const char *command = getenv("CNI_COMMAND");
	const char *netns = getenv("CNI_NETNS");
	if (command == NULL)
		fail(CNI_BAD_ENVIRONMENT, "CNI_COMMAND", "is not set");
	version = read_version();
	if (strcmp(command, "VERSION") == 0) {
		printf("{\"cniVersion\":\"%s\",\"supportedVersions\":[", versions[version]);
		for (size_t i = 0; i < VERSIONS; i++)
			printf("%s\"%s\"", i > 0 ? "," : "", versions[i]);
		printf("]}\n");
		return 0;
	}
	if (strcmp(command, "ADD") != 0 && strcmp(command, "CHECK") != 0)
		return 0;
	if (netns == NULL || netns[0] != '/' || strpbrk(netns, "\"\\\n") != NULL)
		fail(CNI_BAD_ENVIRONMENT, "CNI_NETNS", "is not an absolute path");
	int add = strcmp(command, "ADD") == 0;
	if ((bring_up(netns, add) & IFF_UP) == 0)
		fail(CNI_KERNEL_REFUSED, "lo", "is down");
	if (add)
		print_result(netns);
	return 0;
}
