/* The event loops that an engine has completions for: each is met at its first operation and forgotten when it is closed. */
#include "native.h"

static PyTypeObject *loop_type;
static PyObject *get_running_loop;
_Thread_local bool loop_is_running_here;

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
  loop_drain(loop);
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
  loop_drain(loop); /* from now on its descriptor tells */
  descriptor = PyLong_FromLong(cwm_queue_descriptor(loop->queue));
  if (!descriptor) goto failed;
  if (loop_is_running_here) {
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
  bool is_here = loop_is_running_here = wanted == running;
  loop_object *found = engine->last_loop;
  if (!found || found->loop != wanted || found->is_closed) {
    loops_forget_closed(engine);
    for (found = engine->loops; found && (found->loop != wanted || found->is_closed);) found = found->next;
    if (!found) found = loop_new(engine, wanted);
    engine->last_loop = found;
  }
  loop_is_running_here = is_here;
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
