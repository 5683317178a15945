/* Loaded before libc (LD_PRELOAD): makes one kind of call fail on files of which the path holds a word, as a disk does
 * that breaks while a program runs. What fails is read, at each call, from the file that FAULTS names: the call ("write",
 * "sync" or "link"), the errno, and the word. No file: nothing fails. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int told(const char *call, const char *path) {
    const char *name = getenv("FAULTS");
    char text[512], failing[16], word[256];
    int number, fd;
    ssize_t length;
    if (!name || (fd = syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC)) < 0) return 0;
    length = syscall(SYS_read, fd, text, sizeof text - 1);
    syscall(SYS_close, fd);
    if (length <= 0) return 0;
    text[length] = 0;
    if (sscanf(text, "%15s %d %255s", failing, &number, word) != 3) return 0;
    return !strcmp(failing, call) && strstr(path, word) ? number : 0;
}

static int told_of(const char *call, int fd) {
    char link[64], path[4096];
    int before = errno, number = 0;
    ssize_t length;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if ((length = readlink(link, path, sizeof path - 1)) > 0) {
        path[length] = 0;
        number = told(call, path);
    }
    errno = before;
    return number;
}

#define FAIL(number) do { int failing = number; if (failing) { errno = failing; return -1; } } while (0)

ssize_t write(int fd, const void *data, size_t size) {
    FAIL(told_of("write", fd));
    return syscall(SYS_write, fd, data, size);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    FAIL(told_of("write", fd));
    return syscall(SYS_pwrite64, fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }

int fsync(int fd) {
    FAIL(told_of("sync", fd));
    return syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
    FAIL(told_of("sync", fd));
    return syscall(SYS_fdatasync, fd);
}

int sync_file_range(int fd, off64_t at, off64_t size, unsigned flags) {
    FAIL(told_of("sync", fd));
    return syscall(SYS_sync_file_range, fd, at, size, flags);
}

int link(const char *from, const char *to) {
    FAIL(told("link", to));
    return syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    FAIL(told("link", to));
    return syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
}
