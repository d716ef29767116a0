/* A received message of a size that nobody had to know: memory of the library behind the buffer protocol. */
#include "native.h"

typedef struct message_object {
  PyObject_HEAD
  void *data;
  size_t length;
  uint64_t tag;
} message_object;

static PyTypeObject *message_type;

PyObject *message_new(void *data, size_t length, uint64_t tag) {
  allocfunc allocate = (allocfunc)PyType_GetSlot(message_type, Py_tp_alloc);
  message_object *message = (message_object *)allocate(message_type, 0);
  if (!message) {
    cwm_free(data);
    return NULL;
  }
  message->data = data;
  message->length = length;
  message->tag = tag;
  return (PyObject *)message;
}

static void message_dealloc(message_object *self) {
  PyTypeObject *type = Py_TYPE((PyObject *)self);
  if (!is_forked) cwm_free(self->data);
  ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
  Py_DECREF(type);
}

static int message_getbuffer(message_object *self, Py_buffer *view, int flags) {
  static char nothing;
  return PyBuffer_FillInfo(view, (PyObject *)self, self->data ? self->data : &nothing, (Py_ssize_t)self->length, 0, flags);
}

static Py_ssize_t message_length(message_object *self) { return (Py_ssize_t)self->length; }
static PyObject *message_tag(message_object *self, void *unused) { return (void)unused, PyLong_FromUnsignedLongLong(self->tag); }
static PyObject *message_repr(message_object *self) {
  return PyUnicode_FromFormat("<causeway.Message tag=%llu length=%zu>", (unsigned long long)self->tag, self->length);
}

static PyGetSetDef message_attributes[] = {
    {"tag", (getter)message_tag, NULL, "The sender's tag.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot message_slots[] = {
    {Py_tp_dealloc, message_dealloc},
    {Py_tp_repr, message_repr},
    {Py_tp_getset, message_attributes},
    {Py_sq_length, message_length},
    {Py_bf_getbuffer, message_getbuffer},
    {Py_tp_doc, "A message in memory of its own: `memoryview(message)`, `bytes(message)`, `len(message)`, `message.tag`."},
    {0, NULL},
};
static PyType_Spec message_spec = {
    "causeway.Message", sizeof(message_object), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, message_slots};

int message_start(PyObject *module) {
  message_type = (PyTypeObject *)PyType_FromSpec(&message_spec);
  return message_type ? PyModule_AddObjectRef(module, "Message", (PyObject *)message_type) : -1;
}
