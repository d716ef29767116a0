internal import CausewayMessaging
internal import Synchronization

/// What one side does again and again: both sides' rounds fit together.
struct Round: Sendable {
  enum Order: Sendable {
    case together
    /// Sends answer what was received.
    case receivesFirst
  }
  enum Side: Sendable { case client, server }

  var port: MessagePort
  var receives: [ReceiveRequest] = []
  var sends: [SendRequest] = []
  var order = Order.together
  /// The round ends when the peer has everything.
  var flushes = false

  init(_ plan: BenchPlan, _ side: Side, on port: MessagePort) {
    self.port = port
    let size = plan.extent.messageByteCount
    let (up, down) = (BenchTag.up, BenchTag.down)
    func receiving(_ tag: Tag) -> [ReceiveRequest] {
      (0..<plan.extent.concurrency).map { _ in ReceiveRequest(into: MessageBuffer(count: size), tag: tag) }
    }
    func sending(_ tag: Tag) -> [SendRequest] {
      (0..<plan.extent.concurrency).map { _ in SendRequest(MessageBuffer(count: size), tag: tag) }
    }
    switch (plan.scenario, side) {
    case (.largeArray, .client), (.smallMessages, .client):
      sends = sending(up)
      flushes = true
    case (.largeArray, .server), (.smallMessages, .server):
      receives = receiving(up)
    case (.pingpongFlag, .client), (.streamingDuplex, .client):
      receives = receiving(down)
      sends = sending(up)
    case (.pingpongFlag, .server):
      receives = receiving(up)
      sends = sending(down)
      order = .receivesFirst
    case (.streamingDuplex, .server):
      receives = receiving(up)
      sends = sending(down)
    }
  }

  /// Runs it so many times on the engine's thread.
  /// - Returns: What each one took, in nanoseconds.
  func run(_ count: Int, by api: BenchAPI, _ progress: RoundProgress) async throws(MessagingError) -> [UInt64] {
    switch api {
    case .async: return try await AsyncRounds(self).run(count, progress)
    case .callback: return try await CallbackRounds(self, count, progress).run()
    }
  }
}

enum BenchTag {
  static let plan: Tag = 0xC0DE_0001
  static let answer: Tag = 0xC0DE_0002
  static let up: Tag = 0xC0DE_0010
  static let down: Tag = 0xC0DE_0011
}

/// How far it is, for whoever watches.
final class RoundProgress: Sendable {
  private let count = Atomic<Int>(0)
  var value: Int { count.load(ordering: .relaxed) }
  /// One thread at a time.
  func set(_ value: Int) { count.store(value, ordering: .relaxed) }
}
