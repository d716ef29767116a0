internal import CausewayBase
internal import CausewayMessaging
internal import CausewaySupport

/// What one scenario gave.
struct Measurement: Sendable {
  let plan: BenchPlan
  /// Nanoseconds of one message: of a round by its messages, sorted.
  private let times: [UInt64]
  /// Nanoseconds of all measured rounds.
  private let total: UInt64
  let messageClass: Route.MessageClass
  /// How the messages went; nil when UCX does not say.
  let route: Route?
  let transports: [Transport]

  init(_ plan: BenchPlan, times: [UInt64], messageClass: Route.MessageClass, route: Route?, transports: [Transport]) {
    self.plan = plan
    self.times = times.map { $0 / UInt64(plan.extent.concurrency) }.sorted()
    total = times.reduce(0, &+)
    self.messageClass = messageClass
    self.route = route
    self.transports = transports
  }

  /// The value below which so many percent lie.
  func percentile(_ percent: Int) -> UInt64 { times.isEmpty ? 0 : times[min(times.count - 1, times.count * percent / 100)] }

  var messagesPerSecond: Double {
    let count = plan.extent.iterations * plan.extent.concurrency * plan.scenario.directions
    return total == 0 ? 0 : Double(count) * 1e9 / Double(total)
  }

  var bytesPerSecond: Double { messagesPerSecond * Double(plan.extent.messageByteCount) }

  // MARK: Forms

  static let heading = row("scenario", "message", "median", "p99", "messages/s", "bandwidth", .dim)

  var lines: [StyledText] {
    let numbers = Self.row(
      plan.scenario.rawValue, Quantity.bytes(UInt64(plan.extent.messageByteCount)), BenchText.time(percentile(50)),
      BenchText.time(percentile(99)), BenchText.count(messagesPerSecond), BenchText.bandwidth(bytesPerSecond), .plain)
    let way = route.map { "\($0.messageClass.rawValue), \($0.method) over \($0.lanes)" }
    let lanes = Set(transports.map(\.description)).sorted().joined(separator: " ")
    return [numbers, StyledText("  " + (way ?? "\(messageClass.rawValue) over \(lanes)"), .dim)]
  }

  private static func row(
    _ name: String, _ message: String, _ median: String, _ last: String, _ rate: String, _ bandwidth: String, _ style: StyledText.Style
  ) -> StyledText {
    var text = StyledText(name, style)
    for (word, column) in [(message, 27), (median, 39), (last, 51), (rate, 65), (bandwidth, 78)] {
      let width = StyledText(word).width
      text.pad(to: max(text.width + 1, column - width))
      text.append(word, style)
    }
    return text
  }

  func write(_ json: inout JSONWriter) {
    json.member("scenario", plan.scenario.rawValue)
    json.member("api", plan.api.rawValue)
    json.member("message_bytes", plan.extent.messageByteCount)
    json.member("warmup", plan.extent.warmup)
    json.member("iterations", plan.extent.iterations)
    json.member("concurrency", plan.extent.concurrency)
    json.member("median_ns", percentile(50))
    json.member("p99_ns", percentile(99))
    json.member("least_ns", percentile(0))
    json.member("seconds", Double(total) / 1e9)
    json.member("messages_per_second", messagesPerSecond)
    json.member("bytes_per_second", bytesPerSecond)
    json.member("message_class", messageClass.rawValue)
    json.key("route")
    if let route { json.object { route.write(&$0) } } else { json.null() }
    json.key("transports")
    transports.write(&json)
  }
}

extension Route {
  func write(_ json: inout JSONWriter) {
    json.member("class", messageClass.rawValue)
    json.member("method", method)
    json.member("lanes", lanes)
    json.member("from", from)
    json.key("up_to")
    if let upTo { json.value(upTo) } else { json.null() }
  }
}

extension [Transport] {
  func write(_ json: inout JSONWriter) {
    json.array { json in
      for transport in self {
        json.object {
          $0.member("name", transport.name)
          $0.member("device", transport.device)
        }
      }
    }
  }
}

/// Figures for people.
enum BenchText {
  static func time(_ nanoseconds: UInt64) -> String {
    switch nanoseconds {
    case ..<10_000: "\(nanoseconds) ns"
    case ..<1_000_000: "\(tenths(Double(nanoseconds) / 1e3)) µs"
    case ..<10_000_000_000: "\(tenths(Double(nanoseconds) / 1e6)) ms"
    default: "\(tenths(Double(nanoseconds) / 1e9)) s"
    }
  }

  static func count(_ value: Double) -> String {
    switch value {
    case ..<100: tenths(value)
    case ..<10_000: "\(Int(value + 0.5))"
    case ..<10_000_000: "\(tenths(value / 1e3)) k"
    default: "\(tenths(value / 1e6)) M"
    }
  }

  /// Decimal, as the field counts it.
  static func bandwidth(_ bytesPerSecond: Double) -> String {
    bytesPerSecond < 1e8 ? "\(tenths(bytesPerSecond / 1e6)) MB/s" : "\(hundredths(bytesPerSecond / 1e9)) GB/s"
  }

  private static func tenths(_ value: Double) -> String {
    let tenths = Int(value * 10 + 0.5)
    return "\(tenths / 10).\(tenths % 10)"
  }

  private static func hundredths(_ value: Double) -> String {
    let hundredths = Int(value * 100 + 0.5)
    return "\(hundredths / 100).\(hundredths / 10 % 10)\(hundredths % 10)"
  }
}
