/* Buffers of callers, held as long as an operation may touch them. */
#include "native.h"

#include <string.h>

/* The part of DLPack's structures (version 0 of its ABI) that is read here. */
typedef struct dl_tensor {
  void *data;
  struct {
    int32_t type, id;
  } device;
  int32_t dimensions;
  struct {
    uint8_t code, bits;
    uint16_t lanes;
  } element;
  int64_t *shape, *strides;
  uint64_t offset;
} dl_tensor;
typedef struct dl_managed {
  dl_tensor tensor;
  void *context;
  void (*deleter)(struct dl_managed *);
} dl_managed;
enum { DL_CPU = 1, DL_CUDA_HOST = 3 };

static int hold_tensor(held *held, PyObject *object) {
  PyObject *capsule = PyObject_CallMethodObjArgs(object, name_dlpack, NULL);
  if (!capsule) return -1;
  dl_managed *managed = PyCapsule_GetPointer(capsule, "dltensor");
  if (!managed) {
    Py_DECREF(capsule);
    return -1;
  }
  const dl_tensor *tensor = &managed->tensor;
  const char *problem = NULL;
  if (tensor->device.type != DL_CPU && tensor->device.type != DL_CUDA_HOST) problem = "the tensor is not in the memory of the host";
  uint64_t elements = 1, row = 1;
  for (int i = 0; i < tensor->dimensions; i++) elements *= (uint64_t)tensor->shape[i];
  for (int i = tensor->dimensions - 1; elements && tensor->strides && i >= 0 && !problem; i--) {
    if (tensor->shape[i] > 1 && (uint64_t)tensor->strides[i] != row) problem = "the tensor is not contiguous";
    row *= (uint64_t)tensor->shape[i];
  }
  if (!tensor->data && elements && !problem) problem = "the tensor has no memory";
  if (problem) {
    PyErr_SetString(PyExc_BufferError, problem);
    Py_DECREF(capsule);
    return -1;
  }
  PyCapsule_SetName(capsule, "used_dltensor"); /* ours from here on */
  Py_DECREF(capsule);
  held->managed = managed;
  /* An empty one may have no address, which for receives would mean "allocate". */
  held->data = tensor->data ? (char *)tensor->data + tensor->offset : (void *)held;
  held->length = (elements * tensor->element.bits * tensor->element.lanes + 7) / 8; /* those of less than a byte are packed */
  return 0;
}

/* Whether a buffer's elements are references to Python objects: `format` as struct and PEP 3118 have it, names between colons. */
static bool has_references(const char *format) {
  bool in_name = false;
  for (; format && *format; format++) {
    if (*format == ':') in_name = !in_name;
    if (*format == 'O' && !in_name) return true;
  }
  return false;
}

/* What has no format, such as NumPy's dates, may have references too, but says so. */
static bool says_references(PyObject *object) {
  PyObject *kind = PyObject_GetAttrString(object, "dtype"), *has = kind ? PyObject_GetAttrString(kind, "hasobject") : NULL;
  bool result = has && PyObject_IsTrue(has) == 1;
  PyErr_Clear();
  Py_XDECREF(kind);
  Py_XDECREF(has);
  return result;
}

/* A contiguous buffer of data. 0, or -1 with an error. */
static int get_buffer(PyObject *object, Py_buffer *view, bool writable) {
  int flags = writable ? PyBUF_WRITABLE : PyBUF_SIMPLE;
  if (PyBytes_CheckExact(object) || PyByteArray_CheckExact(object)) return PyObject_GetBuffer(object, view, flags);
  bool references;
  if (PyObject_GetBuffer(object, view, flags | PyBUF_ND | PyBUF_FORMAT) == 0) {
    references = has_references(view->format);
  } else {
    if (!PyErr_ExceptionMatches(PyExc_ValueError)) return -1;
    PyErr_Clear();
    if (PyObject_GetBuffer(object, view, flags) < 0) return -1;
    references = says_references(object);
  }
  if (!references) return 0;
  PyBuffer_Release(view);
  PyErr_SetString(PyExc_TypeError, "the buffer has references to Python objects, which mean nothing elsewhere");
  return -1;
}

int hold(held *held, PyObject *object, bool writable) {
  held->managed = NULL;
  if (!PyObject_CheckBuffer(object) && PyObject_HasAttr(object, name_dlpack)) return hold_tensor(held, object);
  if (get_buffer(object, &held->view, writable) < 0) {
    held->data = NULL;
    if (PyErr_ExceptionMatches(PyExc_ValueError)) { /* NumPy's way; everybody else says BufferError */
      PyObject *type, *value, *traceback;
      PyErr_Fetch(&type, &value, &traceback);
      PyErr_Format(PyExc_BufferError, "%S", value ? value : Py_None);
      Py_XDECREF(type);
      Py_XDECREF(value);
      Py_XDECREF(traceback);
    }
    return -1;
  }
  /* An empty buffer may have no address, which for receives would mean "allocate". */
  held->data = held->view.buf ? held->view.buf : (void *)held;
  held->length = (size_t)held->view.len;
  return 0;
}

void let_go(held *held) {
  if (!held->data) return;
  if (held->managed) {
    dl_managed *managed = held->managed;
    if (managed->deleter) managed->deleter(managed);
  } else {
    PyBuffer_Release(&held->view);
  }
  held->data = NULL;
  held->managed = NULL;
}
