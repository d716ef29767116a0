/* Every operation of the C ABI once, with its answer checked; and misuse, which is answered with a code. Prints a line for each group. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "causeway_messaging.h"

#define CHECK(condition)                                                                 \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, error.message); \
      exit(1);                                                                           \
    }                                                                                    \
  } while (0)

static cwm_error error = CWM_INIT(cwm_error);
static const uint64_t second = 1000000000u;
static cwm_engine *engine;
static cwm_queue *queue;

static cwm_operation into_queue(uint64_t user) {
  cwm_operation operation = CWM_INIT(cwm_operation);
  operation.timeout_ns = 10 * second;
  operation.user = user;
  operation.queue = queue;
  return operation;
}

/* The next completion of `user`; those of others that come first are kept for their turn. */
static cwm_completion next(uint64_t user) {
  static cwm_completion kept[16];
  static int count;
  for (int i = 0; i < count; i++)
    if (kept[i].user == user) {
      cwm_completion found = kept[i];
      memmove(&kept[i], &kept[i + 1], sizeof *kept * (size_t)(--count - i));
      return found;
    }
  for (;;) {
    cwm_completion completion;
    CHECK(cwm_queue_wait(queue, &completion, 1, 10 * second, &error) == 1);
    CHECK(completion.size == sizeof completion);
    if (completion.user == user) return completion;
    CHECK(count < 16);
    kept[count++] = completion;
  }
}

/* How an operation ended, at once or later. */
static int32_t settled(int32_t code, uint64_t user) { return code == CWM_PENDING ? next(user).code : code; }

static void on_end(void *context, const cwm_completion *completion) {
  *(volatile int32_t *)context = completion->code == CWM_OK ? 1 : completion->code;
}

static void misuse(void) {
  cwm_operation neither = CWM_INIT(cwm_operation);
  cwm_completion now = CWM_INIT(cwm_completion);
  char byte = 0;
  CHECK(cwm_abi_version() == CWM_ABI_VERSION);
  CHECK(strcmp(cwm_code_name(CWM_PEER_LOST), "PEER_LOST") == 0 && cwm_code_name(12345) != NULL);
  CHECK(cwm_server_create(NULL, &error) == NULL && error.code == CWM_INVALID && error.message[0]);
  CHECK(cwm_client_create(NULL, NULL) == NULL && cwm_queue_create(NULL, &error) == NULL);
  CHECK(cwm_send(NULL, "x", 1, 0, 0, &neither, NULL, &error) == CWM_INVALID);
  CHECK(cwm_server_receive(NULL, NULL, &byte, 1, 0, 0, &neither, NULL, &now, &error) == CWM_INVALID);
  CHECK(cwm_client_receive(NULL, &byte, 1, 0, 0, &neither, NULL, &now, NULL) == CWM_INVALID);
  CHECK(cwm_queue_take(NULL, &now, 1) == 0 && cwm_queue_wait(NULL, &now, 1, 0, &error) == CWM_INVALID);
  CHECK(cwm_cancel(NULL, 1) == CWM_INVALID && cwm_cancel(engine, 0xffff) == CWM_NOT_FOUND);
  CHECK(cwm_server_listen(NULL, NULL, 0, NULL, &error) == CWM_INVALID && cwm_server_port(NULL) == 0);
  CHECK(cwm_engine_progress(NULL) == CWM_INVALID && cwm_engine_close(NULL, 0, &error) == CWM_INVALID);
  CHECK(cwm_set_ucx_folder(NULL) == CWM_INVALID && cwm_endpoint_id(NULL) == 0);
  cwm_endpoint_release(NULL), cwm_server_free(NULL), cwm_client_free(NULL), cwm_queue_free(NULL), cwm_free(NULL);
  cwm_client *client = cwm_client_create(engine, &error);
  CHECK(client && cwm_client_endpoint(client) == NULL);
  CHECK(cwm_client_receive(client, &byte, 1, 0, 0, &neither, NULL, &now, &error) == CWM_INVALID);
  cwm_operation connect = into_queue(90);
  CHECK(cwm_client_connect(client, "127.0.0.1", 1, NULL, 0, &connect, NULL, &error) == CWM_PENDING);
  CHECK(next(90).code == CWM_NOT_CONNECTED && cwm_client_failure(client, &error) == CWM_NOT_CONNECTED && error.message[0]);
  cwm_client_free(client);
  puts("misuse");
}

static void messages(cwm_server *server, cwm_client *client, cwm_endpoint *to_client, cwm_endpoint *to_server) {
  char in[8] = "", big[64];
  cwm_completion now = CWM_INIT(cwm_completion);
  cwm_operation send = into_queue(1), receive = into_queue(2);
  cwm_request request = 0;

  CHECK(cwm_server_receive(server, NULL, in, sizeof in, 7, CWM_MASK_EXACT, &receive, &request, &now, &error) == CWM_PENDING && request);
  CHECK(settled(cwm_send(to_server, "hello", 5, 7, 0, &send, NULL, &error), 1) == CWM_OK);
  now = next(2);
  CHECK(now.code == CWM_OK && now.tag == 7 && now.length == 5 && memcmp(in, "hello", 5) == 0);

  CHECK(cwm_client_receive(client, in, sizeof in, 0, CWM_MASK_ANY, &receive, &request, &now, &error) == CWM_PENDING);
  CHECK(cwm_cancel(engine, request) == CWM_OK && next(2).code == CWM_CANCELLED);
  receive.timeout_ns = second / 50;
  CHECK(settled(cwm_client_receive(client, in, sizeof in, 0, CWM_MASK_ANY, &receive, NULL, &now, &error), 2) == CWM_TIMED_OUT);
  receive.timeout_ns = CWM_FOREVER;

  cwm_piece pieces[2] = {{"sho", 3}, {"rter than this", 14}};
  CHECK(settled(cwm_send_pieces(to_client, pieces, 2, 8, 0, &send, NULL, &error), 1) == CWM_OK);
  while (cwm_client_probe(client, 8, CWM_MASK_EXACT, &now) == CWM_NOT_FOUND) {}
  CHECK(now.tag == 8 && now.length == 17 && cwm_client_probe(client, 9, CWM_MASK_EXACT, &now) == CWM_NOT_FOUND);
  int32_t code = cwm_client_receive(client, in, sizeof in, 8, CWM_MASK_EXACT, &receive, NULL, &now, &error);
  if (code == CWM_PENDING) now = next(2), code = now.code;
  CHECK(code == CWM_TRUNCATED && now.length == 17);
  code = cwm_client_receive(client, NULL, SIZE_MAX, 8, CWM_MASK_EXACT, &receive, NULL, &now, &error);
  if (code == CWM_PENDING) now = next(2), code = now.code;
  CHECK(code == CWM_OK && now.length == 17 && memcmp(now.data, "shorter than this", 17) == 0);
  cwm_free(now.data);

  receive.flags = CWM_DROP_TRUNCATED;
  CHECK(settled(cwm_send(to_server, "too long for it", 15, 7, 0, &send, NULL, &error), 1) == CWM_OK);
  while (cwm_server_probe(server, NULL, 7, CWM_MASK_EXACT, &now) == CWM_NOT_FOUND) {}
  code = cwm_server_receive(server, NULL, in, sizeof in, 7, CWM_MASK_EXACT, &receive, NULL, &now, &error);
  if (code == CWM_PENDING) now = next(2), code = now.code;
  CHECK(code == CWM_TRUNCATED && now.length == 15 && cwm_server_probe(server, NULL, 7, CWM_MASK_EXACT, &now) == CWM_NOT_FOUND);
  receive.flags = 0;

  volatile int32_t told = 0;
  cwm_operation called = CWM_INIT(cwm_operation);
  called.timeout_ns = CWM_FOREVER, called.callback = on_end, called.context = (void *)&told;
  CHECK(cwm_server_receive(server, to_client, big, sizeof big, 11, CWM_MASK_EXACT, &called, NULL, &now, &error) == CWM_PENDING);
  CHECK(settled(cwm_send(to_server, "call", 4, 11, CWM_SYNCHRONOUS, &send, NULL, &error), 1) == CWM_OK);
  while (!told) {}
  CHECK(told == 1);

  cwm_message out[3] = {{"a", 1, 1, 0}, {"bb", 2, 2, 0}, {"ccc", 3, 3, 0}};
  char places[3][4];
  cwm_message rooms[3] = {{places[0], 4, 1, CWM_MASK_EXACT}, {places[1], 4, 2, CWM_MASK_EXACT}, {places[2], 4, 0, CWM_MASK_ANY}};
  cwm_result results[3];
  CHECK(settled(cwm_send_many(to_server, out, 3, 0, &send, NULL, NULL, &error), 1) == CWM_OK);
  CHECK(settled(cwm_server_receive_many(server, NULL, rooms, 3, &receive, results, NULL, &error), 2) == CWM_OK);
  CHECK(results[2].code == CWM_OK && results[2].tag == 3 && results[2].length == 3 && memcmp(places[1], "bb", 2) == 0);
  CHECK(cwm_client_receive_many(client, rooms, 3, &receive, results, &request, &error) == CWM_PENDING);
  CHECK(cwm_cancel(engine, request) == CWM_OK && next(2).code == CWM_CANCELLED && results[0].code == CWM_CANCELLED);

  /* A send of which UCX keeps the buffer past its end. */
  static char large[1 << 20];
  send.timeout_ns = second / 20;
  CHECK(cwm_send(to_server, large, sizeof large, 12, 0, &send, NULL, &error) == CWM_PENDING);
  now = next(1);
  CHECK(now.code == CWM_TIMED_OUT && now.flags == CWM_KEPT);
  code = cwm_server_receive(server, NULL, NULL, SIZE_MAX, 12, CWM_MASK_EXACT, &receive, NULL, &now, &error);
  CHECK(code == CWM_PENDING);
  for (int left = 2; left > 0; left--) { /* the message, and the release of its buffer, in either order */
    cwm_completion completion;
    CHECK(cwm_queue_wait(queue, &completion, 1, 10 * second, &error) == 1 && completion.code == CWM_OK);
    CHECK(completion.user == 2 ? completion.length == sizeof large : completion.flags == CWM_RELEASED);
    cwm_free(completion.data);
  }
  cwm_operation flush = into_queue(3);
  CHECK(settled(cwm_endpoint_flush(to_server, &flush, NULL, &error), 3) == CWM_OK);
  CHECK(settled(cwm_server_flush(server, &flush, NULL, &error), 3) == CWM_OK);
  CHECK(cwm_server_probe(server, NULL, 0, CWM_MASK_ANY, &now) == CWM_NOT_FOUND);
  puts("messages");
}

/* Things of one engine or server that are given to another, and lengths that no memory has. */
static void mixtures(cwm_server *server, cwm_endpoint *to_client, cwm_endpoint *to_server) {
  char byte = 0;
  cwm_completion now = CWM_INIT(cwm_completion);
  cwm_operation operation = into_queue(1);
  cwm_engine_options endless = CWM_INIT(cwm_engine_options);
  endless.core = -1, endless.spin_ns = UINT64_MAX, endless.unreceived_limit = UINT64_MAX, endless.endpoint_grant = UINT64_MAX;
  cwm_engine *engine_of_others = cwm_engine_create(&endless, &error);
  cwm_server *other = cwm_server_create(engine, &error), *far = cwm_server_create(engine_of_others, &error);
  cwm_queue *queue_of_others = cwm_queue_create(engine_of_others, &error);
  CHECK(other && far && queue_of_others);
  cwm_message rooms[1] = {{&byte, 1, 1, CWM_MASK_EXACT}};
  cwm_server *servers[3] = {server, other, far};
  for (int i = 0; i < 3; i++) {
    cwm_endpoint *from = i ? to_client : to_server;
    CHECK(cwm_server_receive(servers[i], from, &byte, 1, 1, CWM_MASK_EXACT, &operation, NULL, &now, &error) == CWM_INVALID);
    CHECK(cwm_server_receive_many(servers[i], from, rooms, 1, &operation, NULL, NULL, &error) == CWM_INVALID);
    CHECK(cwm_server_probe(servers[i], from, 0, CWM_MASK_ANY, &now) == CWM_INVALID);
  }
  operation.queue = queue_of_others;
  CHECK(cwm_server_receive(server, NULL, &byte, 1, 1, CWM_MASK_EXACT, &operation, NULL, &now, &error) == CWM_INVALID);
  CHECK(cwm_send(to_server, &byte, 1, 1, 0, &operation, NULL, &error) == CWM_INVALID);
  CHECK(cwm_endpoint_flush(to_server, &operation, NULL, &error) == CWM_INVALID);
  operation.queue = queue;
  cwm_piece pieces[3][2] = {{{NULL, 1}, {&byte, 1}}, {{&byte, SIZE_MAX}, {&byte, 1}}, {{&byte, SIZE_MAX / 2}, {&byte, SIZE_MAX / 2}}};
  for (int i = 0; i < 3; i++) CHECK(cwm_send_pieces(to_server, pieces[i], 2, 1, 0, &operation, NULL, &error) == CWM_INVALID);
  CHECK(cwm_send(to_server, &byte, SIZE_MAX, 1, 0, &operation, NULL, &error) == CWM_INVALID);
  cwm_message bad[2] = {{NULL, 1, 1, 0}, {&byte, SIZE_MAX, 1, 0}};
  for (int i = 0; i < 2; i++) {
    CHECK(cwm_send_many(to_server, &bad[i], 1, 0, &operation, NULL, NULL, &error) == CWM_INVALID);
    CHECK(cwm_server_receive_many(server, NULL, &bad[i], 1, &operation, NULL, NULL, &error) == CWM_INVALID);
  }
  CHECK(cwm_send_many(to_server, bad, SIZE_MAX, 0, &operation, NULL, NULL, &error) == CWM_INVALID);
  cwm_queue_free(queue_of_others), cwm_server_free(other), cwm_server_free(far);
  CHECK(cwm_engine_close(engine_of_others, second, &error) == CWM_OK);
  puts("mixtures");
}

/* Probes that the sockets to this port send before their peer counts as lost. */
static int probes(uint16_t port) {
  int count = 0;
  for (int fd = 0; fd < 4096; fd++) {
    struct sockaddr_in peer;
    socklen_t size = sizeof peer, length = sizeof count;
    if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0 && peer.sin_family == AF_INET && ntohs(peer.sin_port) == port)
      getsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, &length);
  }
  return count;
}

/* Options of an engine reach it, and those that a caller of an earlier header does not have are not read. */
static void engine_options(void) {
  cwm_engine_options wanted = CWM_INIT(cwm_engine_options);
  wanted.core = -1, wanted.host_timeout_ns = 2 * second;
  for (int has = 1; has >= 0; has--) {
    wanted.size = has ? sizeof wanted : offsetof(cwm_engine_options, host_timeout_ns);
    cwm_engine *own = cwm_engine_create(&wanted, &error);
    cwm_queue *ends = cwm_queue_create(own, &error);
    cwm_server *server = cwm_server_create(own, &error);
    cwm_client *client = cwm_client_create(own, &error);
    CHECK(client && ends && cwm_server_listen(server, "127.0.0.1", 0, NULL, &error) == CWM_OK);
    cwm_operation connect = into_queue(0);
    cwm_completion end;
    connect.queue = ends;
    CHECK(cwm_client_connect(client, "127.0.0.1", cwm_server_port(server), NULL, 0, &connect, NULL, &error) == CWM_PENDING);
    CHECK(cwm_queue_wait(ends, &end, 1, 10 * second, &error) == 1 && end.code == CWM_OK);
    CHECK(probes(cwm_server_port(server)) == (has ? 1 : 3));
    cwm_client_free(client), cwm_server_free(server), cwm_queue_free(ends);
    CHECK(cwm_engine_close(own, 0, &error) == CWM_OK);
  }
  puts("options");
}

static void endpoints(cwm_server *server, cwm_endpoint *endpoint) {
  char text[512];
  cwm_endpoint_info info = CWM_INIT(cwm_endpoint_info);
  cwm_endpoint *clients[2];
  CHECK(cwm_server_clients(server, NULL, 0) == 1 && cwm_server_clients(server, clients, 2) == 1);
  CHECK(clients[0] == endpoint && cwm_endpoint_id(endpoint) != 0);
  cwm_endpoint_release(clients[0]);
  cwm_endpoint_retain(endpoint), cwm_endpoint_release(endpoint);
  CHECK(cwm_endpoint_info_get(endpoint, &info) == CWM_OK && info.is_connected && info.received_messages >= 4 && info.name[0]);
  CHECK(strcmp(info.local_host, "127.0.0.1") == 0 && info.local_port == cwm_server_port(server) && info.remote_port != 0);
  /* A caller of an earlier header has a shorter struct; nothing behind it is written. */
  info.size = offsetof(cwm_endpoint_info, unreceived_messages), info.unreceived_messages = 77;
  CHECK(cwm_endpoint_info_get(endpoint, &info) == CWM_OK && info.unreceived_messages == 77);
  CHECK(cwm_endpoint_transports(endpoint, text, sizeof text, &error) > 0 && strchr(text, ' '));
  CHECK(cwm_endpoint_evaluate_performance(endpoint, 1 << 20) > 0);
  puts("endpoints");
}

static cwm_endpoint *accepted(cwm_queue *accepts) {
  cwm_completion completion;
  CHECK(cwm_queue_wait(accepts, &completion, 1, 10 * second, &error) == 1 && completion.user == 5 && completion.endpoint);
  return completion.endpoint;
}

int main(void) {
  char text[4096], blob[4096];
  CHECK(cwm_set_ucx_folder("/nowhere") == CWM_OK);
  int64_t length = cwm_info_json(text, sizeof text, &error);
  CHECK(length > 0 && length < (int64_t)sizeof text && strstr(text, "\"transports\":[{\"name\":\"") && text[0] == '{' && cwm_info_json(text, 4, &error) == length && strlen(text) == 3);
  engine = cwm_engine_shared(&error);
  CHECK(engine);
  queue = cwm_queue_create(engine, &error);
  CHECK(queue && cwm_queue_descriptor(queue) >= 0);
  misuse();

  cwm_server *server = cwm_server_create(engine, &error);
  cwm_queue *accepts = cwm_queue_create(engine, &error);
  cwm_listen_options options = CWM_INIT(cwm_listen_options);
  options.key = "0123456789abcdef", options.key_length = 16;
  CHECK(server && accepts && cwm_server_accept_into(server, accepts, 5) == CWM_OK);
  CHECK(cwm_server_listen(server, "127.0.0.1", 0, &options, &error) == CWM_OK && cwm_server_port(server));
  cwm_client *client = cwm_client_create(engine, &error), *stranger = cwm_client_create(engine, &error);
  cwm_operation connect = into_queue(4);
  cwm_request request;
  CHECK(cwm_client_connect(stranger, "127.0.0.1", cwm_server_port(server), NULL, 0, &connect, &request, &error) == CWM_PENDING);
  CHECK(next(4).code == CWM_KEY_REFUSED);
  CHECK(cwm_client_connect(client, "127.0.0.1", cwm_server_port(server), options.key, 16, &connect, &request, &error) == CWM_PENDING);
  CHECK(next(4).code == CWM_OK);
  CHECK(cwm_client_connect(client, "127.0.0.1", 1, NULL, 0, &connect, NULL, &error) == CWM_INVALID);
  cwm_endpoint *to_server = cwm_client_endpoint(client), *to_client = accepted(accepts);
  CHECK(to_server);
  messages(server, client, to_client, to_server);
  mixtures(server, to_client, to_server);
  endpoints(server, to_client);

  /* By address; a second server, whose acceptance is told by a callback. */
  volatile int32_t told = 0;
  cwm_server *other = cwm_server_create(engine, &error);
  CHECK(cwm_server_on_accept(other, on_end, (void *)&told) == CWM_OK);
  options.key = NULL, options.without_tcp = 1;
  length = cwm_server_listen_address(other, blob, sizeof blob, &options, &error);
  CHECK(length > 0 && cwm_server_listen_address(other, NULL, 0, &options, &error) == length);
  cwm_client *second_client = cwm_client_create(engine, &error);
  CHECK(cwm_client_connect_address(second_client, "no address", 10, NULL, 0, &connect, NULL, &error) != CWM_OK);
  cwm_client_free(second_client);
  cwm_completion dropped;
  while (cwm_queue_take(queue, &dropped, 1)) {}
  second_client = cwm_client_create(engine, &error);
  CHECK(cwm_client_connect_address(second_client, blob, (size_t)length, NULL, 0, &connect, NULL, &error) == CWM_PENDING);
  while (next(4).code != CWM_OK) {}
  while (!told) {}
  puts("addresses");

  /* A consumer that sleeps is woken by the descriptor. */
  char byte;
  cwm_completion now = CWM_INIT(cwm_completion);
  cwm_operation receive = into_queue(6), send = into_queue(7);
  CHECK(cwm_client_receive(client, &byte, 1, 1, CWM_MASK_EXACT, &receive, NULL, &now, &error) == CWM_PENDING);
  CHECK(cwm_queue_take(queue, &now, 1) == 0);
  CHECK(settled(cwm_send(to_client, "!", 1, 1, 0, &send, NULL, &error), 7) == CWM_OK);
  struct pollfd look = {.fd = cwm_queue_descriptor(queue), .events = POLLIN};
  CHECK(poll(&look, 1, 10000) == 1 && next(6).code == CWM_OK && byte == '!');

  cwm_operation close = into_queue(8);
  CHECK(cwm_client_close(client, &close, &error) == CWM_PENDING && next(8).code == CWM_OK);
  CHECK(cwm_client_close(client, &close, &error) == CWM_CLOSED);
  CHECK(settled(cwm_client_receive(client, &byte, 1, 1, CWM_MASK_EXACT, &receive, NULL, &now, &error), 6) == CWM_CLOSED);
  CHECK(cwm_send(to_server, "x", 1, 1, 0, &send, NULL, &error) == CWM_CLOSED && cwm_client_probe(client, 1, 0, &now) == CWM_CLOSED);
  CHECK(cwm_endpoint_flush(to_server, &send, NULL, &error) == CWM_CLOSED);
  CHECK(cwm_server_close(server, &close, &error) == CWM_PENDING && next(8).code == CWM_OK);
  CHECK(cwm_server_listen(server, "127.0.0.1", 0, NULL, &error) == CWM_CLOSED && cwm_server_probe(server, NULL, 1, 0, &now) == CWM_CLOSED);
  cwm_endpoint_release(to_server), cwm_endpoint_release(to_client);
  cwm_client_free(client), cwm_client_free(stranger), cwm_client_free(second_client), cwm_server_free(server), cwm_server_free(other);
  cwm_queue_free(accepts);
  puts("closes");

  cwm_engine_options manual = CWM_INIT(cwm_engine_options);
  manual.progress = CWM_MANUAL, manual.core = -1, manual.transports = "sm,self";
  cwm_engine *own = cwm_engine_create(&manual, &error);
  CHECK(own && cwm_engine_progress(own) >= 0);
  CHECK(cwm_engine_metrics(own, text, sizeof text, &error) > 0 && strstr(text, "causeway_messaging_endpoints{engine=\"messaging\"} 0\n"));
  CHECK(cwm_engine_serve_metrics(own, "127.0.0.1", 0, &error) > 0 && cwm_engine_serve_metrics(own, NULL, 0, &error) == CWM_INVALID);
  int32_t descriptor = -1;
  CHECK(cwm_engine_arm(own, &descriptor) == CWM_OK && descriptor >= 0 && cwm_engine_arm(engine, &descriptor) == CWM_INVALID);
  CHECK(cwm_engine_close(own, second, &error) == CWM_OK);
  cwm_queue_free(queue);
  puts("engines");
  engine_options();
  return 0;
}
