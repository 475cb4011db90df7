/*
 * Rig 1: every changing call of a program, counted, and one of them made to fail.
 *
 * Preloaded (LD_PRELOAD) into a program and, by inheritance, into its children. Calls that change
 * files under FAULT_PREFIX are numbered from 1, in one sequence over all threads and processes:
 *
 *   open for writing, write, pwrite, writev, pwritev, ftruncate, fsync, fdatasync, syncfs, rename,
 *   link, symlink, unlink, rmdir, mkdir, chmod, copy_file_range, sendfile (in all their spellings)
 *
 *   FAULT_PREFIX   absolute real path; the prefix itself counts, its siblings do not
 *   FAULT_COUNTER  a file of 8 zero bytes, mapped by every process: the last number given out
 *   FAULT_LOG      "number call path" a line, written before the call is made
 *   FAULT          count, or any:N:KIND (the Nth call), or from:N:KIND (the Nth and all after it)
 *     KILL         SIGKILL to the whole process group before the call: run it in a group of its own
 *     EIO, ENOSPC  the call is not made and fails with this error
 *     SHORT        a write writes half, and what follows finds the disk full: with any, the next write
 *                  to that descriptor (libuv asks for the rest at once), with from, every call.
 *                  Calls that write nothing are made
 *
 * The real work is done by system call, beneath libc. For 64-bit Linux only, where open is open64.
 * Not seen: close, utimes, mkdtemp, stdio, io_uring, writes through a mapping.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* libc's own syscall(2), beneath ours; looked up at the first call, which may precede start(). */
typedef long (*libc_syscall)(long, ...);
static libc_syscall beneath(void) {
  static libc_syscall found;
  if (!found) found = (libc_syscall)dlsym(RTLD_NEXT, "syscall");
  return found;
}
#define raw(...) beneath()(__VA_ARGS__)

enum verdict { PASS, FAIL, HALF };

static const char *prefix;
static size_t prefix_length;
static _Atomic uint64_t *counter;
static int log_fd = -1;
static uint64_t fault_at; /* 0: only count */
static int fault_lasts;
static char fault_kind[8];
static _Atomic int cut_fd = -1; /* whose write was cut short, until the rest of it has failed */

__attribute__((constructor)) static void start(void) {
  const char *file = getenv("FAULT_COUNTER"), *log = getenv("FAULT_LOG"), *fault = getenv("FAULT");
  prefix = getenv("FAULT_PREFIX");
  if (!prefix || !file) return;
  prefix_length = strlen(prefix);
  char which[5] = "";
  unsigned long long at = 0;
  if (fault && sscanf(fault, "%4[a-z]:%llu:%7[A-Z]", which, &at, fault_kind) == 3) fault_at = at;
  fault_lasts = strcmp(which, "from") == 0;
  if (log) log_fd = raw(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  int fd = raw(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *map = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  raw(SYS_close, fd);
  if (map != MAP_FAILED) counter = map;
}

static int is_ours(const char *path) {
  return strncmp(path, prefix, prefix_length) == 0 &&
         (path[prefix_length] == '/' || path[prefix_length] == '\0');
}

/* Gives this call its number and decides about it. FAIL has set errno. */
static enum verdict judge(const char *call, const char *path) {
  uint64_t n = atomic_fetch_add_explicit(counter, 1, memory_order_seq_cst) + 1;
  if (log_fd >= 0) {
    char line[PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%llu %s %s\n", (unsigned long long)n, call, path);
    if (length >= (int)sizeof line) length = sizeof line - 1;
    raw(SYS_write, log_fd, line, length);
  }
  if (fault_at == 0 || n < fault_at || (n > fault_at && !fault_lasts)) return PASS;
  if (strcmp(fault_kind, "SHORT") == 0 && n == fault_at) return HALF;
  if (strcmp(fault_kind, "KILL") == 0) {
    kill(0, SIGKILL);
    for (;;) pause();
  }
  errno = strcmp(fault_kind, "EIO") == 0 ? EIO : ENOSPC;
  return FAIL;
}

/* What `path` means below `folder`: parents resolved, the last name kept; 0 if that is nowhere. */
static int resolve(char *out, int folder, const char *path) {
  char joined[PATH_MAX * 2], base[PATH_MAX] = "";
  if (path[0] != '/') {
    char link[64] = "/proc/self/cwd";
    if (folder != AT_FDCWD) snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t length = readlink(link, base, sizeof base - 1);
    if (length < 0) return 0;
    base[length] = '\0';
  }
  if (snprintf(joined, sizeof joined, "%s/%s", base, path) >= (int)sizeof joined) return 0;
  size_t end = strlen(joined);
  while (end > 1 && joined[end - 1] == '/') joined[--end] = '\0';
  char *slash = strrchr(joined, '/');
  const char *name = slash + 1;
  if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return realpath(joined, out) != NULL;
  *slash = '\0';
  if (!realpath(slash == joined ? "/" : joined, out)) return 0;
  size_t length = strlen(out);
  if (length + strlen(name) + 2 > PATH_MAX) return 0;
  snprintf(out + length, PATH_MAX - length, "%s%s", length > 1 ? "/" : "", name);
  return 1;
}

static enum verdict at_path(const char *call, int folder, const char *path) {
  char full[PATH_MAX];
  int saved = errno;
  enum verdict verdict = PASS;
  if (counter && resolve(full, folder, path) && is_ours(full)) verdict = judge(call, full);
  if (verdict != FAIL) errno = saved;
  return verdict;
}

/* Both ends of a rename or link: one call, whichever end is ours. */
static enum verdict at_paths(const char *call, int f1, const char *from, int f2, const char *to) {
  char source[PATH_MAX], target[PATH_MAX], both[PATH_MAX * 2 + 8];
  int saved = errno;
  enum verdict verdict = PASS;
  if (counter && resolve(source, f1, from) && resolve(target, f2, to) &&
      (is_ours(source) || is_ours(target))) {
    snprintf(both, sizeof both, "%s -> %s", source, target);
    verdict = judge(call, both);
  }
  if (verdict != FAIL) errno = saved;
  return verdict;
}

static enum verdict at_fd(const char *call, int fd) {
  char link[64], path[PATH_MAX];
  int saved = errno;
  enum verdict verdict = PASS;
  if (counter) {
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = '\0';
    if (is_ours(path)) verdict = judge(call, path);
  }
  if (verdict != FAIL) errno = saved;
  return verdict;
}

/* Of `length` bytes this many may be written now, -1 for none. */
static ssize_t allowed(const char *call, int fd, size_t length) {
  enum verdict verdict = at_fd(call, fd);
  int cut = fd;
  if (verdict == FAIL) return -1;
  if (verdict == PASS && !atomic_compare_exchange_strong(&cut_fd, &cut, -1)) return length;
  if (verdict == HALF && length >= 2) {
    if (!fault_lasts) cut_fd = fd;
    return length / 2;
  }
  errno = ENOSPC;
  return -1;
}

static int open_at(int folder, const char *path, int flags, mode_t mode) {
  int changes = (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC));
  if (changes && at_path("open", folder, path) == FAIL) return -1;
  return raw(SYS_openat, folder, path, flags, mode);
}

static mode_t mode_of(int flags, va_list rest) {
  return flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = mode_of(flags, rest);
  va_end(rest);
  return open_at(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) __attribute__((alias("open")));

int openat(int folder, const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = mode_of(flags, rest);
  va_end(rest);
  return open_at(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) __attribute__((alias("openat")));

ssize_t write(int fd, const void *bytes, size_t length) {
  ssize_t now = allowed("write", fd, length);
  return now < 0 ? -1 : raw(SYS_write, fd, bytes, now);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
  ssize_t now = allowed("pwrite", fd, length);
  return now < 0 ? -1 : raw(SYS_pwrite64, fd, bytes, now, offset);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset)
    __attribute__((alias("pwrite")));

/* The first `now` bytes of a vector; `offset` is -1 for the position of the descriptor. */
static ssize_t write_vector(int fd, const struct iovec *parts, int count, off_t offset, size_t now) {
  struct iovec cut[IOV_MAX];
  int used = 0;
  for (; used < count && now > 0; used++) {
    cut[used] = parts[used];
    if (cut[used].iov_len > now) cut[used].iov_len = now;
    now -= cut[used].iov_len;
  }
  if (offset < 0) return raw(SYS_writev, fd, cut, used);
  return raw(SYS_pwritev, fd, cut, used, offset, 0);
}

static size_t total(const struct iovec *parts, int count) {
  size_t sum = 0;
  for (int i = 0; i < count; i++) sum += parts[i].iov_len;
  return sum;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  ssize_t now = allowed("writev", fd, total(parts, count));
  return now < 0 ? -1 : write_vector(fd, parts, count, -1, now);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
  ssize_t now = allowed("pwritev", fd, total(parts, count));
  return now < 0 ? -1 : write_vector(fd, parts, count, offset, now);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
    __attribute__((alias("pwritev")));

ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *where, size_t length,
                        unsigned flags) {
  ssize_t now = allowed("copy_file_range", to, length);
  return now < 0 ? -1 : raw(SYS_copy_file_range, from, at, to, where, now, flags);
}

ssize_t sendfile(int to, int from, off_t *at, size_t length) {
  ssize_t now = allowed("sendfile", to, length);
  return now < 0 ? -1 : raw(SYS_sendfile, to, from, at, now);
}
ssize_t sendfile64(int to, int from, off_t *at, size_t length) __attribute__((alias("sendfile")));

int ftruncate(int fd, off_t length) {
  return at_fd("ftruncate", fd) == FAIL ? -1 : raw(SYS_ftruncate, fd, length);
}
int ftruncate64(int fd, off_t length) __attribute__((alias("ftruncate")));

int fsync(int fd) { return at_fd("fsync", fd) == FAIL ? -1 : raw(SYS_fsync, fd); }
int fdatasync(int fd) { return at_fd("fdatasync", fd) == FAIL ? -1 : raw(SYS_fdatasync, fd); }
int syncfs(int fd) { return at_fd("syncfs", fd) == FAIL ? -1 : raw(SYS_syncfs, fd); }

int fchmod(int fd, mode_t mode) {
  return at_fd("chmod", fd) == FAIL ? -1 : raw(SYS_fchmod, fd, mode);
}

int chmod(const char *path, mode_t mode) {
  return at_path("chmod", AT_FDCWD, path) == FAIL ? -1 : raw(SYS_fchmodat, AT_FDCWD, path, mode);
}

int renameat2(int f1, const char *from, int f2, const char *to, unsigned flags) {
  if (at_paths("rename", f1, from, f2, to) == FAIL) return -1;
  return raw(SYS_renameat2, f1, from, f2, to, flags);
}
int renameat(int f1, const char *from, int f2, const char *to) {
  return renameat2(f1, from, f2, to, 0);
}
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int linkat(int f1, const char *from, int f2, const char *to, int flags) {
  if (at_paths("link", f1, from, f2, to) == FAIL) return -1;
  return raw(SYS_linkat, f1, from, f2, to, flags);
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int symlinkat(const char *text, int folder, const char *path) {
  return at_path("symlink", folder, path) == FAIL ? -1 : raw(SYS_symlinkat, text, folder, path);
}
int symlink(const char *text, const char *path) { return symlinkat(text, AT_FDCWD, path); }

int unlinkat(int folder, const char *path, int flags) {
  if (at_path(flags & AT_REMOVEDIR ? "rmdir" : "unlink", folder, path) == FAIL) return -1;
  return raw(SYS_unlinkat, folder, path, flags);
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
  int removed = unlink(path);
  return removed == -1 && errno == EISDIR ? rmdir(path) : removed;
}

int mkdirat(int folder, const char *path, mode_t mode) {
  return at_path("mkdir", folder, path) == FAIL ? -1 : raw(SYS_mkdirat, folder, path, mode);
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* libuv makes copy_file_range by number; all else goes through as it came. */
long syscall(long number, ...) {
  long a[6];
  va_list rest;
  va_start(rest, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(rest, long);
  va_end(rest);
  if (number != SYS_copy_file_range) return raw(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  return copy_file_range(a[0], (off64_t *)a[1], a[2], (off64_t *)a[3], a[4], a[5]);
}
