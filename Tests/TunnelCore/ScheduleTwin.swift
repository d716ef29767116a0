import CausewayBase
import CausewayTunnelCore
internal import Glibc

/// What a schedule found wrong, with the seed that repeats it.
struct ScheduleFailure: Error, CustomStringConvertible {
  let seed: UInt64
  let message: String
  var description: String { "seed \(seed): \(message)" }
}

/// The naive twin of one direction of a stream: a plain array of what was written, an end flag, and how far both have come out again.
final class TwinDirection {
  var bytes: [UInt8] = []
  var isFinished = false
  var delivered = 0
  var endDelivered = false

  /// Takes delivered bytes and says what is wrong with them, or nil.
  func deliver(_ piece: Span<UInt8>) -> String? {
    if endDelivered { return "data behind the end" }
    if delivered + piece.count > bytes.count { return "more bytes delivered than written" }
    let written = bytes
    if !isEqual(written.span.extracting(delivered..<delivered + piece.count), piece) { return "wrong bytes at \(delivered)" }
    delivered += piece.count
    return nil
  }

  /// Takes the delivered end.
  func deliverEnd() -> String? {
    if endDelivered { return "a second end" }
    if !isFinished || delivered != bytes.count { return "an end too early" }
    endDelivered = true
    return nil
  }
}

/// Compares in blocks: element by element takes most of a debug run.
func isEqual(_ a: Span<UInt8>, _ b: Span<UInt8>) -> Bool {
  guard a.count == b.count else { return false }
  // SAFETY: both regions live through the call and have the compared length.
  return unsafe a.withUnsafeBytes { x in
    unsafe b.withUnsafeBytes { y in unsafe x.isEmpty || memcmp(x.baseAddress!, y.baseAddress!, x.count) == 0 }
  }
}

/// How often a schedule met what it is there to meet.
struct ScheduleCoverage {
  var schedules = 0
  var streams = 0
  var bytes = 0
  var deaths = 0
  /// Deaths before both sides had told their streams.
  var deathsInSynchronization = 0
  /// Open streams at a resume, and bytes sent again.
  var resumedStreams = 0
  var replayedBytes: UInt64 = 0
  /// Writers that were refused, and went on later.
  var blocked = 0
  var unblocked = 0
  /// Streams that got bytes after ending their own direction, by side.
  var halfClosed = [0, 0]
  /// By the side that reset.
  var resets = [0, 0]
  var resetsHeard = 0
  var grownWindows = 0

  mutating func add(_ other: ScheduleCoverage) {
    schedules += other.schedules
    streams += other.streams
    bytes += other.bytes
    deaths += other.deaths
    deathsInSynchronization += other.deathsInSynchronization
    resumedStreams += other.resumedStreams
    replayedBytes += other.replayedBytes
    blocked += other.blocked
    unblocked += other.unblocked
    resetsHeard += other.resetsHeard
    grownWindows += other.grownWindows
    for side in 0...1 {
      halfClosed[side] += other.halfClosed[side]
      resets[side] += other.resets[side]
    }
  }
}
