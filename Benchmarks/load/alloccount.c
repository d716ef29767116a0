/* alloccount: preloaded into a release binary, counts every allocation into a shared counter that a test reads.
 *   ALLOCCOUNT=FILE LD_PRELOAD=alloccount.so PROGRAM
 * FILE is at least 8 bytes; its first 8 hold the count, little-endian. Frees are not counted; a realloc is one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static _Atomic uint64_t before;
static _Atomic uint64_t *_Atomic counter = &before;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("ALLOCCOUNT");
  int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void *page = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (page != MAP_FAILED) counter = page;
}

static void tick(void) { atomic_fetch_add_explicit(atomic_load_explicit(&counter, memory_order_relaxed), 1, memory_order_relaxed); }

void *malloc(size_t size) {
  tick();
  return __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
  tick();
  return __libc_calloc(count, size);
}
void *realloc(void *old, size_t size) {
  tick();
  return __libc_realloc(old, size);
}
void *memalign(size_t alignment, size_t size) {
  tick();
  return __libc_memalign(alignment, size);
}
void *aligned_alloc(size_t alignment, size_t size) {
  tick();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void **out, size_t alignment, size_t size) {
  if (alignment % sizeof(void *) || (alignment & (alignment - 1)) || alignment == 0) return EINVAL;
  tick();
  void *memory = __libc_memalign(alignment, size);
  if (!memory) return ENOMEM;
  *out = memory;
  return 0;
}
