/* The calls that servers, clients and endpoints have in common: arguments become an operation, which is started. */
#include "native.h"

/* Whose messages, and over which connection: of a server, a client or an endpoint. -1 with an error when it has no connection to send on. */
static int parties(PyObject *self, mailbox_object **mailbox, connection **connection) {
  if (Py_TYPE(self) == endpoint_type) {
    *mailbox = ((endpoint_object *)self)->mailbox;
    *connection = ((endpoint_object *)self)->connection;
  } else {
    *mailbox = (mailbox_object *)self;
    *connection = (*mailbox)->connection;
  }
  return 0;
}

static int need_connection(mailbox_object *mailbox, connection *connection) {
  bool is_closed = mailbox->is_closed || mailbox->engine->is_closed;
  if (connection && !is_closed) return 0;
  if (is_closed) raise_code(CWM_CLOSED, mailbox->server ? "the server is closed" : "the client is closed", 0);
  else raise_code(CWM_NOT_CONNECTED, "the client is not connected", 0);
  return -1;
}

static operation *begin(enum kind kind, PyObject *self, mailbox_object *mailbox, connection *connection, PyObject *timeout) {
  uint64_t nanoseconds;
  if (read_timeout(timeout, &nanoseconds) < 0) return NULL;
  operation *operation = operation_new(kind, mailbox->engine, self);
  if (!operation) return NULL;
  operation->mailbox = mailbox;
  operation->connection = connection;
  operation->timeout = nanoseconds;
  return operation;
}

static PyObject *refuse(operation *operation) {
  operation_free(operation);
  return NULL;
}

PyObject *call_send(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames, enum consumer consumer) {
  static const char *const posted[] = {"buffer", "tag", "done", "failed", "timeout", "synchronous", NULL};
  static const char *const awaited[] = {"buffer", "tag", "timeout", "synchronous", "loop", NULL};
  PyObject *v[6];
  bool posts = consumer == CALLBACK;
  if (read_arguments("send", posts ? posted : awaited, 2, args, count, kwnames, v) < 0) return NULL;
  PyObject **rest = v + (posts ? 4 : 2);
  mailbox_object *mailbox;
  connection *connection;
  if (parties(self, &mailbox, &connection) < 0 || need_connection(mailbox, connection) < 0) return NULL;
  operation *operation = begin(SEND, self, mailbox, connection, rest[0]);
  if (!operation) return NULL;
  if (read_unsigned(v[1], "tag", &operation->tag) < 0 || hold(&operation->held, v[0], false) < 0) return refuse(operation);
  if (rest[1] && PyObject_IsTrue(rest[1])) operation->flags = CWM_SYNCHRONOUS;
  return start(operation, consumer, posts ? NULL : rest[2], posts ? v[2] : NULL, posts ? v[3] : NULL);
}

/* An endpoint that a receive is tied to. */
static int tie(operation *operation, PyObject *source) {
  if (!source || source == Py_None) return 0;
  if (Py_TYPE(source) != endpoint_type || ((endpoint_object *)source)->mailbox != operation->mailbox) {
    PyErr_SetString(PyExc_TypeError, "source is an endpoint of this server");
    return -1;
  }
  operation->source = Py_NewRef(source);
  operation->connection = ((endpoint_object *)source)->connection;
  return 0;
}

PyObject *call_receive(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames, enum consumer consumer, enum kind kind) {
  static const char *const posted[] = {"buffer", "tag", "mask", "done", "failed", "source", "timeout", "drops", NULL};
  static const char *const awaited[] = {"buffer", "tag", "mask", "source", "timeout", "loop", "drops", NULL};
  PyObject *v[8];
  bool posts = consumer == CALLBACK, has_buffer = kind == RECEIVE;
  const char *const *names = (posts ? posted : awaited) + (has_buffer ? 0 : 1);
  if (read_arguments("recv", names, has_buffer ? 1 : 0, args, count, kwnames, v + (has_buffer ? 0 : 1)) < 0) return NULL;
  PyObject **rest = v + (posts ? 5 : 3);
  mailbox_object *mailbox;
  connection *connection;
  if (parties(self, &mailbox, &connection) < 0) return NULL;
  if (mailbox->client && need_connection(mailbox, connection) < 0) return NULL;
  operation *operation = begin(kind, self, mailbox, connection, rest[1]);
  if (!operation) return NULL;
  if (read_tag(v[1], v[2], &operation->tag, &operation->mask) < 0 || tie(operation, rest[0]) < 0) return refuse(operation);
  if (has_buffer && hold(&operation->held, v[0], true) < 0) return refuse(operation);
  PyObject *drops = v[posts ? 7 : 6];
  operation->drops = drops && PyObject_IsTrue(drops);
  return start(operation, consumer, posts ? NULL : rest[2], posts ? v[3] : NULL, posts ? v[4] : NULL);
}

/* Whether `tags` of a batch are one for all, which has been read as `tag`, or one for each. */
static bool is_one(PyObject *tags) {
  return !tags || tags == Py_None || (PyIndex_Check(tags) && !PySequence_Check(tags)); /* NumPy's arrays are both */
}

/* The buffers of a batch; `tags` is one for all or one for each. */
static int gather(operation *operation, PyObject *buffers, PyObject *tags, bool receives) {
  PyObject *list = PySequence_List(buffers);
  if (!list) return -1;
  Py_ssize_t count = PyList_Size(list);
  PyObject *each = NULL;
  int result = -1;
  if (!is_one(tags)) {
    each = PySequence_List(tags);
    if (!each) goto end;
    if (PyList_Size(each) != count) {
      PyErr_Format(PyExc_ValueError, "%zd buffers but %zd tags", count, PyList_Size(each));
      goto end;
    }
  }
  operation->many = PyMem_Calloc((size_t)count + 1, sizeof *operation->many);
  operation->messages = PyMem_Malloc(((size_t)count + 1) * sizeof *operation->messages);
  operation->results = receives ? PyMem_Calloc((size_t)count + 1, sizeof *operation->results) : NULL;
  if (!operation->many || !operation->messages || (receives && !operation->results)) {
    PyErr_NoMemory();
    goto end;
  }
  uint64_t mask = operation->mask;
  for (Py_ssize_t i = 0; i < count; i++) {
    cwm_message *message = &operation->messages[i];
    if (hold(&operation->many[i], PyList_GetItem(list, i), receives) < 0) goto end;
    operation->count = (size_t)i + 1;
    message->data = operation->many[i].data;
    message->length = operation->many[i].length;
    message->tag = operation->tag;
    message->mask = mask;
    if (each && read_unsigned(PyList_GetItem(each, i), "tag", &message->tag) < 0) goto end;
  }
  result = 0;
end:
  Py_XDECREF(each);
  Py_DECREF(list);
  return result;
}

PyObject *call_send_many(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames, enum consumer consumer) {
  static const char *const posted[] = {"buffers", "tags", "done", "failed", "timeout", "synchronous", NULL};
  static const char *const awaited[] = {"buffers", "tags", "timeout", "synchronous", "loop", NULL};
  PyObject *v[6];
  bool posts = consumer == CALLBACK;
  mailbox_object *mailbox;
  connection *connection;
  if (read_arguments("send_many", posts ? posted : awaited, 2, args, count, kwnames, v) < 0) return NULL;
  PyObject **rest = v + (posts ? 4 : 2);
  if (parties(self, &mailbox, &connection) < 0 || need_connection(mailbox, connection) < 0) return NULL;
  operation *operation = begin(SEND_MANY, self, mailbox, connection, rest[0]);
  if (!operation) return NULL;
  if (is_one(v[1]) && read_unsigned(v[1], "tag", &operation->tag) < 0) return refuse(operation);
  if (rest[1] && PyObject_IsTrue(rest[1])) operation->flags = CWM_SYNCHRONOUS;
  if (gather(operation, v[0], v[1], false) < 0) return refuse(operation);
  return start(operation, consumer, posts ? NULL : rest[2], posts ? v[2] : NULL, posts ? v[3] : NULL);
}

PyObject *call_receive_many(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames, enum consumer consumer) {
  static const char *const posted[] = {"buffers", "tags", "mask", "done", "failed", "source", "timeout", NULL};
  static const char *const awaited[] = {"buffers", "tags", "mask", "source", "timeout", "loop", NULL};
  PyObject *v[7];
  bool posts = consumer == CALLBACK;
  mailbox_object *mailbox;
  connection *connection;
  if (read_arguments("recv_many", posts ? posted : awaited, 1, args, count, kwnames, v) < 0) return NULL;
  PyObject **rest = v + (posts ? 5 : 3);
  if (parties(self, &mailbox, &connection) < 0) return NULL;
  if (mailbox->client && need_connection(mailbox, connection) < 0) return NULL;
  operation *operation = begin(RECEIVE_MANY, self, mailbox, connection, rest[1]);
  if (!operation) return NULL;
  PyObject *tag = is_one(v[1]) ? v[1] : NULL;
  if (read_tag(tag, v[2], &operation->tag, &operation->mask) < 0 || tie(operation, rest[0]) < 0) return refuse(operation);
  if (!is_one(v[1]) && (!v[2] || v[2] == Py_None)) operation->mask = CWM_MASK_EXACT;
  if (gather(operation, v[0], v[1], true) < 0) return refuse(operation);
  return start(operation, consumer, posts ? NULL : rest[2], posts ? v[3] : NULL, posts ? v[4] : NULL);
}

PyObject *call_flush(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames, enum consumer consumer) {
  static const char *const posted[] = {"done", "failed", "timeout", NULL};
  static const char *const awaited[] = {"timeout", "loop", NULL};
  PyObject *v[3];
  bool posts = consumer == CALLBACK;
  mailbox_object *mailbox;
  connection *connection;
  if (read_arguments("flush", posts ? posted : awaited, 0, args, count, kwnames, v) < 0) return NULL;
  if (parties(self, &mailbox, &connection) < 0 || ((mailbox->client || connection) && need_connection(mailbox, connection) < 0)) return NULL;
  operation *operation = begin(FLUSH, self, mailbox, connection, posts ? v[2] : v[0]);
  if (!operation) return NULL;
  return start(operation, consumer, posts ? NULL : v[1], posts ? v[0] : NULL, posts ? v[1] : NULL);
}

PyObject *call_probe(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames) {
  static const char *const names[] = {"tag", "mask", NULL};
  PyObject *v[2];
  uint64_t tag, mask;
  mailbox_object *mailbox;
  connection *connection;
  if (read_arguments("probe", names, 0, args, count, kwnames, v) < 0 || read_tag(v[0], v[1], &tag, &mask) < 0) return NULL;
  if (!may_run() || parties(self, &mailbox, &connection) < 0) return NULL;
  if (mailbox->client && need_connection(mailbox, connection) < 0) return NULL;
  cwm_completion found = CWM_INIT(cwm_completion);
  cwm_endpoint *peer = connection ? connection->endpoint : NULL;
  int32_t code;
  Py_BEGIN_ALLOW_THREADS;
  code = mailbox->server ? cwm_server_probe(mailbox->server, peer, tag, mask, &found) : cwm_client_probe(mailbox->client, tag, mask, &found);
  Py_END_ALLOW_THREADS;
  if (code == CWM_NOT_FOUND) Py_RETURN_NONE;
  if (code != CWM_OK) return raise_code(code, NULL, 0);
  return Py_BuildValue("(KK)", (unsigned long long)found.tag, (unsigned long long)found.length);
}

#define TRIPLE(verb, function, ...)                                                                                                     \
  static PyObject *verb(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames) {                                   \
    return function(self, args, count, kwnames, __VA_ARGS__);                                                                           \
  }
TRIPLE(send, call_send, FUTURE)
TRIPLE(send_sync, call_send, CALLER)
TRIPLE(post_send, call_send, CALLBACK)
TRIPLE(send_many, call_send_many, FUTURE)
TRIPLE(send_many_sync, call_send_many, CALLER)
TRIPLE(post_send_many, call_send_many, CALLBACK)
TRIPLE(recv, call_receive, FUTURE, RECEIVE)
TRIPLE(recv_sync, call_receive, CALLER, RECEIVE)
TRIPLE(post_recv, call_receive, CALLBACK, RECEIVE)
TRIPLE(recv_message, call_receive, FUTURE, RECEIVE_MESSAGE)
TRIPLE(recv_message_sync, call_receive, CALLER, RECEIVE_MESSAGE)
TRIPLE(post_recv_message, call_receive, CALLBACK, RECEIVE_MESSAGE)
TRIPLE(recv_many, call_receive_many, FUTURE)
TRIPLE(recv_many_sync, call_receive_many, CALLER)
TRIPLE(post_recv_many, call_receive_many, CALLBACK)
TRIPLE(flush, call_flush, FUTURE)
TRIPLE(flush_sync, call_flush, CALLER)
TRIPLE(post_flush, call_flush, CALLBACK)

PyMethodDef send_methods[] = {
    METHOD("send", send,
           "send($self, buffer, tag, timeout=None, synchronous=False, loop=None)\n--\n\n"
           "Sends a contiguous buffer. The future is done when the buffer is free; with synchronous, when the message has been matched."),
    METHOD("send_sync", send_sync, "send_sync($self, buffer, tag, timeout=None, synchronous=False)\n--\n\nAs send, but blocks."),
    METHOD("post_send", post_send,
           "post_send($self, buffer, tag, done=None, failed=None, timeout=None, synchronous=False)\n--\n\n"
           "As send, but calls done() or failed(error) on the callbacks' thread. Returns an Operation."),
    METHOD("send_many", send_many,
           "send_many($self, buffers, tags, timeout=None, synchronous=False, loop=None)\n--\n\nSends several messages with one future. tags: one for all, or one for each."),
    METHOD("send_many_sync", send_many_sync, "send_many_sync($self, buffers, tags, timeout=None, synchronous=False)\n--\n\nAs send_many, but blocks."),
    METHOD("post_send_many", post_send_many,
           "post_send_many($self, buffers, tags, done=None, failed=None, timeout=None, synchronous=False)\n--\n\nAs send_many, with callbacks."),
    {NULL, NULL, 0, NULL},
};
PyMethodDef receive_methods[] = {
    METHOD("recv", recv,
           "recv($self, buffer, tag=None, mask=None, source=None, timeout=None, loop=None, drops=False)\n--\n\n"
           "Receives into a writable buffer a message whose tag equals `tag` in the bits of `mask` (None: all of them; no tag: any\n"
           "message). The future's result is the sender's tag and the message's length."),
    METHOD("recv_sync", recv_sync, "recv_sync($self, buffer, tag=None, mask=None, source=None, timeout=None)\n--\n\nAs recv, but blocks."),
    METHOD("post_recv", post_recv,
           "post_recv($self, buffer, tag=None, mask=None, done=None, failed=None, source=None, timeout=None, drops=False)\n--\n\n"
           "As recv, but calls done(tag, length) or failed(error) on the callbacks' thread. Returns an Operation."),
    METHOD("recv_message", recv_message,
           "recv_message($self, tag=None, mask=None, source=None, timeout=None, loop=None)\n--\n\nReceives a message of any size into memory of its own: a Message."),
    METHOD("recv_message_sync", recv_message_sync,
           "recv_message_sync($self, tag=None, mask=None, source=None, timeout=None)\n--\n\nAs recv_message, but blocks."),
    METHOD("post_recv_message", post_recv_message,
           "post_recv_message($self, tag=None, mask=None, done=None, failed=None, source=None, timeout=None)\n--\n\nAs recv_message, with callbacks."),
    METHOD("recv_many", recv_many,
           "recv_many($self, buffers, tags=None, mask=None, source=None, timeout=None, loop=None)\n--\n\n"
           "Receives several messages with one future, whose result is a list of (tag, length)."),
    METHOD("recv_many_sync", recv_many_sync, "recv_many_sync($self, buffers, tags=None, mask=None, source=None, timeout=None)\n--\n\nAs recv_many, but blocks."),
    METHOD("post_recv_many", post_recv_many,
           "post_recv_many($self, buffers, tags=None, mask=None, done=None, failed=None, source=None, timeout=None)\n--\n\n"
           "As recv_many, but calls done(list) or failed(error), whose `results` tell what arrived."),
    METHOD("flush", flush,
           "flush($self, timeout=None, loop=None)\n--\n\nDone when every earlier message is in the peer's memory or has been read by it: the sender may exit."),
    METHOD("flush_sync", flush_sync, "flush_sync($self, timeout=None)\n--\n\nAs flush, but blocks."),
    METHOD("post_flush", post_flush, "post_flush($self, done=None, failed=None, timeout=None)\n--\n\nAs flush, with callbacks."),
    METHOD("probe", call_probe, "probe($self, tag=None, mask=None)\n--\n\nThe tag and length of a message that waits, or None. It stays."),
    {NULL, NULL, 0, NULL},
};
