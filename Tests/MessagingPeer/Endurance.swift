import CausewayMessaging
import Glibc

/// Connects and closes `count` times between two engines, and prints how many descriptors, threads and KiB of memory were there after a
/// hundred, how many at the end, and how many when the client's engine was gone.
func cycles(_ engine: Engine, _ options: Engine.Options, _ count: Int) async throws {
  let other = try Engine(options)
  let server = try Server(on: engine)
  let port = try await server.listen(on: "127.0.0.1")
  func cycle() async throws {
    let client = try Client(on: other)
    try await client.connect(to: "127.0.0.1", port: port)
    try await client.send([1], tag: 1)
    _ = try await server.receive(tag: 1)
    try await client.close()
  }
  func figures() async throws -> String {
    while !server.clients.isEmpty { await Task.yield() }
    // UCX closes sockets a moment later.
    try await Task.sleep(for: .milliseconds(100))
    return "\(entries("/proc/self/fd")) \(entries("/proc/self/task")) \(residentByteCount() >> 10)"
  }
  for _ in 0..<100 { try await cycle() }
  say(try await figures())
  for _ in 0..<count { try await cycle() }
  say(try await figures())
  other.shutdown()
  try await Task.sleep(for: .milliseconds(300))
  say(try await figures())
  try await server.close()
}

/// Accepts, receives nothing, and prints its port and that of its figures.
func neglect(_ engine: Engine) async throws {
  let server = try Server(on: engine)
  say("\(try await server.listen(on: "127.0.0.1")) \(try await engine.serveMetrics(on: "127.0.0.1"))")
  var iterator = server.endpoints.makeAsyncIterator()
  while await iterator.next() != nil {}
}

@_silgen_name("fork") private func forkProcess() -> pid_t

/// Uses an engine and what lives on it in a child of its process, and prints what each call came to; then in the parent again.
func forkAndUse(_ engine: Engine) async throws {
  let (server, client) = (try Server(on: engine), try Client(on: engine))
  try await client.connect(to: "127.0.0.1", port: try await server.listen(on: "127.0.0.1"))
  // No task runs in the child: only what does not suspend can be called there.
  let child = forkProcess()
  if child == 0 {
    let buffer = MessageBuffer(count: 1)
    let calls: [(String, () throws -> Void)] = [
      ("send", { try client.sendBlocking(buffer, tag: 1) }), ("receive", { _ = try server.receiveBlocking(into: buffer, tag: 1) }),
      ("probe", { _ = try server.probe(tag: 1) }), ("counters", { _ = try client.counters() }),
      ("transports", { _ = try client.transports() }), ("metrics", { _ = try engine.metrics() }), ("info", { _ = try engine.info() }),
      ("server", { _ = try Server(on: engine) }), ("progress", { try engine.progress() }),
    ]
    for (name, call) in calls {
      do {
        try call()
        say("\(name) done")
      } catch { say("\(name) \((error as? MessagingError)?.code ?? .closed)") }
    }
    client.send(buffer, tag: 1) { say("send with a callback \($0.code)") }
    client.connect(to: "127.0.0.1", port: 1) { say("connect with a callback \($0?.code ?? .closed)") }
    engine.shutdown()
    say("over")
    _exit(0)
  }
  _ = waitpid(child, nil, 0)
  try await client.send([1], tag: 1)
  _ = try await server.receive(tag: 1)
  say("the parent goes on")
  try await client.close()
  try await server.close()
}

/// How many entries a folder has.
private func entries(_ path: String) -> Int {
  guard let folder = unsafe opendir(path) else { return 0 }
  var count = 0
  while unsafe readdir(folder) != nil { count += 1 }
  unsafe closedir(folder)
  return count - 2
}

private func residentByteCount() -> Int {
  guard let file = unsafe fopen("/proc/self/statm", "r") else { return 0 }
  defer { unsafe fclose(file) }
  var line = [CChar](repeating: 0, count: 128)
  guard unsafe fgets(&line, CInt(line.count), file) != nil else { return 0 }
  let words = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).split(separator: " ")
  return words.count > 1 ? (Int(words[1]) ?? 0) * Int(getpagesize()) : 0
}
