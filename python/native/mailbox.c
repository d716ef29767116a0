/* Servers and clients: each is one domain in which receives match messages. Python's classes add what is not on the path of a message. */
#include "native.h"

PyTypeObject *mailbox_type;

static PyObject *mailbox_create(PyTypeObject *type, PyObject *args, PyObject *keywords) {
  static char *names[] = {"engine", "is_server", NULL};
  PyObject *engine;
  int is_server;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!p", names, engine_type, &engine, &is_server)) return NULL;
  engine_object *of = (engine_object *)engine;
  if (!may_run()) return NULL;
  if (of->is_closed) return raise_code(CWM_CLOSED, "the engine is closed", 0);
  mailbox_object *self = (mailbox_object *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
  if (!self) return NULL;
  self->engine = (engine_object *)Py_NewRef(engine);
  cwm_error error = CWM_INIT(cwm_error);
  Py_BEGIN_ALLOW_THREADS;
  if (is_server) {
    self->server = cwm_server_create(of->engine, &error);
    self->accepts = self->server ? cwm_queue_create(of->engine, &error) : NULL;
    if (self->accepts) {
      cwm_server_accept_into(self->server, self->accepts, 0);
      cwm_completion none;
      cwm_queue_take(self->accepts, &none, 1); /* from now on its descriptor tells */
    }
  } else {
    self->client = cwm_client_create(of->engine, &error);
  }
  Py_END_ALLOW_THREADS;
  if (self->client || self->accepts) return (PyObject *)self;
  Py_DECREF((PyObject *)self);
  return raise_code(error.code, error.message, 0);
}

/* A callback mostly knows its server. */
static int mailbox_traverse(mailbox_object *self, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE((PyObject *)self));
  Py_VISIT(self->on_accept);
  return 0;
}

static int mailbox_clear(mailbox_object *self) {
  Py_CLEAR(self->on_accept);
  return 0;
}

static void mailbox_dealloc(mailbox_object *self) {
  PyTypeObject *type = Py_TYPE((PyObject *)self);
  PyObject_GC_UnTrack((PyObject *)self);
  notifier_forget(self);
  line_strike(&self->receives);
  line_strike(&self->flushes);
  if (self->connection) connection_release(self->connection);
  if (!is_forked) {
    if (self->server) cwm_server_free(self->server);
    if (self->client) cwm_client_free(self->client);
    if (self->accepts) cwm_queue_free(self->accepts);
  }
  Py_XDECREF(self->on_accept);
  Py_XDECREF((PyObject *)self->engine);
  ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
  Py_DECREF(type);
}

int mailbox_need(mailbox_object *self, bool is_server) {
  if (!may_run()) return -1;
  if (is_server ? self->server != NULL : self->client != NULL) return 0;
  PyErr_SetString(PyExc_TypeError, is_server ? "only a server does that" : "only a client does that");
  return -1;
}

static int listen_options(PyObject *key, PyObject *tcp, cwm_listen_options *options) {
  char *bytes;
  Py_ssize_t length;
  if (key && key != Py_None) {
    if (PyBytes_AsStringAndSize(key, &bytes, &length) < 0) return -1;
    options->key = bytes;
    options->key_length = (size_t)length;
  }
  if (tcp && tcp != Py_None) options->without_tcp = !PyObject_IsTrue(tcp);
  return 0;
}

static int read_port(PyObject *value, uint16_t *port) {
  uint64_t number;
  if (read_unsigned(value, "port", &number) < 0) {
    if (!PyErr_ExceptionMatches(PyExc_OverflowError)) return -1;
    number = UINT64_MAX;
  }
  if (number > UINT16_MAX) {
    PyErr_SetString(PyExc_OverflowError, "a port is an integer from 0 to 65535");
    return -1;
  }
  *port = (uint16_t)number;
  return 0;
}

static PyObject *mailbox_listen(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *kwnames) {
  static const char *const names[] = {"host", "port", "key", NULL};
  mailbox_object *self = (mailbox_object *)object;
  PyObject *v[3];
  uint16_t port = 0;
  cwm_listen_options options = CWM_INIT(cwm_listen_options);
  if (read_arguments("listen", names, 0, args, count, kwnames, v) < 0 || mailbox_need(self, true) < 0) return NULL;
  const char *host = NULL;
  if (v[0] && v[0] != Py_None && !(host = PyUnicode_AsUTF8AndSize(v[0], NULL))) return NULL;
  if (v[1] && read_port(v[1], &port) < 0) return NULL;
  if (listen_options(v[2], NULL, &options) < 0) return NULL;
  cwm_error error = CWM_INIT(cwm_error);
  int32_t code;
  Py_BEGIN_ALLOW_THREADS;
  code = cwm_server_listen(self->server, host, port, &options, &error);
  Py_END_ALLOW_THREADS;
  if (code != CWM_OK) return raise_code(code, error.message, 0);
  Py_RETURN_NONE;
}

static PyObject *mailbox_listen_address(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *kwnames) {
  static const char *const names[] = {"key", "tcp", NULL};
  mailbox_object *self = (mailbox_object *)object;
  PyObject *v[2];
  cwm_listen_options options = CWM_INIT(cwm_listen_options);
  char blob[16384];
  if (read_arguments("listen_address", names, 0, args, count, kwnames, v) < 0 || mailbox_need(self, true) < 0) return NULL;
  if (listen_options(v[0], v[1], &options) < 0) return NULL;
  cwm_error error = CWM_INIT(cwm_error);
  int64_t length;
  Py_BEGIN_ALLOW_THREADS;
  length = cwm_server_listen_address(self->server, blob, sizeof blob, &options, &error);
  Py_END_ALLOW_THREADS;
  if (length < 0) return raise_code((int32_t)length, error.message, 0);
  if (length > (int64_t)sizeof blob) return raise_code(CWM_FAILED, "the address is longer than any should be", 0);
  return PyBytes_FromStringAndSize(blob, (Py_ssize_t)length);
}

static PyObject *connect_with(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *kwnames, enum consumer consumer) {
  static const char *const names[] = {"host", "port", "address", "key", "timeout", "loop", "done", "failed", NULL};
  mailbox_object *self = (mailbox_object *)object;
  PyObject *v[8];
  if (read_arguments("connect", names, 0, args, count, kwnames, v) < 0 || mailbox_need(self, false) < 0) return NULL;
  operation *operation = operation_new(CONNECT, self->engine, object);
  if (!operation) return NULL;
  operation->mailbox = self;
  if (self->is_closed) {
    raise_code(CWM_CLOSED, "the client was closed: make another one", 0);
    goto failed;
  }
  PyObject *words = v[2] ? v[2] : v[0];
  char *bytes;
  Py_ssize_t length;
  if (!words || (!v[2] && !v[1])) {
    PyErr_SetString(PyExc_TypeError, "connect() needs a host and a port, or an address");
    goto failed;
  }
  if (v[2]) {
    if (PyBytes_AsStringAndSize(v[2], &bytes, &length) < 0) goto failed;
    operation->blob = bytes;
    operation->count = (size_t)length;
  } else if (!(operation->host = PyUnicode_AsUTF8AndSize(v[0], NULL)) || read_port(v[1], &operation->port) < 0) {
    goto failed;
  }
  operation->words = Py_NewRef(words);
  if (v[3] && v[3] != Py_None) {
    if (PyBytes_AsStringAndSize(v[3], &bytes, &length) < 0) goto failed;
    operation->key = bytes;
    operation->key_length = (size_t)length;
    operation->source = Py_NewRef(v[3]);
  }
  if (read_timeout(v[4], &operation->timeout) < 0) goto failed;
  return start(operation, consumer, v[5], v[6], v[7]);
failed:
  operation_free(operation);
  return NULL;
}

static PyObject *close_with(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *kwnames, enum consumer consumer) {
  static const char *const names[] = {"timeout", "loop", "done", "failed", NULL};
  mailbox_object *self = (mailbox_object *)object;
  PyObject *v[4];
  uint64_t timeout;
  if (read_arguments("close", names, 0, args, count, kwnames, v) < 0 || read_timeout(v[0], &timeout) < 0) return NULL;
  operation *operation = operation_new(CLOSE, self->engine, object);
  if (!operation) return NULL;
  operation->mailbox = self;
  operation->connection = self->connection;
  operation->timeout = timeout;
  self->is_closed = true;
  return start(operation, consumer, v[1], v[2], v[3]);
}

#define WITH(verb, function, consumer)                                                                           \
  static PyObject *verb(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames) {            \
    return function(self, args, count, kwnames, consumer);                                                       \
  }
WITH(connect_future, connect_with, FUTURE)
WITH(connect_sync, connect_with, CALLER)
WITH(post_connect, connect_with, CALLBACK)
WITH(close_future, close_with, FUTURE)
WITH(close_sync, close_with, CALLER)
WITH(post_close, close_with, CALLBACK)

static PyObject *mailbox_port(mailbox_object *self, void *unused) {
  (void)unused;
  return mailbox_need(self, true) < 0 ? NULL : PyLong_FromLong(cwm_server_port(self->server));
}

static PyObject *mailbox_endpoint(mailbox_object *self, void *unused) {
  (void)unused;
  if (mailbox_need(self, false) < 0) return NULL;
  if (!self->connection) Py_RETURN_NONE;
  cwm_endpoint_retain(self->connection->endpoint);
  return endpoint_new(self, self->connection->endpoint);
}

static PyObject *mailbox_is_closed(mailbox_object *self, void *unused) {
  return (void)unused, PyBool_FromLong(self->is_closed || self->engine->is_closed);
}
static PyObject *mailbox_is_connected(mailbox_object *self, void *unused) {
  return (void)unused, PyBool_FromLong(self->connection != NULL && !self->is_closed && !self->engine->is_closed);
}
static PyObject *mailbox_engine(mailbox_object *self, void *unused) { return (void)unused, Py_NewRef((PyObject *)self->engine); }

static PyMethodDef own_methods[] = {
    METHOD("_listen", mailbox_listen, NULL),
    METHOD("_listen_address", mailbox_listen_address, NULL),
    METHOD("_connect", connect_future, NULL),
    METHOD("_connect_sync", connect_sync, NULL),
    METHOD("_post_connect", post_connect, NULL),
    METHOD("_close", close_future, NULL),
    METHOD("_close_sync", close_sync, NULL),
    METHOD("_post_close", post_close, NULL),
    {NULL, NULL, 0, NULL},
};
static PyGetSetDef own_attributes[] = {
    {"is_closed", (getter)mailbox_is_closed, NULL, "Whether its close has begun, or its engine's.", NULL},
    {"is_connected", (getter)mailbox_is_connected, NULL, "Whether a client has connected, and was not closed.", NULL},
    {"engine", (getter)mailbox_engine, NULL, "The engine it lives on.", NULL},
    {"_port", (getter)mailbox_port, NULL, NULL, NULL},
    {"_endpoint", (getter)mailbox_endpoint, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

int mailbox_start(PyObject *module) {
  static PyMethodDef methods[48];
  static PyGetSetDef attributes[16];
  int count = 0;
  for (PyGetSetDef *each = own_attributes; each->name; each++) attributes[count++] = *each;
  for (PyGetSetDef *each = accept_attributes; each->name; each++) attributes[count++] = *each;
  count = 0;
  for (PyMethodDef *each = own_methods; each->ml_name; each++) methods[count++] = *each;
  for (PyMethodDef *each = accept_methods; each->ml_name; each++) methods[count++] = *each;
  for (PyMethodDef *each = receive_methods; each->ml_name; each++) methods[count++] = *each;
  for (PyMethodDef *each = send_methods; each->ml_name; each++) methods[count++] = *each;
  PyType_Slot slots[] = {
      {Py_tp_new, mailbox_create},       {Py_tp_dealloc, mailbox_dealloc}, {Py_tp_methods, methods},
      {Py_tp_getset, attributes}, {Py_tp_traverse, mailbox_traverse}, {Py_tp_clear, mailbox_clear}, {Py_tp_doc, "What a server and a client have in common."}, {0, NULL},
  };
  PyType_Spec spec = {"causeway._native.Mailbox", sizeof(mailbox_object), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};
  mailbox_type = (PyTypeObject *)PyType_FromSpec(&spec);
  return mailbox_type ? PyModule_AddObjectRef(module, "Mailbox", (PyObject *)mailbox_type) : -1;
}
