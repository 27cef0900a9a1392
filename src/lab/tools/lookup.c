/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "tools.h"

static void print_server(void)
{
	char line[256], server[128];
	FILE *file = fopen("/etc/resolv.conf", "re");

	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "nameserver %127s", server) != 1)
			continue;
		printf("Server:\t\t%s\nAddress:\t%s:53\n\n", server, server);
		break;
	}
	if (file != NULL)
		fclose(file);
}

/* nslookup and host, by the system's resolver: search domains count. */
int lookup_main(int argc, char **argv)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_CANONNAME}, *list = NULL;
	const char *name = NULL;
	bool nslookup = strcmp(argv[0], "nslookup") == 0;

	for (int i = 1; i < argc && name == NULL; i++)
		if (argv[i][0] != '-')
			name = argv[i];
	if (name == NULL) {
		fprintf(stderr, "usage: %s NAME\n", argv[0]);
		return 2;
	}
	if (nslookup)
		print_server();
	if (getaddrinfo(name, NULL, &hints, &list) != 0) {
		if (nslookup)
			printf("** server can't find %s: NXDOMAIN\n", name);
		else
			printf("Host %s not found: 3(NXDOMAIN)\n", name);
		return 1;
	}
	const char *full = list->ai_canonname != NULL ? list->ai_canonname : name;
	for (const struct addrinfo *one = list; one != NULL; one = one->ai_next) {
		struct sockaddr_storage address;
		char text[64];
		memcpy(&address, one->ai_addr, one->ai_addrlen);
		address_text(&address, text, sizeof(text));
		if (nslookup)
			printf("Name:\t%s\nAddress: %s\n", full, text);
		else
			printf("%s has %saddress %s\n", full, one->ai_family == AF_INET6 ? "IPv6 " : "", text);
	}
	return 0;
}
