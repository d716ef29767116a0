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
#include <signal.h>
#include <stdint.h>
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

static inline ssize_t shim_result(ssize_t r) { return r < 0 ? -errno : r; }

/* CLOCK_BOOTTIME in nanoseconds: counts through suspend, so that time-outs notice a sleep. */
static inline uint64_t shim_now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_BOOTTIME, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

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

/* accept4(2) with SOCK_NONBLOCK | SOCK_CLOEXEC; the peer's address goes to `address`. Returns the descriptor or -errno. */
int shim_accept(int listener, struct sockaddr_storage *address);
/* Non-blocking socket(2). Returns the descriptor or -errno. */
int shim_socket(int family, int type, int protocol);
int shim_connect(int fd, const struct sockaddr_storage *address, socklen_t length);
int shim_bind(int fd, const struct sockaddr_storage *address, socklen_t length);
int shim_set_int_option(int fd, int level, int name, int value);
/* An int socket option, or -errno. */
int shim_int_option(int fd, int level, int name);
int shim_socket_name(int fd, int peer, struct sockaddr_storage *address);

/* recv(2), send(2) and sendmsg(2) of one or two pieces with MSG_NOSIGNAL, again after EINTR. Bytes or -errno. */
ssize_t shim_receive(int fd, void *bytes, size_t count);
ssize_t shim_send(int fd, const void *bytes, size_t count, int more);
ssize_t shim_send_two(int fd, const void *first, size_t first_count, const void *second, size_t second_count);

/* Bytes written to the socket that its peer has not acknowledged (SIOCOUTQ), or -errno. */
int shim_unacknowledged_bytes(int fd);
/* tcpi_rtt in microseconds, or 0. */
uint32_t shim_tcp_rtt_us(int fd);
/* Makes the next close send RST. */
int shim_set_abortive_close(int fd);

#endif
