/* Endpoints: connections, as a server's or a client's user sees them. */
#include "native.h"

#include <string.h>

PyTypeObject *endpoint_type;

/* All connections by their number, so that every object of a connection shares the line of its sends. */
enum { BUCKETS = 4096 };
static connection *connections[BUCKETS];

connection *connection_of(cwm_endpoint *endpoint) {
  uint64_t id = cwm_endpoint_id(endpoint);
  connection **bucket = &connections[id % BUCKETS];
  for (connection *each = *bucket; each; each = each->next)
    if (each->id == id) {
      each->references++;
      cwm_endpoint_release(endpoint);
      return each;
    }
  connection *made = PyMem_Calloc(1, sizeof *made);
  if (!made) return NULL;
  made->references = 1;
  made->id = id;
  made->endpoint = endpoint;
  made->next = *bucket;
  *bucket = made;
  return made;
}

void connection_release(connection *connection) {
  if (--connection->references) return;
  for (struct connection **at = &connections[connection->id % BUCKETS]; *at; at = &(*at)->next)
    if (*at == connection) {
      *at = connection->next;
      break;
    }
  line_strike(&connection->sends);
  if (!is_forked) cwm_endpoint_release(connection->endpoint);
  PyMem_Free(connection);
}

PyObject *endpoint_new(mailbox_object *mailbox, cwm_endpoint *endpoint) {
  endpoint_object *made = (endpoint_object *)((allocfunc)PyType_GetSlot(endpoint_type, Py_tp_alloc))(endpoint_type, 0);
  connection *connection = made ? connection_of(endpoint) : NULL;
  if (!connection) {
    Py_XDECREF((PyObject *)made);
    cwm_endpoint_release(endpoint);
    return PyErr_NoMemory();
  }
  made->connection = connection;
  made->mailbox = (mailbox_object *)Py_NewRef((PyObject *)mailbox);
  return (PyObject *)made;
}

static void endpoint_dealloc(endpoint_object *self) {
  PyTypeObject *type = Py_TYPE((PyObject *)self);
  if (self->connection) connection_release(self->connection);
  Py_XDECREF((PyObject *)self->mailbox);
  ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
  Py_DECREF(type);
}

static PyObject *endpoint_compare(PyObject *self, PyObject *other, int how) {
  if ((how != Py_EQ && how != Py_NE) || Py_TYPE(other) != endpoint_type) Py_RETURN_NOTIMPLEMENTED;
  bool same = ((endpoint_object *)self)->connection == ((endpoint_object *)other)->connection;
  return PyBool_FromLong(same == (how == Py_EQ));
}

static Py_hash_t endpoint_hash(endpoint_object *self) { return (Py_hash_t)(self->connection->id & PY_SSIZE_T_MAX); }

enum field { NAME, LOCAL_HOST, LOCAL_PORT, REMOTE_HOST, REMOTE_PORT, CONNECTED };

static int information(endpoint_object *self, cwm_endpoint_info *info) {
  if (!may_run()) return -1;
  memset(info, 0, sizeof *info);
  info->size = sizeof *info;
  cwm_endpoint *endpoint = self->connection->endpoint;
  int32_t code;
  Py_BEGIN_ALLOW_THREADS;
  code = cwm_endpoint_info_get(endpoint, info);
  Py_END_ALLOW_THREADS;
  if (code == CWM_OK) return 0;
  raise_code(code, NULL, 0);
  return -1;
}

static PyObject *endpoint_field(endpoint_object *self, void *which) {
  cwm_endpoint_info info;
  if (information(self, &info) < 0) return NULL;
  switch ((enum field)(intptr_t)which) {
  case NAME: return PyUnicode_FromString(info.name);
  case LOCAL_HOST: return PyUnicode_FromString(info.local_host);
  case LOCAL_PORT: return PyLong_FromLong(info.local_port);
  case REMOTE_HOST: return PyUnicode_FromString(info.remote_host);
  case REMOTE_PORT: return PyLong_FromLong(info.remote_port);
  case CONNECTED: return PyBool_FromLong(info.is_connected != 0);
  }
  return NULL;
}

static PyObject *endpoint_id(endpoint_object *self, void *unused) { return (void)unused, PyLong_FromUnsignedLongLong(self->connection->id); }

static PyObject *endpoint_counters(PyObject *object, PyObject *unused) {
  (void)unused;
  cwm_endpoint_info info;
  if (information((endpoint_object *)object, &info) < 0) return NULL;
  return Py_BuildValue("{sK sK sK sK sK sK sK sK}", "sent_messages", (unsigned long long)info.sent_messages, "sent_bytes",
                       (unsigned long long)info.sent_bytes, "received_messages", (unsigned long long)info.received_messages, "received_bytes",
                       (unsigned long long)info.received_bytes, "in_flight", (unsigned long long)info.in_flight, "queued",
                       (unsigned long long)info.queued, "unreceived_messages", (unsigned long long)info.unreceived_messages, "unreceived_bytes",
                       (unsigned long long)info.unreceived_bytes);
}

static PyObject *endpoint_transports(PyObject *object, PyObject *unused) {
  (void)unused;
  char text[8192];
  cwm_error error = CWM_INIT(cwm_error);
  if (!may_run()) return NULL;
  cwm_endpoint *endpoint = ((endpoint_object *)object)->connection->endpoint;
  int64_t length;
  Py_BEGIN_ALLOW_THREADS;
  length = cwm_endpoint_transports(endpoint, text, sizeof text, &error);
  Py_END_ALLOW_THREADS;
  if (length < 0) return raise_code((int32_t)length, error.message, 0);
  if (length >= (int64_t)sizeof text) length = sizeof text - 1;
  text[length] = 0;
  PyObject *list = PyList_New(0);
  char *rest = NULL;
  for (char *row = strtok_r(text, "\n", &rest); list && row; row = strtok_r(NULL, "\n", &rest)) {
    char *device = strchr(row, ' ');
    if (device) *device++ = 0;
    PyObject *pair = Py_BuildValue("(ss)", row, device ? device : "");
    if (!pair || PyList_Append(list, pair) < 0) Py_CLEAR(list);
    Py_XDECREF(pair);
  }
  return list;
}

static PyObject *endpoint_evaluate(PyObject *object, PyObject *length) {
  uint64_t bytes;
  if (!may_run() || read_unsigned(length, "length", &bytes) < 0) return NULL;
  cwm_endpoint *endpoint = ((endpoint_object *)object)->connection->endpoint;
  double seconds;
  Py_BEGIN_ALLOW_THREADS;
  seconds = cwm_endpoint_evaluate_performance(endpoint, bytes);
  Py_END_ALLOW_THREADS;
  return seconds < 0 ? Py_NewRef(Py_None) : PyFloat_FromDouble(seconds);
}

static PyObject *endpoint_repr(endpoint_object *self) {
  return PyUnicode_FromFormat("<causeway.Endpoint %llu>", (unsigned long long)self->connection->id);
}

static PyMethodDef own_methods[] = {
    {"transports", endpoint_transports, METH_NOARGS, "transports($self)\n--\n\nWhat the connection uses: a list of (transport, device)."},
    {"counters", endpoint_counters, METH_NOARGS, "counters($self)\n--\n\nMessages and bytes sent and received, in flight and not received yet."},
    {"evaluate_performance", endpoint_evaluate, METH_O,
     "evaluate_performance($self, length, /)\n--\n\nSeconds that a message of so many bytes takes, by UCX's estimate; None: unknown."},
    {NULL, NULL, 0, NULL},
};
static PyGetSetDef endpoint_attributes[] = {
    {"id", (getter)endpoint_id, NULL, "A number that no other endpoint of this process has or had.", NULL},
    {"name", (getter)endpoint_field, NULL, "UCX's name of it.", (void *)(intptr_t)NAME},
    {"local_host", (getter)endpoint_field, NULL, "This side's address, empty when there is none.", (void *)(intptr_t)LOCAL_HOST},
    {"local_port", (getter)endpoint_field, NULL, "This side's port.", (void *)(intptr_t)LOCAL_PORT},
    {"remote_host", (getter)endpoint_field, NULL, "The peer's address, empty when there is none.", (void *)(intptr_t)REMOTE_HOST},
    {"remote_port", (getter)endpoint_field, NULL, "The peer's port.", (void *)(intptr_t)REMOTE_PORT},
    {"is_connected", (getter)endpoint_field, NULL, "Whether the peer is there.", (void *)(intptr_t)CONNECTED},
    {NULL, NULL, NULL, NULL, NULL},
};

int endpoint_start(PyObject *module) {
  static PyMethodDef methods[48];
  int count = 0;
  for (PyMethodDef *each = own_methods; each->ml_name; each++) methods[count++] = *each;
  for (PyMethodDef *each = receive_methods; each->ml_name; each++) methods[count++] = *each;
  for (PyMethodDef *each = send_methods; each->ml_name; each++) methods[count++] = *each;
  PyType_Slot slots[] = {
      {Py_tp_dealloc, endpoint_dealloc}, {Py_tp_methods, methods},   {Py_tp_getset, endpoint_attributes},
      {Py_tp_richcompare, endpoint_compare}, {Py_tp_hash, endpoint_hash}, {Py_tp_repr, endpoint_repr},
      {Py_tp_doc, "A connection to one peer. Endpoints of the same connection are equal."}, {0, NULL},
  };
  PyType_Spec spec = {
      "causeway.Endpoint", sizeof(endpoint_object), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  endpoint_type = (PyTypeObject *)PyType_FromSpec(&spec);
  return endpoint_type ? PyModule_AddObjectRef(module, "Endpoint", (PyObject *)endpoint_type) : -1;
}
