/* causeway_messaging.h: tag-matched, zero-copy, full-duplex messages over OpenUCX, for C and for whatever can call C.
 *
 * Objects are opaque handles that the caller closes and frees. Every struct begins with its size, so that later versions can add fields:
 * set it with CWM_INIT. Functions return CWM_OK or a code below; the words to it are in the `cwm_error` that most of them take (may be
 * NULL). Every function may be called from any thread. No function but those called "wait" and "sync" blocks.
 *
 * An operation tells its end once: through a callback on the engine's thread, or as an entry of a completion queue that the caller drains.
 * Buffers belong to the operation until that end, but for one case: a send that ends before UCX let go of its buffer (it was cancelled, or
 * its time was over) says CWM_KEPT, and a second completion of the same `user` with CWM_RELEASED tells when the buffer is free.
 * Times are nanoseconds from the call on; CWM_FOREVER is none.
 */
#ifndef CAUSEWAY_MESSAGING_H
#define CAUSEWAY_MESSAGING_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CWM_ABI_VERSION 1u
#define CWM_FOREVER UINT64_MAX
/* A tag mask that compares every bit, and one that compares none. */
#define CWM_MASK_EXACT UINT64_MAX
#define CWM_MASK_ANY ((uint64_t)0)
/* struct cwm_x x = CWM_INIT(struct cwm_x); */
#ifdef __cplusplus
#define CWM_INIT(type) { sizeof(type) }
#else
#define CWM_INIT(type) { .size = sizeof(type) }
#endif

/* What this library is: CWM_ABI_VERSION of the header it was built with. */
uint32_t cwm_abi_version(void);

typedef struct cwm_engine cwm_engine;     /* one thread, one UCX worker */
typedef struct cwm_server cwm_server;     /* accepts endpoints; its receives match messages of any of them */
typedef struct cwm_client cwm_client;     /* one connection; its receives match that connection's messages */
typedef struct cwm_endpoint cwm_endpoint; /* a connection, on either side; counted: see cwm_endpoint_release */
typedef struct cwm_queue cwm_queue;       /* where completions wait for a consumer */

/* Why something did not work. Values are stable; later versions may add some: treat an unknown one as CWM_FAILED. */
enum cwm_code {
  CWM_OK = 0,
  CWM_PENDING = 1,              /* begun; its end will be told */
  CWM_FAILED = -1,              /* see the message */
  CWM_INVALID = -2,             /* an argument makes no sense */
  CWM_WOULD_BLOCK = -3,         /* the in-flight limit is reached: try again after a completion */
  CWM_TRUNCATED = -4,           /* the message is longer than the buffer; it waits for another receive; `length` is its own */
  CWM_TIMED_OUT = -5,           /* the deadline passed */
  CWM_CANCELLED = -6,           /* cancelled by the caller */
  CWM_PEER_LOST = -7,           /* the peer's process or host is gone */
  CWM_CLOSED = -8,              /* the object was closed */
  CWM_NOT_CONNECTED = -9,       /* nobody listens there, or it refused */
  CWM_VERSION_MISMATCH = -10,   /* the peers' UCX or protocol versions differ */
  CWM_KEY_REFUSED = -11,        /* the shared keys differ, or one side has none */
  CWM_ADDRESS_IN_USE = -12,
  CWM_NO_UCX = -13,             /* no usable UCX library was found */
  CWM_FORKED = -14,             /* the engine belongs to the parent process */
  CWM_NO_MEMORY = -15,
  CWM_NOT_FOUND = -16           /* probe: no such message now */
};

/* The story behind a code, for people. */
typedef struct cwm_error {
  size_t size;
  int32_t code;
  char message[1020]; /* one line, NUL-terminated, never with a secret */
} cwm_error;

/* The name of a code, as in this header without its prefix; never NULL. */
const char *cwm_code_name(int32_t code);

/* -- The library beneath ------------------------------------------------------------------------------------------------------- */

/* Says where UCX lies when it is no system library: the folder with libucp.so.0. Call it before the first engine, or never. */
int32_t cwm_set_ucx_folder(const char *folder);
/* Loads UCX when it is not loaded yet and writes a JSON object of at most `capacity` bytes with its NUL into `text`: "source" ("system" or
 * "wheel"), "version", "path", and "transports", which are objects with "name" and "device". Returns its length without the NUL, or a code.
 * A result >= capacity: call again with more room. */
int64_t cwm_info_json(char *text, size_t capacity, cwm_error *error);

/* -- Engine -------------------------------------------------------------------------------------------------------------------- */

enum cwm_progress { CWM_ADAPTIVE = 0, CWM_BLOCKING = 1, CWM_BUSY = 2, CWM_MANUAL = 3 };

typedef struct cwm_engine_options {
  size_t size;
  uint32_t progress;         /* enum cwm_progress */
  int32_t core;              /* CWM_BUSY: the processor to stay on, or -1 */
  uint64_t spin_ns;          /* CWM_ADAPTIVE: how long to look before sleeping; 0: the default of 50 us */
  const char *transports;    /* UCX_TLS for this engine, or NULL */
  uint64_t unreceived_limit; /* bytes of unreceived cost; 0: 64 MiB */
  uint64_t endpoint_grant;   /* most of it for one endpoint; 0: 4 MiB */
  uint64_t host_timeout_ns;  /* how long a peer's host may be gone unnoticed, in whole seconds; 0: 5 s */
} cwm_engine_options;

/* The process's default engine, made at the first call; never closed. NULL and `error` when there can be none. */
cwm_engine *cwm_engine_shared(cwm_error *error);
cwm_engine *cwm_engine_create(const cwm_engine_options *options, cwm_error *error);
/* Closes all that lives on it by force, ends its thread and frees the handle. Not from one of its callbacks. `timeout_ns` is not used: close
 * servers and clients first, if what they sent is to be flushed. */
int32_t cwm_engine_close(cwm_engine *engine, uint64_t timeout_ns, cwm_error *error);
/* CWM_MANUAL: one round; returns 0, or a code. */
int64_t cwm_engine_progress(cwm_engine *engine);
/* CWM_MANUAL: a descriptor that is readable when there is something to progress; deadlines want a round at least every 100 ms as well. */
int32_t cwm_engine_arm(cwm_engine *engine, int32_t *descriptor);
/* The figures of the engine and of each of its connections as text for Prometheus; returns the length, see cwm_info_json. */
int64_t cwm_engine_metrics(cwm_engine *engine, char *text, size_t capacity, cwm_error *error);
/* Serves them at http://host:port/metrics until the engine's end; port 0: any. Returns the port, or a code. */
int32_t cwm_engine_serve_metrics(cwm_engine *engine, const char *host, uint16_t port, cwm_error *error);

/* -- Ends of operations ----------------------------------------------------------------------------------------------------------- */

enum cwm_completion_flags {
  CWM_KEPT = 1,    /* the operation has ended, its buffer is still in use: another completion will follow */
  CWM_RELEASED = 2 /* that other completion: only the buffer's end, `code` is CWM_OK */
};

typedef struct cwm_completion {
  size_t size;
  uint64_t user;          /* as given */
  int32_t code;           /* CWM_OK, or why not */
  uint32_t flags;         /* enum cwm_completion_flags */
  uint64_t tag;           /* receives: the sender's */
  uint64_t length;        /* receives: bytes of the message, also when truncated */
  void *data;             /* receives of unknown size: the message, to be given back with cwm_free */
  cwm_endpoint *endpoint; /* accept: the new endpoint; receives: NULL */
} cwm_completion;

typedef void (*cwm_callback)(void *context, const cwm_completion *completion);

/* Of receives of one message into a buffer: one that is too long is thrown away, where it would wait for another receive. */
enum cwm_operation_flags { CWM_DROP_TRUNCATED = 1 };

/* How an operation is done. Exactly one of `callback` and `queue`, which is one of the same engine. */
typedef struct cwm_operation {
  size_t size;
  uint64_t timeout_ns; /* CWM_FOREVER: none */
  uint64_t user;       /* comes back in the completion */
  cwm_callback callback;
  void *context;
  cwm_queue *queue;
  uint64_t flags; /* enum cwm_operation_flags */
} cwm_operation;

/* A begun operation, for cwm_cancel. */
typedef uint64_t cwm_request;

/* Takes back what can be taken back: a receive that matched nothing, a send, a flush, a connect. Its end is told as CWM_CANCELLED, or as
 * whatever overtook it. CWM_NOT_FOUND: it has ended, or its message is arriving. */
int32_t cwm_cancel(cwm_engine *engine, cwm_request request);

/* A ring of completions with an eventfd that is written once for a batch, only while the consumer sleeps. */
cwm_queue *cwm_queue_create(cwm_engine *engine, cwm_error *error);
int32_t cwm_queue_descriptor(cwm_queue *queue);
/* Takes up to `count`; returns how many. 0 arms the descriptor. */
size_t cwm_queue_take(cwm_queue *queue, cwm_completion *completions, size_t count);
/* As cwm_queue_take, but drives the engine on this thread until there is one or the time is over; blocks. */
int64_t cwm_queue_wait(cwm_queue *queue, cwm_completion *completions, size_t count, uint64_t timeout_ns, cwm_error *error);
void cwm_queue_free(cwm_queue *queue);
void cwm_free(void *data);

/* -- Server ----------------------------------------------------------------------------------------------------------------------- */

typedef struct cwm_listen_options {
  size_t size;
  const char *key; /* shared secret of >= 16 bytes, or NULL */
  size_t key_length;
  uint32_t without_tcp; /* cwm_server_listen_address: this host only */
} cwm_listen_options;

cwm_server *cwm_server_create(cwm_engine *engine, cwm_error *error);
/* Called on the engine's thread for each accepted endpoint; set it before listening. */
int32_t cwm_server_on_accept(cwm_server *server, cwm_callback callback, void *context);
/* The same as completions of a queue; of endpoints that nobody takes the newest 4096. */
int32_t cwm_server_accept_into(cwm_server *server, cwm_queue *queue, uint64_t user);
/* Binds to host (a literal, a name, NULL for all) and port (0: any). */
int32_t cwm_server_listen(cwm_server *server, const char *host, uint16_t port, const cwm_listen_options *options, cwm_error *error);
/* Makes the server reachable by an address blob for out-of-band exchange; returns its length, see cwm_info_json for `capacity`. */
int64_t cwm_server_listen_address(cwm_server *server, void *blob, size_t capacity, const cwm_listen_options *options, cwm_error *error);
uint16_t cwm_server_port(cwm_server *server);
/* A snapshot: up to `count` endpoints, each to be released; returns how many there are. */
size_t cwm_server_clients(cwm_server *server, cwm_endpoint **endpoints, size_t count);
/* Flushes until the deadline, then closes by force. The end comes when nothing of it is in use any more. */
int32_t cwm_server_close(cwm_server *server, const cwm_operation *operation, cwm_error *error);
/* Closes by force what is not closed, and frees the handle. */
void cwm_server_free(cwm_server *server);

/* -- Client ----------------------------------------------------------------------------------------------------------------------- */

cwm_client *cwm_client_create(cwm_engine *engine, cwm_error *error);
int32_t cwm_client_connect(cwm_client *client, const char *host, uint16_t port, const void *key, size_t key_length,
                           const cwm_operation *operation, cwm_request *request, cwm_error *error);
int32_t cwm_client_connect_address(cwm_client *client, const void *blob, size_t length, const void *key, size_t key_length,
                                   const cwm_operation *operation, cwm_request *request, cwm_error *error);
/* Why its connect failed, in words; CWM_OK when it did not. */
int32_t cwm_client_failure(cwm_client *client, cwm_error *error);
/* Its connection, to be released; NULL before it is connected. */
cwm_endpoint *cwm_client_endpoint(cwm_client *client);
int32_t cwm_client_close(cwm_client *client, const cwm_operation *operation, cwm_error *error);
/* As cwm_server_free. */
void cwm_client_free(cwm_client *client);

/* -- Messages --------------------------------------------------------------------------------------------------------------------- */

typedef struct cwm_piece {
  const void *data;
  size_t length;
} cwm_piece;

enum cwm_send_flags { CWM_SYNCHRONOUS = 1 /* complete when matched, not when the buffer is free */ };

/* CWM_OK: done, no completion will come. CWM_PENDING: its end will be told, `request` (may be NULL) names it. */
int32_t cwm_send(cwm_endpoint *endpoint, const void *data, size_t length, uint64_t tag, uint32_t flags, const cwm_operation *operation,
                 cwm_request *request, cwm_error *error);
int32_t cwm_send_pieces(cwm_endpoint *endpoint, const cwm_piece *pieces, size_t count, uint64_t tag, uint32_t flags,
                        const cwm_operation *operation, cwm_request *request, cwm_error *error);
/* `data` NULL with `capacity` SIZE_MAX: a message of any size, allocated by the library. `from`: an endpoint of this
 * server; NULL: any. */
int32_t cwm_server_receive(cwm_server *server, cwm_endpoint *from, void *data, size_t capacity, uint64_t tag, uint64_t mask,
                           const cwm_operation *operation, cwm_request *request, cwm_completion *now, cwm_error *error);
int32_t cwm_client_receive(cwm_client *client, void *data, size_t capacity, uint64_t tag, uint64_t mask, const cwm_operation *operation,
                           cwm_request *request, cwm_completion *now, cwm_error *error);

/* Several of one kind with one completion: `code` is the first failure, `length` how many went well; `results` (may be NULL) one by one. */
typedef struct cwm_message {
  void *data;
  size_t length;
  uint64_t tag;
  uint64_t mask; /* receives */
} cwm_message;
typedef struct cwm_result {
  int32_t code;
  uint32_t reserved;
  uint64_t tag;
  uint64_t length;
} cwm_result;
int32_t cwm_send_many(cwm_endpoint *endpoint, const cwm_message *messages, size_t count, uint32_t flags, const cwm_operation *operation,
                      cwm_result *results, cwm_request *request, cwm_error *error);
int32_t cwm_server_receive_many(cwm_server *server, cwm_endpoint *from, const cwm_message *messages, size_t count,
                                const cwm_operation *operation, cwm_result *results, cwm_request *request, cwm_error *error);
int32_t cwm_client_receive_many(cwm_client *client, const cwm_message *messages, size_t count, const cwm_operation *operation,
                                cwm_result *results, cwm_request *request, cwm_error *error);

/* Whether a message waits: CWM_OK with tag and length, or CWM_NOT_FOUND. It stays. */
int32_t cwm_server_probe(cwm_server *server, cwm_endpoint *from, uint64_t tag, uint64_t mask, cwm_completion *found);
int32_t cwm_client_probe(cwm_client *client, uint64_t tag, uint64_t mask, cwm_completion *found);

/* Ends when every earlier message is in the peer's memory or has been read. */
int32_t cwm_server_flush(cwm_server *server, const cwm_operation *operation, cwm_request *request, cwm_error *error);
int32_t cwm_endpoint_flush(cwm_endpoint *endpoint, const cwm_operation *operation, cwm_request *request, cwm_error *error);

/* -- Endpoint --------------------------------------------------------------------------------------------------------------------- */

void cwm_endpoint_retain(cwm_endpoint *endpoint);
void cwm_endpoint_release(cwm_endpoint *endpoint);
/* A number that no other endpoint of this process has or had. */
uint64_t cwm_endpoint_id(cwm_endpoint *endpoint);

typedef struct cwm_endpoint_info {
  size_t size;
  char name[64];
  char local_host[64];
  char remote_host[64];
  uint16_t local_port;
  uint16_t remote_port;
  uint32_t is_connected;
  /* After the connection's end those of its end. `unreceived_bytes` is what the messages cost, `queued` those of `in_flight` that wait for
   * the peer to receive something. */
  uint64_t sent_messages, sent_bytes, received_messages, received_bytes, in_flight, unreceived_bytes;
  uint64_t unreceived_messages, queued;
} cwm_endpoint_info;
int32_t cwm_endpoint_info_get(cwm_endpoint *endpoint, cwm_endpoint_info *info);
/* Lines "transport device" of what it uses; returns the length, see cwm_info_json. */
int64_t cwm_endpoint_transports(cwm_endpoint *endpoint, char *text, size_t capacity, cwm_error *error);
/* Seconds that a message of so many bytes takes by UCX's estimate; negative: unknown. */
double cwm_endpoint_evaluate_performance(cwm_endpoint *endpoint, size_t length);

#ifdef __cplusplus
}
#endif
#endif
