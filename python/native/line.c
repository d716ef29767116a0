/* Operations that found the engine full: they wait in order, for each connection's sends and flushes, and for
 * each object's receives. */
#include "native.h"

line *operation_line(operation *operation) {
  switch ((enum kind)operation->kind) {
  case SEND:
  case SEND_MANY: return &operation->connection->sends;
  case RECEIVE:
  case RECEIVE_MESSAGE:
  case RECEIVE_MANY: return &operation->mailbox->receives;
  case FLUSH:
  case CLOSE: return operation->connection ? &operation->connection->sends : &operation->mailbox->flushes;
  default: return NULL;
  }
}

void line_strike(line *line) {
  if (!line->is_waiting) return;
  for (engine_object *engine = engines; engine; engine = engine->next)
    for (struct line **at = &engine->waiting; *at; at = &(*at)->next_waiting)
      if (*at == line) {
        *at = line->next_waiting;
        break;
      }
  line->is_waiting = false;
}

/* A server's flush or close waits for the sends of each of its connections. */
static bool sends_wait(const mailbox_object *mailbox) {
  for (const line *line = mailbox->engine->waiting; line; line = line->next_waiting)
    if (line->first && line->first->connection && line->first->mailbox == mailbox && line == &line->first->connection->sends) return true;
  return false;
}

bool line_holds(operation *operation) {
  line *line = operation_line(operation);
  if (line && line->first && line->first != operation) return true;
  return (operation->kind == FLUSH || operation->kind == CLOSE) && !operation->connection && sends_wait(operation->mailbox);
}

/* -- Deadlines of those that wait: a heap, the next one first. Each knows its place there, counted from 1. */

static void put(operation **heap, size_t at, operation *operation) {
  heap[at] = operation;
  operation->expires_at = at + 1;
}

static void move_up(operation **heap, size_t at, operation *operation) {
  for (; at && heap[(at - 1) / 2]->deadline > operation->deadline; at = (at - 1) / 2) put(heap, at, heap[(at - 1) / 2]);
  put(heap, at, operation);
}

static void move_down(operation **heap, size_t count, size_t at, operation *operation) {
  for (size_t child; (child = 2 * at + 1) < count; at = child) {
    if (child + 1 < count && heap[child + 1]->deadline < heap[child]->deadline) child++;
    if (heap[child]->deadline >= operation->deadline) break;
    put(heap, at, heap[child]);
  }
  put(heap, at, operation);
}

static int remember_deadline(engine_object *engine, operation *operation) {
  if (engine->expiring_count == engine->expiring_room) {
    size_t room = engine->expiring_room ? 2 * engine->expiring_room : 64;
    struct operation **larger = PyMem_Realloc(engine->expiring, room * sizeof *larger);
    if (!larger) return PyErr_NoMemory(), -1;
    engine->expiring = larger;
    engine->expiring_room = room;
  }
  move_up(engine->expiring, engine->expiring_count++, operation);
  return 0;
}

static void forget_deadline(engine_object *engine, operation *operation) {
  if (!operation->expires_at) return;
  size_t at = operation->expires_at - 1;
  struct operation *last = engine->expiring[--engine->expiring_count];
  operation->expires_at = 0;
  if (last == operation) return;
  if (last->deadline < operation->deadline) move_up(engine->expiring, at, last);
  else move_down(engine->expiring, engine->expiring_count, at, last);
}

/* -- The lines */

int line_append(operation *operation) {
  engine_object *engine = operation->engine;
  line *line = operation_line(operation);
  if (!line) {
    raise_code(CWM_WOULD_BLOCK, "too many operations are in flight", 0);
    return -1;
  }
  if (engine->in_lines >= LINE_LIMIT && operation->kind != CLOSE) {
    raise_code(CODE_QUEUE_FULL, "too many operations wait for room: await some of them first", 0);
    return -1;
  }
  if (operation->timeout != CWM_FOREVER) {
    operation->deadline = now_ns() + operation->timeout;
    if (remember_deadline(engine, operation) < 0) return -1;
  }
  operation->state = IN_LINE;
  operation->next = NULL;
  operation->previous = line->last;
  if (line->last) line->last->next = operation;
  else line->first = operation;
  line->last = operation;
  engine->in_lines++;
  if (!line->is_waiting) {
    line->is_waiting = true;
    line->next_waiting = engine->waiting;
    engine->waiting = line;
  }
  if (operation->loop) loop_wake_for_line(operation->loop, operation);
  else notifier_wake(engine);
  return 0;
}

void line_remove(operation *operation) {
  line *line = operation_line(operation);
  if (operation->previous) operation->previous->next = operation->next;
  else line->first = operation->next;
  if (operation->next) operation->next->previous = operation->previous;
  else line->last = operation->previous;
  operation->next = operation->previous = NULL;
  forget_deadline(operation->engine, operation);
  operation->engine->in_lines--;
}

/* It leaves its line ended. Whoever found that may be any thread: its own is told. */
static void end(operation *operation, const cwm_completion *end, const char *message) {
  if (operation->consumer == CALLBACK) notifier_later(operation, end, message);
  else if (operation->loop && !loop_is_here(operation->loop)) loop_later(operation, end, message);
  else operation_end(operation, end, message);
}

int32_t line_overdue(operation *operation, cwm_completion *now, cwm_error *error) {
  if (operation->kind != CLOSE) return CWM_TIMED_OUT;
  operation->timeout = 0;
  return operation_submit(operation, now, error);
}

/* Returns false when the engine is full. */
static bool retry(line *line) {
  while (line->first) {
    operation *operation = line->first;
    if (line_holds(operation)) return false;
    cwm_completion now = {.size = sizeof now};
    cwm_error error;
    error.size = sizeof error;
    error.message[0] = 0;
    int32_t code;
    uint64_t time = operation->deadline == CWM_FOREVER ? 0 : now_ns();
    if (time < operation->deadline) {
      if (operation->deadline != CWM_FOREVER) operation->timeout = operation->deadline - time;
      code = operation_submit(operation, &now, &error);
    } else {
      code = line_overdue(operation, &now, &error);
    }
    if (code == CWM_WOULD_BLOCK) return false;
    line_remove(operation);
    if (code == CWM_PENDING) {
      operation->state = IN_FLIGHT;
      continue;
    }
    now.code = code;
    end(operation, &now, error.message);
  }
  return true;
}

void lines_retry(engine_object *engine) {
  /* Full for receives is not full for sends: each line is tried. What ends meanwhile may start more, so the list is begun anew. */
  engine->retries_again = true;
  if (engine->is_retrying) return;
  engine->is_retrying = true;
  while (engine->retries_again) {
    engine->retries_again = false;
    for (struct line **at = &engine->waiting; *at;) {
      line *line = *at;
      if (!retry(line)) {
        at = &line->next_waiting;
        continue;
      }
      at = &engine->waiting;
      while (*at && *at != line) at = &(*at)->next_waiting;
      if (*at) *at = line->next_waiting;
      line->is_waiting = false;
    }
  }
  engine->is_retrying = false;
}

uint64_t lines_expire(engine_object *engine) {
  uint64_t time = now_ns();
  while (engine->expiring_count && engine->expiring[0]->deadline <= time) {
    operation *first = engine->expiring[0];
    cwm_completion now = {.size = sizeof now};
    cwm_error error;
    error.size = sizeof error;
    error.message[0] = 0;
    line_remove(first);
    now.code = line_overdue(first, &now, &error);
    if (now.code == CWM_PENDING) first->state = IN_FLIGHT;
    else end(first, &now, error.message);
  }
  return engine->expiring_count ? engine->expiring[0]->deadline : CWM_FOREVER;
}
