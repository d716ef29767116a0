/* Operations that found the engine full: they wait in order, for each connection's sends and for each object's receives. */
#include "native.h"

bool line_is_empty(const line *line) { return line->first == NULL; }

line *operation_line(operation *operation) {
  switch ((enum kind)operation->kind) {
  case SEND:
  case SEND_MANY: return &operation->connection->sends;
  case RECEIVE:
  case RECEIVE_MESSAGE:
  case RECEIVE_MANY: return &operation->mailbox->receives;
  default: return NULL;
  }
}

int line_append(operation *operation) {
  engine_object *engine = operation->engine;
  line *line = operation_line(operation);
  if (!line) {
    raise_code(CWM_WOULD_BLOCK, "too many operations are in flight", 0);
    return -1;
  }
  if (engine->in_lines >= LINE_LIMIT) {
    raise_code(CODE_QUEUE_FULL, "too many operations wait for room: await some of them first", 0);
    return -1;
  }
  operation->state = IN_LINE;
  operation->next = NULL;
  if (operation->timeout != CWM_FOREVER) operation->deadline = now_ns() + operation->timeout;
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
  struct operation *before = NULL;
  for (struct operation *each = line->first; each && each != operation; each = each->next) before = each;
  if (before) before->next = operation->next;
  else line->first = operation->next;
  if (line->last == operation) line->last = before;
  operation->next = NULL;
  operation->engine->in_lines--;
}

/* Returns false when the engine is full. */
static bool retry(line *line) {
  while (line->first) {
    operation *operation = line->first;
    cwm_completion now = {.size = sizeof now};
    cwm_error error;
    error.size = sizeof error;
    error.message[0] = 0;
    int32_t code = CWM_TIMED_OUT;
    uint64_t time = operation->deadline == CWM_FOREVER ? 0 : now_ns();
    if (time < operation->deadline) {
      if (operation->deadline != CWM_FOREVER) operation->timeout = operation->deadline - time;
      code = operation_submit(operation, &now, &error);
    }
    if (code == CWM_WOULD_BLOCK) return false;
    line_remove(operation);
    if (code == CWM_PENDING) {
      operation->state = IN_FLIGHT;
      continue;
    }
    now.code = code;
    if (operation->consumer == CALLBACK) notifier_later(operation, &now, error.message);
    else operation_end(operation, &now, error.message);
  }
  return true;
}

void lines_retry(engine_object *engine) {
  /* Full for receives is not full for sends: each line is tried. What ends meanwhile may start more, so the list is begun anew. */
  static bool is_retrying;
  if (is_retrying) return;
  is_retrying = true;
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
  is_retrying = false;
}

uint64_t lines_expire(engine_object *engine) {
  uint64_t next = CWM_FOREVER, time = now_ns();
again:
  for (line *line = engine->waiting; line; line = line->next_waiting)
    for (operation *each = line->first; each; each = each->next) {
      if (each->deadline <= time) {
        cwm_completion end = {.size = sizeof end, .code = CWM_TIMED_OUT};
        line_remove(each);
        if (each->consumer == CALLBACK) notifier_later(each, &end, NULL);
        else operation_end(each, &end, NULL);
        goto again;
      }
      if (each->deadline < next) next = each->deadline;
    }
  return next;
}
