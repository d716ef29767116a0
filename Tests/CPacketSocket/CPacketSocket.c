#define _GNU_SOURCE
#include "CPacketSocket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

int shim_packet_open(const char *interface) {
  unsigned index = if_nametoindex(interface);
  if (index == 0) return -errno;
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); /* protocol 0: nothing arrives before bind */
  if (fd < 0) return -errno;
  int on = 1, bytes = 16 << 20;
  setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
  setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)index};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
    int error = errno;
    close(fd);
    return -error;
  }
  return fd;
}

static int prepare(struct mmsghdr *messages, struct iovec *pieces, const uint8_t *base, size_t slot_bytes, const uint32_t *slots, int count) {
  if (count > SHIM_PACKET_BATCH) count = SHIM_PACKET_BATCH;
  for (int i = 0; i < count; i++) {
    pieces[i].iov_base = (void *)(base + (size_t)slots[i] * slot_bytes);
    pieces[i].iov_len = slot_bytes;
    memset(&messages[i], 0, sizeof messages[i]);
    messages[i].msg_hdr.msg_iov = &pieces[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  return count;
}

int shim_packet_receive(int fd, uint8_t *base, size_t slot_bytes, const uint32_t *slots, uint32_t *lengths, int count) {
  struct mmsghdr messages[SHIM_PACKET_BATCH];
  struct iovec pieces[SHIM_PACKET_BATCH];
  count = prepare(messages, pieces, base, slot_bytes, slots, count);
  int got = recvmmsg(fd, messages, (unsigned)count, MSG_DONTWAIT | MSG_TRUNC, NULL);
  if (got < 0) return errno == EAGAIN || errno == EINTR ? 0 : -errno;
  for (int i = 0; i < got; i++) lengths[i] = messages[i].msg_len;
  return got;
}

int shim_packet_send(int fd, const uint8_t *base, size_t slot_bytes, const uint32_t *slots, const uint32_t *lengths, int count) {
  struct mmsghdr messages[SHIM_PACKET_BATCH];
  struct iovec pieces[SHIM_PACKET_BATCH];
  count = prepare(messages, pieces, base, slot_bytes, slots, count);
  for (int i = 0; i < count; i++) pieces[i].iov_len = lengths[i];
  int sent = sendmmsg(fd, messages, (unsigned)count, MSG_DONTWAIT);
  return sent < 0 ? -errno : sent;
}

int64_t shim_packet_drops(int fd) {
  struct tpacket_stats stats;
  socklen_t size = sizeof stats;
  return getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size) < 0 ? -errno : (int64_t)stats.tp_drops;
}

uint64_t shim_packet_wait(const int *fds, int count, int64_t nanoseconds) {
  struct pollfd polls[SHIM_PACKET_WAIT];
  if (count > SHIM_PACKET_WAIT) count = SHIM_PACKET_WAIT;
  for (int i = 0; i < count; i++) polls[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
  struct timespec limit = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
  if (ppoll(polls, (nfds_t)count, nanoseconds < 0 ? NULL : &limit, NULL) <= 0) return 0;
  uint64_t ready = 0;
  for (int i = 0; i < count; i++)
    if (polls[i].revents) ready |= 1ull << i;
  return ready;
}

int shim_packet_be_punctual(void) {
  prctl(PR_SET_TIMERSLACK, 1);
  struct sched_param parameter = {.sched_priority = 1};
  return sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &parameter) == 0;
}

void *shim_packet_map(size_t bytes) {
  void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return memory == MAP_FAILED ? NULL : memory;
}
