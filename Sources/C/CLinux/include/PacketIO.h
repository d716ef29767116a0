/* What packet threads need: UDP with segmentation offload in both directions, TUN devices with virtio headers, epoll with
   nanoseconds. Part of CLinux.h, with its rules: shims translate, decide nothing, and give failures back as -errno. */
#ifndef CAUSEWAY_PACKETIO_H
#define CAUSEWAY_PACKETIO_H

/* UDP: Datagram.c */

/* One message of a receiver: one datagram, or many of `segment` bytes (the last may be shorter) that the kernel put together. */
struct shim_received {
  uint8_t *bytes;
  uint32_t count;
  uint32_t segment; /* = count for a single datagram */
  struct shim_address source;
  struct shim_address local; /* where it was sent to, port 0; family 0 when the kernel does not say */
  uint32_t interface;
  uint64_t unix_ns;  /* SO_TIMESTAMPNS: when the kernel got it, by CLOCK_REALTIME; 0 when it does not say */
  uint32_t drops;    /* SO_RXQ_OVFL: datagrams this socket lost since its creation; 0 when the kernel does not say */
  uint8_t tos;       /* TOS or traffic class */
  uint8_t truncated; /* did not fit the buffer */
};

struct shim_receiver;
/* Buffers and headers for recvmmsg(2), all allocated at once; NULL without memory. `buffers` <= 16. */
struct shim_receiver *shim_receiver_make(int buffers, size_t buffer_bytes);
void shim_receiver_free(struct shim_receiver *receiver);
/* The messages of the last call; valid until the next. */
struct shim_received *shim_receiver_messages(struct shim_receiver *receiver);
/* recvmmsg(2) without waiting. Returns the number of messages, or -errno. */
int shim_receiver_receive(struct shim_receiver *receiver, int fd);

/* One run: datagrams of `segment` bytes, the last may be shorter, to one address. */
struct shim_outgoing {
  const uint8_t *bytes;
  uint32_t count;
  uint16_t segment; /* 0 or >= count: one datagram */
  uint8_t tos;
  struct shim_address to;
  struct shim_address from; /* family 0: the kernel chooses; else the local address (port ignored) */
  uint32_t interface;       /* with `from`; 0: any */
};
/* sendmsg(2) of one run, with UDP_SEGMENT when it has several datagrams. 0 or -errno. */
int shim_send_run(int fd, const struct shim_outgoing *run);
/* sendmmsg(2) of at most 32 runs. Returns how many were sent, or -errno of the first. */
int shim_send_runs(int fd, const struct shim_outgoing *runs, int count);
/* The datagrams of one run from byte `offset` on (a multiple of `segment`) without UDP_SEGMENT, at most 64 of them.
   Returns the bytes that went out, or -errno of the first. */
ssize_t shim_send_singly(int fd, const struct shim_outgoing *run, uint32_t offset);

/* Sockets that share a port: Reuseport.c */

/* One instruction of classic BPF, as struct sock_filter. */
struct shim_filter {
  uint16_t code;
  uint8_t if_true, if_false;
  uint32_t value;
};
/* SO_ATTACH_REUSEPORT_CBPF: the program (1 to 32 instructions) sees the payload and returns the number of the socket, in the order of
   their binds, that gets the datagram. 0 or -errno. */
int shim_attach_port_program(int fd, const struct shim_filter *steps, uint16_t count);

/* TUN: Tun.c */

/* Opens /dev/net/tun and attaches to device `name` (made when missing) with IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, `multiqueue` adds
   IFF_MULTI_QUEUE; non-blocking. `stage` says how far it came: 0 open, 1 attach, 2 header size. Returns the descriptor or -errno. */
int shim_tun_open(const char *name, int multiqueue, int *stage);
/* TUNSETVNETHDRSZ to the 10 bytes of struct virtio_net_hdr. 0 or -errno. */
int shim_tun_set_header_size(int fd);
/* TUNSETOFFLOAD. 0 or -errno. */
int shim_tun_set_offload(int fd, unsigned flags);
/* TUNGETIFF: name (16 bytes, terminated) and flags of the device of a descriptor. 0 or -errno. */
int shim_tun_name(int fd, char *name, uint16_t *flags);
/* writev(2) of `count` pieces laid out as struct iovec, again after EINTR. Bytes or -errno. */
ssize_t shim_write_pieces(int fd, const void *pieces, int count);

/* Waiting: Poll.c */

/* epoll_pwait2(2), or epoll_wait(2) with milliseconds rounded up where the kernel lacks it; negative: wait for ever. At most 64
   events. Returns their count or -errno (0 also after a signal). */
int shim_epoll_wait_ns(int epoll, struct shim_event *events, int capacity, int64_t timeout_ns);

/* TCP paths: TCPPath.c */

/* The fields of the kernel's tcp_info that a path needs; rates in bytes per second, times in microseconds; 0 when unknown. */
struct shim_tcp_path_info {
  uint64_t delivery_rate;
  uint64_t acknowledged_bytes;
  uint32_t rtt;
  uint32_t rtt_variation;
  uint32_t minimum_rtt;
  uint32_t notsent_bytes;
  uint32_t congestion_window; /* segments */
  uint32_t segment_bytes;
  uint32_t unacknowledged; /* segments */
  uint32_t retransmissions;
  uint32_t sacked; /* segments */
  uint8_t state;
  uint8_t application_limited;
};
int shim_tcp_path_info(int fd, struct shim_tcp_path_info *info);
/* TCP_CONGESTION by name. 0 or -errno. */
int shim_set_tcp_congestion(int fd, const char *name);
/* SO_BINDTODEVICE. 0 or -errno. */
int shim_bind_to_device(int fd, const char *name);

#endif
