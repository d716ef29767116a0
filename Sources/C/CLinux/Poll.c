#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "CLinux.h"

#include <sys/syscall.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

int shim_epoll_wait_ns(int epoll, struct shim_event *events, int capacity, int64_t timeout_ns) {
  static int missing; /* only ever set, and to the same value by every thread */
  struct epoll_event raw[64];
  int count = -1, limit = capacity < 64 ? capacity : 64;
  if (!__atomic_load_n(&missing, __ATOMIC_RELAXED)) {
    struct timespec timeout = {(time_t)(timeout_ns / 1000000000), (long)(timeout_ns % 1000000000)};
    count = (int)syscall(SYS_epoll_pwait2, epoll, raw, limit, timeout_ns < 0 ? NULL : &timeout, NULL, (size_t)0);
    if (count < 0 && errno == ENOSYS) __atomic_store_n(&missing, 1, __ATOMIC_RELAXED);
  }
  if (__atomic_load_n(&missing, __ATOMIC_RELAXED)) {
    int64_t ms = timeout_ns < 0 ? -1 : (timeout_ns + 999999) / 1000000;
    count = epoll_wait(epoll, raw, limit, ms > INT32_MAX ? INT32_MAX : (int)ms);
  }
  if (count < 0) return errno == EINTR ? 0 : -errno;
  for (int i = 0; i < count; i++) {
    events[i].events = raw[i].events;
    events[i].slot = (uint32_t)raw[i].data.u64;
    events[i].generation = (uint32_t)(raw[i].data.u64 >> 32);
  }
  return count;
}
