// SPDX-License-Identifier: Apache-2.0
import koffi from "koffi";
import { KernelError } from "#kernel/errno.ts";

const lib = koffi.load("libc.so.6");

type Bytes = Uint8Array | null;

function declare<Args extends readonly unknown[], Result>(definition: string): (...args: Args) => Result {
  return lib.func(definition) as (...args: Args) => Result;
}

const rawSend = lib.func("long send(int, void *, size_t, int)");
const strerror = declare<[number], string>("const char *strerror(int)");

const AT_FDCWD = -100;
const syscallPath = declare<[number, number, string, number], number>(
  "long syscall(long, int, const char *, unsigned int)",
);
const syscallMove = declare<[number, number, string, number, string, number], number>(
  "long syscall(long, int, const char *, int, const char *, unsigned int)",
);
const syscallText = declare<[number, string, number], number>(
  "long syscall(long, const char *, unsigned int)",
);
const syscallNumbers = declare<[number, number, number, number], number>(
  "long syscall(long, int, unsigned int, unsigned int)",
);
const syscallCommand = declare<[number, number, number, null, null, number], number>(
  "long syscall(long, int, unsigned int, void *, void *, int)",
);

/**
 * The libc calls behind netlink, namespaces and sockets, as they are: -1 on failure, then {@link lastErrno}.
 * Buffers are only lent for the duration of the call.
 */
export const libc = {
  socket: declare<[number, number, number], number>("int socket(int, int, int)"),
  bind: declare<[number, Bytes, number], number>("int bind(int, void *, uint32_t)"),
  connect: declare<[number, Bytes, number], number>("int connect(int, void *, uint32_t)"),
  accept4: declare<[number, Bytes, Bytes, number], number>("int accept4(int, void *, void *, int)"),
  listen: declare<[number, number], number>("int listen(int, int)"),
  getsockname: declare<[number, Bytes, Bytes], number>("int getsockname(int, void *, void *)"),
  setsockopt: declare<[number, number, number, Bytes, number], number>(
    "int setsockopt(int, int, int, void *, uint32_t)",
  ),
  getsockopt: declare<[number, number, number, Bytes, Bytes], number>(
    "int getsockopt(int, int, int, void *, void *)",
  ),
  send: declare<[number, Bytes, number, number], number>("long send(int, void *, size_t, int)"),
  recv: declare<[number, Bytes, number, number], number>("long recv(int, void *, size_t, int)"),
  poll: declare<[Bytes, number, number], number>("int poll(void *, unsigned long, int)"),
  setns: declare<[number, number], number>("int setns(int, int)"),
  unshare: declare<[number], number>("int unshare(int)"),
  mount: declare<[string | null, string, string | null, number, string | null], number>(
    "int mount(const char *, const char *, const char *, unsigned long, const char *)",
  ),
  umount2: declare<[string, number], number>("int umount2(const char *, int)"),
  chroot: declare<[string], number>("int chroot(const char *)"),
  fchdir: declare<[number], number>("int fchdir(int)"),
  /** open_tree(2) to fsmount(2): the library knows them only from glibc 2.36 on; their numbers are the same on every machine. */
  openTree: (path: string, flags: number): number => syscallPath(428, AT_FDCWD, path, flags),
  moveMount: (fd: number, to: string, flags: number): number => syscallMove(429, fd, "", AT_FDCWD, to, flags),
  fsopen: (type: string, flags: number): number => syscallText(430, type, flags),
  fsconfig: (fd: number, command: number): number => syscallCommand(431, fd, command, null, null, 0),
  fsmount: (fd: number, flags: number): number => syscallNumbers(432, fd, flags, 0),
};

/**
 * Calls that may take long, on a thread of libuv's pool. Their errno is lost. What the buffer holds must not change
 * until the promise resolves.
 */
export const libcInBackground = {
  send: (fd: number, bytes: Uint8Array, length: number, flags: number): Promise<number> =>
    new Promise((resolve, reject) => {
      const done = (error: Error | null, result: number) => (error ? reject(error) : resolve(result));
      rawSend.async(fd, bytes, length, flags, done);
    }),
};

/** errno of the libc call just made by this thread; read it before anything else. */
export function lastErrno(): number {
  return koffi.errno();
}

/** `file exists` for 17: the C library's text in lower case, fit for the end of a message. */
export function errnoText(errno: number): string {
  const text = strerror(Math.abs(errno));
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/**
 * Passes the result of a libc call on. `what` names operation and object (`connect to 10.0.0.1:80`); a function
 * when building the text costs something.
 * @throws KernelError E_SYSCALL when the result is negative
 */
export function checked(result: number, what: string | (() => string)): number {
  if (result >= 0) return result;
  const errno = lastErrno();
  throw new KernelError(
    "E_SYSCALL",
    `${typeof what === "string" ? what : what()}: ${errnoText(errno)}`,
    errno,
  );
}
