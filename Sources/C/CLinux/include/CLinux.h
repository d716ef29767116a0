/* Linux system calls that Glibc's Swift module does not export, and macros that Swift cannot import.
   No _GNU_SOURCE here: Swift's Glibc module was built without it, and the two must agree on every struct. What needs it
   lives in CLinux.c. Each shim translates and decides nothing; failures come back as -errno, because Swift may run a release
   or a deinit before a later read of errno. */
#ifndef CAUSEWAY_CLINUX_H
#define CAUSEWAY_CLINUX_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <linux/sockios.h>
#include "CLinuxProcess.h"

static inline ssize_t shim_result(ssize_t r) { return r < 0 ? -errno : r; }

/* A clock in nanoseconds. */
static inline uint64_t shim_clock_ns(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}
/* CLOCK_BOOTTIME in nanoseconds: counts through suspend, so that time-outs notice a sleep. */
static inline uint64_t shim_now_ns(void) { return shim_clock_ns(CLOCK_BOOTTIME); }
/* CLOCK_MONOTONIC in nanoseconds: stands still in suspend; only for timing work. */
static inline uint64_t shim_monotonic_ns(void) { return shim_clock_ns(CLOCK_MONOTONIC); }
/* CLOCK_REALTIME in nanoseconds since 1970. */
static inline uint64_t shim_unix_ns(void) { return shim_clock_ns(CLOCK_REALTIME); }

/* The program's own argument vector (not a copy), so that a secret in it can be overwritten; NULL outside 0..<count. Process.c. */
int shim_argument_count(void);
char *shim_argument(int index);
/* TIOCGWINSZ. Returns 0 or -errno. */
int shim_window_size(int fd, uint16_t *columns, uint16_t *rows);

/* The program's own argument vector (not a copy), so that a secret in it can be overwritten; NULL outside 0..<count. Process.c. */
int shim_argument_count(void);
char *shim_argument(int index);
/* TIOCGWINSZ. Returns 0 or -errno. */
int shim_window_size(int fd, uint16_t *columns, uint16_t *rows);

/* One ready descriptor: epoll's bits and the tag given to shim_epoll_control. */
struct shim_event {
  uint32_t events;
  uint32_t slot;
  uint32_t generation;
};

/* epoll_ctl(2) with the tag split in two. Returns 0 or -errno. */
int shim_epoll_control(int epoll, int operation, int fd, uint32_t events, uint32_t slot, uint32_t generation);
/* epoll_wait(2) for at most `capacity` (<= 256) events. Returns their count or -errno. */
int shim_epoll_wait(int epoll, struct shim_event *events, int capacity, int timeout_ms);

/* An address without its sockaddr: `family` is AF_INET, AF_INET6 or AF_UNIX, the port in host order, the 16 address bytes as two
   numbers (big-endian read), IPv4 in its mapped form ::ffff:a.b.c.d. A unix path travels beside it. */
struct shim_address {
  uint16_t family;
  uint16_t port;
  uint32_t scope;
  uint64_t high;
  uint64_t low;
};

/* Parses an IPv4 or IPv6 literal of `length` bytes, with %interface or %number. Returns 0 or -EINVAL. */
int shim_parse_address(const char *text, size_t length, struct shim_address *address);
/* Writes the address as text without a port or terminator (at most 64 bytes). Returns its length. */
int shim_format_address(const struct shim_address *address, char *text);

/* accept4(2) with SOCK_NONBLOCK | SOCK_CLOEXEC; the peer's address goes to `address`. Returns the descriptor or -errno. */
int shim_accept(int listener, struct shim_address *address);
/* Non-blocking socket(2). Returns the descriptor or -errno. */
int shim_socket(int family, int type, int protocol);
/* connect(2) and bind(2); `path` only for AF_UNIX. 0 or -errno. */
int shim_connect(int fd, const struct shim_address *address, const char *path, size_t path_length);
int shim_bind(int fd, const struct shim_address *address, const char *path, size_t path_length);
int shim_set_int_option(int fd, int level, int name, int value);
/* An int socket option, or -errno. */
int shim_int_option(int fd, int level, int name);
/* getpeername(2) when `peer`, else getsockname(2). 0 or -errno. */
int shim_socket_name(int fd, int peer, struct shim_address *address);

/* getaddrinfo(3) for streams: blocks. Fills at most `capacity` addresses (port 0) in its order. Returns their count, or one of: */
#define SHIM_RESOLVE_NO_SUCH_HOST (-1)
#define SHIM_RESOLVE_TEMPORARY (-2)
#define SHIM_RESOLVE_SYSTEM (-3) /* `detail` holds the errno */
#define SHIM_RESOLVE_OTHER (-4)  /* `detail` holds getaddrinfo's code */
int shim_resolve(const char *host, struct shim_address *addresses, int capacity, int *detail);

/* recv(2), send(2) and sendmsg(2) of one or two pieces with MSG_NOSIGNAL, again after EINTR. Bytes or -errno. */
ssize_t shim_receive(int fd, void *bytes, size_t count);
ssize_t shim_send(int fd, const void *bytes, size_t count, int more);
ssize_t shim_send_two(int fd, const void *first, size_t first_count, const void *second, size_t second_count);

/* The same of up to 64 pieces of one buffer: `bounds` has a begin and an end for each. */
ssize_t shim_send_pieces(int fd, const void *base, const intptr_t *bounds, int count);

/* Bytes written to the socket that its peer has not acknowledged (SIOCOUTQ), or -errno. */
int shim_unacknowledged_bytes(int fd);
/* tcpi_min_rtt in microseconds, or 0. */
uint32_t shim_tcp_minimum_rtt_us(int fd);
/* Asks the scheduler for slices of `nanoseconds` for this thread and those it starts (sched_setattr(2), Linux 6.12). 0 or -errno. */
int shim_request_slice(uint64_t nanoseconds);
/* Makes the next close send RST. */
int shim_set_abortive_close(int fd);
/* SO_PEERCRED of a unix socket. 0 or -errno. */
int shim_peer_credentials(int fd, int32_t *pid, uint32_t *uid, uint32_t *gid);

/* open(2) with O_CLOEXEC, again after EINTR. Returns the descriptor or -errno. */
int shim_open(const char *path, int flags, mode_t mode);
/* read(2) and write(2), again after EINTR. Bytes or -errno. */
ssize_t shim_read(int fd, void *bytes, size_t count);
ssize_t shim_write(int fd, const void *bytes, size_t count);
/* What stat(2) says of a path (`path` given) or of a descriptor. 0 or -errno. */
struct shim_file_status {
  uint64_t device;
  uint64_t inode;
  uint64_t byte_count;
  uint32_t mode;
  uint32_t owner;
};
int shim_file_status(const char *path, int fd, struct shim_file_status *status);
/* flock(2), exclusive, without waiting. 0 or -errno (-EWOULDBLOCK: somebody else has it). */
int shim_lock_exclusively(int fd);

/* Blocks the signals in the calling thread and makes a signalfd(2) for them. Returns the descriptor or -errno. */
int shim_signal_descriptor(const int *signals, int count);
/* Blocks the signals in the calling thread. 0 or -errno. */
int shim_block_signals(const int *signals, int count);
/* The next signal of a signalfd, 0 when there is none, or -errno. */
int shim_next_signal(int fd);
void shim_ignore_signal(int signal);

/* A netlink socket that hears of links, addresses and routes. Returns the descriptor or -errno. */
int shim_network_monitor(void);
/* Drops all queued netlink messages. Returns 1 when there were any (lost ones count), else 0. */
int shim_network_monitor_drain(int fd);

/* Raises the soft RLIMIT_NOFILE to the hard one. Returns the limit now in force (clamped), or -errno. */
int64_t shim_raise_descriptor_limit(void);
/* RLIMIT_CORE to 0 and PR_SET_DUMPABLE off. 0 or -errno. */
int shim_disable_core_dumps(void);

/* Names the calling thread; 15 bytes count. */
void shim_name_thread(const char *name);
/* Starts `body(context)` on a new thread with so much stack. 0 or -errno. */
int shim_start_thread(pthread_t *thread, size_t stack_bytes, int detached, void *(*body)(void *), void *context);

/* A mutex with a condition, on CLOCK_MONOTONIC. */
struct shim_gate {
  pthread_mutex_t mutex;
  pthread_cond_t condition;
};
void shim_gate_init(struct shim_gate *gate);
void shim_gate_destroy(struct shim_gate *gate);
/* Waits, mutex held, until woken (1) or the CLOCK_MONOTONIC time is past (0); UINT64_MAX waits for ever. May wake early. */
int shim_gate_wait(struct shim_gate *gate, uint64_t deadline_ns);

/* Moves the calling thread alone into a new, empty network namespace (root). 0 or -errno. */
int shim_enter_new_network_namespace(void);

#include "PacketIO.h"

#endif
