/* Arguments and small values. */
#include "native.h"

#include <string.h>
#include <time.h>

PyObject *name_set_result, *name_set_exception, *name_done, *name_call_soon, *name_call_soon_threadsafe, *name_add_reader,
    *name_remove_reader, *name_is_closed, *name_loop, *name_length, *name_code, *name_dlpack;

int values_start(void) {
  struct {
    PyObject **name;
    const char *text;
  } names[] = {
      {&name_set_result, "set_result"}, {&name_set_exception, "set_exception"}, {&name_done, "done"},
      {&name_call_soon, "call_soon"},   {&name_call_soon_threadsafe, "call_soon_threadsafe"},
      {&name_add_reader, "add_reader"}, {&name_remove_reader, "remove_reader"}, {&name_is_closed, "is_closed"},
      {&name_loop, "loop"},             {&name_length, "length"},               {&name_code, "code"},
      {&name_dlpack, "__dlpack__"},
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    *names[i].name = PyUnicode_InternFromString(names[i].text);
    if (!*names[i].name) return -1;
  }
  return 0;
}

int read_arguments(const char *function, const char *const *names, int required, PyObject *const *args, Py_ssize_t count, PyObject *kwnames,
                   PyObject **values) {
  int known = 0;
  while (names[known]) values[known++] = NULL;
  if (count > known) {
    PyErr_Format(PyExc_TypeError, "%s() takes at most %d arguments (%zd given)", function, known, count);
    return -1;
  }
  for (Py_ssize_t i = 0; i < count; i++) values[i] = args[i];
  Py_ssize_t named = kwnames ? PyTuple_Size(kwnames) : 0;
  for (Py_ssize_t i = 0; i < named; i++) {
    PyObject *name = PyTuple_GetItem(kwnames, i);
    int at = 0;
    while (names[at] && PyUnicode_CompareWithASCIIString(name, names[at]) != 0) at++;
    if (!names[at] || values[at]) {
      PyErr_Format(PyExc_TypeError, names[at] ? "%s() got '%U' twice" : "%s() got an unexpected argument '%U'", function, name);
      return -1;
    }
    values[at] = args[count + i];
  }
  for (int i = 0; i < required; i++)
    if (!values[i]) {
      PyErr_Format(PyExc_TypeError, "%s() needs '%s'", function, names[i]);
      return -1;
    }
  return 0;
}

int read_timeout(PyObject *value, uint64_t *nanoseconds) {
  *nanoseconds = CWM_FOREVER;
  if (!value || value == Py_None) return 0;
  double seconds = PyFloat_AsDouble(value);
  if (seconds == -1.0 && PyErr_Occurred()) return -1;
  if (!(seconds >= 0)) {
    PyErr_SetString(PyExc_ValueError, "a timeout is a number of seconds, 0 or more, or None");
    return -1;
  }
  if (seconds < 1.8e10) *nanoseconds = (uint64_t)(seconds * 1e9);
  return 0;
}

int read_unsigned(PyObject *value, const char *what, uint64_t *result) {
  if (!PyLong_Check(value)) {
    PyObject *whole = PyNumber_Index(value); /* NumPy's integers and their like */
    if (!whole) return -1;
    int failed = read_unsigned(whole, what, result);
    Py_DECREF(whole);
    return failed;
  }
  *result = PyLong_AsUnsignedLongLong(value);
  if (*result == UINT64_MAX && PyErr_Occurred()) {
    PyErr_Format(PyExc_OverflowError, "a %s is an integer from 0 to 2**64 - 1", what);
    return -1;
  }
  return 0;
}

int read_tag(PyObject *tag, PyObject *mask, uint64_t *tag_bits, uint64_t *mask_bits) {
  *tag_bits = 0;
  *mask_bits = CWM_MASK_ANY;
  if (tag && tag != Py_None) {
    if (read_unsigned(tag, "tag", tag_bits) < 0) return -1;
    *mask_bits = CWM_MASK_EXACT;
  }
  return mask && mask != Py_None ? read_unsigned(mask, "mask", mask_bits) : 0;
}

uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void set_reference(PyObject **place, PyObject *value) {
  PyObject *old = *place;
  *place = value;
  Py_XDECREF(old);
}
