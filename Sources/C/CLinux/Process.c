#include "CLinux.h"

/* glibc hands main's arguments to constructors; Swift's CommandLine may be a copy. */
static int process_argc;
static char **process_argv;

__attribute__((constructor)) static void remember_arguments(int argc, char **argv) {
  process_argc = argc;
  process_argv = argv;
}

int shim_argument_count(void) { return process_argc; }

char *shim_argument(int index) { return index >= 0 && index < process_argc ? process_argv[index] : NULL; }

int shim_window_size(int fd, uint16_t *columns, uint16_t *rows) {
  struct winsize size;
  if (ioctl(fd, TIOCGWINSZ, &size) < 0) return -errno;
  *columns = size.ws_col;
  *rows = size.ws_row;
  return 0;
}
