/* Calls that block: the caller drives the engine itself, without the GIL. */
#include "native.h"

enum { BATCH = 64, RETRY_NS = 200000, SIGNAL_NS = 50000000, FAREWELL_NS = 10000000 };

/* A queue for one call; several threads may wait at the same time. */
cwm_queue *wait_queue(engine_object *engine) {
  if (engine->wait_count) return engine->waits[--engine->wait_count];
  cwm_error error = CWM_INIT(cwm_error);
  cwm_queue *queue = cwm_queue_create(engine->engine, &error);
  if (!queue) raise_code(error.code, error.message, 0);
  return queue;
}

void wait_give_back(engine_object *engine, cwm_queue *queue) {
  if (engine->wait_count < WAIT_QUEUES) engine->waits[engine->wait_count++] = queue;
  else cwm_queue_free(queue);
}

/* 0, or -1 with what a signal handler raised or the engine said. */
static int wait_some(cwm_queue *queue, uint64_t nanoseconds) {
  cwm_completion completions[BATCH];
  cwm_error error;
  error.size = sizeof error;
  error.message[0] = 0;
  int64_t count;
  Py_BEGIN_ALLOW_THREADS;
  count = cwm_queue_wait(queue, completions, BATCH, nanoseconds, &error);
  Py_END_ALLOW_THREADS;
  if (count > 0) operations_end(completions, (size_t)count);
  if (count < 0) {
    raise_code((int32_t)count, error.message, 0);
    return -1;
  }
  return count > 0 ? 0 : PyErr_CheckSignals();
}

/* Until there is room for it; returns what the library said then, or CWM_WOULD_BLOCK with an error. */
static int32_t wait_for_room(operation *operation, cwm_completion *now, cwm_error *error) {
  uint64_t deadline = operation->timeout == CWM_FOREVER ? CWM_FOREVER : now_ns() + operation->timeout;
  for (;;) {
    if (wait_some(operation->queue, RETRY_NS) < 0) return CWM_WOULD_BLOCK;
    if (operation->engine->waiting) lines_retry(operation->engine);
    if (deadline != CWM_FOREVER) {
      uint64_t time = now_ns();
      if (time >= deadline) return line_overdue(operation, now, error);
      operation->timeout = deadline - time;
    }
    if (line_holds(operation)) continue;
    int32_t code = operation_submit(operation, now, error);
    if (code != CWM_WOULD_BLOCK) return code;
  }
}

PyObject *wait_for(operation *operation, int32_t code, cwm_completion *now, cwm_error *error) {
  engine_object *engine = operation->engine;
  cwm_queue *queue = operation->queue;
  PyObject *value = NULL;
  const char *message = error->message;
  Py_INCREF((PyObject *)engine);
  if (code == CWM_WOULD_BLOCK) code = wait_for_room(operation, now, error);
  if (code == CWM_PENDING) {
    operation->state = IN_FLIGHT;
    while (operation->state == IN_FLIGHT)
      if (wait_some(queue, SIGNAL_NS) < 0) { /* interrupted: take it back, and see it end if it does so at once */
        PyObject *type, *error, *traceback;
        PyErr_Fetch(&type, &error, &traceback);
        operation->is_cancelling = true;
        operation_ask_for_end(operation);
        if (wait_some(queue, FAREWELL_NS) < 0) PyErr_Clear();
        PyErr_Restore(type, error, traceback);
        break;
      }
    if (operation->state == IN_FLIGHT) {
      operation->consumer = NOBODY; /* whoever uses the queue next hears of its end */
      goto end;
    }
    *now = operation->end;
    code = now->code;
    message = NULL;
  }
  if (PyErr_Occurred()) {
    if (operation->state == ENDED && code == CWM_OK && now->data) cwm_free(now->data);
  } else if (code == CWM_OK) {
    value = operation_value(operation, now);
  } else {
    PyObject *exception = operation_error(operation, code, message, now->length);
    if (exception) PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_XDECREF(exception);
  }
  if (operation->state == ENDED && (now->flags & CWM_KEPT)) operation->consumer = NOBODY; /* until CWM_RELEASED */
  else operation_free(operation);
end:
  wait_give_back(engine, queue);
  Py_DECREF((PyObject *)engine);
  return value;
}
