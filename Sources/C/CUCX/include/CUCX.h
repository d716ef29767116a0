/* OpenUCX, loaded at run time: nothing here is linked. A table of its functions, what Swift cannot import, and thin wrappers of the
   calls on the hot path. Shims translate and decide nothing. UCX's constants are given by name below, so that Swift needs none of its
   macros. Statuses are `ucs_status_t` as int: 0 is done, 1 in progress, negative an error. */
#ifndef CAUSEWAY_CUCX_H
#define CAUSEWAY_CUCX_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <ucp/api/ucp.h>

#define CUCX_MESSAGE_LIMIT 512

/* One loaded UCX. Every pointer is set, or cucx_open fails. */
struct cucx_library {
  void *ucs, *uct, *ucp;
  unsigned major, minor, patch;
  char path[1024]; /* of libucp */
  void (*get_version)(unsigned *, unsigned *, unsigned *);
  ucs_status_t (*init_version)(unsigned, unsigned, const ucp_params_t *, const ucp_config_t *, ucp_context_h *);
  void (*cleanup)(ucp_context_h);
  ucs_status_t (*config_read)(const char *, const char *, ucp_config_t **);
  ucs_status_t (*config_modify)(ucp_config_t *, const char *, const char *);
  void (*config_release)(ucp_config_t *);
  void (*context_print_info)(const ucp_context_h, FILE *);
  ucs_status_t (*worker_create)(ucp_context_h, const ucp_worker_params_t *, ucp_worker_h *);
  void (*worker_destroy)(ucp_worker_h);
  ucs_status_t (*worker_query)(ucp_worker_h, ucp_worker_attr_t *);
  void (*release_address)(ucp_worker_h, ucp_address_t *);
  unsigned (*worker_progress)(ucp_worker_h);
  ucs_status_t (*worker_arm)(ucp_worker_h);
  ucs_status_t (*worker_signal)(ucp_worker_h);
  ucs_status_t (*worker_get_efd)(ucp_worker_h, int *);
  ucs_status_t (*set_am_handler)(ucp_worker_h, const ucp_am_handler_param_t *);
  ucs_status_t (*ep_create)(ucp_worker_h, const ucp_ep_params_t *, ucp_ep_h *);
  ucs_status_ptr_t (*ep_close)(ucp_ep_h, const ucp_request_param_t *);
  ucs_status_t (*ep_query)(ucp_ep_h, ucp_ep_attr_t *);
  void (*ep_print_info)(ucp_ep_h, FILE *);
  ucs_status_t (*ep_evaluate_perf)(ucp_ep_h, const ucp_ep_evaluate_perf_param_t *, ucp_ep_evaluate_perf_attr_t *);
  ucs_status_ptr_t (*am_send)(ucp_ep_h, unsigned, const void *, size_t, const void *, size_t, const ucp_request_param_t *);
  ucs_status_ptr_t (*am_recv_data)(ucp_worker_h, void *, void *, size_t, const ucp_request_param_t *);
  void (*am_data_release)(ucp_worker_h, void *);
  void (*request_free)(void *);
  const char *(*status_string)(ucs_status_t);
};

/* Loads libucs, libuct and libucp from `folder` (with a trailing '/'), or by their names when it is empty; RTLD_LOCAL. `only_loaded`
   takes nothing but a libucp that the process has already. UCX's crash handlers are kept off and its log goes to stderr, unless the
   environment says otherwise. On failure NULL, and `message` (CUCX_MESSAGE_LIMIT bytes) says why. A library is never unloaded. */
const struct cucx_library *cucx_open(const char *folder, int only_loaded, char *message);

/* A context with `count` settings (names without "UCX_"), and features AM and WAKEUP. 0 or a status; `failed` (may be NULL) gets the
   index of a refused setting, or -1. */
int cucx_context_create(const struct cucx_library *ucx, const char *const *names, const char *const *values, int count,
                        size_t estimated_endpoints, const char *name, ucp_context_h *context, int *failed);

/* A SERIALIZED worker with its event descriptor, and `handler` for messages of `id`. 0 or a status. */
int cucx_worker_create(const struct cucx_library *ucx, ucp_context_h context, const char *name, ucp_worker_h *worker, int *efd);
int cucx_set_handler(const struct cucx_library *ucx, ucp_worker_h worker, unsigned id, ucp_am_recv_callback_t handler, void *argument);

/* The worker's address, to be released by cucx_address_release. 0 or a status. */
int cucx_worker_address(const struct cucx_library *ucx, ucp_worker_h worker, int network_only, const void **address, size_t *length);
void cucx_address_release(const struct cucx_library *ucx, ucp_worker_h worker, const void *address);
/* Bytes of header and payload that one eager fragment holds at most; 0 when unknown. */
size_t cucx_worker_max_header(const struct cucx_library *ucx, ucp_worker_h worker);

/* An endpoint to a worker's address with peer error handling; `on_error` gets `argument`. 0 or a status. */
int cucx_endpoint_create(const struct cucx_library *ucx, ucp_worker_h worker, const void *address, ucp_err_handler_cb_t on_error,
                         void *argument, ucp_ep_h *endpoint);
/* Closes it; `force` drops what is not sent. 0: closed; 1: `on_closed` follows with `argument`, and frees `request` by
   cucx_request_free; negative: a status, and the endpoint is gone too. */
int cucx_endpoint_close(const struct cucx_library *ucx, ucp_ep_h endpoint, int force, ucp_send_nbx_callback_t on_closed,
                        void *argument, void **request);

/* One lane of an endpoint. */
struct cucx_transport {
  char transport[32];
  char device[32];
};
/* The lanes of an endpoint. Returns how many were written (at most `capacity`), or a status. */
int cucx_endpoint_transports(const struct cucx_library *ucx, ucp_ep_h endpoint, struct cucx_transport *transports, int capacity);
/* Parses what ucp_ep_print_info prints: "lane[0]:  1:posix/memory.0 md[..." and the like. For versions without the query. */
int cucx_parse_lanes(const char *text, struct cucx_transport *transports, int capacity);
/* Seconds that a message of so many bytes takes by UCX's tables, or a negative status. */
double cucx_endpoint_estimate(const struct cucx_library *ucx, ucp_ep_h endpoint, size_t byte_count);

/* CLOCK_MONOTONIC and CLOCK_BOOTTIME in nanoseconds. */
uint64_t cucx_now_ns(void);
uint64_t cucx_boot_ns(void);
/* Between two looks of a thread that spins. */
static inline void cucx_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}
/* Times that the calling thread was pushed off its core; cores that it may run on. */
int64_t cucx_involuntary_switches(void);
int cucx_core_count(void);
/* Waits until a descriptor is readable, at most so many milliseconds (-1: for ever), or a signal comes. */
void cucx_wait_readable(int descriptor, int milliseconds);
/* Binds the calling thread to one core. 0 or -errno. */
int cucx_bind_to_core(int core);
/* Whether a thread may be bound to it. */
int cucx_may_use_core(int core);
/* How often the process has been forked below the one that asked first; watches from the first call on. */
uint32_t cucx_fork_depth(void);

/* Text of a status; static. */
const char *cucx_status_text(const struct cucx_library *ucx, int status);

/* ── hot path ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static inline unsigned cucx_progress(const struct cucx_library *ucx, ucp_worker_h worker) { return ucx->worker_progress(worker); }
/* 0: may sleep; CUCX_BUSY: progress again. */
#define CUCX_BUSY (-15)
static inline int cucx_arm(const struct cucx_library *ucx, ucp_worker_h worker) { return ucx->worker_arm(worker); }
static inline int cucx_signal(const struct cucx_library *ucx, ucp_worker_h worker) { return ucx->worker_signal(worker); }

static inline int cucx_outcome(ucs_status_ptr_t result, void **request) {
  if (result == NULL) return UCS_OK;
  if (UCS_PTR_IS_ERR(result)) return UCS_PTR_STATUS(result);
  if (request) *request = result;
  return UCS_INPROGRESS;
}

/* Sends header and payload. 0: the buffers are free again and `done` is not called; 1: `done(request, status, argument)` follows and
   must give the request back by cucx_request_free; negative: a status, `done` is not called. */
static inline int cucx_am_send(const struct cucx_library *ucx, ucp_ep_h endpoint, unsigned id, const void *header, size_t header_length,
                               const void *bytes, size_t count, int rendezvous, ucp_send_nbx_callback_t done, void *argument) {
  ucp_request_param_t param;
  param.op_attr_mask =
      UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS | UCP_OP_ATTR_FIELD_MEMORY_TYPE;
  param.flags = rendezvous ? UCP_AM_SEND_FLAG_RNDV : UCP_AM_SEND_FLAG_EAGER;
  param.cb.send = done;
  param.user_data = argument;
  param.memory_type = UCS_MEMORY_TYPE_HOST;
  return cucx_outcome(ucx->am_send(endpoint, id, header, header_length, bytes, count, &param), NULL);
}

/* The same of several pieces: `pieces` are `count` pairs of address and length, alive until the send is done. */
static inline int cucx_am_send_pieces(const struct cucx_library *ucx, ucp_ep_h endpoint, unsigned id, const void *header,
                                      size_t header_length, const ucp_dt_iov_t *pieces, size_t count, int rendezvous,
                                      ucp_send_nbx_callback_t done, void *argument) {
  ucp_request_param_t param;
  param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS |
                       UCP_OP_ATTR_FIELD_MEMORY_TYPE | UCP_OP_ATTR_FIELD_DATATYPE;
  param.flags = rendezvous ? UCP_AM_SEND_FLAG_RNDV : UCP_AM_SEND_FLAG_EAGER;
  param.cb.send = done;
  param.user_data = argument;
  param.memory_type = UCS_MEMORY_TYPE_HOST;
  param.datatype = ucp_dt_make_iov();
  return cucx_outcome(ucx->am_send(endpoint, id, header, header_length, pieces, count, &param), NULL);
}

/* Fetches the data of a rendezvous into `count` bytes, all of them. As cucx_am_send. */
static inline int cucx_am_receive(const struct cucx_library *ucx, ucp_worker_h worker, void *data, void *bytes, size_t count,
                                  ucp_am_recv_data_nbx_callback_t done, void *argument) {
  ucp_request_param_t param;
  param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_MEMORY_TYPE;
  param.cb.recv_am = done;
  param.user_data = argument;
  param.memory_type = UCS_MEMORY_TYPE_HOST;
  return cucx_outcome(ucx->am_recv_data(worker, data, bytes, count, &param), NULL);
}

static inline void cucx_am_release(const struct cucx_library *ucx, ucp_worker_h worker, void *data) { ucx->am_data_release(worker, data); }
static inline void cucx_request_free(const struct cucx_library *ucx, void *request) { ucx->request_free(request); }

#define CUCX_FLAG_DATA (1u << 16)
#define CUCX_FLAG_RENDEZVOUS (1u << 17)
static inline uint64_t cucx_am_flags(const ucp_am_recv_param_t *param) { return param->recv_attr; }

#endif
