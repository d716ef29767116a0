/* Callbacks: one thread for an engine, started at the first, that sleeps without the GIL and takes it once for a batch. */
#include "native.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { BATCH = 64, SPIN_NS = 50000, SLICE_NS = 20000 };

static int watch(engine_object *engine, int descriptor) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
  return epoll_ctl(engine->epoll, EPOLL_CTL_ADD, descriptor, &event);
}

cwm_queue *notifier_queue(engine_object *engine) {
  if (engine->has_notifier) return engine->callbacks;
  if (!engine->callbacks) {
    cwm_error error = CWM_INIT(cwm_error);
    engine->callbacks = cwm_queue_create(engine->engine, &error);
    if (!engine->callbacks) return raise_code(error.code, error.message, 0), NULL;
    engine->epoll = epoll_create1(EPOLL_CLOEXEC);
    engine->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (engine->epoll < 0 || engine->bell < 0 || watch(engine, engine->bell) < 0 || watch(engine, cwm_queue_descriptor(engine->callbacks)) < 0)
      return PyErr_SetFromErrno(PyExc_OSError), NULL;
  }
  engine->has_notifier = true; /* first: to start it lets other threads run, and there is one */
  PyObject *answer = PyObject_CallMethod((PyObject *)engine, "_start_notifier", NULL);
  if (!answer) {
    engine->has_notifier = false;
    return NULL;
  }
  Py_DECREF(answer);
  return engine->callbacks;
}

void notifier_wake(engine_object *engine) {
  uint64_t one = 1;
  if (engine->callbacks && write(engine->bell, &one, sizeof one) < 0) return; /* it is rung already */
}

void notifier_later(operation *operation, const cwm_completion *end, const char *message) {
  engine_object *engine = operation->engine;
  operation_keep_end(operation, end, message);
  if (engine->later_last) engine->later_last->next = operation;
  else engine->later = operation;
  engine->later_last = operation;
  notifier_wake(engine);
}

int notifier_watch(mailbox_object *server) {
  engine_object *engine = server->engine;
  if (server->is_watched) return 0;
  if (!notifier_queue(engine)) return -1;
  if (watch(engine, cwm_queue_descriptor(server->accepts)) < 0) {
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
  }
  server->is_watched = true;
  server->next_watched = engine->watched;
  engine->watched = server;
  notifier_wake(engine);
  return 0;
}

void notifier_forget(mailbox_object *server) {
  if (!server->is_watched) return;
  for (mailbox_object **at = &server->engine->watched; *at; at = &(*at)->next_watched)
    if (*at == server) {
      *at = server->next_watched;
      break;
    }
  server->is_watched = false;
  epoll_ctl(server->engine->epoll, EPOLL_CTL_DEL, cwm_queue_descriptor(server->accepts), NULL);
}

static void tell_later(engine_object *engine) {
  operation *first = engine->later;
  engine->later = engine->later_last = NULL;
  while (first) {
    operation *operation = first;
    first = operation->next;
    operation_tell_kept(operation);
  }
}

static void tell_accepted(engine_object *engine) {
  for (mailbox_object *server = engine->watched; server;) {
    Py_INCREF((PyObject *)server);
    PyObject *accepted = mailbox_take_accepted(server);
    for (Py_ssize_t i = 0; accepted && i < PyList_Size(accepted); i++) {
      PyObject *function = server->on_accept ? Py_NewRef(server->on_accept) : NULL;
      PyObject *answer = function ? PyObject_CallFunctionObjArgs(function, PyList_GetItem(accepted, i), NULL) : NULL;
      if (function && !answer) PyErr_WriteUnraisable(function);
      Py_XDECREF(answer);
      Py_XDECREF(function);
    }
    Py_XDECREF(accepted);
    if (PyErr_Occurred()) PyErr_WriteUnraisable(NULL);
    mailbox_object *next = server->is_watched ? server->next_watched : NULL; /* the rest has its turn with the next ring */
    if (!next && !server->is_watched && engine->watched) notifier_wake(engine);
    Py_DECREF((PyObject *)server);
    server = next;
  }
}

static int sleep_for(uint64_t deadline) {
  if (deadline == CWM_FOREVER) return -1;
  uint64_t now = now_ns();
  return deadline <= now ? 0 : (int)((deadline - now) / 1000000 + 1);
}

/* What the engine's close ended is told; at the interpreter's end nothing is. */
static void tell_the_rest(engine_object *engine, cwm_completion *completions) {
  for (size_t count; engine->is_closed && !is_forked && ((count = cwm_queue_take(engine->callbacks, completions, BATCH)) || engine->later);) {
    if (count) operations_end(completions, count);
    tell_later(engine);
  }
}

/* The thread. Ends when the engine or the interpreter does. */
PyObject *notifier_run(engine_object *engine) {
  cwm_completion completions[BATCH];
  uint64_t last = 0;
  while (!engine->is_stopping && !is_forked) {
    size_t count = cwm_queue_take(engine->callbacks, completions, BATCH);
    if (count) operations_end(completions, count);
    bool told = count || engine->later;
    tell_later(engine);
    uint64_t deadline = engine->waiting ? lines_expire(engine) : CWM_FOREVER;
    if (told) last = now_ns();
    if (count || engine->later) continue;
    cwm_queue *queue = engine->callbacks;
    if (engine->callbacks_in_flight && last && now_ns() - last < SPIN_NS) {
      int64_t found;
      Py_BEGIN_ALLOW_THREADS;
      found = cwm_queue_wait(queue, completions, BATCH, SLICE_NS, NULL);
      Py_END_ALLOW_THREADS;
      if (found > 0) {
        operations_end(completions, (size_t)found);
        last = now_ns();
      }
      continue;
    }
    struct epoll_event events[16];
    int timeout = sleep_for(deadline), epoll = engine->epoll, ready;
    Py_BEGIN_ALLOW_THREADS;
    ready = epoll_wait(epoll, events, 16, timeout);
    Py_END_ALLOW_THREADS;
    uint64_t rings;
    if (read(engine->bell, &rings, sizeof rings) < 0 && errno != EAGAIN) break;
    if (ready > 0 && engine->watched) tell_accepted(engine);
  }
  tell_the_rest(engine, completions);
  Py_RETURN_NONE;
}

void notifier_stop(engine_object *engine) {
  engine->is_stopping = true;
  notifier_wake(engine);
}
