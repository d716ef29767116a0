/* The module: its start, its errors, and what happens at a fork. */
#include "native.h"

bool is_forked;
static PyObject *error_classes; /* code: class */

static const char *story(int32_t code) {
  switch (code) {
  case CWM_INVALID: return "an argument makes no sense";
  case CWM_WOULD_BLOCK: return "too many operations are in flight";
  case CWM_TRUNCATED: return "the message is longer than the buffer; it waits for a larger one";
  case CWM_TIMED_OUT: return "the deadline passed";
  case CWM_CANCELLED: return "the operation was cancelled";
  case CWM_PEER_LOST: return "the peer is gone: its process ended or the connection broke";
  case CWM_CLOSED: return "cancelled: the object was closed";
  case CWM_NOT_CONNECTED: return "not connected: nobody listens there, or it refused";
  case CWM_VERSION_MISMATCH: return "the peer's version of the protocol or of UCX is another one";
  case CWM_KEY_REFUSED: return "the keys differ, or one side has none";
  case CWM_ADDRESS_IN_USE: return "the address is in use";
  case CWM_NO_UCX: return "no usable UCX library was found";
  case CWM_FORKED: return "this process was forked from one that uses causeway: start it with multiprocessing's spawn instead";
  case CWM_NO_MEMORY: return "no memory";
  default: return "the operation failed";
  }
}

PyObject *error_object(int32_t code, const char *message, uint64_t length) {
  PyObject *number = PyLong_FromLong(code), *words = NULL, *error = NULL;
  if (!number) return NULL;
  PyObject *class = error_classes ? PyDict_GetItemWithError(error_classes, number) : NULL;
  if (!class && error_classes && !PyErr_Occurred()) {
    PyObject *failed = PyLong_FromLong(CWM_FAILED);
    class = failed ? PyDict_GetItemWithError(error_classes, failed) : NULL;
    Py_XDECREF(failed);
  }
  if (!class) class = PyExc_RuntimeError;
  words = PyUnicode_FromString(message && message[0] ? message : story(code));
  error = words ? PyObject_CallFunctionObjArgs(class, words, NULL) : NULL;
  if (error && code == CWM_TRUNCATED) {
    PyObject *bytes = PyLong_FromUnsignedLongLong(length);
    if (!bytes || PyObject_SetAttr(error, name_length, bytes) < 0) Py_CLEAR(error);
    Py_XDECREF(bytes);
  }
  Py_DECREF(number);
  Py_XDECREF(words);
  return error;
}

PyObject *raise_code(int32_t code, const char *message, uint64_t length) {
  PyObject *error = error_object(code, message, length);
  if (error) PyErr_SetObject((PyObject *)Py_TYPE(error), error);
  Py_XDECREF(error);
  return NULL;
}

bool may_run(void) {
  if (is_forked) raise_code(CWM_FORKED, NULL, 0);
  return !is_forked;
}

/* The first call of the package in an interpreter. What this module keeps belongs to one, and to its event loops. */
static PyObject *set_errors(PyObject *module, PyObject *classes) {
  (void)module;
  if (PyInterpreterState_GetID(PyInterpreterState_Get()) != 0) {
    PyErr_SetString(PyExc_ImportError, "causeway works in the main interpreter only, not in subinterpreters");
    return NULL;
  }
  set_reference(&error_classes, Py_NewRef(classes));
  Py_RETURN_NONE;
}

static PyObject *after_fork(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  if (engines) is_forked = true;
  Py_RETURN_NONE;
}

static PyObject *set_ucx_folder(PyObject *module, PyObject *folder) {
  (void)module;
  const char *path = PyUnicode_AsUTF8AndSize(folder, NULL);
  if (!path) return NULL;
  int32_t code = cwm_set_ucx_folder(path);
  if (code != CWM_OK) return raise_code(code, NULL, 0);
  Py_RETURN_NONE;
}

static PyObject *info_json(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  cwm_error error = CWM_INIT(cwm_error);
  size_t room = 65536;
  if (!may_run()) return NULL;
  for (;;) {
    char *text = PyMem_Malloc(room);
    if (!text) return PyErr_NoMemory();
    int64_t length;
    Py_BEGIN_ALLOW_THREADS;
    length = cwm_info_json(text, room, &error);
    Py_END_ALLOW_THREADS;
    PyObject *words = NULL;
    if (length < 0) raise_code((int32_t)length, error.message, 0);
    else if ((size_t)length < room) words = PyUnicode_FromStringAndSize(text, (Py_ssize_t)length);
    PyMem_Free(text);
    if (length < 0 || (size_t)length < room) return words;
    room = (size_t)length + 1;
  }
}

/* At the interpreter's exit: no callbacks from here on. */
static PyObject *stop(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  for (engine_object *engine = engines; engine && !is_forked; engine = engine->next) notifier_stop(engine);
  Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"set_errors", set_errors, METH_O, NULL},
    {"set_ucx_folder", set_ucx_folder, METH_O, NULL},
    {"info_json", info_json, METH_NOARGS, NULL},
    {"after_fork", after_fork, METH_NOARGS, NULL},
    {"stop", stop, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "causeway._native", "The C ABI of causeway for Python.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) {
  if (cwm_abi_version() != CWM_ABI_VERSION) {
    PyErr_SetString(PyExc_ImportError, "libcauseway_messaging.so and _native belong to different versions: reinstall causeway");
    return NULL;
  }
  PyObject *module = PyModule_Create(&definition);
  if (!module) return NULL;
  if (values_start() < 0 || engine_start(module) < 0 || mailbox_start(module) < 0 || endpoint_start(module) < 0 || message_start(module) < 0 ||
      future_start(module) < 0 || loop_start(module) < 0 || PyModule_AddIntConstant(module, "QUEUE_FULL", CODE_QUEUE_FULL) < 0)
    Py_CLEAR(module);
  return module;
}
