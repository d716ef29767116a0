/* What an operation is, how it starts and how it ends. */
#include "native.h"

#include <string.h>

static operation *spare;
static unsigned spare_count;
enum { SPARE_LIMIT = 4096 };

operation *operation_new(enum kind kind, engine_object *engine, PyObject *owner) {
  operation *made = spare;
  if (made) {
    spare = made->next;
    spare_count--;
  } else {
    made = PyMem_Malloc(sizeof *made);
    if (!made) return (operation *)PyErr_NoMemory();
  }
  /* All but the buffer, which `held.data` tells about, and the end, which is written before it is read. */
  memset(made, 0, offsetof(operation, held));
  memset((char *)made + offsetof(operation, many), 0, offsetof(operation, end) - offsetof(operation, many));
  made->held.data = NULL;
  made->held.managed = NULL;
  made->kind = (uint8_t)kind;
  made->consumer = NOBODY;
  made->engine = engine;
  made->owner = Py_NewRef(owner);
  made->timeout = CWM_FOREVER;
  made->deadline = CWM_FOREVER;
  return made;
}

static void detach(operation *operation) {
  loop_end(operation);
  if (operation->future) {
    future_detach(operation->future);
    Py_CLEAR(operation->future);
  }
  Py_CLEAR(operation->done);
  Py_CLEAR(operation->failed);
}

void operation_free(operation *operation) {
  detach(operation);
  let_go(&operation->held);
  for (size_t i = 0; operation->many && i < operation->count; i++) let_go(&operation->many[i]);
  PyMem_Free(operation->many);
  PyMem_Free(operation->messages);
  PyMem_Free(operation->results);
  PyObject *owner = operation->owner, *source = operation->source, *words = operation->words;
  if (spare_count < SPARE_LIMIT) {
    operation->next = spare;
    spare = operation;
    spare_count++;
  } else {
    PyMem_Free(operation);
  }
  /* Last: they may be what kept an object alive, whose end comes back here. */
  Py_XDECREF(words);
  Py_XDECREF(source);
  Py_XDECREF(owner);
}

int32_t operation_submit(operation *o, cwm_completion *now, cwm_error *error) {
  cwm_operation how = {sizeof how, o->timeout, (uint64_t)(uintptr_t)o, NULL, NULL, o->queue, o->drops ? CWM_DROP_TRUNCATED : 0};
  mailbox_object *box = o->mailbox;
  cwm_endpoint *peer = o->connection ? o->connection->endpoint : NULL;
  switch ((enum kind)o->kind) {
  case SEND: return cwm_send(peer, o->held.data, o->held.length, o->tag, o->flags, &how, &o->request, error);
  case SEND_MANY: return cwm_send_many(peer, o->messages, o->count, o->flags, &how, o->results, &o->request, error);
  case RECEIVE:
  case RECEIVE_MESSAGE: {
    void *data = o->kind == RECEIVE ? o->held.data : NULL;
    size_t capacity = o->kind == RECEIVE ? o->held.length : SIZE_MAX;
    if (box->server) return cwm_server_receive(box->server, peer, data, capacity, o->tag, o->mask, &how, &o->request, now, error);
    return cwm_client_receive(box->client, data, capacity, o->tag, o->mask, &how, &o->request, now, error);
  }
  case RECEIVE_MANY:
    if (box->server) return cwm_server_receive_many(box->server, peer, o->messages, o->count, &how, o->results, &o->request, error);
    return cwm_client_receive_many(box->client, o->messages, o->count, &how, o->results, &o->request, error);
  case FLUSH:
    if (peer) return cwm_endpoint_flush(peer, &how, &o->request, error);
    if (box->server) return cwm_server_flush(box->server, &how, &o->request, error);
    error->code = CWM_NOT_CONNECTED;
    strcpy(error->message, "the client is not connected");
    return CWM_NOT_CONNECTED;
  case CONNECT:
    if (o->host) return cwm_client_connect(box->client, o->host, o->port, o->key, o->key_length, &how, &o->request, error);
    return cwm_client_connect_address(box->client, o->blob, o->count, o->key, o->key_length, &how, &o->request, error);
  case CLOSE: return box->server ? cwm_server_close(box->server, &how, error) : cwm_client_close(box->client, &how, error);
  }
  return CWM_INVALID;
}

static PyObject *received(uint64_t tag, uint64_t length) {
  PyObject *pair = PyTuple_New(2), *first = PyLong_FromUnsignedLongLong(tag), *second = PyLong_FromUnsignedLongLong(length);
  if (!pair || !first || !second) {
    Py_XDECREF(pair);
    Py_XDECREF(first);
    Py_XDECREF(second);
    return NULL;
  }
  PyTuple_SetItem(pair, 0, first);
  PyTuple_SetItem(pair, 1, second);
  return pair;
}

/* One pair for each message, None for those that failed. */
static PyObject *all_received(operation *operation) {
  PyObject *list = PyList_New((Py_ssize_t)operation->count);
  for (size_t i = 0; list && i < operation->count; i++) {
    const cwm_result *result = &operation->results[i];
    PyObject *pair = result->code == CWM_OK ? received(result->tag, result->length) : Py_NewRef(Py_None);
    if (!pair || PyList_SetItem(list, (Py_ssize_t)i, pair) < 0) Py_CLEAR(list);
  }
  return list;
}

PyObject *operation_value(operation *operation, const cwm_completion *completion) {
  switch ((enum kind)operation->kind) {
  case RECEIVE: return received(completion->tag, completion->length);
  case RECEIVE_MESSAGE: return message_new(completion->data, completion->length, completion->tag);
  case RECEIVE_MANY: return all_received(operation);
  case CONNECT: {
    cwm_endpoint *endpoint = cwm_client_endpoint(operation->mailbox->client);
    if (endpoint && !operation->mailbox->connection) operation->mailbox->connection = connection_of(endpoint);
    else if (endpoint) cwm_endpoint_release(endpoint);
    return Py_NewRef(Py_None);
  }
  default: return Py_NewRef(Py_None);
  }
}

/* The exception for a bad end. */
PyObject *operation_error(operation *operation, int32_t code, const char *message, uint64_t length) {
  cwm_error why;
  why.size = sizeof why;
  /* A connect's end has no words of its own. */
  if (operation->drops && code == CWM_TRUNCATED) message = "the message is longer than the buffer, and was dropped";
  if (operation->kind == CONNECT && !message && cwm_client_failure(operation->mailbox->client, &why) == code) message = why.message;
  PyObject *error = error_object(code, message, length);
  if (error && operation->kind == RECEIVE_MANY && operation->results) {
    PyObject *results = all_received(operation);
    if (!results || PyObject_SetAttrString(error, "results", results) < 0) PyErr_Clear();
    Py_XDECREF(results);
  }
  return error;
}

static void call_back(operation *operation, const cwm_completion *completion, const char *message) {
  PyObject *function = completion->code == CWM_OK ? operation->done : operation->failed, *answer = NULL;
  if (operation->is_cancelling && completion->code == CWM_OK) function = operation->done; /* it was overtaken */
  if (!function || function == Py_None) return;
  Py_INCREF(function);
  PyObject *value = completion->code == CWM_OK ? operation_value(operation, completion)
                                               : operation_error(operation, completion->code, message, completion->length);
  if (value && completion->code == CWM_OK && PyTuple_Check(value)) answer = PyObject_Call(function, value, NULL);
  else if (value && value == Py_None) answer = PyObject_CallNoArgs(function);
  else if (value) answer = PyObject_CallFunctionObjArgs(function, value, NULL);
  if (!answer) PyErr_WriteUnraisable(function);
  Py_XDECREF(answer);
  Py_XDECREF(value);
  Py_DECREF(function);
}

static void tell_future(operation *operation, const cwm_completion *completion, const char *message) {
  PyObject *future = operation->future, *value;
  if (operation->is_cancelling) {
    if (completion->code == CWM_OK && operation->kind == RECEIVE_MESSAGE) cwm_free(completion->data);
    future_cancel(future);
  } else if (completion->code == CWM_OK) {
    value = operation_value(operation, completion);
    future_set(future, value);
    Py_XDECREF(value);
  } else {
    value = operation_error(operation, completion->code, message, completion->length);
    future_fail(future, value);
    Py_XDECREF(value);
  }
}

void operation_end(operation *operation, const cwm_completion *completion, const char *message) {
  operation->state = ENDED;
  enum consumer consumer = (enum consumer)operation->consumer;
  if (consumer == CALLER) {
    operation->end = *completion; /* freed by whoever waits for it */
    return;
  }
  if (consumer == FUTURE && operation->future) {
    tell_future(operation, completion, message);
  } else if (consumer == CALLBACK) {
    operation->engine->callbacks_in_flight--;
    call_back(operation, completion, message);
  } else if (completion->data) {
    cwm_free(completion->data);
  }
  if (PyErr_Occurred()) PyErr_WriteUnraisable(NULL);
  if (completion->flags & CWM_KEPT) detach(operation); /* the buffer stays, until CWM_RELEASED */
  else operation_free(operation);
}

void operation_keep_end(operation *operation, const cwm_completion *end, const char *message) {
  operation->end = *end;
  operation->state = ENDED;
  operation->next = NULL;
  if (message && message[0]) set_reference(&operation->words, PyUnicode_DecodeUTF8(message, (Py_ssize_t)strlen(message), "replace"));
}

void operation_tell_kept(operation *operation) {
  PyObject *story = operation->words ? Py_NewRef(operation->words) : NULL;
  cwm_completion end = operation->end;
  operation_end(operation, &end, story ? PyUnicode_AsUTF8AndSize(story, NULL) : NULL);
  Py_XDECREF(story);
}

void operations_end(const cwm_completion *completions, size_t count) {
  engine_object *engine = NULL;
  for (size_t i = 0; i < count; i++) {
    operation *operation = (struct operation *)(uintptr_t)completions[i].user;
    if (!engine) engine = (engine_object *)Py_NewRef((PyObject *)operation->engine);
    if (completions[i].flags & CWM_RELEASED) operation_free(operation);
    else operation_end(operation, &completions[i], NULL);
  }
  if (!engine) return;
  if (engine->waiting) lines_retry(engine);
  Py_DECREF((PyObject *)engine);
}

/* What `operation_submit` said, for a consumer that hears of the end later. Returns what the caller gets. */
static PyObject *started(operation *operation, int32_t code, cwm_completion *now, cwm_error *error, PyObject *future) {
  loop_object *loop = operation->loop;
  if (code == CWM_PENDING) {
    operation->state = IN_FLIGHT;
    return future;
  }
  if (code == CWM_WOULD_BLOCK) {
    if (line_append(operation) == 0) return future;
    if (!loop) operation->engine->callbacks_in_flight--;
    operation_free(operation);
    Py_DECREF(future);
    return NULL;
  }
  now->code = code;
  if (!loop) {
    notifier_later(operation, now, error->message);
  } else if (code == CWM_OK && loop_defers(loop)) {
    PyObject *value = operation_value(operation, now);
    if (value) loop_defer(loop, future, value);
    Py_XDECREF(value);
    operation_free(operation);
  } else {
    operation_end(operation, now, error->message);
  }
  return future;
}

PyObject *start(operation *operation, enum consumer consumer, PyObject *loop, PyObject *done, PyObject *failed) {
  engine_object *engine = operation->engine;
  PyObject *future = NULL;
  if (!may_run()) goto refused;
  if (engine->is_closed) {
    raise_code(CWM_CLOSED, "the engine is closed", 0);
    goto refused;
  }
  if (consumer == FUTURE) {
    loop_object *of = loop_of(engine, loop);
    if (!of) goto refused;
    operation->queue = of->queue;
    if (!(future = future_new(of->keywords, operation))) goto refused;
    loop_begin(of, operation);
  } else if (consumer == CALLBACK) {
    operation->queue = notifier_queue(engine);
    if (!operation->queue || !(future = future_new(NULL, operation))) goto refused;
    engine->callbacks_in_flight++;
  } else if (!(operation->queue = wait_queue(engine))) {
    goto refused;
  }
  operation->future = Py_XNewRef(future);
  operation->done = Py_XNewRef(done);
  operation->failed = Py_XNewRef(failed);
  operation->consumer = (uint8_t)consumer;
  cwm_completion now;
  cwm_error error;
  now.size = sizeof now;
  now.code = CWM_OK, now.flags = 0, now.length = 0, now.data = NULL;
  error.size = sizeof error;
  error.message[0] = 0;
  int32_t code = line_holds(operation) ? CWM_WOULD_BLOCK : operation_submit(operation, &now, &error);
  if (consumer == CALLER) return wait_for(operation, code, &now, &error);
  return started(operation, code, &now, &error, future);
refused:
  operation_free(operation);
  return NULL;
}

bool operation_ask_for_end(operation *operation) {
  engine_object *engine = operation->engine; /* its close ends all, and frees the library's engine */
  return !engine->is_closed && cwm_cancel(engine->engine, operation->request) == CWM_OK;
}

bool operation_cancel(operation *operation) {
  if (operation->state == IN_LINE) {
    cwm_completion end = {.size = sizeof end, .code = CWM_CANCELLED};
    line_remove(operation);
    operation->is_cancelling = true;
    if (operation->kind == CLOSE) { /* it closes all the same */
      cwm_error error = CWM_INIT(cwm_error);
      if (line_overdue(operation, &end, &error) == CWM_PENDING) {
        operation->state = IN_FLIGHT;
        return true;
      }
    }
    if (operation->consumer == CALLBACK) notifier_later(operation, &end, NULL);
    else operation_end(operation, &end, NULL);
    return true;
  }
  if (operation->state != IN_FLIGHT || is_forked) return false;
  if (operation->is_cancelling) return true;
  operation->is_cancelling = true;
  loop_object *loop = operation->loop;
  if (!operation_ask_for_end(operation)) {
    operation->is_cancelling = false;
    return false;
  }
  if (loop) loop_take(loop); /* mostly its end is there at once */
  return true;
}
