/* Completions for an event loop: one queue, one reader, and a short spin while they are near.
 *
 * While operations are in flight the loop is asked to come back at once (call_soon) and each time looks for completions itself, driving
 * the engine without the GIL for some microseconds: a loop that sleeps is woken 50 us late or more. After SPIN_NS without any, the queue's
 * descriptor wakes it. A loop whose spins are in vain gives them up for a while, and one that has a single core never spins.
 *
 * An `await` looks in the same way before it suspends its task, as a turn of the loop costs several microseconds; not for longer than
 * TURN_NS, nor more than MAX_AT_ONCE times, after the loop's last turn: others want theirs.
 */
#include "native.h"

#include <sched.h>

enum { BATCH = 64, SPIN_NS = 250000, SLICE_NS = 10000, NEAR_NS = 400000, ABSENCE_NS = 500000, MAX_AT_ONCE = 64 };
enum { VAIN_LIMIT = 4, SKIP_LIMIT = 16, TURN_NS = 100000 };

static PyTypeObject *loop_type;
static PyObject *get_running_loop;
/* Whether the last loop asked for is the one that runs here: others are only woken through their descriptor. */
static _Thread_local bool is_running_here;

static bool has_cores(void) {
  cpu_set_t cores;
  return sched_getaffinity(0, sizeof cores, &cores) != 0 || CPU_COUNT(&cores) > 1;
}

static void report(void) {
  if (PyErr_Occurred()) PyErr_WriteUnraisable(NULL);
}

/* Takes what is there; with `arms` until nothing is, so that the descriptor tells of more. */
static size_t take(loop_object *loop, bool arms) {
  cwm_completion completions[BATCH];
  size_t total = 0, count;
  do {
    count = cwm_queue_take(loop->queue, completions, BATCH);
    if (count) operations_end(completions, count);
    total += count;
  } while (count == BATCH || (arms && count));
  return total;
}

void loop_take(loop_object *loop) {
  if (!loop->is_taking) take(loop, !loop->is_ticking);
}

static void tick_soon(loop_object *loop) {
  if (loop->is_ticking || loop->is_closed) return;
  PyObject *handle = PyObject_CallFunctionObjArgs(loop->call_soon, loop->tick, NULL);
  loop->is_ticking = handle != NULL;
  Py_XDECREF(handle);
  if (!handle) report();
}

static void tell_deferred(loop_object *loop) {
  PyObject *deferred = loop->deferred;
  loop->deferred = NULL;
  for (Py_ssize_t i = 0; i < PyList_Size(deferred); i++) {
    PyObject *pair = PyList_GetItem(deferred, i);
    future_set(PyTuple_GetItem(pair, 0), PyTuple_GetItem(pair, 1));
    report();
  }
  Py_DECREF(deferred);
}

static void tell_later(loop_object *loop) {
  operation *first = loop->later;
  loop->later = loop->later_last = NULL;
  while (first) {
    operation *operation = first;
    first = operation->next;
    operation->next = NULL;
    operation_tell_kept(operation);
  }
}

bool loop_is_here(const loop_object *loop) { return loop->thread == PyThread_get_thread_ident(); }

void loop_later(operation *operation, const cwm_completion *end, const char *message) {
  loop_object *loop = operation->loop;
  operation_keep_end(operation, end, message);
  if (loop->later_last) loop->later_last->next = operation;
  else loop->later = operation;
  loop->later_last = operation;
  if (loop->later != operation) return; /* it is told already */
  PyObject *readable = PyObject_GetAttrString((PyObject *)loop, "_readable"), *handle = NULL;
  if (readable) handle = PyObject_CallMethodObjArgs(loop->loop, name_call_soon_threadsafe, readable, NULL);
  if (!handle) PyErr_Clear(); /* closed: nobody hears of it any more */
  Py_XDECREF(handle);
  Py_XDECREF(readable);
}

/* Drives the engine without the GIL until there are completions, for so long at most. Nobody else takes any meanwhile. */
static int64_t wait_here(loop_object *loop, cwm_completion *completions, uint64_t nanoseconds) {
  cwm_queue *queue = loop->queue;
  int64_t count;
  loop->is_taking = true;
  Py_BEGIN_ALLOW_THREADS;
  count = cwm_queue_wait(queue, completions, BATCH, nanoseconds, NULL);
  Py_END_ALLOW_THREADS;
  loop->is_taking = false;
  return count;
}

/* The loop calls. Returns the time. */
static uint64_t turned(loop_object *loop) {
  loop->at_once = 0;
  loop->thread = PyThread_get_thread_ident();
  return loop->turned_at = now_ns();
}

void loop_look(loop_object *loop, operation **place) {
  if (is_forked || loop->is_closed || loop->is_taking || loop->vain >= VAIN_LIMIT || loop->at_once >= MAX_AT_ONCE) return;
  if ((*place)->state != IN_FLIGHT || loop->thread != PyThread_get_thread_ident() || !has_cores()) return;
  uint64_t began = now_ns(), now = began;
  if (began - loop->turned_at > TURN_NS) return;
  if (loop->vain_looks >= VAIN_LIMIT && ++loop->vain_looks % SKIP_LIMIT) return;
  cwm_completion completions[BATCH];
  Py_INCREF((PyObject *)loop);
  do {
    int64_t count = wait_here(loop, completions, SLICE_NS - (now - began));
    if (count > 0) operations_end(completions, (size_t)count);
    now = now_ns();
  } while (*place && now - began < SLICE_NS);
  if (!loop->is_ticking) take(loop, true);
  loop->at_once++;
  if (now - began > ABSENCE_NS) loop->vain = VAIN_LIMIT;
  if (*place) {
    loop->vain_looks++;
  } else {
    loop->vain_looks = 0;
    loop->spin_start = now;
  }
  Py_DECREF((PyObject *)loop);
}

/* Called by the event loop, once for each tick_soon. */
static PyObject *tick(PyObject *self, PyObject *unused) {
  (void)unused;
  loop_object *loop = (loop_object *)self;
  loop->is_ticking = false;
  if (is_forked) Py_RETURN_NONE;
  uint64_t began = turned(loop);
  if (loop->deferred) tell_deferred(loop);
  if (!loop->in_flight) {
    take(loop, true);
    Py_RETURN_NONE;
  }
  cwm_completion completions[BATCH];
  int64_t count = wait_here(loop, completions, SLICE_NS);
  uint64_t now = loop->turned_at = now_ns();
  if (now - began > ABSENCE_NS) loop->vain = VAIN_LIMIT; /* pushed off the core: somebody else needs it */
  if (count > 0) {
    operations_end(completions, (size_t)count);
    loop->spin_start = now;
    if (now - began < ABSENCE_NS) loop->vain = 0;
  } else if (now - loop->spin_start > SPIN_NS) {
    if (take(loop, true) == 0) {
      loop->vain++;
      Py_RETURN_NONE;
    }
    loop->spin_start = now;
  }
  tick_soon(loop);
  Py_RETURN_NONE;
}

/* Called by the event loop when the queue's descriptor is readable. */
static PyObject *readable(PyObject *self, PyObject *unused) {
  (void)unused;
  loop_object *loop = (loop_object *)self;
  if (is_forked) Py_RETURN_NONE;
  if (turned(loop) - loop->spin_start < NEAR_NS && loop->vain) loop->vain--;
  if (loop->later) tell_later(loop);
  take(loop, true);
  Py_RETURN_NONE;
}

static PyObject *expire(PyObject *self, PyObject *unused) {
  (void)unused;
  if (!is_forked) lines_expire(((loop_object *)self)->engine);
  Py_RETURN_NONE;
}

void loop_begin(loop_object *loop, operation *operation) {
  operation->loop = loop;
  operation->next_of_loop = loop->operations;
  operation->in_loop = &loop->operations;
  if (loop->operations) loop->operations->in_loop = &operation->next_of_loop;
  loop->operations = operation;
  loop->in_flight++;
  if (loop->is_ticking || !is_running_here) return;
  if (loop->vain >= VAIN_LIMIT && ++loop->skipped < SKIP_LIMIT) {
    loop->spin_start = now_ns();
    return;
  }
  loop->skipped = 0;
  if (has_cores()) {
    loop->spin_start = now_ns();
    tick_soon(loop);
  }
}

void loop_end(operation *operation) {
  loop_object *loop = operation->loop;
  if (!loop) return;
  *operation->in_loop = operation->next_of_loop;
  if (operation->next_of_loop) operation->next_of_loop->in_loop = operation->in_loop;
  operation->loop = NULL;
  loop->in_flight--;
}

bool loop_defers(loop_object *loop) { return is_running_here && ++loop->at_once >= MAX_AT_ONCE; }

void loop_defer(loop_object *loop, PyObject *future, PyObject *value) {
  PyObject *pair = PyTuple_Pack(2, future, value);
  if (!loop->deferred) loop->deferred = PyList_New(0);
  if (!pair || !loop->deferred || PyList_Append(loop->deferred, pair) < 0) {
    PyErr_Clear();
    future_set(future, value);
  }
  Py_XDECREF(pair);
  tick_soon(loop);
}

void loop_wake_for_line(loop_object *loop, operation *operation) {
  if (operation->timeout == CWM_FOREVER) return;
  PyObject *expire = PyObject_GetAttrString((PyObject *)loop, "_expire"), *handle = NULL;
  /* A little later than the deadline, which is looked at then. */
  if (expire) handle = PyObject_CallMethod(loop->loop, "call_later", "dO", (double)operation->timeout / 1e9 + 0.0001, expire);
  if (!handle) report();
  Py_XDECREF(handle);
  Py_XDECREF(expire);
}

static PyObject *attribute_call(PyObject *object, PyObject *name) { return PyObject_CallMethodObjArgs(object, name, NULL); }

static void forget(loop_object *loop) {
  loop->is_closed = true;
  loop->later = loop->later_last = NULL;
  for (operation *each = loop->operations, *next; each; each = next) {
    next = each->next_of_loop;
    if (each->state == IN_LINE) {
      line_remove(each);
      operation_free(each);
    } else if (each->state == ENDED) { /* it was to be told later */
      if (each->end.data) cwm_free(each->end.data);
      operation_free(each);
    } else {
      each->consumer = NOBODY;
      if (each->state == IN_FLIGHT) operation_ask_for_end(each);
    }
  }
  take(loop, true);
}

void loop_release(loop_object *loop) {
  if (loop->queue && !loop->in_flight) cwm_queue_free(loop->queue);
  loop->queue = NULL;
  Py_CLEAR(loop->tick); /* it has the loop that has it */
  Py_DECREF((PyObject *)loop);
}

void loops_forget_closed(engine_object *engine) {
  for (loop_object **at = &engine->loops; *at;) {
    loop_object *loop = *at;
    PyObject *answer = loop->is_closed ? Py_NewRef(Py_True) : attribute_call(loop->loop, name_is_closed);
    bool is_closed = answer == Py_True;
    Py_XDECREF(answer);
    if (!answer) PyErr_Clear();
    if (is_closed) forget(loop);
    if (!is_closed || loop->in_flight) {
      at = &loop->next;
      continue;
    }
    *at = loop->next;
    if (engine->last_loop == loop) engine->last_loop = NULL;
    loop_release(loop);
  }
}

static loop_object *loop_new(engine_object *engine, PyObject *event_loop) {
  cwm_error error = CWM_INIT(cwm_error);
  loop_object *loop = (loop_object *)((allocfunc)PyType_GetSlot(loop_type, Py_tp_alloc))(loop_type, 0);
  if (!loop) return NULL;
  loop->engine = engine;
  loop->loop = Py_NewRef(event_loop);
  loop->keywords = PyDict_New();
  PyObject *readable = PyObject_GetAttrString((PyObject *)loop, "_readable"), *descriptor = NULL, *answer = NULL, *add = NULL;
  loop->tick = PyObject_GetAttrString((PyObject *)loop, "_tick");
  loop->call_soon = PyObject_GetAttr(event_loop, name_call_soon);
  if (!loop->keywords || !readable || !loop->tick || !loop->call_soon) goto failed;
  if (PyDict_SetItem(loop->keywords, name_loop, event_loop) < 0) goto failed;
  loop->queue = cwm_queue_create(engine->engine, &error);
  if (!loop->queue) {
    raise_code(error.code, error.message, 0);
    goto failed;
  }
  take(loop, true); /* from now on its descriptor tells */
  descriptor = PyLong_FromLong(cwm_queue_descriptor(loop->queue));
  if (!descriptor) goto failed;
  if (is_running_here) {
    answer = PyObject_CallMethodObjArgs(event_loop, name_add_reader, descriptor, readable, NULL);
  } else if ((add = PyObject_GetAttr(event_loop, name_add_reader))) {
    answer = PyObject_CallMethodObjArgs(event_loop, name_call_soon_threadsafe, add, descriptor, readable, NULL);
  }
  if (!answer) goto failed;
  loop->next = engine->loops;
  engine->loops = loop;
  goto end;
failed:
  if (loop->queue) cwm_queue_free(loop->queue);
  loop->queue = NULL;
  Py_CLEAR(loop->tick);
  Py_DECREF((PyObject *)loop);
  loop = NULL;
end:
  Py_XDECREF(readable);
  Py_XDECREF(descriptor);
  Py_XDECREF(answer);
  Py_XDECREF(add);
  return loop;
}

loop_object *loop_of(engine_object *engine, PyObject *given) {
  if (given == Py_None) given = NULL;
  PyObject *running = PyObject_CallNoArgs(get_running_loop);
  if (!running) {
    if (!given) return NULL;
    PyErr_Clear();
  }
  PyObject *wanted = given ? given : running;
  bool is_here = is_running_here = wanted == running;
  loop_object *found = engine->last_loop;
  if (!found || found->loop != wanted || found->is_closed) {
    loops_forget_closed(engine);
    for (found = engine->loops; found && (found->loop != wanted || found->is_closed);) found = found->next;
    if (!found) found = loop_new(engine, wanted);
    engine->last_loop = found;
  }
  is_running_here = is_here;
  if (found && is_here) found->thread = PyThread_get_thread_ident();
  Py_XDECREF(running);
  return found;
}

static void loop_dealloc(loop_object *self) {
  PyTypeObject *type = Py_TYPE((PyObject *)self);
  Py_XDECREF(self->loop);
  Py_XDECREF(self->keywords);
  Py_XDECREF(self->call_soon);
  Py_XDECREF(self->tick);
  Py_XDECREF(self->deferred);
  ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
  Py_DECREF(type);
}

static PyMethodDef loop_methods[] = {
    {"_tick", tick, METH_NOARGS, NULL},
    {"_readable", readable, METH_NOARGS, NULL},
    {"_expire", expire, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot loop_slots[] = {{Py_tp_dealloc, loop_dealloc}, {Py_tp_methods, loop_methods}, {0, NULL}};
static PyType_Spec loop_spec = {
    "causeway._native.Loop", sizeof(loop_object), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, loop_slots};

int loop_start(PyObject *module) {
  (void)module;
  PyObject *asyncio = PyImport_ImportModule("asyncio");
  if (!asyncio) return -1;
  get_running_loop = PyObject_GetAttrString(asyncio, "get_running_loop");
  Py_DECREF(asyncio);
  loop_type = (PyTypeObject *)PyType_FromSpec(&loop_spec);
  return get_running_loop && loop_type ? 0 : -1;
}
