/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "tools.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} tools[] = {
	{"agnhost", agnhost_main}, {"nc", nc_main},         {"netcat", nc_main},    {"wget", http_main},
	{"curl", http_main},       {"ping", ping_main},     {"ping6", ping_main},   {"nslookup", lookup_main},
	{"host", lookup_main},
};

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	const char *name = slash != NULL ? slash + 1 : argv[0];

	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < sizeof(tools) / sizeof(tools[0]); i++) {
		if (strcmp(tools[i].name, name) == 0) {
			argv[0] = (char *)tools[i].name;
			return tools[i].run(argc, argv);
		}
	}
	fprintf(stderr, "pod-tools: there is no tool \"%s\"\n", name);
	return 127;
}
