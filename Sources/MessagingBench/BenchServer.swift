internal import CausewayMessaging

/// The other side of a measurement: takes a plan, makes buffers, says so, does its rounds; again until the client goes.
struct BenchServer: Sendable {
  /// Buffers of a large plan take a while to be zeroed.
  static let answerLimit = Duration.seconds(120)
  static let ready: UInt8 = 0
  static let refused: UInt8 = 1

  private let server: Server

  init(_ server: Server) { self.server = server }

  /// Serves every client that comes, until the server is closed.
  func run() async {
    await withDiscardingTaskGroup { group in
      for await endpoint in server.endpoints { group.addTask { await Self.serve(endpoint) } }
    }
  }

  private static func serve(_ endpoint: Endpoint) async {
    do throws(MessagingError) {
      while true {
        let (buffer, received) = try await endpoint.receive(tag: BenchTag.plan, upTo: BenchPlan.byteCount)
        guard received.byteCount == BenchPlan.byteCount, let plan = BenchPlan(buffer.array()) else {
          try await endpoint.send([refused], tag: BenchTag.answer)
          try await endpoint.close()
          return
        }
        let round = Round(plan, .server, on: endpoint)
        try await endpoint.send([ready], tag: BenchTag.answer)
        _ = try await round.run(plan.extent.rounds, by: plan.api, RoundProgress())
        try await endpoint.flush(timeout: answerLimit)
      }
    } catch {
      // The client went, or broke a rule; either way it is over with this one.
      try? await endpoint.close(timeout: .zero)
    }
  }
}
