#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "CLinuxProcess.h"

static int set_capabilities(uint64_t kept) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct now[2];
  memset(now, 0, sizeof now);
  if (syscall(SYS_capget, &header, now) < 0) return -errno;
  for (int i = 0; i < 2; i++) {
    uint32_t bits = (uint32_t)(kept >> (32 * i)) & now[i].permitted;
    now[i].permitted = bits;
    now[i].effective = bits;
    now[i].inheritable = 0;
  }
  return syscall(SYS_capset, &header, now) < 0 ? -errno : 0;
}

int shim_drop_privileges(uint32_t user, uint64_t kept) {
  /* Without CAP_SETPCAP the bounding set stays; no_new_privs makes it harmless. */
  for (int capability = 0; capability < 64; capability++)
    if (!(kept >> capability & 1) && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 && errno == EINVAL) break;
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  if (geteuid() == 0) {
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) return -errno;
    /* EINVAL: a user namespace without such a user; EPERM: one that denies setgroups, or a root without the capability. */
    if (setgroups(0, NULL) < 0 && errno != EPERM) return -errno;
    if (setresgid(user, user, user) < 0 && errno != EINVAL && errno != EPERM) return -errno;
    if (setresuid(user, user, user) < 0 && errno != EINVAL && errno != EPERM) return -errno;
    if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0) return -errno;
  }
  int result = set_capabilities(kept);
  if (result < 0) return result;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -errno;
  return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

int shim_follow_parent(int32_t parent) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) return -errno;
  return getppid() == parent ? 0 : -ESRCH;
}

int shim_spawn(const char *path, char *const *arguments, char *const *environment, const int *descriptors, int count, int first,
               int32_t *child) {
  /* Above every target, so that no dup2 overwrites a source that is still needed. */
  int high[64];
  if (count < 0 || count > 64) return -EINVAL;
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  int result = posix_spawn_file_actions_init(&actions);
  if (result) return -result;
  result = posix_spawnattr_init(&attributes);
  if (result) {
    posix_spawn_file_actions_destroy(&actions);
    return -result;
  }
  int copied = 0;
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  result = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  if (!result) result = posix_spawn_file_actions_adddup2(&actions, 2, 1);
  for (; !result && copied < count; copied++) {
    high[copied] = fcntl(descriptors[copied], F_DUPFD_CLOEXEC, first + count);
    if (high[copied] < 0) {
      result = errno;
      break;
    }
    result = posix_spawn_file_actions_adddup2(&actions, high[copied], first + copied);
  }
  if (!result) result = posix_spawn_file_actions_addclosefrom_np(&actions, first + count);
  pid_t pid = 0;
  if (!result) result = posix_spawn(&pid, path, &actions, &attributes, arguments, environment);
  for (int i = 0; i < copied; i++) close(high[i]);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  *child = pid;
  return -result;
}

int shim_wait(int32_t child, int wait) {
  int status = 0;
  pid_t pid;
  do pid = waitpid(child, &status, wait ? 0 : WNOHANG);
  while (pid < 0 && errno == EINTR);
  if (pid < 0) return -errno;
  if (pid == 0) return -EAGAIN;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int shim_socket_pair(int *first, int *second) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) return -errno;
  *first = pair[0];
  *second = pair[1];
  return 0;
}

int shim_notify(const char *path, const char *text, size_t length) {
  struct sockaddr_un address;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  size_t count = strlen(path);
  if (count < 2 || count >= sizeof address.sun_path) return -EINVAL;
  memcpy(address.sun_path, path, count);
  if (path[0] == '@') address.sun_path[0] = 0;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  ssize_t sent =
      sendto(fd, text, length, MSG_NOSIGNAL, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + count));
  int result = sent < 0 ? -errno : 0;
  close(fd);
  return result;
}
