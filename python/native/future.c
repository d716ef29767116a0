/* asyncio futures that know their operation, so that cancelling one ends the other; and the same for callbacks, without asyncio. */
#include "native.h"

static PyTypeObject *future_type, *handle_type;
static PyObject *base_cancel, *no_arguments;
static unaryfunc base_await;
static Py_ssize_t place; /* of the operation's address in a future: behind what asyncio keeps there */

typedef struct handle_object {
  PyObject_HEAD
  operation *operation;
} handle_object;

static operation **slot_of(PyObject *future) {
  if (Py_TYPE(future) == handle_type) return &((handle_object *)future)->operation;
  return (operation **)((char *)future + place);
}

/* `loop_keywords` NULL: a handle for callbacks. */
PyObject *future_new(PyObject *loop_keywords, operation *operation) {
  PyObject *made;
  if (loop_keywords) made = PyObject_Call((PyObject *)future_type, no_arguments, loop_keywords);
  else made = ((allocfunc)PyType_GetSlot(handle_type, Py_tp_alloc))(handle_type, 0);
  if (made) *slot_of(made) = operation;
  return made;
}

void future_detach(PyObject *future) { *slot_of(future) = NULL; }

/* Whether somebody ended it before us; then there is nothing to tell. */
static bool is_done(PyObject *future) {
  PyObject *answer = PyObject_CallMethodObjArgs(future, name_done, NULL);
  bool is = answer == Py_True;
  Py_XDECREF(answer);
  return is;
}

static void tell(PyObject *future, PyObject *name, PyObject *value) {
  if (!value) { /* no memory for it */
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (error) tell(future, name_set_exception, error);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
    return;
  }
  PyObject *answer = PyObject_CallMethodObjArgs(future, name, value, NULL);
  if (answer) {
    Py_DECREF(answer);
    return;
  }
  PyObject *type, *error, *traceback;
  PyErr_Fetch(&type, &error, &traceback);
  if (is_done(future)) { /* cancelled behind our back, by asyncio.Future.cancel(future) */
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
  } else {
    PyErr_Restore(type, error, traceback);
  }
}

void future_set(PyObject *future, PyObject *value) { tell(future, name_set_result, value); }
void future_fail(PyObject *future, PyObject *error) { tell(future, name_set_exception, error); }

void future_cancel(PyObject *future) {
  future_detach(future);
  PyObject *answer = PyObject_CallFunctionObjArgs(base_cancel, future, NULL);
  Py_XDECREF(answer);
}

static PyObject *cancel(PyObject *self, PyObject *args, PyObject *keywords) {
  operation *operation = *slot_of(self);
  if (operation) return PyBool_FromLong(operation_cancel(operation));
  PyObject *all = PyTuple_New(1 + PyTuple_Size(args)), *answer = NULL;
  if (!all) return NULL;
  PyTuple_SetItem(all, 0, Py_NewRef(self));
  for (Py_ssize_t i = 0; i < PyTuple_Size(args); i++) PyTuple_SetItem(all, i + 1, Py_NewRef(PyTuple_GetItem(args, i)));
  answer = PyObject_Call(base_cancel, all, keywords);
  Py_DECREF(all);
  return answer;
}

/* What is done by now comes without a turn of the loop. */
static PyObject *await(PyObject *self) {
  operation **place = slot_of(self);
  if (*place && (*place)->loop) loop_look((*place)->loop, place);
  return base_await(self);
}

static PyMethodDef future_methods[] = {
    {"cancel", (PyCFunction)(void (*)(void))cancel, METH_VARARGS | METH_KEYWORDS,
     "cancel($self, msg=None)\n--\n\nEnds the operation. It is cancelled when its buffer is out of use, mostly at once. False: it has just ended."},
    {NULL, NULL, 0, NULL},
};

static PyObject *handle_cancel(PyObject *self, PyObject *unused) {
  (void)unused;
  operation *operation = ((handle_object *)self)->operation;
  return PyBool_FromLong(operation && operation_cancel(operation));
}

static void handle_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE((PyObject *)self);
  ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
  Py_DECREF(type);
}

static PyMethodDef handle_methods[] = {
    {"cancel", handle_cancel, METH_NOARGS, "cancel($self)\n--\n\nEnds the operation; its callback tells so. False: it has ended."},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot handle_slots[] = {
    {Py_tp_dealloc, handle_dealloc}, {Py_tp_methods, handle_methods}, {Py_tp_doc, "A begun operation with callbacks."}, {0, NULL}};
static PyType_Spec handle_spec = {
    "causeway.Operation", sizeof(handle_object), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, handle_slots};

int future_start(PyObject *module) {
  PyObject *asyncio = PyImport_ImportModule("asyncio"), *base = NULL, *size = NULL;
  int result = -1;
  if (!asyncio) return -1;
  base = PyObject_GetAttrString(asyncio, "Future");
  size = base ? PyObject_GetAttrString(base, "__basicsize__") : NULL;
  base_cancel = base ? PyObject_GetAttrString(base, "cancel") : NULL;
  no_arguments = PyTuple_New(0);
  if (!size || !base_cancel || !no_arguments) goto end;
  place = (PyLong_AsSsize_t(size) + (Py_ssize_t)sizeof(void *) - 1) & ~((Py_ssize_t)sizeof(void *) - 1);
  base_await = (unaryfunc)PyType_GetSlot((PyTypeObject *)base, Py_am_await);
  if (!base_await) goto end;
  PyType_Slot slots[] = {{Py_tp_methods, future_methods}, {Py_am_await, await}, {Py_tp_doc, "The future of an operation."}, {0, NULL}};
  PyType_Spec spec = {"causeway.OperationFuture", (int)(place + (Py_ssize_t)sizeof(operation *)), 0, Py_TPFLAGS_DEFAULT, slots};
  PyObject *bases = PyTuple_New(1);
  if (!bases) goto end;
  PyTuple_SetItem(bases, 0, Py_NewRef(base));
  future_type = (PyTypeObject *)PyType_FromSpecWithBases(&spec, bases);
  Py_DECREF(bases);
  handle_type = (PyTypeObject *)PyType_FromSpec(&handle_spec);
  if (!future_type || !handle_type) goto end;
  if (PyModule_AddObjectRef(module, "OperationFuture", (PyObject *)future_type) < 0) goto end;
  result = PyModule_AddObjectRef(module, "Operation", (PyObject *)handle_type);
end:
  Py_XDECREF(asyncio);
  Py_XDECREF(base);
  Py_XDECREF(size);
  return result;
}
