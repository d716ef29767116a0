#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "CLinux.h"
#include <sys/syscall.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stddef.h>

int shim_epoll_control(int epoll, int operation, int fd, uint32_t events, uint32_t slot, uint32_t generation) {
  struct epoll_event event = {.events = events, .data.u64 = (uint64_t)generation << 32 | slot};
  return epoll_ctl(epoll, operation, fd, &event) < 0 ? -errno : 0;
}

int shim_epoll_wait(int epoll, struct shim_event *events, int capacity, int timeout_ms) {
  struct epoll_event raw[256];
  int count = epoll_wait(epoll, raw, capacity < 256 ? capacity : 256, timeout_ms);
  if (count < 0) return -errno;
  for (int i = 0; i < count; i++) {
    events[i].events = raw[i].events;
    events[i].slot = (uint32_t)raw[i].data.u64;
    events[i].generation = (uint32_t)(raw[i].data.u64 >> 32);
  }
  return count;
}

/* Addresses */

static uint64_t big_endian(const uint8_t *bytes) {
  uint64_t value = 0;
  for (int i = 0; i < 8; i++) value = value << 8 | bytes[i];
  return value;
}

static void put_big_endian(uint64_t value, uint8_t *bytes) {
  for (int i = 7; i >= 0; i--, value >>= 8) bytes[i] = (uint8_t)value;
}

static void from_sockaddr(const struct sockaddr *from, struct shim_address *to) {
  memset(to, 0, sizeof *to);
  to->family = from->sa_family;
  if (from->sa_family == AF_INET) {
    const struct sockaddr_in *v4 = (const void *)from;
    to->port = ntohs(v4->sin_port);
    to->low = 0xffff00000000ull | ntohl(v4->sin_addr.s_addr);
  } else if (from->sa_family == AF_INET6) {
    const struct sockaddr_in6 *v6 = (const void *)from;
    to->port = ntohs(v6->sin6_port);
    to->scope = v6->sin6_scope_id;
    to->high = big_endian(v6->sin6_addr.s6_addr);
    to->low = big_endian(v6->sin6_addr.s6_addr + 8);
  }
}

/* Returns the length of the sockaddr or -errno. */
static int to_sockaddr(const struct shim_address *from, const char *path, size_t path_length, struct sockaddr_storage *to) {
  memset(to, 0, sizeof *to);
  to->ss_family = from->family;
  if (from->family == AF_INET) {
    struct sockaddr_in *v4 = (void *)to;
    v4->sin_port = htons(from->port);
    v4->sin_addr.s_addr = htonl((uint32_t)from->low);
    return sizeof *v4;
  }
  if (from->family == AF_INET6) {
    struct sockaddr_in6 *v6 = (void *)to;
    v6->sin6_port = htons(from->port);
    v6->sin6_scope_id = from->scope;
    put_big_endian(from->high, v6->sin6_addr.s6_addr);
    put_big_endian(from->low, v6->sin6_addr.s6_addr + 8);
    return sizeof *v6;
  }
  if (from->family == AF_UNIX) {
    struct sockaddr_un *un = (void *)to;
    if (path_length == 0) return -EINVAL;
    if (path_length >= sizeof un->sun_path) return -ENAMETOOLONG;
    memcpy(un->sun_path, path, path_length);
    return (int)(offsetof(struct sockaddr_un, sun_path) + path_length + 1);
  }
  return -EAFNOSUPPORT;
}

int shim_parse_address(const char *text, size_t length, struct shim_address *address) {
  char copy[64 + IF_NAMESIZE];
  struct in_addr v4;
  struct in6_addr v6;
  memset(address, 0, sizeof *address);
  if (length == 0 || length >= sizeof copy || memchr(text, 0, length)) return -EINVAL;
  memcpy(copy, text, length);
  copy[length] = 0;
  if (inet_pton(AF_INET, copy, &v4) == 1) {
    address->family = AF_INET;
    address->low = 0xffff00000000ull | ntohl(v4.s_addr);
    return 0;
  }
  char *zone = strchr(copy, '%');
  if (zone) *zone++ = 0;
  if (inet_pton(AF_INET6, copy, &v6) != 1) return -EINVAL;
  if (zone) {
    address->scope = if_nametoindex(zone);
    if (address->scope == 0) {
      char *end;
      unsigned long number = strtoul(zone, &end, 10);
      if (zone[0] < '0' || zone[0] > '9' || *end || number == 0 || number > UINT32_MAX) return -EINVAL;
      address->scope = (uint32_t)number;
    }
  }
  address->family = AF_INET6;
  address->high = big_endian(v6.s6_addr);
  address->low = big_endian(v6.s6_addr + 8);
  return 0;
}

int shim_format_address(const struct shim_address *address, char *text) {
  char out[INET6_ADDRSTRLEN + 16] = "";
  if (address->high == 0 && address->low >> 32 == 0xffff) {
    struct in_addr v4 = {htonl((uint32_t)address->low)};
    inet_ntop(AF_INET, &v4, out, sizeof out);
  } else {
    struct in6_addr v6;
    put_big_endian(address->high, v6.s6_addr);
    put_big_endian(address->low, v6.s6_addr + 8);
    inet_ntop(AF_INET6, &v6, out, sizeof out);
    if (address->scope) sprintf(out + strlen(out), "%%%u", address->scope);
  }
  size_t length = strlen(out);
  memcpy(text, out, length);
  return (int)length;
}

int shim_resolve(const char *host, struct shim_address *addresses, int capacity, int *detail) {
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
  int code = getaddrinfo(host, NULL, &hints, &list);
  *detail = code == EAI_SYSTEM ? errno : code;
  switch (code) {
  case 0: break;
  case EAI_NONAME:
  case EAI_NODATA:
  case EAI_ADDRFAMILY: return SHIM_RESOLVE_NO_SUCH_HOST;
  case EAI_AGAIN: return SHIM_RESOLVE_TEMPORARY;
  case EAI_SYSTEM: return SHIM_RESOLVE_SYSTEM;
  default: return SHIM_RESOLVE_OTHER;
  }
  int count = 0;
  for (struct addrinfo *entry = list; entry && count < capacity; entry = entry->ai_next)
    if (entry->ai_family == AF_INET || entry->ai_family == AF_INET6) from_sockaddr(entry->ai_addr, &addresses[count++]);
  freeaddrinfo(list);
  return count > 0 ? count : SHIM_RESOLVE_NO_SUCH_HOST;
}

/* Sockets */

int shim_accept(int listener, struct shim_address *address) {
  struct sockaddr_storage storage;
  socklen_t length = sizeof storage;
  int fd = accept4(listener, (struct sockaddr *)&storage, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return -errno;
  from_sockaddr((struct sockaddr *)&storage, address);
  return fd;
}

int shim_connect(int fd, const struct shim_address *address, const char *path, size_t path_length) {
  struct sockaddr_storage storage;
  int length = to_sockaddr(address, path, path_length, &storage);
  if (length < 0) return length;
  return connect(fd, (struct sockaddr *)&storage, (socklen_t)length) < 0 ? -errno : 0;
}

int shim_bind(int fd, const struct shim_address *address, const char *path, size_t path_length) {
  struct sockaddr_storage storage;
  int length = to_sockaddr(address, path, path_length, &storage);
  if (length < 0) return length;
  return bind(fd, (struct sockaddr *)&storage, (socklen_t)length) < 0 ? -errno : 0;
}

int shim_socket_name(int fd, int peer, struct shim_address *address) {
  struct sockaddr_storage storage;
  socklen_t length = sizeof storage;
  memset(&storage, 0, sizeof storage);
  int result =
      peer ? getpeername(fd, (struct sockaddr *)&storage, &length) : getsockname(fd, (struct sockaddr *)&storage, &length);
  if (result < 0) return -errno;
  from_sockaddr((struct sockaddr *)&storage, address);
  return 0;
}

int shim_peer_credentials(int fd, int32_t *pid, uint32_t *uid, uint32_t *gid) {
  struct ucred credentials;
  socklen_t length = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) return -errno;
  *pid = credentials.pid;
  *uid = credentials.uid;
  *gid = credentials.gid;
  return 0;
}

int shim_socket(int family, int type, int protocol) {
  int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  return fd < 0 ? -errno : fd;
}

int shim_set_int_option(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) < 0 ? -errno : 0;
}

int shim_int_option(int fd, int level, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  return getsockopt(fd, level, name, &value, &length) < 0 ? -errno : value;
}

ssize_t shim_receive(int fd, void *bytes, size_t count) {
  ssize_t result;
  do result = recv(fd, bytes, count, 0);
  while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : result;
}

ssize_t shim_send(int fd, const void *bytes, size_t count, int more) {
  ssize_t result;
  do result = send(fd, bytes, count, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
  while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : result;
}

ssize_t shim_send_two(int fd, const void *first, size_t first_count, const void *second, size_t second_count) {
  struct iovec pieces[2] = {{(void *)first, first_count}, {(void *)second, second_count}};
  struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
  ssize_t result;
  do result = sendmsg(fd, &message, MSG_NOSIGNAL);
  while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : result;
}

ssize_t shim_send_pieces(int fd, const void *base, const intptr_t *bounds, int count) {
  struct iovec pieces[64];
  if (count > 64) count = 64;
  for (int i = 0; i < count; i++) {
    pieces[i].iov_base = (char *)base + bounds[2 * i];
    pieces[i].iov_len = (size_t)(bounds[2 * i + 1] - bounds[2 * i]);
  }
  struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)count};
  ssize_t result;
  do result = sendmsg(fd, &message, MSG_NOSIGNAL);
  while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : result;
}

int shim_unacknowledged_bytes(int fd) {
  int value = 0;
  return ioctl(fd, SIOCOUTQ, &value) < 0 ? -errno : value;
}

uint32_t shim_tcp_minimum_rtt_us(int fd) {
  /* glibc's tcp_info ends before it: in the kernel's, tcpi_min_rtt follows 8 bytes, 24 u32, 4 u64 and 3 u32. */
  enum { offset = 8 + 24 * 4 + 4 * 8 + 3 * 4 };
  unsigned char info[256];
  uint32_t rtt;
  socklen_t length = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &length) < 0 || length < offset + sizeof rtt) return 0;
  memcpy(&rtt, info + offset, sizeof rtt);
  return rtt == UINT32_MAX ? 0 : rtt;
}

int shim_request_slice(uint64_t nanoseconds) {
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
  } attributes = {.size = sizeof attributes, .nice = getpriority(PRIO_PROCESS, 0), .runtime = nanoseconds};
  return syscall(SYS_sched_setattr, 0, &attributes, 0) < 0 ? -errno : 0;
}

int shim_set_abortive_close(int fd) {
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  return setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) < 0 ? -errno : 0;
}

/* Files */

int shim_open(const char *path, int flags, mode_t mode) {
  int fd;
  do fd = open(path, flags | O_CLOEXEC, mode);
  while (fd < 0 && errno == EINTR);
  return fd < 0 ? -errno : fd;
}

ssize_t shim_read(int fd, void *bytes, size_t count) {
  ssize_t result;
  do result = read(fd, bytes, count);
  while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : result;
}

ssize_t shim_write(int fd, const void *bytes, size_t count) {
  ssize_t result;
  do result = write(fd, bytes, count);
  while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : result;
}

int shim_file_status(const char *path, int fd, struct shim_file_status *status) {
  struct stat buffer;
  if ((path ? stat(path, &buffer) : fstat(fd, &buffer)) < 0) return -errno;
  status->device = buffer.st_dev;
  status->inode = buffer.st_ino;
  status->byte_count = (uint64_t)buffer.st_size;
  status->mode = buffer.st_mode;
  status->owner = buffer.st_uid;
  return 0;
}

int shim_lock_exclusively(int fd) {
  int result;
  do result = flock(fd, LOCK_EX | LOCK_NB);
  while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : 0;
}

/* Signals */

static int block(const int *signals, int count, sigset_t *set) {
  sigemptyset(set);
  for (int i = 0; i < count; i++) sigaddset(set, signals[i]);
  return -pthread_sigmask(SIG_BLOCK, set, NULL);
}

int shim_block_signals(const int *signals, int count) {
  sigset_t set;
  return block(signals, count, &set);
}

int shim_signal_descriptor(const int *signals, int count) {
  sigset_t set;
  int result = block(signals, count, &set);
  if (result < 0) return result;
  int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int shim_next_signal(int fd) {
  struct signalfd_siginfo info;
  ssize_t result;
  do result = read(fd, &info, sizeof info);
  while (result < 0 && errno == EINTR);
  if (result == sizeof info) return (int)info.ssi_signo;
  return result < 0 && errno != EAGAIN ? -errno : 0;
}

void shim_ignore_signal(int number) { signal(number, SIG_IGN); }

/* Network changes */

int shim_network_monitor(void) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return -errno;
  struct sockaddr_nl address = {
      .nl_family = AF_NETLINK,
      .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE,
  };
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
    int error = errno;
    close(fd);
    return -error;
  }
  return fd;
}

int shim_network_monitor_drain(int fd) {
  char message[16384];
  int any = 0;
  for (int i = 0; i < 64; i++) {
    ssize_t result = recv(fd, message, sizeof message, MSG_DONTWAIT);
    if (result < 0 && errno == EINTR) continue;
    if (result < 0 && errno != ENOBUFS) break;
    any = 1;
  }
  return any;
}

/* Process */

int64_t shim_raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
  }
  return limit.rlim_cur > INT64_MAX ? INT64_MAX : (int64_t)limit.rlim_cur;
}

int shim_disable_core_dumps(void) {
  struct rlimit none = {0, 0};
  if (setrlimit(RLIMIT_CORE, &none) < 0) return -errno;
  return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

/* Threads */

void shim_name_thread(const char *name) {
  char copy[16];
  strncpy(copy, name, 15);
  copy[15] = 0;
  pthread_setname_np(pthread_self(), copy);
}

int shim_start_thread(pthread_t *thread, size_t stack_bytes, int detached, void *(*body)(void *), void *context) {
  pthread_attr_t attributes;
  int result = pthread_attr_init(&attributes);
  if (result) return -result;
  result = pthread_attr_setstacksize(&attributes, stack_bytes);
  if (!result && detached) result = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  if (!result) result = pthread_create(thread, &attributes, body, context);
  pthread_attr_destroy(&attributes);
  return -result;
}

void shim_gate_init(struct shim_gate *gate) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&gate->condition, &attributes);
  pthread_condattr_destroy(&attributes);
  pthread_mutex_init(&gate->mutex, NULL);
}

void shim_gate_destroy(struct shim_gate *gate) {
  pthread_cond_destroy(&gate->condition);
  pthread_mutex_destroy(&gate->mutex);
}

int shim_gate_wait(struct shim_gate *gate, uint64_t deadline_ns) {
  if (deadline_ns == UINT64_MAX) return pthread_cond_wait(&gate->condition, &gate->mutex) == 0;
  struct timespec deadline = {(time_t)(deadline_ns / 1000000000ull), (long)(deadline_ns % 1000000000ull)};
  return pthread_cond_timedwait(&gate->condition, &gate->mutex, &deadline) != ETIMEDOUT;
}

int shim_enter_new_network_namespace(void) { return unshare(CLONE_NEWNET) < 0 ? -errno : 0; }
