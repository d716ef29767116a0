/* probe: small, sharp instruments for the benchmark, in C because Python's own time would hide what they measure.
 *   probe echo PORT                    a TCP echo server (PORT 0: any); prints its port. When a caller has sent its
 *                                      FIN, it waits 50 ms and says how many bytes came: the answer of a half-close
 *   probe sink PORT                    an HTTP origin that reads every request body to its end, then answers 200
 *   probe ping HOST PORT SECONDS SIZE  round trips of SIZE bytes, one at a time; prints one JSON line in microseconds
 * nginx cannot play the sink: it answers before the body has come, and a proxy then drops the body at the first hop. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) {
  fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int send_all(int fd, const char *bytes, size_t count) {
  while (count > 0) {
    ssize_t n = send(fd, bytes, count, MSG_NOSIGNAL);
    if (n <= 0) return -1;
    bytes += n;
    count -= (size_t)n;
  }
  return 0;
}

static void no_delay(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void *echo(void *argument) {
  int fd = (int)(intptr_t)argument;
  char buffer[65536];
  unsigned long long total = 0;
  ssize_t n;
  no_delay(fd);
  while ((n = recv(fd, buffer, sizeof buffer, 0)) > 0 && send_all(fd, buffer, (size_t)n) == 0) total += (unsigned long long)n;
  if (n == 0) {
    usleep(50000);
    int size = snprintf(buffer, sizeof buffer, "end %llu\n", total);
    send_all(fd, buffer, (size_t)size);
  }
  close(fd);
  return NULL;
}

/* One HTTP/1.1 connection: heads of up to 64 KiB, bodies by Content-Length. A chunked body is refused with 411. */
static void *sink(void *argument) {
  int fd = (int)(intptr_t)argument;
  enum { CAPACITY = 256 * 1024 };
  char *buffer = malloc(CAPACITY + 1);
  size_t held = 0;
  if (!buffer) goto end;
  no_delay(fd);
  for (;;) {
    char *stop;
    buffer[held] = 0;
    while (!(stop = memmem(buffer, held, "\r\n\r\n", 4))) {
      if (held >= 65536) goto end;
      ssize_t n = recv(fd, buffer + held, CAPACITY - held, 0);
      if (n <= 0) goto end;
      held += (size_t)n;
      buffer[held] = 0;
    }
    *stop = 0;
    const char *length = strcasestr(buffer, "\r\ncontent-length:");
    if (strcasestr(buffer, "\r\ntransfer-encoding:")) {
      static const char refusal[] = "HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
      send_all(fd, refusal, sizeof refusal - 1);
      goto end;
    }
    if (strcasestr(buffer, "\r\nexpect: 100-continue")) {
      static const char go[] = "HTTP/1.1 100 Continue\r\n\r\n";
      send_all(fd, go, sizeof go - 1);
    }
    uint64_t left = length ? strtoull(length + 17, NULL, 10) : 0, total = left;
    size_t head = (size_t)(stop + 4 - buffer), extra = held - head;
    if (extra > left) {
      memmove(buffer, buffer + head + left, extra - left);
      held = extra - left;
      left = 0;
    } else {
      left -= extra;
      held = 0;
    }
    while (left > 0) {
      ssize_t n = recv(fd, buffer, left < CAPACITY ? left : CAPACITY, 0);
      if (n <= 0) goto end;
      left -= (uint64_t)n;
    }
    char body[32], answer[128];
    int size = snprintf(body, sizeof body, "%llu\n", (unsigned long long)total);
    int whole = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", size, body);
    if (send_all(fd, answer, (size_t)whole) < 0) goto end;
  }
end:
  free(buffer);
  close(fd);
  return NULL;
}

static void serve(int port, void *(*work)(void *)) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  if (fd < 0) fail("socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&address, size) < 0) fail("bind");
  if (listen(fd, 1024) < 0) fail("listen");
  getsockname(fd, (struct sockaddr *)&address, &size);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  for (;;) {
    int client = accept(fd, NULL, NULL);
    if (client < 0) continue;
    pthread_t thread;
    if (pthread_create(&thread, &attributes, work, (void *)(intptr_t)client) != 0) close(client);
  }
}

static int ascending(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static void ping(const char *host, int port, double seconds, size_t size) {
  enum { MOST = 4000000 };
  uint32_t *samples = malloc(MOST * sizeof *samples);
  char *message = malloc(size), *answer = malloc(size);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (!samples || !message || !answer) fail("malloc");
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) fail("address");
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) fail("connect");
  no_delay(fd);
  struct timeval limit = {.tv_sec = 20};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  for (size_t i = 0; i < size; i++) message[i] = (char)i;
  uint64_t warm = now() + 200000000u, end = warm + (uint64_t)(seconds * 1e9), start;
  size_t count = 0;
  double sum = 0;
  while ((start = now()) < end && count < MOST) {
    if (send_all(fd, message, size) < 0) fail("send");
    for (size_t got = 0; got < size;) {
      ssize_t n = recv(fd, answer + got, size - got, 0);
      if (n <= 0) fail("recv");
      got += (size_t)n;
    }
    uint64_t took = now() - start;
    if (memcmp(message, answer, size) != 0) {
      fprintf(stderr, "probe: the echo differs\n");
      exit(1);
    }
    if (start < warm) continue;
    samples[count++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
    sum += (double)took;
  }
  if (count == 0) {
    fprintf(stderr, "probe: no round trip\n");
    exit(1);
  }
  qsort(samples, count, sizeof *samples, ascending);
  printf("{\"count\":%zu,\"mean\":%.1f,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"max\":%.1f}\n", count, sum / (double)count / 1e3,
         samples[count / 2] / 1e3, samples[count * 90 / 100] / 1e3, samples[count * 99 / 100] / 1e3, samples[count - 1] / 1e3);
}

int main(int count, char **words) {
  signal(SIGPIPE, SIG_IGN);
  if (count == 3 && !strcmp(words[1], "echo")) serve(atoi(words[2]), echo);
  else if (count == 3 && !strcmp(words[1], "sink")) serve(atoi(words[2]), sink);
  else if (count == 6 && !strcmp(words[1], "ping")) ping(words[2], atoi(words[3]), atof(words[4]), (size_t)atol(words[5]));
  else {
    fprintf(stderr, "usage: probe echo PORT | sink PORT | ping HOST PORT SECONDS SIZE\n");
    return 2;
  }
  return 0;
}
