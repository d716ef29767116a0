#define _GNU_SOURCE
#include "CUCX.h"
#include <poll.h>
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

/* ── the system ───────────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t clock_ns(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}
uint64_t cucx_now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
uint64_t cucx_boot_ns(void) { return clock_ns(CLOCK_BOOTTIME); }

void cucx_wait_readable(int descriptor, int milliseconds) {
  struct pollfd look = {.fd = descriptor, .events = POLLIN};
  poll(&look, 1, milliseconds);
}

int64_t cucx_involuntary_switches(void) {
  struct rusage usage;
  return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nivcsw : 0;
}

int cucx_core_count(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

int cucx_bind_to_core(int core) {
  if (core < 0 || core >= CPU_SETSIZE) return -EINVAL;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  return sched_setaffinity(0, sizeof set, &set) == 0 ? 0 : -errno;
}

int cucx_may_use_core(int core) {
  cpu_set_t before;
  if (sched_getaffinity(0, sizeof before, &before) != 0) return 0;
  int bound = cucx_bind_to_core(core) == 0;
  sched_setaffinity(0, sizeof before, &before);
  return bound;
}

static atomic_uint fork_depth;
static void count_fork(void) { atomic_fetch_add(&fork_depth, 1); }
static void watch_forks(void) { pthread_atfork(NULL, NULL, count_fork); }

uint32_t cucx_fork_depth(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, watch_forks);
  return atomic_load_explicit(&fork_depth, memory_order_relaxed);
}

/* ── loading ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void *open_one(const char *folder, const char *name, int flags, char *message) {
  char path[1200];
  if (snprintf(path, sizeof path, "%s%s", folder, name) >= (int)sizeof path) {
    snprintf(message, CUCX_MESSAGE_LIMIT, "the path of %s is too long", name);
    return NULL;
  }
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | flags);
  if (!handle) {
    const char *why = dlerror();
    snprintf(message, CUCX_MESSAGE_LIMIT, "%s", why ? why : "not loaded");
  }
  return handle;
}

/* Sets a variable that the environment lacks. Returns whether it did. */
static int lend(const char *name, const char *value) { return !getenv(name) && setenv(name, value, 0) == 0; }

static int resolve(struct cucx_library *l, char *message) {
  struct {
    void *handle;
    const char *name;
    void *place;
  } table[] = {
      {l->ucp, "ucp_get_version", &l->get_version},
      {l->ucp, "ucp_init_version", &l->init_version},
      {l->ucp, "ucp_cleanup", &l->cleanup},
      {l->ucp, "ucp_config_read", &l->config_read},
      {l->ucp, "ucp_config_modify", &l->config_modify},
      {l->ucp, "ucp_config_release", &l->config_release},
      {l->ucp, "ucp_context_print_info", &l->context_print_info},
      {l->ucp, "ucp_worker_create", &l->worker_create},
      {l->ucp, "ucp_worker_destroy", &l->worker_destroy},
      {l->ucp, "ucp_worker_query", &l->worker_query},
      {l->ucp, "ucp_worker_release_address", &l->release_address},
      {l->ucp, "ucp_worker_progress", &l->worker_progress},
      {l->ucp, "ucp_worker_arm", &l->worker_arm},
      {l->ucp, "ucp_worker_signal", &l->worker_signal},
      {l->ucp, "ucp_worker_get_efd", &l->worker_get_efd},
      {l->ucp, "ucp_worker_set_am_recv_handler", &l->set_am_handler},
      {l->ucp, "ucp_ep_create", &l->ep_create},
      {l->ucp, "ucp_ep_close_nbx", &l->ep_close},
      {l->ucp, "ucp_ep_query", &l->ep_query},
      {l->ucp, "ucp_ep_print_info", &l->ep_print_info},
      {l->ucp, "ucp_ep_evaluate_perf", &l->ep_evaluate_perf},
      {l->ucp, "ucp_am_send_nbx", &l->am_send},
      {l->ucp, "ucp_am_recv_data_nbx", &l->am_recv_data},
      {l->ucp, "ucp_am_data_release", &l->am_data_release},
      {l->ucp, "ucp_request_free", &l->request_free},
      {l->ucs, "ucs_status_string", &l->status_string},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    void *symbol = dlsym(table[i].handle, table[i].name);
    if (!symbol) {
      snprintf(message, CUCX_MESSAGE_LIMIT, "it lacks %s", table[i].name);
      return 0;
    }
    memcpy(table[i].place, &symbol, sizeof symbol);
  }
  return 1;
}

const struct cucx_library *cucx_open(const char *folder, int only_loaded, char *message) {
  const int flags = only_loaded ? RTLD_NOLOAD : 0;
  struct cucx_library *l = calloc(1, sizeof *l);
  if (!l) {
    snprintf(message, CUCX_MESSAGE_LIMIT, "out of memory");
    return NULL;
  }
  /* libucs reads these once, in its constructor. */
  const int lent_handlers = !only_loaded && lend("UCX_HANDLE_ERRORS", "none");
  const int lent_log = !only_loaded && lend("UCX_LOG_FILE", "stderr");
  l->ucs = open_one(folder, "libucs.so.0", flags, message);
  if (l->ucs) l->uct = open_one(folder, "libuct.so.0", flags, message);
  if (l->uct) l->ucp = open_one(folder, "libucp.so.0", flags, message);
  if (lent_handlers) unsetenv("UCX_HANDLE_ERRORS");
  if (lent_log) unsetenv("UCX_LOG_FILE");
  if (!l->ucp || !resolve(l, message)) {
    free(l);
    return NULL;
  }
  struct link_map *map = NULL;
  if (dlinfo(l->ucp, RTLD_DI_LINKMAP, &map) == 0 && map) snprintf(l->path, sizeof l->path, "%s", map->l_name);
  l->get_version(&l->major, &l->minor, &l->patch);
  return l;
}

const char *cucx_status_text(const struct cucx_library *ucx, int status) { return ucx->status_string((ucs_status_t)status); }

/* ── context and worker ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

int cucx_context_create(const struct cucx_library *ucx, const char *const *names, const char *const *values, int count,
                        size_t estimated_endpoints, const char *name, ucp_context_h *context, int *failed) {
  ucp_config_t *config = NULL;
  if (failed) *failed = -1;
  ucs_status_t status = ucx->config_read(NULL, NULL, &config);
  if (status != UCS_OK) return status;
  for (int i = 0; i < count; i++) {
    status = ucx->config_modify(config, names[i], values[i]);
    if (status != UCS_OK) {
      if (failed) *failed = i;
      ucx->config_release(config);
      return status;
    }
  }
  ucp_params_t params;
  memset(&params, 0, sizeof params);
  params.field_mask = UCP_PARAM_FIELD_FEATURES | UCP_PARAM_FIELD_MT_WORKERS_SHARED | UCP_PARAM_FIELD_ESTIMATED_NUM_EPS | UCP_PARAM_FIELD_NAME;
  params.features = UCP_FEATURE_AM | UCP_FEATURE_WAKEUP;
  params.mt_workers_shared = 0;
  params.estimated_num_eps = estimated_endpoints;
  params.name = name;
  status = ucx->init_version(1, 13, &params, config, context);
  ucx->config_release(config);
  return status;
}

int cucx_worker_create(const struct cucx_library *ucx, ucp_context_h context, const char *name, ucp_worker_h *worker, int *efd) {
  ucp_worker_params_t params;
  memset(&params, 0, sizeof params);
  params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE | UCP_WORKER_PARAM_FIELD_NAME;
  params.thread_mode = UCS_THREAD_MODE_SERIALIZED;
  params.name = name;
  ucs_status_t status = ucx->worker_create(context, &params, worker);
  if (status != UCS_OK) return status;
  status = ucx->worker_get_efd(*worker, efd);
  if (status != UCS_OK) ucx->worker_destroy(*worker);
  return status;
}

int cucx_set_handler(const struct cucx_library *ucx, ucp_worker_h worker, unsigned id, ucp_am_recv_callback_t handler, void *argument) {
  ucp_am_handler_param_t param;
  memset(&param, 0, sizeof param);
  param.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB | UCP_AM_HANDLER_PARAM_FIELD_ARG;
  param.id = id;
  param.cb = handler;
  param.arg = argument;
  return ucx->set_am_handler(worker, &param);
}

int cucx_worker_address(const struct cucx_library *ucx, ucp_worker_h worker, int network_only, const void **address, size_t *length) {
  ucp_worker_attr_t attr;
  memset(&attr, 0, sizeof attr);
  attr.field_mask = UCP_WORKER_ATTR_FIELD_ADDRESS;
  if (network_only) {
    attr.field_mask |= UCP_WORKER_ATTR_FIELD_ADDRESS_FLAGS;
    attr.address_flags = UCP_WORKER_ADDRESS_FLAG_NET_ONLY;
  }
  ucs_status_t status = ucx->worker_query(worker, &attr);
  if (status != UCS_OK) return status;
  *address = attr.address;
  *length = attr.address_length;
  return UCS_OK;
}

void cucx_address_release(const struct cucx_library *ucx, ucp_worker_h worker, const void *address) {
  ucx->release_address(worker, (ucp_address_t *)address);
}

size_t cucx_worker_max_header(const struct cucx_library *ucx, ucp_worker_h worker) {
  ucp_worker_attr_t attr;
  memset(&attr, 0, sizeof attr);
  attr.field_mask = UCP_WORKER_ATTR_FIELD_MAX_AM_HEADER;
  return ucx->worker_query(worker, &attr) == UCS_OK ? attr.max_am_header : 0;
}

/* ── endpoints ────────────────────────────────────────────────────────────────────────────────────────────────────────────────── */

int cucx_endpoint_create(const struct cucx_library *ucx, ucp_worker_h worker, const void *address, ucp_err_handler_cb_t on_error,
                         void *argument, ucp_ep_h *endpoint) {
  ucp_ep_params_t params;
  memset(&params, 0, sizeof params);
  params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE | UCP_EP_PARAM_FIELD_ERR_HANDLER;
  params.address = (const ucp_address_t *)address;
  params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  params.err_handler.cb = on_error;
  params.err_handler.arg = argument;
  return ucx->ep_create(worker, &params, endpoint);
}

int cucx_endpoint_close(const struct cucx_library *ucx, ucp_ep_h endpoint, int force, ucp_send_nbx_callback_t on_closed,
                        void *argument, void **request) {
  ucp_request_param_t param;
  param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS;
  param.flags = force ? UCP_EP_CLOSE_FLAG_FORCE : 0;
  param.cb.send = on_closed;
  param.user_data = argument;
  return cucx_outcome(ucx->ep_close(endpoint, &param), request);
}

/* ucp_ep_attr_t as it has been since 1.14: the structure of 1.13 with the transports behind it. */
struct transport_entry {
  const char *transport;
  const char *device;
};
struct ep_attr_14 {
  ucp_ep_attr_t attr;
  struct transport_entry *entries;
  unsigned count;
  size_t entry_size;
  void *user_data;
};
#define EP_ATTR_FIELD_TRANSPORTS (1ull << 3)

static void copy_name(char *to, size_t size, const char *from, size_t length) {
  if (length >= size) length = size - 1;
  memcpy(to, from, length);
  to[length] = 0;
}

int cucx_parse_lanes(const char *text, struct cucx_transport *transports, int capacity) {
  int count = 0;
  for (const char *line = text; line && *line && count < capacity;) {
    const char *end = strchr(line, '\n');
    const size_t length = end ? (size_t)(end - line) : strlen(line);
    const char *lane = memmem(line, length, "lane[", 5);
    const char *colon = lane ? memchr(lane, ':', length - (size_t)(lane - line)) : NULL;
    if (colon) {
      /* "lane[0]:  1:posix/memory.0 md[2] ..."; a lane of the connection manager has no number. */
      const char *stop = line + length;
      const char *name = colon + 1;
      while (name < stop && *name == ' ') name++;
      const char *digits = name;
      while (name < stop && *name >= '0' && *name <= '9') name++;
      if (name > digits && name < stop && *name == ':') {
        name++;
        const char *slash = name;
        while (slash < stop && *slash != '/' && *slash != ' ') slash++;
        if (slash < stop && *slash == '/') {
          /* Until 1.13 the device is followed by a dot and the path's index. */
          const char *device = slash + 1, *tail = device;
          while (tail < stop && *tail != ' ') tail++;
          const char *dot = tail;
          while (dot > device && *(dot - 1) >= '0' && *(dot - 1) <= '9') dot--;
          if (dot > device && dot < tail && *(dot - 1) == '.') tail = dot - 1;
          copy_name(transports[count].transport, sizeof transports->transport, name, (size_t)(slash - name));
          copy_name(transports[count].device, sizeof transports->device, device, (size_t)(tail - device));
          count++;
        }
      }
    }
    line = end ? end + 1 : NULL;
  }
  return count;
}

static int printed_transports(const struct cucx_library *ucx, ucp_ep_h endpoint, struct cucx_transport *transports, int capacity) {
  char *text = NULL;
  size_t length = 0;
  FILE *stream = open_memstream(&text, &length);
  if (!stream) return UCS_ERR_NO_MEMORY;
  ucx->ep_print_info(endpoint, stream);
  fclose(stream);
  const int count = text ? cucx_parse_lanes(text, transports, capacity) : 0;
  free(text);
  return count;
}

int cucx_endpoint_transports(const struct cucx_library *ucx, ucp_ep_h endpoint, struct cucx_transport *transports, int capacity) {
  if (ucx->major == 1 && ucx->minor < 14) return printed_transports(ucx, endpoint, transports, capacity);
  struct transport_entry entries[32];
  struct ep_attr_14 query;
  memset(entries, 0, sizeof entries);
  memset(&query, 0, sizeof query);
  query.attr.field_mask = EP_ATTR_FIELD_TRANSPORTS;
  query.entries = entries;
  query.count = capacity < 32 ? (unsigned)capacity : 32;
  query.entry_size = sizeof *entries;
  const ucs_status_t status = ucx->ep_query(endpoint, &query.attr);
  if (status != UCS_OK) return status;
  int count = 0;
  for (unsigned i = 0; i < query.count && i < 32; i++) {
    if (!entries[i].transport || !entries[i].device) continue;
    copy_name(transports[count].transport, sizeof transports->transport, entries[i].transport, strlen(entries[i].transport));
    copy_name(transports[count].device, sizeof transports->device, entries[i].device, strlen(entries[i].device));
    count++;
  }
  return count;
}

double cucx_endpoint_estimate(const struct cucx_library *ucx, ucp_ep_h endpoint, size_t byte_count) {
  ucp_ep_evaluate_perf_param_t param;
  ucp_ep_evaluate_perf_attr_t attr;
  memset(&param, 0, sizeof param);
  memset(&attr, 0, sizeof attr);
  param.field_mask = UCP_EP_PERF_PARAM_FIELD_MESSAGE_SIZE;
  param.message_size = byte_count;
  attr.field_mask = UCP_EP_PERF_ATTR_FIELD_ESTIMATED_TIME;
  const ucs_status_t status = ucx->ep_evaluate_perf(endpoint, &param, &attr);
  return status == UCS_OK ? attr.estimated_time : (double)status;
}
