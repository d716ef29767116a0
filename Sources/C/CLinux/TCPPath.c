#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "CLinux.h"

/* The kernel's struct tcp_info (linux/tcp.h) as far as it is read here; glibc's ends before the rates. It only ever grew at its end. */
struct kernel_tcp_info {
  uint8_t state, ca_state, retransmits, probes, backoff, options;
  uint8_t window_scales;
  uint8_t app_limited; /* bit 0 */
  uint32_t rto, ato, snd_mss, rcv_mss;
  uint32_t unacked, sacked, lost, retrans, fackets;
  uint32_t last_data_sent, last_ack_sent, last_data_recv, last_ack_recv;
  uint32_t pmtu, rcv_ssthresh, rtt, rttvar, snd_ssthresh, snd_cwnd, advmss, reordering;
  uint32_t rcv_rtt, rcv_space;
  uint32_t total_retrans;
  uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
  uint32_t segs_out, segs_in;
  uint32_t notsent_bytes, min_rtt, data_segs_in, data_segs_out;
  uint64_t delivery_rate;
};

int shim_tcp_path_info(int fd, struct shim_tcp_path_info *info) {
  struct kernel_tcp_info kernel;
  socklen_t length = sizeof kernel;
  memset(&kernel, 0, sizeof kernel);
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &kernel, &length) < 0) return -errno;
  *info = (struct shim_tcp_path_info){
      .delivery_rate = kernel.delivery_rate,
      .acknowledged_bytes = kernel.bytes_acked,
      .rtt = kernel.rtt,
      .rtt_variation = kernel.rttvar,
      .minimum_rtt = kernel.min_rtt == UINT32_MAX ? 0 : kernel.min_rtt,
      .notsent_bytes = kernel.notsent_bytes,
      .congestion_window = kernel.snd_cwnd,
      .segment_bytes = kernel.snd_mss,
      .unacknowledged = kernel.unacked,
      .retransmissions = kernel.total_retrans,
      .sacked = kernel.sacked,
      .state = kernel.state,
      .application_limited = kernel.app_limited & 1,
  };
  return 0;
}

int shim_set_tcp_congestion(int fd, const char *name) {
  return setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)) < 0 ? -errno : 0;
}
