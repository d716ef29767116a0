#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "CLinux.h"

#include <linux/filter.h>

int shim_attach_port_program(int fd, const struct shim_filter *steps, uint16_t count) {
  struct sock_filter filter[32];
  if (count == 0 || count > 32) return -EINVAL;
  for (uint16_t i = 0; i < count; i++)
    filter[i] = (struct sock_filter){.code = steps[i].code, .jt = steps[i].if_true, .jf = steps[i].if_false, .k = steps[i].value};
  struct sock_fprog program = {.len = count, .filter = filter};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) < 0 ? -errno : 0;
}
