/* _native: the C ABI of causeway_messaging.h for Python, within the stable ABI of 3.11.
 *
 * What is where: module.c (the module, errors, fork), values.c (arguments, time), held.c (buffers held for an operation), operation.c
 * (what an operation is, how it starts and ends), line.c (operations beyond the in-flight limit, in order), future.c (asyncio futures
 * that cancel their operation), loop.c (completions for an event loop), loops.c (which there are), notifier.c (callbacks), wait.c (calls
 * that block), engine.c, mailbox.c (servers and clients), accept.c (whom servers accept), endpoint.c, message.c, calls.c (what servers,
 * clients and endpoints have in common).
 *
 * Three rules. Everything here runs with the GIL, and what may take time gives it up. The engine's thread never comes here: completions
 * wait in queues. An operation holds its buffers until the library has told that they are free.
 */
#ifndef CAUSEWAY_NATIVE_H
#define CAUSEWAY_NATIVE_H

#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030b0000
#endif
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

#include "causeway_messaging.h"

typedef struct operation operation;
typedef struct engine_object engine_object;
typedef struct mailbox_object mailbox_object;
typedef struct loop_object loop_object;
typedef struct connection connection;

/* -- values.c */

/* The names that code here asks for, interned once. */
extern PyObject *name_set_result, *name_set_exception, *name_done, *name_call_soon, *name_call_soon_threadsafe, *name_add_reader,
    *name_remove_reader, *name_is_closed, *name_loop, *name_length, *name_code, *name_dlpack;
int values_start(void);

#define MAX_ARGUMENTS 8
/* Arguments by place and by name; `names` ends with NULL, the first `required` must be there. */
int read_arguments(const char *function, const char *const *names, int required, PyObject *const *args, Py_ssize_t count, PyObject *kwnames,
                   PyObject **values);
/* Seconds, None for ever. */
int read_timeout(PyObject *value, uint64_t *nanoseconds);
int read_unsigned(PyObject *value, const char *what, uint64_t *result);
/* A tag and a mask: no tag means any message, no mask means exactly. */
int read_tag(PyObject *tag, PyObject *mask, uint64_t *tag_bits, uint64_t *mask_bits);
uint64_t now_ns(void);
/* Takes over the new value's reference. */
void set_reference(PyObject **place, PyObject *value);

/* -- module.c: errors */

/* Raises what `code` stands for. `message` may be NULL. Returns NULL. */
PyObject *raise_code(int32_t code, const char *message, uint64_t length);
/* The same as an object: a new reference, or NULL with an error. */
PyObject *error_object(int32_t code, const char *message, uint64_t length);
/* False, with an error, in a child of the process that uses the library. */
bool may_run(void);
extern bool is_forked;
/* A code beyond the library's: too many operations wait for room. */
#define CODE_QUEUE_FULL (-1000)

/* -- held.c */

/* Memory of somebody else, held by the buffer protocol or by DLPack. */
typedef struct held {
  Py_buffer view;
  void *managed;
  void *data;
  size_t length;
} held;
int hold(held *held, PyObject *object, bool writable);
void let_go(held *held);

/* -- operation.c */

enum kind {
  SEND,
  RECEIVE,
  RECEIVE_MESSAGE,
  SEND_MANY,
  RECEIVE_MANY,
  FLUSH,
  CONNECT,
  CLOSE,
};
/* Whom the end is told. */
enum consumer { FUTURE, CALLBACK, CALLER, NOBODY };
enum state { IDLE, IN_LINE, IN_FLIGHT, ENDED };

typedef struct line {
  operation *first, *last;
  struct line *next_waiting;
  bool is_waiting;
} line;

struct operation {
  operation *next, *previous;          /* free list, or line */
  size_t expires_at;                   /* its place among the deadlines of those that wait in lines, from 1 */
  operation *next_of_loop, **in_loop;  /* the loop's list */
  uint8_t kind, consumer, state;
  bool is_cancelling;
  bool drops; /* a message that is too long is thrown away */
  uint32_t flags;
  engine_object *engine;  /* counted through `owner` */
  PyObject *owner;        /* the server, client or endpoint: alive as long as this */
  PyObject *source;       /* an endpoint that a receive is tied to, or NULL */
  mailbox_object *mailbox;
  connection *connection;             /* whom it is sent to, or whose messages it receives */
  loop_object *loop;
  PyObject *future;       /* FUTURE */
  PyObject *done, *failed; /* CALLBACK */
  cwm_queue *queue;
  cwm_request request;
  uint64_t tag, mask, timeout, deadline;
  held held;
  held *many;
  cwm_message *messages;
  cwm_result *results;
  size_t count;
  const char *host;
  const void *blob;
  PyObject *words;        /* what host or blob point into; later the story of its end */
  uint16_t port;
  const char *key;
  size_t key_length;
  cwm_completion end;     /* CALLER */
};

operation *operation_new(enum kind kind, engine_object *engine, PyObject *owner);
void operation_free(operation *operation);
/* Keeps an end that is told later, and its words. */
void operation_keep_end(operation *operation, const cwm_completion *end, const char *message);
/* Tells the end that was kept. */
void operation_tell_kept(operation *operation);
/* Gives it to the library. As the ABI's calls: CWM_OK with `now`, CWM_PENDING or a code. */
int32_t operation_submit(operation *operation, cwm_completion *now, cwm_error *error);
/* Tells its end to whom it is for, and frees it when nothing of it is in use. */
void operation_end(operation *operation, const cwm_completion *completion, const char *message);
/* What the queues deliver, from `count` completions. Never leaves an error set. */
void operations_end(const cwm_completion *completions, size_t count);
/* What a caller gets for a good end: a new reference. */
PyObject *operation_value(operation *operation, const cwm_completion *completion);
/* The exception for a bad end: a new reference. */
PyObject *operation_error(operation *operation, int32_t code, const char *message, uint64_t length);
/* Starts it for its consumer. Takes the operation over. Returns a future, a value, an operation handle or NULL with an error. */
PyObject *start(operation *operation, enum consumer consumer, PyObject *loop, PyObject *done, PyObject *failed);
/* Asks the library for the end of one that is in flight. False: it has ended. */
bool operation_ask_for_end(operation *operation);
/* Asks for its end. Returns false when it has ended already and only its completion is under way. */
bool operation_cancel(operation *operation);

/* -- line.c */

#define LINE_LIMIT (1u << 20)
/* Whether others come first, which wait. */
bool line_holds(operation *operation);
line *operation_line(operation *operation);
/* Waits for room. 0, or -1 with QueueFullError. */
int line_append(operation *operation);
void line_remove(operation *operation);
/* What comes of one whose time is over in line: a close is forced, the rest CWM_TIMED_OUT. As operation_submit. */
int32_t line_overdue(operation *operation, cwm_completion *now, cwm_error *error);
/* The end of an empty line, which those that wait may still be looked for in. */
void line_strike(line *line);
/* Tries those that wait, after completions made room. */
void lines_retry(engine_object *engine);
/* Ends those whose time is over; returns the next deadline. */
uint64_t lines_expire(engine_object *engine);

/* -- future.c */

int future_start(PyObject *module);
PyObject *future_new(PyObject *loop_keywords, operation *operation);
void future_detach(PyObject *future);
void future_set(PyObject *future, PyObject *value);
void future_fail(PyObject *future, PyObject *error);
void future_cancel(PyObject *future);

/* -- loop.c, loops.c */

struct loop_object {
  PyObject_HEAD
  loop_object *next;
  engine_object *engine;
  PyObject *loop;
  PyObject *keywords;    /* {"loop": loop} */
  PyObject *call_soon;
  PyObject *tick;
  cwm_queue *queue;
  operation *operations; /* all that are in flight for it */
  size_t in_flight;
  PyObject *deferred;    /* list of (future, value): done, but the loop shall turn first */
  operation *later, *later_last; /* ended, to be told by the loop's thread */
  unsigned at_once;      /* operations that were done at once since the loop last turned */
  bool is_ticking, is_closed;
  bool is_taking; /* a tick or an await takes from the queue without the GIL: nobody else may */
  uint64_t spin_start;
  unsigned vain, skipped; /* spins that ended without a completion, and those not tried since */
  uint64_t turned_at;     /* when it last called us */
  unsigned long thread;   /* that runs it */
  unsigned vain_looks;    /* of awaits, in a row */
};
int loop_start(PyObject *module);
/* The completions of `loop`, NULL: the running one. Borrowed, or NULL with an error. */
loop_object *loop_of(engine_object *engine, PyObject *loop);
void loop_begin(loop_object *loop, operation *operation);
void loop_end(operation *operation);
void loop_take(loop_object *loop);
/* The same, until nothing is there and the descriptor tells of more. */
void loop_drain(loop_object *loop);
extern PyMethodDef loop_methods[];
/* Whether the last loop asked for is the one that runs in this thread: others are only woken through their descriptor. */
extern _Thread_local bool loop_is_running_here;
/* Somebody awaits `*place`, which becomes NULL at its end: looks for that for a moment, so that the loop need not turn. */
void loop_look(loop_object *loop, operation **place);
/* Whether the loop shall turn before it hears of one more end. */
bool loop_defers(loop_object *loop);
void loop_defer(loop_object *loop, PyObject *future, PyObject *value);
void loop_wake_for_line(loop_object *loop, operation *operation);
/* Whether this is the thread that runs it. */
bool loop_is_here(const loop_object *loop);
/* Tells an end that another thread found, from the loop's own. `message` may be NULL. */
void loop_later(operation *operation, const cwm_completion *end, const char *message);
/* Ends what closed loops left behind. */
void loops_forget_closed(engine_object *engine);
/* Its engine forgets it. */
void loop_release(loop_object *loop);

/* -- notifier.c */

cwm_queue *notifier_queue(engine_object *engine);
PyObject *notifier_run(engine_object *engine);
void notifier_stop(engine_object *engine);
/* Calls the server's `on_accept` from the notifier's thread. 0 or -1 with an error. */
int notifier_watch(mailbox_object *server);
void notifier_forget(mailbox_object *server);
void notifier_wake(engine_object *engine);
/* Tells an end that is known already, from its thread. `message` may be NULL. */
void notifier_later(operation *operation, const cwm_completion *end, const char *message);

/* -- wait.c */

/* Blocks, without the GIL, until it has ended; frees it. A new reference, or NULL with an error. */
PyObject *wait_for(operation *operation, int32_t code, cwm_completion *now, cwm_error *error);
cwm_queue *wait_queue(engine_object *engine);
void wait_give_back(engine_object *engine, cwm_queue *queue);

/* -- engine.c */

#define WAIT_QUEUES 16
struct engine_object {
  PyObject_HEAD
  cwm_engine *engine;
  engine_object *next;
  bool is_shared, is_closed;
  loop_object *loops;
  loop_object *last_loop;
  line *waiting;
  size_t in_lines;
  bool is_retrying, retries_again;
  operation **expiring; /* those in lines that have a deadline */
  size_t expiring_count, expiring_room;
  cwm_queue *waits[WAIT_QUEUES];
  int wait_count;
  cwm_queue *callbacks;
  operation *later, *later_last; /* ended, to be told by the notifier */
  mailbox_object *watched;
  int epoll, bell;
  bool has_notifier, is_stopping;
  size_t callbacks_in_flight;
};
extern engine_object *engines;
int engine_start(PyObject *module);
extern PyTypeObject *engine_type;

/* -- mailbox.c, accept.c, endpoint.c, message.c */

struct mailbox_object {
  PyObject_HEAD
  engine_object *engine;
  cwm_server *server;
  cwm_client *client;
  connection *connection; /* a client's connection */
  line receives, flushes;
  cwm_queue *accepts;
  PyObject *on_accept;
  mailbox_object *next_watched;
  bool is_watched, is_closed;
  bool is_taking; /* as the loop's, of `accepts` */
};
extern PyTypeObject *mailbox_type, *endpoint_type;
int mailbox_start(PyObject *module);
/* 0, or -1 with an error when it is none that does what is asked. */
int mailbox_need(mailbox_object *mailbox, bool is_server);
PyObject *mailbox_take_accepted(mailbox_object *server);
extern PyMethodDef accept_methods[];
extern PyGetSetDef accept_attributes[];

/* A connection, shared by all objects that show it. */
struct connection {
  connection *next;
  size_t references;
  uint64_t id;
  cwm_endpoint *endpoint;
  line sends;
};
typedef struct endpoint_object {
  PyObject_HEAD
  mailbox_object *mailbox;
  connection *connection;
} endpoint_object;
int endpoint_start(PyObject *module);
/* Takes one reference of `endpoint` over. */
PyObject *endpoint_new(mailbox_object *mailbox, cwm_endpoint *endpoint);
connection *connection_of(cwm_endpoint *endpoint);
void connection_release(connection *connection);

/* The calls that servers, clients and endpoints share; `self` is one of them. */
PyObject *call_send(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames, enum consumer consumer);
PyObject *call_receive(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames, enum consumer consumer, enum kind kind);
PyObject *call_flush(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames, enum consumer consumer);
PyObject *call_send_many(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames, enum consumer consumer);
PyObject *call_receive_many(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames, enum consumer consumer);
PyObject *call_probe(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames);
/* A row of a method table. */
#define METHOD(name, function, doc) {name, (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS, doc}
/* Of what sends, and of what receives and flushes. */
extern PyMethodDef send_methods[], receive_methods[];

int message_start(PyObject *module);
PyObject *message_new(void *data, size_t length, uint64_t tag);

#endif
