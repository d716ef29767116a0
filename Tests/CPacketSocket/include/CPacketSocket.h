/* AF_PACKET sockets for the link emulator: whole Ethernet frames of one interface, in batches. Failures come back as -errno. */
#ifndef CAUSEWAY_CPACKETSOCKET_H
#define CAUSEWAY_CPACKETSOCKET_H

#include <stddef.h>
#include <stdint.h>

/* Frames in one system call. */
#define SHIM_PACKET_BATCH 64
/* Descriptors of one wait. */
#define SHIM_PACKET_WAIT 64

/* A non-blocking socket that hears every frame that arrives at `interface` (none that leaves it) and sends past its qdisc.
   Returns the descriptor or -errno. */
int shim_packet_open(const char *interface);
/* Receives up to `count` (<= SHIM_PACKET_BATCH) frames: frame i goes to base + slots[i] * slot_bytes, its true length (which may exceed
   the slot: then it is cut) to lengths[i]. Returns the count, 0 when there is none, or -errno. */
int shim_packet_receive(int fd, uint8_t *base, size_t slot_bytes, const uint32_t *slots, uint32_t *lengths, int count);
/* Sends frames likewise. Returns how many the kernel took, or -errno. */
int shim_packet_send(int fd, const uint8_t *base, size_t slot_bytes, const uint32_t *slots, const uint32_t *lengths, int count);
/* Frames that the kernel dropped because the socket's buffer was full, since the last call; or -errno. */
int64_t shim_packet_drops(int fd);
/* Waits until one of `count` descriptors is readable or `nanoseconds` have passed (negative: for ever). Bit i of the result: fds[i]. */
uint64_t shim_packet_wait(const int *fds, int count, int64_t nanoseconds);
/* Timers to the nanosecond, SCHED_RR when allowed. Returns 1 when real-time scheduling was granted, else 0. */
int shim_packet_be_punctual(void);
/* Lazily backed anonymous memory, or NULL. */
void *shim_packet_map(size_t bytes);

#endif
