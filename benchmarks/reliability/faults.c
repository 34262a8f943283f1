/* Counts the calls of a process that change files below a folder, and kills the process just before one of them.

   cc -shared -fPIC -O2 -o faults.so faults.c -ldl; LD_PRELOAD=faults.so FAULTS_CONTROL=file FAULTS_ROOT=/folder ...

   `Control` in faults.py describes the control file. Sees what goes through the functions of libc (Python, Rust,
   Arrow), not what libc does within stdio. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static volatile long *control;
static const char *root;
static size_t length;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS_CONTROL");
    root = getenv("FAULTS_ROOT");
    if (!path || !root) return;
    length = strlen(root);
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    int fd = real(path, O_RDWR);
    if (fd < 0) return;
    void *at = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED) control = at;
}

static void count(const char *path) {
    if (strncmp(path, root, length)) return;
    if (__sync_add_and_fetch(&control[0], 1) == control[1]) {
        if (control[3]) kill(control[3], SIGKILL); /* the operation, if the call is in one of its workers */
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
}

static void at_fd(int fd) {
    if (!control || !control[2]) return;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n > 0) { path[n] = 0; count(path); }
}

static void at_path(int dir, const char *path) {
    if (!control || !control[2] || !path) return;
    if (path[0] == '/') count(path);
    else if (dir != AT_FDCWD) at_fd(dir);
}

#define NEXT(name) __typeof__(name) *next = dlsym(RTLD_NEXT, #name)
#define OPEN(name)                                                             \
    int name(const char *path, int flags, ...) {                               \
        mode_t mode = 0;                                                       \
        if (flags & (O_CREAT | O_TMPFILE)) { va_list a; va_start(a, flags); mode = va_arg(a, mode_t); va_end(a); } \
        if (flags & (O_CREAT | O_TRUNC)) at_path(AT_FDCWD, path);              \
        NEXT(name);                                                            \
        return next(path, flags, mode);                                        \
    }
#define OPENAT(name)                                                           \
    int name(int dir, const char *path, int flags, ...) {                      \
        mode_t mode = 0;                                                       \
        if (flags & (O_CREAT | O_TMPFILE)) { va_list a; va_start(a, flags); mode = va_arg(a, mode_t); va_end(a); } \
        if (flags & (O_CREAT | O_TRUNC)) at_path(dir, path);                   \
        NEXT(name);                                                            \
        return next(dir, path, flags, mode);                                   \
    }
OPEN(open) OPEN(open64) OPENAT(openat) OPENAT(openat64)
ssize_t write(int fd, const void *b, size_t n) { at_fd(fd); NEXT(write); return next(fd, b, n); }
ssize_t writev(int fd, const struct iovec *v, int n) { at_fd(fd); NEXT(writev); return next(fd, v, n); }
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) { at_fd(fd); NEXT(pwrite); return next(fd, b, n, o); }
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) { at_fd(fd); NEXT(pwrite64); return next(fd, b, n, o); }
int ftruncate(int fd, off_t n) { at_fd(fd); NEXT(ftruncate); return next(fd, n); }
int ftruncate64(int fd, off64_t n) { at_fd(fd); NEXT(ftruncate64); return next(fd, n); }
int rename(const char *a, const char *b) { at_path(AT_FDCWD, b); NEXT(rename); return next(a, b); }
int renameat(int x, const char *a, int y, const char *b) { at_path(y, b); NEXT(renameat); return next(x, a, y, b); }
int renameat2(int x, const char *a, int y, const char *b, unsigned f) { at_path(y, b); NEXT(renameat2); return next(x, a, y, b, f); }
int link(const char *a, const char *b) { at_path(AT_FDCWD, b); NEXT(link); return next(a, b); }
int linkat(int x, const char *a, int y, const char *b, int f) { at_path(y, b); NEXT(linkat); return next(x, a, y, b, f); }
int symlink(const char *a, const char *b) { at_path(AT_FDCWD, b); NEXT(symlink); return next(a, b); }
int unlink(const char *p) { at_path(AT_FDCWD, p); NEXT(unlink); return next(p); }
int unlinkat(int d, const char *p, int f) { at_path(d, p); NEXT(unlinkat); return next(d, p, f); }
int mkdir(const char *p, mode_t m) { at_path(AT_FDCWD, p); NEXT(mkdir); return next(p, m); }
int mkdirat(int d, const char *p, mode_t m) { at_path(d, p); NEXT(mkdirat); return next(d, p, m); }
int rmdir(const char *p) { at_path(AT_FDCWD, p); NEXT(rmdir); return next(p); }
