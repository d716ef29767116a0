/* Whom a server accepts: taken from its queue, waited for, told to a callback; and all that are connected now. */
#include "native.h"

#include <poll.h>

/* A new list of endpoints, or NULL with an error. Empty while another thread waits for them: it gets what there is. */
PyObject *mailbox_take_accepted(mailbox_object *self) {
  PyObject *list = PyList_New(0);
  cwm_completion completions[16];
  size_t count;
  while (list && !is_forked && !self->is_taking && (count = cwm_queue_take(self->accepts, completions, 16)))
    for (size_t i = 0; i < count; i++) {
      if (!completions[i].endpoint) continue;
      PyObject *endpoint = list ? endpoint_new(self, completions[i].endpoint) : NULL;
      if (!list) cwm_endpoint_release(completions[i].endpoint);
      else if (!endpoint || PyList_Append(list, endpoint) < 0) Py_CLEAR(list);
      Py_XDECREF(endpoint);
    }
  return list;
}

static PyObject *take_accepted(PyObject *object, PyObject *unused) {
  (void)unused;
  mailbox_object *self = (mailbox_object *)object;
  return mailbox_need(self, true) < 0 ? NULL : mailbox_take_accepted(self);
}

/* Blocks until somebody is accepted, at most so many seconds; returns as _take_accepted. Of several threads one waits at a time, and the
 * others come back for what it found. */
static PyObject *wait_accepted(PyObject *object, PyObject *timeout) {
  mailbox_object *self = (mailbox_object *)object;
  uint64_t left;
  if (mailbox_need(self, true) < 0 || read_timeout(timeout, &left) < 0) return NULL;
  enum { SLICE_NS = 50000000, TURN_MS = 1 };
  uint64_t end = left == CWM_FOREVER ? left : now_ns() + left, now = 0;
  do {
    cwm_completion completion;
    int64_t count;
    cwm_error error = CWM_INIT(cwm_error);
    if (self->is_taking) {
      Py_BEGIN_ALLOW_THREADS;
      poll(NULL, 0, TURN_MS);
      Py_END_ALLOW_THREADS;
      return PyErr_CheckSignals() < 0 ? NULL : PyList_New(0);
    }
    left = end == CWM_FOREVER || end - now > SLICE_NS ? SLICE_NS : end - now;
    self->is_taking = true;
    Py_BEGIN_ALLOW_THREADS;
    count = cwm_queue_wait(self->accepts, &completion, 1, left, &error);
    Py_END_ALLOW_THREADS;
    self->is_taking = false;
    if (count < 0) return raise_code((int32_t)count, error.message, 0);
    if (count > 0 && completion.endpoint) {
      PyObject *list = mailbox_take_accepted(self), *first = endpoint_new(self, completion.endpoint);
      if (!list || !first || PyList_Insert(list, 0, first) < 0) Py_CLEAR(list);
      Py_XDECREF(first);
      return list;
    }
    if (PyErr_CheckSignals() < 0) return NULL;
    now = now_ns();
  } while (now < end && !self->is_closed && !self->engine->is_closed);
  return PyList_New(0);
}

static PyObject *on_accept(PyObject *object, PyObject *callback) {
  mailbox_object *self = (mailbox_object *)object;
  if (mailbox_need(self, true) < 0) return NULL;
  if (!PyCallable_Check(callback)) return PyErr_SetString(PyExc_TypeError, "on_accept() needs a function"), NULL;
  set_reference(&self->on_accept, Py_NewRef(callback));
  if (notifier_watch(self) < 0) return NULL;
  Py_RETURN_NONE;
}

static PyObject *clients(mailbox_object *self, void *unused) {
  (void)unused;
  if (mailbox_need(self, true) < 0) return NULL;
  size_t room = 64, count;
  for (;;) {
    cwm_endpoint **found = PyMem_Malloc(room * sizeof *found);
    if (!found) return PyErr_NoMemory();
    count = cwm_server_clients(self->server, found, room);
    size_t filled = count < room ? count : room;
    PyObject *list = count <= room ? PyList_New(0) : NULL;
    for (size_t i = 0; i < filled; i++) {
      if (!list) {
        cwm_endpoint_release(found[i]);
        continue;
      }
      PyObject *endpoint = endpoint_new(self, found[i]);
      if (!endpoint || PyList_Append(list, endpoint) < 0) Py_CLEAR(list);
      Py_XDECREF(endpoint);
    }
    PyMem_Free(found);
    if (count <= room) return list;
    room = count + 64;
  }
}

static PyObject *accepts_descriptor(mailbox_object *self, void *unused) {
  (void)unused;
  return mailbox_need(self, true) < 0 ? NULL : PyLong_FromLong(cwm_queue_descriptor(self->accepts));
}

PyMethodDef accept_methods[] = {
    {"_take_accepted", take_accepted, METH_NOARGS, NULL},
    {"_wait_accepted", wait_accepted, METH_O, NULL},
    {"on_accept", on_accept, METH_O,
     "on_accept($self, callback, /)\n--\n\nCalls callback(endpoint) for each accepted endpoint, on the callbacks' thread, instead of accept()."},
    {NULL, NULL, 0, NULL},
};
PyGetSetDef accept_attributes[] = {
    {"_clients", (getter)clients, NULL, NULL, NULL},
    {"_accepts_descriptor", (getter)accepts_descriptor, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
