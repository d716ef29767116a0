#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "CLinux.h"

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

int shim_accept(int listener, struct sockaddr_storage *address) {
  socklen_t length = sizeof *address;
  int fd = accept4(listener, (struct sockaddr *)address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int shim_socket(int family, int type, int protocol) {
  int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  return fd < 0 ? -errno : fd;
}

int shim_connect(int fd, const struct sockaddr_storage *address, socklen_t length) {
  return connect(fd, (const struct sockaddr *)address, length) < 0 ? -errno : 0;
}

int shim_bind(int fd, const struct sockaddr_storage *address, socklen_t length) {
  return bind(fd, (const struct sockaddr *)address, length) < 0 ? -errno : 0;
}

int shim_set_int_option(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) < 0 ? -errno : 0;
}

int shim_int_option(int fd, int level, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  return getsockopt(fd, level, name, &value, &length) < 0 ? -errno : value;
}

int shim_socket_name(int fd, int peer, struct sockaddr_storage *address) {
  socklen_t length = sizeof *address;
  memset(address, 0, sizeof *address);
  int result = peer ? getpeername(fd, (struct sockaddr *)address, &length) : getsockname(fd, (struct sockaddr *)address, &length);
  return result < 0 ? -errno : 0;
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

int shim_unacknowledged_bytes(int fd) {
  int value = 0;
  return ioctl(fd, SIOCOUTQ, &value) < 0 ? -errno : value;
}

uint32_t shim_tcp_rtt_us(int fd) {
  struct tcp_info info;
  socklen_t length = sizeof info;
  memset(&info, 0, sizeof info);
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0 ? 0 : info.tcpi_rtt;
}

int shim_set_abortive_close(int fd) {
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  return setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) < 0 ? -errno : 0;
}
