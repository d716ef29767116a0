/* Processes: privileges, children, the service manager. Included by CLinux.h; the same rules. */
#ifndef CAUSEWAY_CLINUX_PROCESS_H
#define CAUSEWAY_CLINUX_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Leaves the calling thread with the capabilities in `kept` (bits) that it has, and a root process as `user`, without groups; drops the
   bounding set where allowed; sets no_new_privs and clears dumpable. Before the first thread. 0 or -errno. */
int shim_drop_privileges(uint32_t user, uint64_t kept);

/* PR_SET_PDEATHSIG SIGKILL, then checks that `parent` still is the parent. 0, -ESRCH or -errno. */
int shim_follow_parent(int32_t parent);

/* Starts `path` with `arguments` and `environment` (NULL-terminated). The child gets /dev/null as stdin, this stderr as stdout and stderr,
   `descriptors` as first, first + 1, ..., nothing else, default signals and an empty mask. Fills `child`. 0 or -errno. */
int shim_spawn(const char *path, char *const *arguments, char *const *environment, const int *descriptors, int count, int first,
               int32_t *child);

/* waitpid(2), again after EINTR. Returns the exit code, 128 + signal, -EAGAIN when it still runs (`wait` 0), or -errno. */
int shim_wait(int32_t child, int wait);

/* A pair of connected stream sockets with CLOEXEC, not blocking. 0 or -errno. */
int shim_socket_pair(int *first, int *second);

/* Sends one datagram to a unix socket; a path that begins with '@' is in the abstract namespace. 0 or -errno. */
int shim_notify(const char *path, const char *text, size_t length);

/* pidfd_open(2): it is readable once the process has ended. The descriptor, with CLOEXEC, or -errno. Memory.c. */
int shim_pidfd_open(int32_t process);
/* pidfd_getfd(2): our own copy of that process's descriptor, with CLOEXEC, or -errno. */
int shim_pidfd_descriptor(int pidfd, int descriptor);
/* One process_vm_readv(2) of `count` bytes at `address` of a process and, behind them in time too, of 8 at `word_address`. Nothing when
   `pidfd` says that it has ended. Bytes read of both together, or -errno. */
ssize_t shim_read_process(int pidfd, int32_t process, uint64_t address, void *to, size_t count, uint64_t word_address, uint64_t *word);
/* Whether the page at an address of this process is mapped as a huge one; `pagemap` is /proc/self/pagemap. 1, 0 or -errno (ENOTTY before
   Linux 6.7). */
int shim_page_is_huge(int pagemap, uint64_t address);

#endif
