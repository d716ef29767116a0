// CausewayMessagingBench: what `causeway bench messaging` and `causeway messaging info` do. Scenarios are rounds of sends and receives that
// both sides run, once by `await` and once by callbacks; the peer is another process, another engine of this one, or another host. It
// uses the public library only, so that what it measures is what a program gets. Start with Scenario and Round, then BenchClient.

/// What is measured. Names are those that Starway's users know.
package enum Scenario: String, CaseIterable, Sendable {
  /// One large message at a time, flushed: bandwidth one way.
  case largeArray = "large-array"
  /// Batches of small messages, flushed: rate.
  case smallMessages = "small-messages"
  /// One byte there and one back: latency.
  case pingpongFlag = "pingpong-flag"
  /// One message each way at a time: bandwidth both ways at once.
  case streamingDuplex = "streaming-duplex"

  package static let names = allCases.map(\.rawValue) + ["all"]

  var standard: Extent {
    switch self {
    case .largeArray: Extent(messageByteCount: 1 << 30, warmup: 1, iterations: 3, concurrency: 1)
    case .smallMessages: Extent(messageByteCount: 1024, warmup: 200, iterations: 2000, concurrency: 64)
    case .pingpongFlag: Extent(messageByteCount: 1, warmup: 1000, iterations: 20_000, concurrency: 1)
    case .streamingDuplex: Extent(messageByteCount: 4 << 20, warmup: 8, iterations: 64, concurrency: 1)
    }
  }

  /// Directions that carry the payload whose bandwidth is told.
  var directions: Int { self == .streamingDuplex || self == .pingpongFlag ? 2 : 1 }
}

/// How operations are started and ended.
package enum BenchAPI: String, CaseIterable, Sendable {
  case async, callback
}

/// How much of a scenario is run. Each number has a bound, since a server takes it from whoever connects.
package struct Extent: Equatable, Sendable {
  static let messageByteLimit = 1 << 34
  static let iterationLimit = 100_000_000
  static let concurrencyLimit = 4096
  /// Of all buffers of one side.
  static let memoryLimit = 1 << 34

  package var messageByteCount: Int
  package var warmup: Int
  package var iterations: Int
  /// Messages of a round.
  package var concurrency: Int

  package init(messageByteCount: Int, warmup: Int, iterations: Int, concurrency: Int) {
    self.messageByteCount = messageByteCount
    self.warmup = warmup
    self.iterations = iterations
    self.concurrency = concurrency
  }

  var rounds: Int { warmup + iterations }

  var isPossible: Bool {
    guard (0...Self.messageByteLimit).contains(messageByteCount), (0...Self.iterationLimit).contains(warmup),
      (1...Self.iterationLimit).contains(iterations), (1...Self.concurrencyLimit).contains(concurrency)
    else { return false }
    return messageByteCount * concurrency <= Self.memoryLimit
  }
}

/// What the client asks the server to take part in: six 64-bit integers, little endian, and zeros. The zeros make it a message for which
/// UCX has to choose a way; it has none to tell for messages of a few bytes.
struct BenchPlan: Equatable, Sendable {
  static let byteCount = 1024
  static let version = 1

  var scenario: Scenario
  var api: BenchAPI
  var extent: Extent

  var encoded: [UInt8] {
    let kind = Scenario.allCases.firstIndex(of: scenario)! | (api == .callback ? 1 << 8 : 0)
    let fields = [Self.version, kind, extent.messageByteCount, extent.warmup, extent.iterations, extent.concurrency]
    let bytes = fields.flatMap { field in (0..<8).map { UInt8(truncatingIfNeeded: field >> (8 * $0)) } }
    return bytes + [UInt8](repeating: 0, count: Self.byteCount - bytes.count)
  }

  init(_ scenario: Scenario, _ api: BenchAPI, _ extent: Extent) {
    self.scenario = scenario
    self.api = api
    self.extent = extent
  }

  /// Nil when it is of another version, or asks for more than there may be.
  init?(_ bytes: [UInt8]) {
    guard bytes.count == Self.byteCount else { return nil }
    let fields = (0..<6).map { field in
      var value: UInt64 = 0
      for index in (0..<8).reversed() { value = value << 8 | UInt64(bytes[field * 8 + index]) }
      return Int(truncatingIfNeeded: value)
    }
    guard fields[0] == Self.version, (0..<Scenario.allCases.count).contains(fields[1] & 0xFF), fields[1] & ~0x1FF == 0 else { return nil }
    let extent = Extent(messageByteCount: fields[2], warmup: fields[3], iterations: fields[4], concurrency: fields[5])
    guard extent.isPossible else { return nil }
    self.init(Scenario.allCases[fields[1] & 0xFF], fields[1] & 0x100 != 0 ? .callback : .async, extent)
  }
}
