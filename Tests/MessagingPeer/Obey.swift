import CausewayMessaging

/// Does what messages under `orderTag` say, and prints "begun" when it begins, "done ORDER" or "failed ORDER CODE" at its end.
///   receive TAG SIZE, send TAG SIZE, drain TAG COUNT, flush, close
// @unchecked Sendable: a constant.
final class Obedience: @unchecked Sendable {
  static let orderTag: CausewayMessaging.Tag = 0xFFFF
  private let client: Client

  init(_ client: Client) { self.client = client }

  /// Ends when the connection does; prints "lost" then.
  func run() async {
    while true {
      guard let (buffer, _) = try? await client.receive(tag: Self.orderTag) else { return say("lost") }
      let order = String(decoding: buffer.array(), as: UTF8.self)
      let words = order.split(separator: " ")
      let numbers = words.dropFirst().compactMap { Int($0) }
      say("begun")
      begin(String(words[0]), numbers.first ?? 0, numbers.last ?? 0) { completion in
        say(completion.isDone ? "done \(words[0])" : "failed \(words[0]) \(completion.code)")
      }
    }
  }

  private func begin(_ what: String, _ tag: Int, _ size: Int, _ end: @escaping @Sendable (Completion) -> Void) {
    let tag = CausewayMessaging.Tag(UInt64(tag))
    switch what {
    case "receive": client.receive(into: MessageBuffer(count: size), tag: tag, completion: end)
    case "send":
      let buffer = MessageBuffer(count: size)
      unsafe buffer.withUnsafeMutableBytes { memory in unsafe _ = memory.initializeMemory(as: UInt8.self, repeating: 7) }
      client.send(buffer, tag: tag, completion: end)
    case "flush": client.flush(completion: end)
    case "drain":
      let buffer = MessageBuffer(count: 1 << 20)
      for _ in 1..<size { client.receive(into: buffer, tag: tag) { _ in } }
      client.receive(into: buffer, tag: tag, completion: end)
    default: say("no order '\(what)'")
    }
  }
}
