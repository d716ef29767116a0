/* Completions for an event loop: one queue, one reader, and a short spin while they are near.
 *
 * While operations are in flight the loop is asked to come back at once (call_soon) and each time looks for completions itself, driving
 * the engine without the GIL for some microseconds: a loop that sleeps is woken 50 us late or more. After SPIN_NS without any, the queue's
 * descriptor wakes it. A loop whose spins are in vain gives them up for a while, a longer one where it has a single core.
 *
 * An `await` looks in the same way before it suspends its task, as a turn of the loop costs several microseconds; not for longer than
 * TURN_NS, nor more than MAX_AT_ONCE times, after the loop's last turn: others want theirs.
 */
#include "native.h"

#include <sched.h>

enum { BATCH = 64, SPIN_NS = 250000, SLICE_NS = 10000, NEAR_NS = 400000, ABSENCE_NS = 500000, MAX_AT_ONCE = 64 };
/* Of so many operations one spins after spins in vain: more where spinning takes the only core from whoever has the answer. */
enum { VAIN_LIMIT = 4, SKIP_LIMIT = 16, SKIP_LIMIT_ON_ONE_CORE = 128, TURN_NS = 100000 };

static bool has_one_core(void) {
  cpu_set_t cores;
  return sched_getaffinity(0, sizeof cores, &cores) == 0 && CPU_COUNT(&cores) == 1;
}

static unsigned skip_limit(void) { return has_one_core() ? SKIP_LIMIT_ON_ONE_CORE : SKIP_LIMIT; }

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

void loop_drain(loop_object *loop) { take(loop, true); }

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
  if ((*place)->state != IN_FLIGHT || loop->thread != PyThread_get_thread_ident()) return;
  uint64_t began = now_ns(), now = began;
  if (began - loop->turned_at > TURN_NS) return;
  if (loop->vain_looks >= VAIN_LIMIT && ++loop->vain_looks % skip_limit()) return;
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
  /* A little more patience would have done, unless whoever answers waited for this very core. */
  if (turned(loop) - loop->spin_start < NEAR_NS && loop->vain && !has_one_core()) loop->vain--;
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
  if (loop->is_ticking || !loop_is_running_here) return;
  loop->spin_start = now_ns();
  if (loop->vain >= VAIN_LIMIT && ++loop->skipped < skip_limit()) return;
  loop->skipped = 0;
  tick_soon(loop);
}

void loop_end(operation *operation) {
  loop_object *loop = operation->loop;
  if (!loop) return;
  *operation->in_loop = operation->next_of_loop;
  if (operation->next_of_loop) operation->next_of_loop->in_loop = operation->in_loop;
  operation->loop = NULL;
  loop->in_flight--;
}

bool loop_defers(loop_object *loop) { return loop_is_running_here && ++loop->at_once >= MAX_AT_ONCE; }

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

PyMethodDef loop_methods[] = {
    {"_tick", tick, METH_NOARGS, NULL},
    {"_readable", readable, METH_NOARGS, NULL},
    {"_expire", expire, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
