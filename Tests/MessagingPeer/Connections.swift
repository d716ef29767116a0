import CausewayMessaging
import Glibc

/// Round trips over one connection alone, and over one of many of the same engine. After each stage it waits for a line, so that
/// somebody may look at the memory of both processes.
func crowd(_ engine: Engine) async throws {
  let peers = Int(values["peers"] ?? "") ?? 1000
  var clients: [Client] = []
  for stage in [1, peers] {
    while clients.count < stage {
      let client = try Client(on: engine)
      try await client.connect(to: "127.0.0.1", port: port)
      clients.append(client)
    }
    // Each has been used once: UCX connects lanes at the first message.
    for client in clients { _ = await Ping(client, size, 1, warmup: 0).run() }
    say("connected \(stage)")
    _ = readLine()
    report(await Ping(clients[stage / 2], size, count).run())
    fflush(nil)
  }
  _exit(0)
}

/// Waits for the end of a connection: by a message that never comes, which costs nothing meanwhile.
func untilGone(_ endpoint: Endpoint) async { _ = try? await endpoint.receive(into: MessageBuffer(count: 0), tag: Tag(.max)) }

func descriptorLimits() -> String {
  var limit = rlimit()
  _ = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  return "\(limit.rlim_cur) \(limit.rlim_max)"
}

func lowerDescriptorLimit() {
  var limit = rlimit()
  _ = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  limit.rlim_cur = min(limit.rlim_max, 128)
  _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
}

/// Sends from a mapping whose file has been cut off: the program dies by the first byte, when it has taken a place in the receiver's queue
/// and has not filled it yet.
func dieWriting(_ engine: Engine) async throws {
  let client = try Client(on: engine)
  try await client.connect(to: "127.0.0.1", port: port)
  try await client.send([1], tag: 1)
  try await client.flush()
  let path = "/tmp/messaging-peer-\(getpid())"
  let file = unsafe open(path, O_RDWR | O_CREAT | O_EXCL, 0o600)
  _ = unsafe unlink(path)
  let byteCount = 4096
  guard file >= 0, ftruncate(file, byteCount) == 0, let bytes = unsafe mmap(nil, byteCount, PROT_READ, MAP_SHARED, file, 0) else {
    fatalError("no mapping")
  }
  _ = ftruncate(file, 0)
  // As SIGKILL would, without a core file or a back trace.
  signal(SIGBUS) { _ in _exit(9) }
  _ = try unsafe client.sendBlocking(
    UnsafeRawBufferPointer(start: bytes, count: byteCount), keeper: nil, 2, synchronous: false, nil)
  fatalError("it lives")
}
