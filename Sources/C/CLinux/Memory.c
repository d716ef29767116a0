#define _GNU_SOURCE
#include "CLinux.h"
#include <sys/syscall.h>

int shim_pidfd_open(int32_t process) { return (int)shim_result(syscall(SYS_pidfd_open, process, 0)); }

int shim_pidfd_descriptor(int pidfd, int descriptor) { return (int)shim_result(syscall(SYS_pidfd_getfd, pidfd, descriptor, 0)); }

ssize_t shim_read_process(int pidfd, int32_t process, uint64_t address, void *to, size_t count, uint64_t word_address, uint64_t *word) {
  struct pollfd end = {.fd = pidfd, .events = POLLIN};
  if (poll(&end, 1, 0) != 0) return -ESRCH;
  const struct iovec local[2] = {{to, count}, {word, sizeof *word}};
  const struct iovec remote[2] = {{(void *)(uintptr_t)address, count}, {(void *)(uintptr_t)word_address, sizeof *word}};
  return shim_result(process_vm_readv(process, local, 2, remote, 2, 0));
}

/* As in linux/fs.h since 6.7. */
struct page_scan {
  uint64_t size, flags, start, end, walk_end, regions, region_count, page_limit, inverted, all_of, any_of, wanted;
};
struct page_region {
  uint64_t start, end, categories;
};
#define PAGE_SCAN _IOWR('f', 16, struct page_scan)
#define PAGE_HUGE (1u << 6)

int shim_page_is_huge(int pagemap, uint64_t address) {
  const uint64_t page = address & ~(uint64_t)(sysconf(_SC_PAGESIZE) - 1);
  struct page_region found;
  struct page_scan scan = {.size = sizeof scan, .start = page, .end = page + (uint64_t)sysconf(_SC_PAGESIZE)};
  scan.regions = (uint64_t)(uintptr_t)&found;
  scan.region_count = scan.page_limit = 1;
  scan.all_of = scan.wanted = PAGE_HUGE;
  return (int)shim_result(ioctl(pagemap, PAGE_SCAN, &scan));
}
