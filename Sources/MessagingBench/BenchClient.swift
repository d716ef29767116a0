internal import CausewayMessaging

/// The measuring side: one connection, scenario by scenario.
struct BenchClient: Sendable {
  private let client: Client

  init(_ client: Client) { self.client = client }

  func measure(_ plan: BenchPlan, _ progress: RoundProgress) async throws(MessagingError) -> Measurement {
    let round = Round(plan, .client, on: client)
    try await client.send(plan.encoded, tag: BenchTag.plan)
    let answer = try await client.receive(tag: BenchTag.answer, upTo: 16, timeout: BenchServer.answerLimit)
    if answer.buffer.array() != [BenchServer.ready] {
      throw MessagingError(.invalidArgument, plan.scenario.rawValue, cause: "the peer refuses it; is it of the same version?")
    }
    let times = try await round.run(plan.extent.rounds, by: plan.api, progress)
    return Measurement(
      plan, times: Array(times.dropFirst(plan.extent.warmup)),
      messageClass: client.engine.messageClass(of: plan.extent.messageByteCount),
      route: try client.route(of: plan.extent.messageByteCount), transports: try client.transports())
  }
}
