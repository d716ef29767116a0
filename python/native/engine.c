/* Engines: one thread and one UCX worker each. */
#include "native.h"

#include <unistd.h>

PyTypeObject *engine_type;
engine_object *engines;
static engine_object *shared;

static engine_object *wrap(PyTypeObject *type, cwm_engine *engine) {
  engine_object *made = (engine_object *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
  if (!made) return NULL;
  made->engine = engine;
  made->epoll = made->bell = -1;
  made->next = engines;
  engines = made;
  return made;
}

static PyObject *engine_shared(PyObject *type, PyObject *unused) {
  (void)unused;
  if (!may_run()) return NULL;
  if (!shared) {
    cwm_error error = CWM_INIT(cwm_error);
    cwm_engine *engine;
    Py_BEGIN_ALLOW_THREADS;
    engine = cwm_engine_shared(&error);
    Py_END_ALLOW_THREADS;
    if (!engine) return raise_code(error.code, error.message, 0);
    if (!shared) {
      shared = wrap((PyTypeObject *)type, engine);
      if (shared) shared->is_shared = true;
    }
  }
  return Py_XNewRef((PyObject *)shared);
}

static PyObject *engine_create(PyTypeObject *type, PyObject *args, PyObject *keywords) {
  static char *names[] = {"progress", "core", "spin", "transports", "unreceived_limit", "endpoint_grant", NULL};
  cwm_engine_options options = CWM_INIT(cwm_engine_options);
  unsigned progress = CWM_ADAPTIVE;
  int core = -1;
  double spin = 0;
  unsigned long long limit = 0, grant = 0;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "|IidzKK:Engine", names, &progress, &core, &spin, &options.transports, &limit, &grant))
    return NULL;
  if (!may_run()) return NULL;
  options.progress = progress;
  options.core = core;
  options.spin_ns = spin > 0 ? (uint64_t)(spin * 1e9) : 0;
  options.unreceived_limit = limit;
  options.endpoint_grant = grant;
  cwm_error error = CWM_INIT(cwm_error);
  cwm_engine *engine;
  Py_BEGIN_ALLOW_THREADS;
  engine = cwm_engine_create(&options, &error);
  Py_END_ALLOW_THREADS;
  if (!engine) return raise_code(error.code, error.message, 0);
  return (PyObject *)wrap(type, engine);
}

static int close_engine(engine_object *self, uint64_t timeout) {
  cwm_error error = CWM_INIT(cwm_error);
  if (self->is_closed) return 0;
  self->is_closed = true;
  cwm_engine *engine = self->engine;
  int32_t code;
  Py_BEGIN_ALLOW_THREADS;
  code = cwm_engine_close(engine, timeout, &error);
  Py_END_ALLOW_THREADS;
  if (self->waiting) lines_retry(self); /* they hear of it too */
  notifier_stop(self);
  if (code == CWM_OK) return 0;
  raise_code(code, error.message, 0);
  return -1;
}

static PyObject *engine_close(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *kwnames) {
  static const char *const names[] = {"timeout", NULL};
  engine_object *self = (engine_object *)object;
  PyObject *values[1];
  uint64_t timeout;
  if (read_arguments("close", names, 0, args, count, kwnames, values) < 0 || read_timeout(values[0], &timeout) < 0) return NULL;
  if (!may_run()) return NULL;
  if (self->is_shared) return raise_code(CWM_INVALID, "the shared engine lives as long as the process", 0);
  if (close_engine(self, timeout) < 0) return NULL;
  for (loop_object *loop = self->loops; loop; loop = loop->next)
    if (!loop->is_closed && loop_is_here(loop)) loop_take(loop); /* others are told by their descriptors */
  Py_RETURN_NONE;
}

/* False, with an error, after its close, which frees the library's engine. */
static bool is_open(engine_object *self) {
  if (self->is_closed) raise_code(CWM_CLOSED, "the engine is closed", 0);
  return !self->is_closed;
}

static PyObject *engine_progress(PyObject *self, PyObject *unused) {
  (void)unused;
  if (!may_run() || !is_open((engine_object *)self)) return NULL;
  cwm_engine *engine = ((engine_object *)self)->engine;
  int64_t done;
  Py_BEGIN_ALLOW_THREADS;
  done = cwm_engine_progress(engine);
  Py_END_ALLOW_THREADS;
  return done < 0 ? raise_code((int32_t)done, NULL, 0) : PyLong_FromLongLong(done);
}

static PyObject *engine_arm(PyObject *self, PyObject *unused) {
  (void)unused;
  if (!may_run() || !is_open((engine_object *)self)) return NULL;
  int32_t descriptor = -1, code = cwm_engine_arm(((engine_object *)self)->engine, &descriptor);
  if (code == CWM_WOULD_BLOCK) Py_RETURN_NONE;
  return code == CWM_OK ? PyLong_FromLong(descriptor) : raise_code(code, NULL, 0);
}

static PyObject *engine_metrics(PyObject *object, PyObject *unused) {
  (void)unused;
  cwm_engine *engine = ((engine_object *)object)->engine;
  cwm_error error = CWM_INIT(cwm_error);
  if (!may_run() || !is_open((engine_object *)object)) return NULL;
  for (size_t room = 65536;;) {
    char *text = PyMem_Malloc(room);
    if (!text) return PyErr_NoMemory();
    int64_t length;
    Py_BEGIN_ALLOW_THREADS;
    length = cwm_engine_metrics(engine, text, room, &error);
    Py_END_ALLOW_THREADS;
    PyObject *words = NULL;
    if (length < 0) raise_code((int32_t)length, error.message, 0);
    else if ((size_t)length < room) words = PyUnicode_FromStringAndSize(text, (Py_ssize_t)length);
    PyMem_Free(text);
    if (length < 0 || (size_t)length < room) return words;
    room = (size_t)length + 4096; /* connections may come meanwhile */
  }
}

static PyObject *engine_serve_metrics(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *kwnames) {
  static const char *const names[] = {"host", "port", NULL};
  engine_object *self = (engine_object *)object;
  PyObject *values[2];
  uint64_t port = 0;
  if (read_arguments("serve_metrics", names, 1, args, count, kwnames, values) < 0) return NULL;
  const char *host = PyUnicode_AsUTF8AndSize(values[0], NULL);
  if (!host || (values[1] && read_unsigned(values[1], "port", &port) < 0)) return NULL;
  if (port > UINT16_MAX) return PyErr_SetString(PyExc_OverflowError, "a port is an integer from 0 to 65535"), NULL;
  if (!may_run() || !is_open(self)) return NULL;
  cwm_error error = CWM_INIT(cwm_error);
  cwm_engine *engine = self->engine;
  int32_t code;
  Py_BEGIN_ALLOW_THREADS;
  code = cwm_engine_serve_metrics(engine, host, (uint16_t)port, &error);
  Py_END_ALLOW_THREADS;
  return code < 0 ? raise_code(code, error.message, 0) : PyLong_FromLong(code);
}

static PyObject *engine_notify(PyObject *self, PyObject *unused) { return (void)unused, notifier_run((engine_object *)self); }
static PyObject *engine_stop(PyObject *self, PyObject *unused) {
  (void)unused;
  notifier_stop((engine_object *)self);
  Py_RETURN_NONE;
}

static PyObject *engine_is_closed(engine_object *self, void *unused) { return (void)unused, PyBool_FromLong(self->is_closed); }

static void engine_dealloc(engine_object *self) {
  PyTypeObject *type = Py_TYPE((PyObject *)self);
  for (engine_object **at = &engines; *at; at = &(*at)->next)
    if (*at == self) {
      *at = self->next;
      break;
    }
  if (!is_forked) {
    loops_forget_closed(self);
    for (loop_object *loop = self->loops, *next; loop; loop = next) {
      next = loop->next;
      loop->is_closed = true;
      loop_release(loop);
    }
    while (self->wait_count) cwm_queue_free(self->waits[--self->wait_count]);
    if (self->callbacks) cwm_queue_free(self->callbacks);
    if (close_engine(self, 0) < 0) PyErr_WriteUnraisable(NULL);
  }
  PyMem_Free(self->expiring);
  if (self->epoll >= 0) close(self->epoll);
  if (self->bell >= 0) close(self->bell);
  ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
  Py_DECREF(type);
}

static PyMethodDef engine_methods[] = {
    {"shared", engine_shared, METH_NOARGS | METH_CLASS, "shared($type)\n--\n\nThe engine of the process, made at the first call."},
    METHOD("close", engine_close, "close($self, timeout=None)\n--\n\nCloses all that lives on it and ends its thread."),
    {"progress", engine_progress, METH_NOARGS, "progress($self)\n--\n\nManual progress: one round. Returns how much happened."},
    {"arm", engine_arm, METH_NOARGS, "arm($self)\n--\n\nManual progress: the descriptor to wait on, or None when there is progress to make first."},
    {"metrics", engine_metrics, METH_NOARGS, "metrics($self)\n--\n\nThe figures of the engine and of each of its connections as text for Prometheus."},
    METHOD("serve_metrics", engine_serve_metrics,
           "serve_metrics($self, host, port=0)\n--\n\nServes them at http://host:port/metrics until the engine's end. Returns the port."),
    {"_notify", engine_notify, METH_NOARGS, NULL},
    {"_stop_notifier", engine_stop, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
static PyGetSetDef engine_attributes[] = {
    {"is_closed", (getter)engine_is_closed, NULL, "Whether it was closed.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot engine_slots[] = {
    {Py_tp_new, engine_create},         {Py_tp_dealloc, engine_dealloc},
    {Py_tp_methods, engine_methods},    {Py_tp_getset, engine_attributes},
    {Py_tp_doc, "A thread with a UCX worker."}, {0, NULL},
};
static PyType_Spec engine_spec = {
    "causeway._native.Engine", sizeof(engine_object), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, engine_slots};

int engine_start(PyObject *module) {
  engine_type = (PyTypeObject *)PyType_FromSpec(&engine_spec);
  return engine_type ? PyModule_AddObjectRef(module, "Engine", (PyObject *)engine_type) : -1;
}
