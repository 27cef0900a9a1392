/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod-tools: the network commands test programs call in a container, for stand-ins on a machine that lacks them. One
 * program, many names: it is what the name it is called by says.
 */
#pragma once
#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* How an attempt to reach something ended. */
enum outcome { REACHED, REFUSED, TIMED_OUT, NO_NAME, OTHER };

struct target {
	const char *host, *port;
	int type;        /* SOCK_STREAM, SOCK_DGRAM */
	int family;      /* AF_UNSPEC, AF_INET, AF_INET6 */
	int timeout_ms;  /* of the connection; 0: none */
};

/* Resolves and connects; the addresses of a name are tried in turn. The socket is in *fd, errno tells more of OTHER. */
enum outcome connect_to(const struct target *to, int *fd, struct sockaddr_storage *peer);

/* Waits until fd can be read. false: the time (0: none) is over. */
bool readable(int fd, int timeout_ms);

/* Copies both ways between the socket and the standard streams until the peer has closed. */
int relay(int fd, int idle_ms);

bool write_all(int fd, const void *data, size_t size);

/* "1s", "500ms", "1m", a bare number of seconds. */
int milliseconds(const char *text);

/* Splits "host:port", "[v6]:port" in place. */
bool split_host_port(char *text, const char **host, const char **port);

void address_text(const struct sockaddr_storage *address, char *out, size_t size);

/*
 * Takes one option apart, in any of the ways it may be written: -x5, -x 5, --name 5, --name=5, -abc. `valued` lists the
 * letters that have a value. Long names come whole.
 */
struct options {
	int argc, at;
	char **argv;
	const char *valued;
	const char *cluster;
};
struct option_found {
	char letter;       /* 0: a long one */
	const char *name;  /* of a long one, without its value */
	size_t name_size;
	const char *value; /* NULL: none in the same word */
};
bool next_option(struct options *o, struct option_found *found);
/* The value of the option just found, from the next word when it has to be. */
const char *option_value(struct options *o, const struct option_found *found);
bool is_long(const struct option_found *found, const char *name);

int agnhost_main(int argc, char **argv);
int nc_main(int argc, char **argv);
int http_main(int argc, char **argv);
int ping_main(int argc, char **argv);
int lookup_main(int argc, char **argv);
