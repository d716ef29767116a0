#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "CLinux.h"

#include <linux/if_tun.h>
#include <net/if.h>

int shim_tun_set_header_size(int fd) {
  int size = 10;
  return ioctl(fd, TUNSETVNETHDRSZ, &size) < 0 ? -errno : 0;
}

int shim_tun_set_offload(int fd, unsigned flags) { return ioctl(fd, TUNSETOFFLOAD, (unsigned long)flags) < 0 ? -errno : 0; }

int shim_tun_open(const char *name, int multiqueue, int *stage) {
  struct ifreq request = {.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | (multiqueue ? IFF_MULTI_QUEUE : 0))};
  *stage = 0;
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return -errno;
  *stage = 1;
  strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
  int result = ioctl(fd, TUNSETIFF, &request) < 0 ? -errno : 0;
  if (!result) {
    *stage = 2;
    result = shim_tun_set_header_size(fd);
  }
  if (!result) return fd;
  close(fd);
  return result;
}

int shim_tun_name(int fd, char *name, uint16_t *flags) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  if (ioctl(fd, TUNGETIFF, &request) < 0) return -errno;
  memcpy(name, request.ifr_name, sizeof request.ifr_name);
  name[sizeof request.ifr_name - 1] = 0;
  *flags = (uint16_t)request.ifr_flags;
  return 0;
}

ssize_t shim_write_pieces(int fd, const void *pieces, int count) {
  ssize_t result;
  do result = writev(fd, pieces, count);
  while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : result;
}
