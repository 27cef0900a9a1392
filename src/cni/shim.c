/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weft-cni: the CNI plugin a container runtime executes. It knows nothing: it passes the CNI_* environment and the
 * configuration on stdin to the agent's unix socket, prints the answer and exits with the answer's code.
 *
 * A DEL that no agent answers is noted as an empty file and has succeeded: the pod is gone whether we know or not, and a
 * runtime that hears of a failure keeps its sandbox. The agent makes up for it when it is back.
 *
 * Request:  u32 length (big endian), the CNI_* variables each ended by a zero byte, one more zero byte, configuration.
 * Answer:   u32 exit code, u32 length (big endian), text for stdout.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define DEFAULT_SOCKET "/run/weft/cni.sock"
#define DEFAULT_DELETIONS "/run/weft/deletions"
#define DEFAULT_VERSION "1.1.0"
#define MAX_CONFIG (1u << 20)
#define MAX_ENVIRONMENT (1u << 16)
#define MAX_ANSWER (1u << 20)
#define ANSWER_TIMEOUT_S 120

/* Codes of the CNI specification. */
enum {
	CNI_BAD_ENVIRONMENT = 4,
	CNI_IO_FAILURE = 5,
	CNI_BAD_CONFIG = 7,
	CNI_TRY_AGAIN = 11,
	CNI_NOT_AVAILABLE = 50
};

extern char **environ;

static char request[4 + MAX_ENVIRONMENT + MAX_CONFIG + 1];
static char answer[MAX_ANSWER];
static char version[32] = DEFAULT_VERSION;

/* Writes everything or gives up; 0 on success. */
static int write_all(int fd, const char *from, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, from, length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		from += n;
		length -= (size_t)n;
	}
	return 0;
}

/* Reads until `length` bytes or the end; returns how many, or -1. */
static ssize_t read_all(int fd, char *into, size_t length)
{
	size_t have = 0;
	while (have < length) {
		ssize_t n = read(fd, into + have, length - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

/* Prints a CNI error object, with quotes and control characters of `what` made harmless, and ends the program. */
static _Noreturn void fail(unsigned int code, const char *text, const char *what)
{
	char clean[256];
	size_t i;
	for (i = 0; i < sizeof(clean) - 1 && what[i] != '\0'; i++)
		clean[i] = what[i] == '"' || what[i] == '\\' || (unsigned char)what[i] < ' ' ? '?' : what[i];
	clean[i] = '\0';
	printf("{\"cniVersion\":\"%s\",\"code\":%u,\"msg\":\"%s%s\"}\n", version, code, text, clean);
	exit(1);
}

/* Steps over the string that begins at its opening quote; returns the place behind the closing one, or the end. */
static const char *skip_string(const char *at, const char *end)
{
	for (at++; at < end && *at != '"'; at++)
		if (*at == '\\')
			at++;
	return at < end ? at + 1 : end;
}

static const char *skip_blanks(const char *at, const char *end)
{
	while (at < end && strchr(" \t\r\n", *at) != NULL && *at != '\0')
		at++;
	return at;
}

/*
 * Copies the value of a key of the outermost object when it is a plain string that fits. Looks no deeper and checks
 * nothing else: the agent parses the configuration and reports what is wrong with it. 0 when the key is there and its
 * value unfit.
 */
static int find_string(const char *at, const char *end, const char *key, char *into, size_t size)
{
	int depth = 0;
	while (at < end) {
		if (*at == '{' || *at == '[')
			depth++;
		if (*at == '}' || *at == ']')
			depth--;
		if (*at != '"') {
			at++;
			continue;
		}
		const char *name = at + 1;
		at = skip_string(at, end);
		size_t length = (size_t)(at - name) - (at > name ? 1 : 0);
		const char *colon = skip_blanks(at, end);
		if (depth != 1 || colon >= end || *colon != ':' || length != strlen(key) || memcmp(name, key, length) != 0)
			continue;
		const char *value = skip_blanks(colon + 1, end);
		if (value >= end || *value != '"')
			return 0;
		const char *after = skip_string(value, end);
		size_t bytes = after - value >= 2 ? (size_t)(after - value) - 2 : 0;
		if (bytes == 0 || bytes >= size || memchr(value, '\\', bytes + 1) != NULL)
			return 0;
		memcpy(into, value + 1, bytes);
		into[bytes] = '\0';
		return 1;
	}
	return 1;
}

/* Makes an empty file DIR/CONTAINER:IFNAME, the directory too; neither name may hold a slash or begin with a dot. */
static int note_deletion(const char *dir)
{
	const char *container = getenv("CNI_CONTAINERID"), *ifname = getenv("CNI_IFNAME");
	char path[512];
	if (container == NULL || ifname == NULL || strchr(container, '/') != NULL || strchr(ifname, '/') != NULL ||
	    *container == '.' || *container == '\0' || *ifname == '\0')
		return -1;
	for (const char *at = strchr(dir + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
		snprintf(path, sizeof(path), "%.*s", (int)(at - dir), dir);
		mkdir(path, 0755);
	}
	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return -1;
	if ((size_t)snprintf(path, sizeof(path), "%s/%s:%s", dir, container, ifname) >= sizeof(path))
		return -1;
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? -1 : close(fd);
}

/* No agent answered. */
static _Noreturn void give_up(const char *command, const char *deletions, const char *text, const char *socket)
{
	if (strcmp(command, "DEL") == 0 && note_deletion(deletions) == 0)
		exit(0);
	fail(strcmp(command, "STATUS") == 0 ? CNI_NOT_AVAILABLE : CNI_TRY_AGAIN, text, socket);
}

static int connect_agent(const struct sockaddr_un *name)
{
	struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT_S};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	return connect(fd, (const struct sockaddr *)name, sizeof(*name)) == 0 ? fd : -1;
}

int main(void)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = DEFAULT_SOCKET};
	const char *command = getenv("CNI_COMMAND");
	char deletions[256] = DEFAULT_DELETIONS;
	size_t used = 4;
	/* An agent that hangs up early is an error to report, no reason to die of. */
	signal(SIGPIPE, SIG_IGN);
	for (char **variable = environ; *variable != NULL; variable++) {
		size_t length = strlen(*variable) + 1;
		if (strncmp(*variable, "CNI_", 4) != 0)
			continue;
		if (used + length > MAX_ENVIRONMENT)
			fail(CNI_BAD_ENVIRONMENT, "the CNI_ variables are too long", "");
		memcpy(request + used, *variable, length);
		used += length;
	}
	request[used++] = '\0';

	char *config = request + used;
	ssize_t length = read_all(STDIN_FILENO, config, MAX_CONFIG + 1 - 4);
	if (length < 0)
		fail(CNI_IO_FAILURE, "cannot read the configuration from stdin: ", strerror(errno));
	if ((size_t)length > MAX_CONFIG - 4)
		fail(CNI_BAD_CONFIG, "the configuration is longer than 1 MiB", "");
	find_string(config, config + length, "cniVersion", version, sizeof(version));
	if (strspn(version, "0123456789.") != strlen(version))
		strcpy(version, DEFAULT_VERSION);

	if (!find_string(config, config + length, "socket", name.sun_path, sizeof(name.sun_path)))
		fail(CNI_BAD_CONFIG, "socket: not a path of at most 107 characters", "");
	if (!find_string(config, config + length, "deletions", deletions, sizeof(deletions)) || deletions[0] != '/')
		fail(CNI_BAD_CONFIG, "deletions: not an absolute path of at most 255 characters", "");
	if (command == NULL)
		fail(CNI_BAD_ENVIRONMENT, "CNI_COMMAND is not set", "");
	if (strcmp(command, "VERSION") == 0) {
		printf("{\"cniVersion\":\"%s\",\"supportedVersions\":[\"0.4.0\",\"1.0.0\",\"1.1.0\"]}\n", version);
		return 0;
	}

	uint32_t header[2] = {htonl((uint32_t)(used - 4 + (size_t)length))};
	memcpy(request, header, 4);
	int fd = connect_agent(&name);
	if (fd < 0)
		give_up(command, deletions, "try again later: no Weft agent answers at ", name.sun_path);
	if (write_all(fd, request, used + (size_t)length) != 0 || read_all(fd, (char *)header, 8) != 8)
		give_up(command, deletions, "try again later: the Weft agent did not answer at ", name.sun_path);
	size_t bytes = ntohl(header[1]);
	if (bytes > MAX_ANSWER || read_all(fd, answer, bytes) != (ssize_t)bytes)
		give_up(command, deletions, "try again later: the Weft agent broke off its answer at ", name.sun_path);
	if (write_all(STDOUT_FILENO, answer, bytes) != 0)
		return 1;
	return (int)(ntohl(header[0]) & 0xff);
}
