/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod-exec: runs a command as a process of a lab pod: in its cgroup, its network namespace, and a mount and UTS
 * namespace of its own. Without --tty it becomes the command (same process id); with --tty it gives the command a
 * terminal and relays. Exit codes: the command's (128 + signal when killed), 125 own failure, 126/127 cannot execute.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_BINDS 64
#define OWN_FAILURE 125

static struct {
	const char *netns, *cgroup, *root, *hostname, *cwd;
	const char *binds[MAX_BINDS];
	int bind_count, die_with_parent, tty, resize_fd;
	struct winsize size;
} options = {.resize_fd = -1};

static _Noreturn void die(const char *format, ...)
{
	int error = errno;
	va_list arguments;
	va_start(arguments, format);
	fprintf(stderr, "pod-exec: ");
	vfprintf(stderr, format, arguments);
	fprintf(stderr, error != 0 ? ": %s\n" : "\n", strerror(error));
	exit(OWN_FAILURE);
}

static void usage(void)
{
	errno = 0;
	die("usage: pod-exec [--netns PATH] [--cgroup DIR] [--root DIR] [--hostname NAME] [--cwd DIR] [--bind SRC:DST]...\n"
	    "                [--tty ROWSxCOLS] [--resize-fd FD] [--die-with-parent] -- COMMAND [ARGUMENT]...");
}

static void parse_size(const char *text)
{
	if (sscanf(text, "%hux%hu", &options.size.ws_row, &options.size.ws_col) != 2)
		usage();
}

static int parse(int argc, char **argv)
{
	enum { NETNS = 1, CGROUP, ROOT, HOSTNAME, CWD, BIND, TTY, RESIZE, DIE };
	static const struct option known[] = {
		{"netns", required_argument, NULL, NETNS}, {"cgroup", required_argument, NULL, CGROUP},
		{"root", required_argument, NULL, ROOT},   {"hostname", required_argument, NULL, HOSTNAME},
		{"cwd", required_argument, NULL, CWD},     {"bind", required_argument, NULL, BIND},
		{"tty", required_argument, NULL, TTY},     {"resize-fd", required_argument, NULL, RESIZE},
		{"die-with-parent", no_argument, NULL, DIE}, {NULL, 0, NULL, 0},
	};
	for (int option; (option = getopt_long(argc, argv, "+", known, NULL)) != -1;) {
		switch (option) {
		case NETNS: options.netns = optarg; break;
		case CGROUP: options.cgroup = optarg; break;
		case ROOT: options.root = optarg; break;
		case HOSTNAME: options.hostname = optarg; break;
		case CWD: options.cwd = optarg; break;
		case RESIZE: options.resize_fd = atoi(optarg); break;
		case DIE: options.die_with_parent = 1; break;
		case TTY:
			options.tty = 1;
			parse_size(optarg);
			break;
		case BIND:
			if (options.bind_count == MAX_BINDS || strchr(optarg, ':') == NULL)
				usage();
			options.binds[options.bind_count++] = optarg;
			break;
		default: usage();
		}
	}
	if (optind >= argc)
		usage();
	return optind;
}

/* The signal comes when the thread that started us ends; a parent that is gone already sends none. */
static void follow_parent(pid_t parent, int signal)
{
	if (prctl(PR_SET_PDEATHSIG, signal) != 0)
		die("ask to die with the parent");
	if (getppid() != parent)
		exit(OWN_FAILURE);
}

/* Before the mounts change: the cgroup tree may be out of sight afterwards. */
static void join_cgroup(const char *dir)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		die("join cgroup %s", dir);
	close(fd);
}

static void join_netns(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
		die("enter network namespace %s", path);
	close(fd);
}

/* /sys shows the devices of the network namespace it was mounted in. The cgroup tree is put back on top. */
static void mount_sysfs(void)
{
	char from[64];
	int cgroups = open("/sys/fs/cgroup", O_PATH | O_CLOEXEC);
	if (mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0)
		die("mount /sys");
	if (cgroups < 0)
		return;
	snprintf(from, sizeof(from), "/proc/self/fd/%d", cgroups);
	if (mount(from, "/sys/fs/cgroup", NULL, MS_BIND | MS_REC, NULL) != 0)
		die("mount /sys/fs/cgroup");
	close(cgroups);
}

/* Makes what a bind mount needs to sit on. Only done inside --root: nothing is left on the machine otherwise. */
static void make_target(const char *source, char *target)
{
	struct stat is;
	if (stat(source, &is) != 0)
		die("bind %s", source);
	for (char *slash = strchr(target + strlen(options.root) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(target, 0755);
		*slash = '/';
	}
	if (S_ISDIR(is.st_mode)) {
		mkdir(target, 0755);
		return;
	}
	int fd = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd >= 0)
		close(fd);
}

static void bind_one(const char *source, const char *destination)
{
	char target[PATH_MAX];
	snprintf(target, sizeof(target), "%s%s", options.root != NULL ? options.root : "", destination);
	if (options.root != NULL)
		make_target(source, target);
	if (mount(source, target, NULL, MS_BIND | MS_REC, NULL) != 0)
		die("bind %s to %s", source, target);
}

static void set_up_mounts(void)
{
	if (unshare(CLONE_NEWNS | CLONE_NEWUTS) != 0)
		die("make mount and UTS namespaces");
	if (mount("", "/", NULL, MS_REC | MS_SLAVE, NULL) != 0)
		die("keep mounts private");
	if (options.netns != NULL)
		mount_sysfs();
	if (options.root != NULL) {
		bind_one("/proc", "/proc");
		bind_one("/sys", "/sys");
		bind_one("/dev", "/dev");
	}
	for (int i = 0; i < options.bind_count; i++) {
		char source[PATH_MAX];
		const char *colon = strchr(options.binds[i], ':');
		snprintf(source, sizeof(source), "%.*s", (int)(colon - options.binds[i]), options.binds[i]);
		bind_one(source, colon + 1);
	}
	if (options.hostname != NULL && sethostname(options.hostname, strlen(options.hostname)) != 0)
		die("set hostname %s", options.hostname);
	if (options.root != NULL && (chroot(options.root) != 0 || chdir("/") != 0))
		die("enter root %s", options.root);
	if (options.cwd != NULL && chdir(options.cwd) != 0)
		die("enter directory %s", options.cwd);
}

static _Noreturn void execute(char **command)
{
	execvp(command[0], command);
	int code = errno == ENOENT ? 127 : 126;
	fprintf(stderr, "pod-exec: %s: %s\n", command[0], strerror(errno));
	exit(code);
}

static int open_terminal(char *name, size_t size)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || grantpt(fd) != 0 || unlockpt(fd) != 0 || ptsname_r(fd, name, size) != 0)
		die("open a terminal");
	ioctl(fd, TIOCSWINSZ, &options.size);
	return fd;
}

static _Noreturn void execute_on(const char *terminal, char **command, pid_t parent)
{
	follow_parent(parent, SIGHUP);
	setsid();
	int fd = open(terminal, O_RDWR);
	if (fd < 0 || ioctl(fd, TIOCSCTTY, 0) != 0)
		die("take terminal %s", terminal);
	for (int standard = 0; standard < 3; standard++)
		dup2(fd, standard);
	if (fd > 2)
		close(fd);
	if (options.resize_fd > 2)
		close(options.resize_fd);
	signal(SIGPIPE, SIG_DFL);
	execute(command);
}

/* Copies once; 1 while there may be more. */
static int copy(int from, int to)
{
	char buffer[16384];
	ssize_t have = read(from, buffer, sizeof(buffer));
	if (have < 0 && (errno == EINTR || errno == EAGAIN))
		return 1;
	for (ssize_t done = 0; done < have;) {
		ssize_t n = write(to, buffer + done, (size_t)(have - done));
		if (n < 0 && errno != EINTR)
			return 0;
		done += n > 0 ? n : 0;
	}
	return have > 0;
}

/* Lines "ROWSxCOLS" change the terminal's size. 1 while there may be more. */
static int resize(int from, int terminal)
{
	char line[64];
	struct winsize size = options.size;
	ssize_t have = read(from, line, sizeof(line) - 1);
	if (have <= 0)
		return have < 0 && errno == EINTR;
	line[have] = '\0';
	for (char *at = line; at != NULL && *at != '\0'; at = strchr(at, '\n'), at = at != NULL ? at + 1 : NULL)
		if (sscanf(at, "%hux%hu", &size.ws_row, &size.ws_col) == 2)
			ioctl(terminal, TIOCSWINSZ, &size);
	return 1;
}

static void relay(int terminal)
{
	const char end_of_input = 4;
	struct pollfd fds[3] = {
		{.fd = terminal, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}, {.fd = options.resize_fd, .events = POLLIN}};
	for (;;) {
		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			return;
		/* Reading fails (EIO) once the last process has closed the terminal. */
		if (fds[0].revents != 0 && !copy(terminal, STDOUT_FILENO))
			return;
		if (fds[1].revents != 0 && !copy(STDIN_FILENO, terminal)) {
			fds[1].fd = -1;
			if (write(terminal, &end_of_input, 1) != 1)
				return;
		}
		if (fds[2].revents != 0 && !resize(options.resize_fd, terminal))
			fds[2].fd = -1;
	}
}

static int run_on_terminal(char **command)
{
	char name[64];
	int status;
	int terminal = open_terminal(name, sizeof(name));
	pid_t self = getpid();
	signal(SIGPIPE, SIG_IGN);
	pid_t child = fork();
	if (child < 0)
		die("fork");
	if (child == 0)
		execute_on(name, command, self);
	relay(terminal);
	close(terminal);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			die("wait for %s", command[0]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	pid_t parent = getppid();
	char **command = argv + parse(argc, argv);
	if (options.die_with_parent)
		follow_parent(parent, SIGKILL);
	if (options.cgroup != NULL)
		join_cgroup(options.cgroup);
	if (options.netns != NULL)
		join_netns(options.netns);
	set_up_mounts();
	if (options.tty)
		return run_on_terminal(command);
	execute(command);
}
