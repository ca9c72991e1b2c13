/* Loaded before a node's own libraries (LD_PRELOAD): what a disk, a clock and a network card may do to it.

   It writes down every change of a file below RQ_SHIM_DATA before it happens, with the bytes that were there, and every
   sync that succeeded. Whoever reads that (tests/chaos/cluster/disk.py) can take back what was never synced: a power cut.
   A page of memory shared with the test (RQ_SHIM_CONTROL) makes syncs fail, writes find no room and the wall clock jump.
   RQ_SHIM_SOURCE is the address from which the node dials others on loopback, so that a proxy knows who calls.

   Invariant: the record of a change is in the file before the change is made, and that of a sync after it was done. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct control {
    int64_t clock_offset_ns;
    int32_t sync_errno;
    int32_t write_errno;
    int32_t sync_delay_ms;
    int32_t sync_lies;
};

enum kind { WRITTEN = 1, SYNC_BEGUN = 2, SYNCED = 3, CREATED = 4, RENAMED = 5, REMOVED = 6 };

struct header {
    uint32_t kind;
    uint32_t path_bytes;
    uint64_t offset;
    uint64_t length;
    uint64_t old_size;
    uint64_t old_bytes;
};

static volatile struct control *control;
static char data_prefix[PATH_MAX];
static size_t data_prefix_bytes;
static int record_file = -1;
static struct in_addr source;
static int has_source;
static atomic_ulong sync_number;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("RQ_SHIM_CONTROL");
    int file = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    if (file >= 0) {
        void *page = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (page != MAP_FAILED) control = page;
        syscall(SYS_close, file);
    }
    const char *prefix = getenv("RQ_SHIM_DATA");
    const char *record = getenv("RQ_SHIM_RECORD");
    if (prefix && record && realpath(prefix, data_prefix)) {
        data_prefix_bytes = strlen(data_prefix);
        record_file = (int)syscall(SYS_openat, AT_FDCWD, record, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    }
    const char *address = getenv("RQ_SHIM_SOURCE");
    has_source = address && inet_pton(AF_INET, address, &source) == 1;
}

static int is_data(const char *path) {
    return data_prefix_bytes && strncmp(path, data_prefix, data_prefix_bytes) == 0 &&
           (path[data_prefix_bytes] == '/' || path[data_prefix_bytes] == 0);
}

/* The path behind a descriptor, if it is a file or folder of the node's data. */
static int data_path(int fd, char *path) {
    char link[64];
    if (record_file < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    if (n <= 0 || path[0] != '/') return 0;
    path[n] = 0;
    return is_data(path);
}

static int absolute(int folder, const char *path, char *out) {
    if (record_file < 0 || !path) return 0;
    if (path[0] == '/') {
        if (strlen(path) >= PATH_MAX) return 0;
        strcpy(out, path);
    } else {
        char base[PATH_MAX];
        if (folder == AT_FDCWD) {
            if (!getcwd(base, sizeof base)) return 0;
        } else if (!data_path(folder, base)) {
            return 0;
        }
        if (snprintf(out, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return 0;
    }
    return is_data(out);
}

static void record(struct header head, const char *path, const void *old) {
    head.path_bytes = (uint32_t)strlen(path);
    struct iovec parts[3] = {{&head, sizeof head}, {(void *)path, head.path_bytes}, {(void *)old, head.old_bytes}};
    syscall(SYS_writev, record_file, parts, head.old_bytes ? 3 : 2);
}

static void record_write(const char *path, off_t offset, size_t length, off_t size) {
    struct header head = {WRITTEN, 0, (uint64_t)offset, length, (uint64_t)size, 0};
    void *old = NULL;
    if (offset < size) {
        size_t there = (size_t)(size - offset);
        head.old_bytes = there < length ? there : length;
        old = malloc(head.old_bytes);
        /* A descriptor may be for writing only. */
        int again = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
        ssize_t n = old && again >= 0 ? syscall(SYS_pread64, again, old, head.old_bytes, offset) : 0;
        if (again >= 0) syscall(SYS_close, again);
        head.old_bytes = n > 0 ? (uint64_t)n : 0;
    }
    record(head, path, old);
    free(old);
}

/* Before a write: 0, or -1 with errno set when the disk has no room. */
static int before_write(int fd, off_t offset, size_t length) {
    char path[PATH_MAX];
    if (!data_path(fd, path)) return 0;
    struct stat status;
    if (fstat(fd, &status) || !S_ISREG(status.st_mode)) return 0;
    if (offset < 0) {
        int flags = (int)syscall(SYS_fcntl, fd, F_GETFL);
        offset = flags & O_APPEND ? status.st_size : lseek(fd, 0, SEEK_CUR);
    }
    if (control && control->write_errno && offset + (off_t)length > status.st_size) {
        /* What is written over has its blocks already. */
        errno = control->write_errno;
        return -1;
    }
    record_write(path, offset, length, status.st_size);
    return 0;
}

static size_t total(const struct iovec *parts, int count) {
    size_t sum = 0;
    for (int i = 0; i < count; i++) sum += parts[i].iov_len;
    return sum;
}

ssize_t write(int fd, const void *bytes, size_t n) {
    return before_write(fd, -1, n) ? -1 : syscall(SYS_write, fd, bytes, n);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    return before_write(fd, -1, total(parts, count)) ? -1 : syscall(SYS_writev, fd, parts, count);
}
ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t offset) {
    return before_write(fd, offset, n) ? -1 : syscall(SYS_pwrite64, fd, bytes, n, offset);
}
ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset) { return pwrite64(fd, bytes, n, offset); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    if (before_write(fd, offset, total(parts, count))) return -1;
    return syscall(SYS_pwritev, fd, parts, count, offset, (long)0);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return pwritev64(fd, parts, count, offset);
}
ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags) {
    if (before_write(fd, offset, total(parts, count))) return -1;
    return syscall(SYS_pwritev2, fd, parts, count, offset, (long)0, flags);
}
ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags) {
    return pwritev64v2(fd, parts, count, offset, flags);
}

int posix_fallocate64(int fd, off64_t offset, off64_t length) {
    char path[PATH_MAX];
    if (control && control->write_errno && data_path(fd, path)) return control->write_errno;
    return syscall(SYS_fallocate, fd, 0, offset, length) ? errno : 0;
}
int posix_fallocate(int fd, off_t offset, off_t length) { return posix_fallocate64(fd, offset, length); }

int ftruncate64(int fd, off64_t length) {
    /* Taken as durable at once, which a file system may well do; what it takes away is not brought back. */
    return (int)syscall(SYS_ftruncate, fd, length);
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static int synced(int fd, long number) {
    char path[PATH_MAX];
    if (!data_path(fd, path)) return (int)syscall(number, fd);
    if (control && control->sync_delay_ms) {
        struct timespec pause = {control->sync_delay_ms / 1000, control->sync_delay_ms % 1000 * 1000000L};
        nanosleep(&pause, NULL);
    }
    struct header head = {SYNC_BEGUN, 0, atomic_fetch_add(&sync_number, 1) ^ (uint64_t)getpid() << 40, 0, 0, 0};
    record(head, path, NULL);
    if (control && control->sync_errno) {
        errno = control->sync_errno;
        return -1;
    }
    /* A disk that says it has what it has not: with it a power cut must be seen to lose what was promised. */
    if (control && control->sync_lies) return 0;
    int answer = (int)syscall(number, fd);
    if (answer == 0) {
        head.kind = SYNCED;
        record(head, path, NULL);
    }
    return answer;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

static int opened(int folder, const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    struct stat status;
    int makes = (flags & O_CREAT) && absolute(folder, path, full) && stat(full, &status) != 0;
    int fd = (int)syscall(SYS_openat, folder, path, flags, mode);
    if (makes && fd >= 0) record((struct header){CREATED, 0, 0, 0, 0, 0}, full, NULL);
    return fd;
}
#define MODE(flags) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }
int open(const char *path, int flags, ...) {
    MODE(flags)
    return opened(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE(flags)
    return opened(AT_FDCWD, path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
    MODE(flags)
    return opened(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags)
    return opened(folder, path, flags, mode);
}

static int renamed(int old_folder, const char *old, int new_folder, const char *new, unsigned flags) {
    char from[PATH_MAX], to[PATH_MAX];
    int ours = absolute(old_folder, old, from) && absolute(new_folder, new, to);
    int answer = (int)syscall(SYS_renameat2, old_folder, old, new_folder, new, flags);
    if (ours && answer == 0) record((struct header){RENAMED, 0, 0, 0, 0, strlen(to)}, from, to);
    return answer;
}
int rename(const char *old, const char *new) { return renamed(AT_FDCWD, old, AT_FDCWD, new, 0); }
int renameat(int a, const char *old, int b, const char *new) { return renamed(a, old, b, new, 0); }

static int removed(int folder, const char *path, int flags) {
    char full[PATH_MAX];
    int ours = absolute(folder, path, full);
    int answer = (int)syscall(SYS_unlinkat, folder, path, flags);
    if (ours && answer == 0) record((struct header){REMOVED, 0, 0, 0, 0, 0}, full, NULL);
    return answer;
}
int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }
int unlinkat(int folder, const char *path, int flags) { return removed(folder, path, flags); }

int clock_gettime(clockid_t clock, struct timespec *at) {
    int answer = (int)syscall(SYS_clock_gettime, clock, at);
    if (answer == 0 && clock == CLOCK_REALTIME && control && control->clock_offset_ns) {
        int64_t ns = (int64_t)at->tv_sec * 1000000000 + at->tv_nsec + control->clock_offset_ns;
        at->tv_sec = ns / 1000000000;
        at->tv_nsec = ns % 1000000000;
    }
    return answer;
}
int gettimeofday(struct timeval *at, void *zone) {
    (void)zone;
    struct timespec now;
    int answer = clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return answer;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

int connect(int fd, const struct sockaddr *address, socklen_t size) {
    const struct sockaddr_in *there = (const struct sockaddr_in *)address;
    if (has_source && address->sa_family == AF_INET && ntohl(there->sin_addr.s_addr) >> 24 == 127) {
        struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr = source};
        syscall(SYS_bind, fd, &here, sizeof here);
    }
    return (int)syscall(SYS_connect, fd, address, size);
}
