#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "CLinux.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum { BUFFERS_MAX = 16, RUNS_MAX = 32, SINGLE_MAX = 64 };

/* Room for all that a socket may say of a message: GRO size, packet info, TOS, drops, time. */
enum {
  RECEIVE_CONTROL = CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)) +
                    CMSG_SPACE(sizeof(uint32_t)) + CMSG_SPACE(sizeof(struct timespec)) + 64,
  SEND_CONTROL = CMSG_SPACE(sizeof(uint16_t)) + CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)),
};

struct shim_receiver {
  int count;
  int used;
  size_t buffer_bytes;
  uint8_t *memory;
  struct mmsghdr headers[BUFFERS_MAX];
  struct iovec pieces[BUFFERS_MAX];
  struct sockaddr_in6 names[BUFFERS_MAX];
  _Alignas(struct cmsghdr) uint8_t control[BUFFERS_MAX][RECEIVE_CONTROL];
  struct shim_received messages[BUFFERS_MAX];
};

static uint64_t load_big_endian(const void *bytes) {
  uint64_t value;
  memcpy(&value, bytes, sizeof value);
  return be64toh(value);
}

static void store_big_endian(uint64_t value, void *bytes) {
  value = htobe64(value);
  memcpy(bytes, &value, sizeof value);
}

static void from_ip(const void *name, struct shim_address *to) {
  const struct sockaddr_in6 *v6 = name;
  if (v6->sin6_family == AF_INET) {
    const struct sockaddr_in *v4 = name;
    *to = (struct shim_address){
        .family = AF_INET, .port = ntohs(v4->sin_port), .low = 0xffff00000000ull | ntohl(v4->sin_addr.s_addr)};
  } else {
    *to = (struct shim_address){
        .family = AF_INET6,
        .port = ntohs(v6->sin6_port),
        .scope = v6->sin6_scope_id,
        .high = load_big_endian(v6->sin6_addr.s6_addr),
        .low = load_big_endian(v6->sin6_addr.s6_addr + 8),
    };
  }
}

static socklen_t to_ip(const struct shim_address *from, struct sockaddr_in6 *name) {
  if (from->family == AF_INET) {
    struct sockaddr_in *v4 = (void *)name;
    *v4 = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(from->port), .sin_addr.s_addr = htonl((uint32_t)from->low)};
    return sizeof *v4;
  }
  *name = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(from->port), .sin6_scope_id = from->scope};
  store_big_endian(from->high, name->sin6_addr.s6_addr);
  store_big_endian(from->low, name->sin6_addr.s6_addr + 8);
  return sizeof *name;
}

struct shim_receiver *shim_receiver_make(int buffers, size_t buffer_bytes) {
  if (buffers < 1 || buffers > BUFFERS_MAX) return NULL;
  struct shim_receiver *receiver = calloc(1, sizeof *receiver);
  if (!receiver) return NULL;
  receiver->count = buffers;
  receiver->buffer_bytes = buffer_bytes;
  receiver->memory = aligned_alloc(4096, (buffer_bytes * (size_t)buffers + 4095) / 4096 * 4096);
  if (!receiver->memory) {
    free(receiver);
    return NULL;
  }
  for (int i = 0; i < buffers; i++) {
    struct msghdr *header = &receiver->headers[i].msg_hdr;
    receiver->pieces[i] = (struct iovec){receiver->memory + (size_t)i * buffer_bytes, buffer_bytes};
    header->msg_iov = &receiver->pieces[i];
    header->msg_iovlen = 1;
    header->msg_name = &receiver->names[i];
    header->msg_control = receiver->control[i];
  }
  receiver->used = buffers;
  return receiver;
}

void shim_receiver_free(struct shim_receiver *receiver) {
  free(receiver->memory);
  free(receiver);
}

struct shim_received *shim_receiver_messages(struct shim_receiver *receiver) { return receiver->messages; }

static void read_control(struct msghdr *header, struct shim_received *message) {
  for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control; control = CMSG_NXTHDR(header, control)) {
    const void *data = CMSG_DATA(control);
    if (control->cmsg_level == IPPROTO_UDP && control->cmsg_type == UDP_GRO) {
      int size;
      memcpy(&size, data, sizeof size);
      if (size > 0 && (uint32_t)size < message->count) message->segment = (uint32_t)size;
    } else if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
      struct in_pktinfo info;
      memcpy(&info, data, sizeof info);
      message->local.family = AF_INET;
      message->local.low = 0xffff00000000ull | ntohl(info.ipi_spec_dst.s_addr);
      message->interface = (uint32_t)info.ipi_ifindex;
    } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
      struct in6_pktinfo info;
      memcpy(&info, data, sizeof info);
      message->local.family = AF_INET6;
      message->local.high = load_big_endian(info.ipi6_addr.s6_addr);
      message->local.low = load_big_endian(info.ipi6_addr.s6_addr + 8);
      message->interface = info.ipi6_ifindex;
    } else if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_TOS) {
      memcpy(&message->tos, data, 1);
    } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_TCLASS) {
      int value;
      memcpy(&value, data, sizeof value);
      message->tos = (uint8_t)value;
    } else if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SO_RXQ_OVFL) {
      memcpy(&message->drops, data, sizeof message->drops);
    } else if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SO_TIMESTAMPNS) {
      struct timespec stamp;
      memcpy(&stamp, data, sizeof stamp);
      message->unix_ns = (uint64_t)stamp.tv_sec * 1000000000ull + (uint64_t)stamp.tv_nsec;
    }
  }
}

int shim_receiver_receive(struct shim_receiver *receiver, int fd) {
  for (int i = 0; i < receiver->used; i++) {
    struct msghdr *header = &receiver->headers[i].msg_hdr;
    header->msg_namelen = sizeof receiver->names[i];
    header->msg_controllen = RECEIVE_CONTROL;
  }
  int count;
  do count = recvmmsg(fd, receiver->headers, (unsigned)receiver->count, MSG_DONTWAIT, NULL);
  while (count < 0 && errno == EINTR);
  if (count < 0) {
    receiver->used = 0;
    return -errno;
  }
  receiver->used = count;
  for (int i = 0; i < count; i++) {
    struct msghdr *header = &receiver->headers[i].msg_hdr;
    struct shim_received *message = &receiver->messages[i];
    memset(message, 0, sizeof *message);
    message->bytes = receiver->pieces[i].iov_base;
    message->count = message->segment = receiver->headers[i].msg_len;
    message->truncated = (header->msg_flags & MSG_TRUNC) != 0;
    if (header->msg_namelen) from_ip(&receiver->names[i], &message->source);
    read_control(header, message);
  }
  return count;
}

/* Sending */

struct envelope {
  struct sockaddr_in6 name;
  struct iovec piece;
  _Alignas(struct cmsghdr) uint8_t control[SEND_CONTROL];
};

static void put_control(struct msghdr *header, int level, int type, const void *value, size_t size) {
  struct cmsghdr *control = (void *)((uint8_t *)header->msg_control + header->msg_controllen);
  control->cmsg_level = level;
  control->cmsg_type = type;
  control->cmsg_len = CMSG_LEN(size);
  memcpy(CMSG_DATA(control), value, size);
  header->msg_controllen += CMSG_SPACE(size);
}

static void fill(const struct shim_outgoing *run, int segmented, struct envelope *envelope, struct msghdr *header) {
  memset(header, 0, sizeof *header);
  header->msg_name = &envelope->name;
  header->msg_namelen = to_ip(&run->to, &envelope->name);
  envelope->piece = (struct iovec){(void *)run->bytes, run->count};
  header->msg_iov = &envelope->piece;
  header->msg_iovlen = 1;
  header->msg_control = envelope->control;
  int is_v4 = run->to.family == AF_INET;
  if (segmented && run->segment && run->segment < run->count)
    put_control(header, IPPROTO_UDP, UDP_SEGMENT, &run->segment, sizeof run->segment);
  if (run->tos) {
    int tos = run->tos;
    put_control(header, is_v4 ? IPPROTO_IP : IPPROTO_IPV6, is_v4 ? IP_TOS : IPV6_TCLASS, &tos, sizeof tos);
  }
  if (run->from.family == AF_INET && is_v4) {
    struct in_pktinfo info = {.ipi_ifindex = (int)run->interface, .ipi_spec_dst.s_addr = htonl((uint32_t)run->from.low)};
    put_control(header, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
  } else if (run->from.family == AF_INET6 && !is_v4) {
    struct in6_pktinfo info = {.ipi6_ifindex = run->interface};
    store_big_endian(run->from.high, info.ipi6_addr.s6_addr);
    store_big_endian(run->from.low, info.ipi6_addr.s6_addr + 8);
    put_control(header, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
  }
  if (!header->msg_controllen) header->msg_control = NULL;
}

int shim_send_run(int fd, const struct shim_outgoing *run) {
  struct envelope envelope;
  struct msghdr header;
  fill(run, 1, &envelope, &header);
  ssize_t result;
  do result = sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : 0;
}

int shim_send_runs(int fd, const struct shim_outgoing *runs, int count) {
  struct envelope envelopes[RUNS_MAX];
  struct mmsghdr headers[RUNS_MAX];
  if (count > RUNS_MAX) count = RUNS_MAX;
  for (int i = 0; i < count; i++) fill(&runs[i], 1, &envelopes[i], &headers[i].msg_hdr);
  int result;
  do result = sendmmsg(fd, headers, (unsigned)count, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : result;
}

ssize_t shim_send_singly(int fd, const struct shim_outgoing *run, uint32_t offset) {
  struct envelope envelope;
  struct mmsghdr headers[SINGLE_MAX];
  struct iovec pieces[SINGLE_MAX];
  uint32_t segment = run->segment && run->segment < run->count ? run->segment : run->count;
  fill(run, 0, &envelope, &headers[0].msg_hdr);
  int count = 0;
  for (uint32_t at = offset; at < run->count && count < SINGLE_MAX; at += segment, count++) {
    uint32_t left = run->count - at;
    pieces[count] = (struct iovec){(void *)(run->bytes + at), left < segment ? left : segment};
    headers[count].msg_hdr = headers[0].msg_hdr;
    headers[count].msg_hdr.msg_iov = &pieces[count];
  }
  int result;
  do result = sendmmsg(fd, headers, (unsigned)count, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (result < 0 && errno == EINTR);
  if (result < 0) return -errno;
  ssize_t bytes = 0;
  for (int i = 0; i < result; i++) bytes += (ssize_t)pieces[i].iov_len;
  return bytes;
}

int shim_bind_to_device(int fd, const char *name) {
  return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name)) < 0 ? -errno : 0;
}
