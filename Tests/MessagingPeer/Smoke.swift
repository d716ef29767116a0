import CausewayMessaging

/// One of each between this process and an obedient one: prints its port, "ready" when all went well, and then how the end of the other
/// one was told.
func smoke(_ engine: Engine) async throws {
  let server = try Server(on: engine)
  say("\(try await server.listen(on: "127.0.0.1"))")
  var iterator = server.endpoints.makeAsyncIterator()
  guard let endpoint = await iterator.next() else { return }
  func order(_ text: String) async throws { try await endpoint.send(Array(text.utf8), tag: Obedience.orderTag) }

  for size in [0, 1, 100, 5000, 20_000, 1 << 20] {
    try await order("send 1 \(size)")
    let (buffer, _) = try await server.receive(tag: 1)
    if buffer.array() != [UInt8](repeating: 7, count: size) { return say("\(size) bytes differ") }
    try await order("receive 2 \(size)")
    try await endpoint.send(MessageBuffer(count: size), tag: 2, synchronous: true)
  }
  for size in [100, 100_000] {
    try await order("send 3 \(size)")
    do throws(MessagingError) {
      _ = try await endpoint.receive(into: MessageBuffer(count: 10), tag: 3)
      return say("not truncated")
    } catch { if error.code != .truncated || error.byteCount != size { return say("\(error)") } }
    _ = try await endpoint.receive(into: MessageBuffer(count: size), tag: 3)
  }
  try await endpoint.flush()
  say("ready")
  do throws(MessagingError) {
    _ = try await endpoint.receive(tag: 4)
    say("received")
  } catch { say("\(error.code)") }
}
