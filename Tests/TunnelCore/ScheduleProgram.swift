import CausewayBase

@testable import CausewayTunnelCore

/// The program at one end of a stream: how much it writes and when, how it drains, whether it resets. Times in microseconds are drawn once.
final class ScheduleProgram: CustomStringConvertible {
  enum Presence { case unborn, open, gone }

  let id: StreamID
  unowned let end: ScheduleEnd
  let outgoing: TwinDirection
  let incoming: TwinDirection
  var presence = Presence.unborn
  var wasReset = false
  var heardReset = false

  /// Where in the pattern its bytes begin.
  let patternStart: Int
  var unwritten: Int
  /// When it next writes, or ends its direction; never while blocked or done.
  var nextWrite = Instant.distantFuture
  var isBlocked = false
  private let pauseLimit: Int
  private let finishDelay: Int

  var received = 0
  var drained = 0
  /// What the session was told of `drained`.
  var reported = 0
  var nextDrain = Instant.distantFuture
  private let stall: Int
  private var stalledUntil = Instant.zero
  private let drainLag: Int
  private let drainsAll: Bool
  /// Reports each drain; otherwise only when the session wants to know.
  let reportsAlways: Bool
  let pathRoundTrip: UInt64

  private let resetDelay: Int?
  var resetAt = Instant.distantFuture
  var wasHalfClosed = false

  init(
    _ id: StreamID, at end: ScheduleEnd, _ outgoing: TwinDirection, _ incoming: TwinDirection, plan: SchedulePlan,
    _ random: inout SeededRandom
  ) {
    self.id = id
    self.end = end
    self.outgoing = outgoing
    self.incoming = incoming
    unwritten = end.isRelay ? plan.relayByteCount : plan.clientByteCount
    resetDelay = end.isRelay ? plan.relayReset : plan.clientReset
    patternStart = random.number(below: SchedulePattern.byteCount - 65536)
    pauseLimit = random.pick(0, 1_000, 5_000, 20_000)
    finishDelay = random.pick(0, 0, 50_000, 300_000)
    stall = random.pick(0, 0, 0, 200_000, 1_500_000)
    drainLag = random.pick(0, 1_000, 30_000)
    drainsAll = random.pick(0, 1) == 1
    reportsAlways = random.pick(0, 1) == 1
    pathRoundTrip = UInt64(random.pick(0, 1_000_000, 50_000_000))
  }

  /// The stream exists for this side from now on.
  func begin(at now: Instant) {
    presence = .open
    nextWrite = now
    stalledUntil = now.later(stall)
    if let resetDelay { resetAt = now.later(resetDelay) }
  }

  /// Both directions are over: the session may have forgotten the stream without a word.
  var isComplete: Bool { outgoing.isFinished && incoming.endDelivered }

  /// When it acts next.
  var due: Instant {
    var due = nextWrite
    if nextDrain < due { due = nextDrain }
    if resetAt < due { due = resetAt }
    return presence == .open ? due : .distantFuture
  }

  /// The time of the next write, or of the end.
  func pause(_ random: inout SeededRandom, at now: Instant) {
    nextWrite = now.later(random.number(below: 1 + (unwritten == 0 ? finishDelay : pauseLimit)))
  }

  func scheduleDrain(_ random: inout SeededRandom, at now: Instant) {
    guard nextDrain == .distantFuture, drained < received else { return }
    nextDrain = max(stalledUntil, now.later(random.number(below: 1 + drainLag)))
  }

  func drain(_ random: inout SeededRandom) { drained = drainsAll ? received : drained + 1 + random.number(below: received - drained) }

  /// What is wrong with this side of the stream when everything is over, or nil.
  func verdict(peer: ScheduleProgram) -> String? {
    if heardReset && !peer.wasReset { return "was told of a reset that nobody made" }
    if wasReset || peer.wasReset {
      return wasReset || heardReset || presence == .unborn || isComplete ? nil : "never heard of the reset"
    }
    if !outgoing.isFinished { return "never finished" }
    if incoming.delivered != incoming.bytes.count || !incoming.endDelivered { return "did not get all bytes, or the end" }
    return nil
  }

  var description: String {
    "\(presence), \(unwritten) unwritten, next \(nextWrite.nanoseconds / 1000), blocked \(isBlocked), got \(received), drained \(drained), "
      + "reported \(reported), next \(nextDrain.nanoseconds / 1000)"
  }
}

/// What is drawn for a stream as a whole.
struct SchedulePlan {
  let relayByteCount: Int
  let clientByteCount: Int
  let relayReset: Int?
  let clientReset: Int?

  init(byteCount: Int, _ random: inout SeededRandom) {
    let upward = random.number(below: byteCount + 1)
    // At least one byte opens the stream; an answer may be empty.
    relayByteCount = max(1, upward)
    clientByteCount = byteCount - upward
    // One stream in four is reset, by either side or by both.
    let resets = random.number(below: 8)
    let both = random.number(below: 4) == 0
    let first = random.number(below: 1 + random.pick(0, 1_000, 100_000, 500_000))
    let second = random.number(below: 1 + random.pick(0, 1_000, 100_000, 500_000))
    relayReset = resets == 1 || (resets == 2 && both) ? first : nil
    clientReset = resets == 2 || (resets == 1 && both) ? second : nil
  }
}

/// Random bytes that every program writes from, each from another place.
enum SchedulePattern {
  static let byteCount = 1 << 18
  static let bytes: [UInt8] = {
    var random = SeededRandom(seed: 42)
    return (0..<byteCount).map { _ in UInt8(truncatingIfNeeded: random.next()) }
  }()
}

extension SeededRandom {
  /// 0..<bound. Plain and quick in debug builds; the bias does not matter here.
  mutating func number(below bound: Int) -> Int { Int(truncatingIfNeeded: next() >> 1) % bound }
  mutating func pick(_ choices: Int...) -> Int { choices[number(below: choices.count)] }
}

extension Instant {
  /// Rounded up to half a millisecond, so that much happens at the same moment: that is harder on the sessions and takes fewer steps.
  func later(_ microseconds: Int) -> Instant {
    microseconds == 0 ? self : Instant(nanoseconds: (nanoseconds + UInt64(microseconds) * 1000) / 500_000 * 500_000 + 500_000)
  }
}
